"""Minify the subscriber for browsers, or pack it for npm, with the tools that `browser/package-lock.json` pins.

Without arguments, it writes the minified files to `hub/static`; commit them. `--check` fails if those are not current.
`--pack FOLDER` writes the tarball for npm instead, and prints its path.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path

from webmqconnect_async import __version__
from webmqconnect_async.hub._browser import FILES

ROOT = Path(__file__).parents[1]
TOOLS = Path(__file__).with_name("browser")
TERSER = TOOLS / "node_modules" / ".bin" / "terser"  # its output is two percent smaller than that of esbuild
WIRE = "_after,_any_topic,_former,_history,_missed,_newest"
"""The options and details on the wire that begin with an underscore. All other such names are private."""
PRE_RELEASES = {"a": "alpha", "b": "beta", "rc": "rc", ".dev": "dev"}
"""What npm calls the pre-releases of PyPI."""


def main() -> None:
    """Minify, check or pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--pack", metavar="FOLDER", type=Path)
    arguments = parser.parse_args()
    install()
    if arguments.pack:
        print(pack(arguments.pack))
        return
    made = minified()
    with as_file(files("webmqconnect_async.hub") / "static") as static:
        if arguments.check:
            if stale := [name for name, content in made.items() if FILES[name] != content]:
                sys.exit(f"not current: {', '.join(stale)}; run nox -s js")
            return
        write(static, made)


def install() -> None:
    """Install the tools, unless those that are installed are the pinned ones."""
    lock, installed = TOOLS / "package-lock.json", TOOLS / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=TOOLS)


def minified() -> dict[str, bytes]:
    """Return the minified files and their source maps by name."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), FILES)
        for name, kind in {"webmq.js": (), "webmq.mjs": ("--module",)}.items():
            output = name.replace(".", ".min.")
            shorter = ("--ecma", "2020", "--compress", "passes=3,lhs_constants=false,pure_getters", "--mangle")
            private = ("--mangle-props", f"regex=/^_/,reserved=[{WIRE}]")
            maps = ("--source-map", f"url={output}.map")
            run(TERSER, name, "--output", output, *kind, *shorter, *private, *maps, cwd=Path(folder))
        return {path.name: path.read_bytes() + b"\n" for path in sorted(Path(folder).glob("webmq.min.*"))}


def pack(target: Path) -> Path:
    """Write the tarball into a folder, and return its path."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), FILES)
        package = json.loads((TOOLS / "npm" / "package.json").read_text("utf-8"))
        package = {"name": package.pop("name"), "version": npm_version(__version__)} | package
        Path(folder, "package.json").write_text(json.dumps(package, indent=2) + "\n", "utf-8")
        shutil.copy(TOOLS / "npm" / "README.md", folder)
        shutil.copy(ROOT / "LICENSE", folder)
        packed = json.loads(run("npm", "pack", "--json", "--pack-destination", target.resolve(), cwd=Path(folder)))
    [entry] = packed if isinstance(packed, list) else packed.values()  # npm 11 has an object
    return Path(target, entry["filename"])


def npm_version(version: str) -> str:
    """Return a version of PyPI as npm writes it: 1.0.0rc1 is 1.0.0-rc.1."""
    return re.sub(r"(a|b|rc|\.dev)(\d+)$", lambda match: f"-{PRE_RELEASES[match[1]]}.{match[2]}", version)


def write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files by name."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command and return its output; if it fails, print that and exit."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)  # noqa: S603  # ours
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}failed with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
