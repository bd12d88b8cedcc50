"""Ask whether what is installed beside the package has known vulnerabilities: exit with 1 where it has.

Where the service that knows cannot be asked it says so, and that is no failure: pip-audit itself either breaks, or
finds "no known vulnerabilities" in packages that it has skipped. The arguments are pip-audit's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile


def main() -> None:
    """Audit the environment that this runs in."""
    # Neither pip nor setuptools: they make the environment, and are no part of what the package needs.
    freeze = [
        sys.executable,
        "-m",
        "pip",
        "freeze",
        "--exclude-editable",
        "--exclude",
        "pip",
        "--exclude",
        "setuptools",
    ]
    installed = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout  # noqa: S603  # ours
    with NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(installed)
        requirements.flush()
        flags = ["--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json", "--desc", "off"]
        audit = [
            sys.executable,
            "-m",
            "pip_audit",
            *flags,
            "--requirement",
            str(Path(requirements.name)),
            *sys.argv[1:],
        ]
        done = subprocess.run(audit, capture_output=True, text=True)  # noqa: S603  # ours
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        print(f"nothing was audited: {(done.stderr.strip().splitlines() or ['pip-audit said nothing'])[-1]}")
        return
    skipped = [package for package in packages if "skip_reason" in package]
    for package in skipped[:1]:
        print(f"not audited, {len(skipped)} of {len(packages)} packages: {package['skip_reason']}, for one")
    vulnerable = [package for package in packages if package.get("vulns")]
    for package in vulnerable:
        for vulnerability in package["vulns"]:
            fixed = ", ".join(vulnerability["fix_versions"]) or "nowhere yet"
            print(f"{package['name']} {package['version']}: {vulnerability['id']}, mended in {fixed}")
    print(f"{len(packages) - len(skipped)} packages audited, {len(vulnerable)} with known vulnerabilities")
    sys.exit(bool(vulnerable))


if __name__ == "__main__":
    main()
