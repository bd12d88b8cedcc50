"""Build sdist and wheel, inspect them, and run the tests against the wheel with each CPython that is installed.

The oldest CPython gets the lowest versions of the dependencies that pyproject.toml allows, the others the newest.
The tests run in the unpacked sdist without its package folder, so that they import the wheel, and read only
files that the sdist includes. Arguments are pytest's; `--newest` alone prints the path of the newest CPython instead.

With COVERAGE_PROCESS_START set, coverage is measured in the run with the newest CPython.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path

PACKAGE = "webmqconnect_async"
ROOT = Path(__file__).parents[1]

# pyenv puts only the selected versions on the PATH.
PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")} | {
    "PATH": os.pathsep.join([os.environ["PATH"], *glob.glob(str(PYENV / "versions" / "3.*" / "bin"))]),
}
COVERAGE = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


def main() -> None:
    """Build, inspect, test; exit with 1 if anything fails."""
    pythons = installed()
    if sys.argv[1:] == ["--newest"]:
        print([*pythons.values()][-1])
        return
    print("testing with CPython", ", ".join(pythons), flush=True)
    with tempfile.TemporaryDirectory(prefix=f"{PACKAGE}-") as folder:
        sdist, wheel = build(Path(folder))
        inspect(sdist, wheel)
        install_alone(wheel, Path(folder))
        passed = []
        # One after another: together they would make each other's deadlines pass.
        for position, (minor, python) in enumerate(pythons.items(), 1):
            resolution = "lowest-direct" if position == 1 else "highest"
            coverage = COVERAGE if position == len(pythons) else {}
            passed.append(test(sdist, wheel, Path(folder, minor), python, resolution, coverage))
    sys.exit(not all(passed))


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command and return its output; if it fails, print that and exit."""
    done = subprocess.run(  # noqa: S603  # ours
        command, cwd=cwd, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}failed with {done.returncode}")
    return done.stdout


def uv(*arguments: str | Path, cwd: Path | None = None) -> str:
    """Run uv, without its progress messages."""
    return run(sys.executable, "-m", "uv", "--quiet", *arguments, cwd=cwd)


def installed() -> dict[str, str]:
    """Return the path of each CPython that the package supports, by its minor version, oldest first."""
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    listing = subprocess.run(  # noqa: S603  # ours; stderr has uv's complaints about the shims of pyenv
        [sys.executable, "-m", "uv", "python", "list", oldest, "--only-installed", "--output-format", "json"],
        env=ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    pythons: dict[tuple[int, int], str] = {}
    for each in json.loads(listing):
        if each["implementation"] == "cpython" and each["variant"] == "default":
            parts = each["version_parts"]
            pythons.setdefault((parts["major"], parts["minor"]), each["path"])
    if not pythons:
        sys.exit(f"no CPython {oldest} is installed")
    return {f"{major}.{minor}": pythons[major, minor] for major, minor in sorted(pythons)}


def build(folder: Path) -> tuple[Path, Path]:
    """Return an sdist and the wheel built from it, after checking that the checkout builds the same wheel."""
    uv("build", ROOT, "--out-dir", folder)
    uv("build", ROOT, "--out-dir", folder / "direct", "--wheel")
    [sdist], [wheel], [direct] = folder.glob("*.tar.gz"), folder.glob("*.whl"), folder.glob("direct/*.whl")
    if wheel.read_bytes() != direct.read_bytes():
        sys.exit("the sdist and the checkout build different wheels")
    return sdist, wheel


def inspect(sdist: Path, wheel: Path) -> None:
    """Check the metadata, and that the wheel has exactly the files of the package."""
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / PACKAGE).rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    if packed != files:
        sys.exit(f"the wheel and the folder {PACKAGE} differ in {sorted(packed ^ files)}")
    print(f"built {sdist.name} and {wheel.name} with {len(packed)} files")


def install_alone(wheel: Path, folder: Path) -> None:
    """Check that the wheel works without its extras, and that the command says which extra it needs."""
    python = folder / "alone" / "bin" / "python"
    uv("venv", python.parents[1], "--python", sys.executable)
    uv("pip", "install", "--python", python, wheel)
    run(python, "-W", "error", "-c", f"import {PACKAGE}, {PACKAGE}.hub, {PACKAGE}.testing", cwd=folder)
    done = subprocess.run(  # noqa: S603  # ours
        [python, "-m", PACKAGE], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True
    )
    if done.returncode != 2 or "pip install 'webmqconnect-async[cli]'" not in done.stderr:
        sys.exit(f"without the extra cli: {done}")


def test(sdist: Path, wheel: Path, folder: Path, interpreter: str, resolution: str, coverage: dict[str, str]) -> bool:
    """Run the tests in an environment of their own; print the result and return whether all of them passed."""
    began = time.monotonic()
    shutil.unpack_archive(sdist, folder)
    [checkout] = folder.glob("*/")
    shutil.rmtree(checkout / PACKAGE)
    python = folder / "venv" / "bin" / "python"
    uv("venv", python.parents[1], "--python", interpreter)
    groups = ("--group", "test", *(("--group", "coverage") if coverage else ()))
    dependencies = ("--resolution", resolution, "--requirements", "pyproject.toml", "--extra", "cli", *groups)
    uv("pip", "install", "--python", python, *dependencies, cwd=checkout)
    uv("pip", "install", "--python", python, "--no-deps", wheel)
    imported = run(python, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)", cwd=checkout)
    if not imported.startswith(str(folder / "venv")):
        sys.exit(f"the tests would import {imported}")
    done = subprocess.run(  # noqa: S603  # ours
        [python, "-m", "pytest", "-q", *sys.argv[1:]],
        cwd=checkout,
        env=ENVIRONMENT | coverage,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        print(done.stdout)
    summary = done.stdout.strip().splitlines()[-1]
    print(f"CPython {folder.name}, {resolution} versions, {time.monotonic() - began:.0f} s: {summary}", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    main()
