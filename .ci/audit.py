"""Search all dependencies of pyproject.toml for known vulnerabilities; exit with 1 if there are any.

Where the vulnerability service cannot be reached, print that and exit with 0: pip-audit itself fails in one case, and
reports "no known vulnerabilities" in packages that it skipped in another. The arguments are pip-audit's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory


def main() -> None:
    """Resolve the newest versions and audit them."""
    with TemporaryDirectory() as folder:
        requirements = str(Path(folder, "requirements.txt"))
        everything = ["pyproject.toml", "--all-extras", "--group", "dev", "--output-file", requirements]
        resolve = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-annotate", *everything]
        subprocess.run(resolve, check=True)  # noqa: S603  # ours
        flags = ["--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json", "--desc", "off"]
        audit = [sys.executable, "-m", "pip_audit", *flags, "--requirement", requirements, *sys.argv[1:]]
        done = subprocess.run(audit, capture_output=True, text=True)  # noqa: S603  # ours
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        print(f"not audited: {(done.stderr.strip().splitlines() or ['pip-audit printed nothing'])[-1]}")
        return
    skipped = [package for package in packages if "skip_reason" in package]
    for package in skipped[:1]:
        print(f"not audited: {len(skipped)} of {len(packages)} packages, the first because: {package['skip_reason']}")
    vulnerable = [package for package in packages if package.get("vulns")]
    for package in vulnerable:
        for vulnerability in package["vulns"]:
            fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
            print(f"{package['name']} {package['version']}: {vulnerability['id']}, fixed in {fixed}")
    print(f"{len(packages) - len(skipped)} packages audited, {len(vulnerable)} with known vulnerabilities")
    sys.exit(bool(vulnerable))


if __name__ == "__main__":
    main()
