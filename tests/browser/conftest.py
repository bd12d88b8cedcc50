"""The package for npm, packed and installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .tools import BUILD, ROOT, run


@pytest.fixture(scope="session")
def tarball(npm: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tarball. This installs the tools, too."""
    packed = run(sys.executable, BUILD, "--pack", tmp_path_factory.mktemp("packed"), cwd=ROOT)
    assert packed.returncode == 0, packed.stdout
    return Path(packed.stdout.strip())


@pytest.fixture(scope="session")
def folder(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with nothing but the package, installed."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "package.json").write_text('{"private": true}')
    installed = run("npm", "install", "--offline", "--no-audit", "--no-fund", tarball, cwd=folder)
    assert installed.returncode == 0, installed.stdout
    return folder
