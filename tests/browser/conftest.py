"""Fixtures that pack and install the npm package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .tools import BUILD, ROOT, run


@pytest.fixture(scope="session")
def tarball(npm: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pack the package, and return the tarball. The pinned tools are installed first."""
    packed = run(sys.executable, BUILD, "--pack", tmp_path_factory.mktemp("packed"), cwd=ROOT)
    assert packed.returncode == 0, packed.stdout
    return Path(packed.stdout.strip())


@pytest.fixture(scope="session")
def folder(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package into an empty folder, and return the folder."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "package.json").write_text('{"private": true}')
    installed = run("npm", "install", "--offline", "--no-audit", "--no-fund", tarball, cwd=folder)
    assert installed.returncode == 0, installed.stdout
    return folder
