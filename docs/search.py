"""Check that a search of the documentation finds its pages: run it after `mkdocs build`.

The search of the site splits texts by the `separator` of its configuration, and finds the words that begin with what
is typed. A word that only occurs inside another one, such as `mq.onstate`, is not found.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

EXPECTED = {
    "JavaScript": ("reference/browser.html", "how-to/browser.html"),
    "reconnect": ("reference/browser.html", "how-to/browser.html"),
    "TypeScript": ("reference/browser.html", "how-to/browser.html"),
    "npm": ("reference/browser.html", "how-to/browser.html"),
    "React": ("how-to/react.html", "how-to/browser.html"),
    "onstate": ("reference/browser.html",),
    "onlost": ("reference/browser.html", "how-to/never-miss.html"),
    "authenticate": ("how-to/authenticate.html", "reference/browser.html"),
    "certificate": ("how-to/troubleshooting.html",),
    "disk": ("how-to/troubleshooting.html",),
    "dropped": ("how-to/troubleshooting.html", "how-to/watching.html"),
    "memory": ("how-to/troubleshooting.html",),
    "troubleshooting": ("how-to/troubleshooting.html",),
    "502": ("how-to/troubleshooting.html",),
    "503": ("how-to/troubleshooting.html", "reference/backplane.html"),
}
"""Pages by what a reader types."""


def main() -> None:
    """Exit with the pages that are not found."""
    index = json.loads(Path(__file__).with_name("site").joinpath("search", "search_index.json").read_text("utf-8"))
    separator = index["config"]["separator"]
    words: dict[str, set[str]] = {}
    for entry in index["docs"]:
        text = re.sub(r"<[^>]*>", " ", f"{entry['title']} {entry['text']}").lower()
        words.setdefault(entry["location"].partition("#")[0], set()).update(re.split(separator, text))
    missing = [
        f"{typed}: not found in {page}"
        for typed, pages in EXPECTED.items()
        for page in pages
        if not any(word.startswith(typed.lower()) for word in words[page])
    ]
    if missing:
        sys.exit("\n".join(missing))


if __name__ == "__main__":
    main()
