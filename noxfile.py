"""Sessions for contributors: `nox -l` lists them, `nox -s lint` runs one, in an environment of its own.

CI runs the same sessions, so that each command stands here alone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
MEASURED = ROOT / ".coverage-data"
"""What the sessions `full` and `wheel` measure, for the session `coverage`."""

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "typing", "tests"]


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, or those that are named: `nox -s tests -- tests/test_flow.py`."""
    session.install("-e", ".[cli]", "--group", "test")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def full(session: nox.Session) -> None:
    """Run the tests that the plain run leaves out: browser, real brokers, examples, soak and fuzz tests.

    With COVERAGE=no, coverage is not measured, which costs 0.2 s of each Python process.
    """
    session.install("-e", ".[cli]", "--group", "full", "--group", "coverage")
    env = {} if os.environ.get("COVERAGE") == "no" else _coverage(session)
    session.run("python", "-m", "pytest", "-m", "full", *session.posargs, env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Run the hooks of pre-commit on all files, and check which module imports which."""
    session.install("-e", ".", "--group", "lint")
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure")
    session.run("lint-imports")


@nox.session
def typing(session: nox.Session) -> None:
    """Run mypy and pyright. The full tests also check the types of the public names, and how many there are."""
    session.install("-e", ".[cli]", "--group", "full", "--group", "nox")
    session.run("mypy")
    session.run("pyright")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, with warnings as errors; `nox -s docs -- serve` shows it while you write."""
    session.install("-e", ".[cli]", "--group", "docs")
    command = session.posargs or ["build", "--strict"]
    session.run("mkdocs", *command, "-f", "docs/mkdocs.yml", env={"NO_MKDOCS_2_WARNING": "1"})
    if not session.posargs:
        session.run("python", "docs/search.py")


@nox.session
def audit(session: nox.Session) -> None:
    """Search the dependencies for known vulnerabilities."""
    session.install("--group", "audit")
    session.run("python", ".ci/audit.py", *session.posargs)


@nox.session
def js(session: nox.Session) -> None:
    """Minify webmq.js, with tools from npm; `nox -s js -- --pack dist` packs it for npm instead."""
    session.install("-e", ".")
    session.run("python", ".ci/browser.py", *session.posargs)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build sdist and wheel, and run the tests against the wheel with each CPython that is installed."""
    session.install("--group", "wheel", "--group", "coverage")
    session.run("python", ".ci/packages.py", *session.posargs, env=_coverage(session))


@nox.session
def coverage(session: nox.Session) -> None:
    """Report the coverage of the sessions `full` and `wheel`, which have to run first."""
    session.install("--group", "coverage")
    if data := [str(folder) for folder in sorted(MEASURED.glob("*/"))]:
        session.run("coverage", "combine", "--quiet", *data)
        shutil.rmtree(MEASURED)
    session.run("coverage", "report")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run the benchmarks; `benchmarks/run.py` does it without nox."""
    session.install("-e", ".[cli]", "--group", "benchmarks")
    session.run("python", "-m", "benchmarks", *session.posargs)


def _coverage(session: nox.Session) -> dict[str, str]:
    """Return the variables by which Python measures the coverage of every process of a session."""
    MEASURED.mkdir(exist_ok=True)
    data = tempfile.mkdtemp(prefix=session.name.partition("-")[0], dir=MEASURED)
    return {"COVERAGE_PROCESS_START": str(ROOT / "pyproject.toml"), "COVERAGE_FILE": str(Path(data, ".coverage"))}
