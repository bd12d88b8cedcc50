"""Build sdist and wheel, look at them, and run the tests against the wheel: with each CPython that is here.

The oldest CPython gets the lowest versions of the dependencies that pyproject.toml allows, each other one the newest.
The tests run in what the sdist unpacks to, without the package's folder, so that nothing but the wheel can be imported,
and nothing but the sdist read.
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

# What does not run, as it says nothing of an interpreter or of a dependency's version:
LEFT_OUT = (
    "tests/test_benchmarks.py",
    "tests/test_soak.py",
    "tests/hub/test_fuzz.py",
    "tests/test_sentry.py",
    "tests/dialects/test_masking.py",
)
"""Tests of the benchmarks, which are not part of the package; of a recipe of the documentation; of pure text."""
MARKERS = "not chromium and not node and not crossbar"
"""Neither the scripts of the page nor a foreign broker know what Python pushes to them."""
# What runs with the oldest and the newest CPython alone:
OF_THE_ENDS = ("tests/cli", "tests/examples", "tests/test_docs.py", "tests/test_readme.py", "tests/test_testing.py")
"""They take half of the time, for they start processes."""

# pyenv puts only those versions on the PATH that somebody has chosen.
PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
ENVIRONMENT = os.environ | {
    "PATH": os.pathsep.join([os.environ["PATH"], *glob.glob(str(PYENV / "versions" / "3.*" / "bin"))]),
}


def main() -> None:
    """Build, look, test; exit with 1 where anything fails."""
    if gone := [path for path in LEFT_OUT + OF_THE_ENDS if not (ROOT / path).exists()]:
        sys.exit(f"no longer there to be left out: {gone}")
    with tempfile.TemporaryDirectory(prefix=f"{PACKAGE}-") as folder:
        sdist, wheel = build(Path(folder))
        look(sdist, wheel)
        bare(wheel, Path(folder))
        pythons = found()
        oldest, newest = min(pythons, key=numbers), max(pythons, key=numbers)
        passed = []
        # One after another: tests that start processes and wait for them are not to wait for each other.
        for minor, python in pythons.items():
            resolution = "lowest-direct" if minor == oldest else "highest"
            left_out = LEFT_OUT if minor in (oldest, newest) else LEFT_OUT + OF_THE_ENDS
            passed.append(test(sdist, wheel, Path(folder, minor), python, resolution, left_out))
        sys.exit(not all(passed))


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command and return what it printed; where it fails, print all of it and exit."""
    done = subprocess.run(  # noqa: S603  # commands of ours
        command, cwd=cwd, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}failed with {done.returncode}")
    return done.stdout


def uv(*arguments: str | Path, cwd: Path | None = None) -> str:
    """Run uv, quietly."""
    return run(sys.executable, "-m", "uv", "--quiet", *arguments, cwd=cwd)


def build(folder: Path) -> tuple[Path, Path]:
    """Return an sdist and the wheel that is built from it, which is the one that is built from the checkout."""
    uv("build", ROOT, "--out-dir", folder)
    uv("build", ROOT, "--out-dir", folder / "direct", "--wheel")
    [sdist], [wheel], [direct] = folder.glob("*.tar.gz"), folder.glob("*.whl"), folder.glob("direct/*.whl")
    if wheel.read_bytes() != direct.read_bytes():
        sys.exit("the sdist and the checkout build different wheels")
    return sdist, wheel


def look(sdist: Path, wheel: Path) -> None:
    """Check the metadata, and that the wheel holds the package, all of it and nothing else."""
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / PACKAGE).rglob("*") if path.is_file()}
    there = {name for name in there if "__pycache__" not in name}
    if packed != there:
        sys.exit(f"the wheel and the folder {PACKAGE} differ in {sorted(packed ^ there)}")
    print(f"built {sdist.name} and {wheel.name}, of {len(packed)} files")


def bare(wheel: Path, folder: Path) -> None:
    """Check that the wheel works with nothing but what it depends on, and says what its command line lacks."""
    python = folder / "bare" / "bin" / "python"
    uv("venv", python.parents[1], "--python", sys.executable)
    uv("pip", "install", "--python", python, wheel)
    run(python, "-W", "error", "-c", f"import {PACKAGE}, {PACKAGE}.hub, {PACKAGE}.testing", cwd=folder)
    done = subprocess.run([python, "-m", PACKAGE], cwd=folder, capture_output=True, text=True)  # noqa: S603  # ours
    if done.returncode != 2 or "pip install 'webmqconnect-async[cli]'" not in done.stderr:
        sys.exit(f"without the extra [cli]: {done}")


def found() -> dict[str, str]:
    """Return the CPythons that are here, by minor version; print them, and which are not."""
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    # It knows the releases that there are, without asking anybody; stderr is its complaints about pyenv's shims.
    listing = subprocess.run(  # noqa: S603  # ours
        [sys.executable, "-m", "uv", "python", "list", oldest, "--output-format", "json"],
        env=ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    pythons: dict[str, str] = {}
    missing = set()
    for each in json.loads(listing):
        if each["implementation"] == "cpython" and each["variant"] == "default":
            minor = f"{each['version_parts']['major']}.{each['version_parts']['minor']}"
            if each["path"]:
                pythons.setdefault(minor, each["path"])
            elif each["version"].replace(".", "").isdecimal():
                missing.add(minor)
    here, elsewhere = sorted(pythons, key=numbers), sorted(missing - pythons.keys(), key=numbers)
    print(f"found CPython {', '.join(here) or 'none'}; not here: {', '.join(elsewhere) or 'none'}")
    if not pythons:
        sys.exit(f"no CPython {oldest} to test with")
    return pythons


def numbers(version: str) -> list[int]:
    """Return what a version sorts by."""
    return [int(number) for number in version.split(".")]


def test(sdist: Path, wheel: Path, folder: Path, interpreter: str, resolution: str, left_out: tuple[str, ...]) -> bool:
    """Run the tests in a venv of their own; print how they ended, and return whether all is well."""
    began = time.monotonic()
    shutil.unpack_archive(sdist, folder)
    [tests] = folder.iterdir()
    shutil.rmtree(tests / PACKAGE)
    python = folder / "venv" / "bin" / "python"
    uv("venv", python.parents[1], "--python", interpreter)
    dependencies = ("--resolution", resolution, "--requirements", "pyproject.toml", "--extra", "test")
    uv("pip", "install", "--python", python, *dependencies, cwd=tests)
    uv("pip", "install", "--python", python, "--no-deps", wheel)
    imported = run(python, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)", cwd=tests)
    if not imported.startswith(str(folder / "venv")):
        sys.exit(f"the tests would import {imported}")
    run(python, "-m", PACKAGE, "--version", cwd=tests)
    ignored = [f"--ignore={path}" for path in left_out]
    command = [str(python), "-m", "pytest", "-q", "-m", MARKERS, *ignored]
    # What fails is shown and run once more, by itself: tests of deadlines and interrupts have met a busy machine.
    for again in ((), ("--last-failed",)):
        done = subprocess.run(  # noqa: S603  # ours
            [*command, *again], cwd=tests, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode == 0:
            break
        print(done.stdout)
    summary = done.stdout.strip().splitlines()[-1]
    print(f"CPython {folder.name}, {resolution} versions, {time.monotonic() - began:.0f} s: {summary}", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    main()
