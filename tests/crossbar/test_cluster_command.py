"""`examples/crossbar/cluster.py`, with a fake `crossbar keys`: the folders, the keys and the secret that it makes."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from brokers.crossbar import ROOT
from brokers.crossbar_cluster import KINDS

SCRIPT = ROOT / "examples" / "crossbar" / "cluster.py"
NODES = ("10.0.0.1:8080:9080", "10.0.0.2:8080:9080", "node.example.com:1:2")
KEYS = """#!/bin/sh
umask 077
test -e "$3/key.pub" || echo "public-key-ed25519: $(od -An -N32 -tx1 /dev/urandom | tr -d ' \\n')" > "$3/key.pub"
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Return a Python with a `crossbar` in the same folder."""
    (tmp_path / "bin").mkdir()
    crossbar = tmp_path / "bin" / "crossbar"
    crossbar.write_text(KEYS)
    crossbar.chmod(0o700)
    python = tmp_path / "bin" / "python3"
    python.symlink_to(Path(sys.executable).resolve())
    return python


def run(python: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = (python, SCRIPT, *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603  # ours


def texts(value: object) -> list[str]:
    """Return all strings within a JSON value, including keys."""
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in texts(part)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


def configs(folder: Path) -> dict[str, Any]:
    return {each.parent.name: json.loads(each.read_text()) for each in sorted(folder.glob("*/config.json"))}


@pytest.mark.parametrize("kind", KINDS)
def test_its_files_are_readable_only_by_the_owner_and_no_secret_is_printed(
    kind: str, python: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "a" / "cluster"
    done = run(python, kind, folder, *NODES)
    assert (done.returncode, done.stderr) == (0, "")
    names = ["router", "proxy1", "proxy2"] if kind == "router" else ["node1", "node2", "node3"]
    assert done.stdout.splitlines() == [
        f"{python.with_name('crossbar')} start --cbdir {folder / name}" for name in names
    ]
    secret = (folder / "secret").read_text()
    assert len(secret) >= 43
    assert secret not in done.stdout
    modes = {path.relative_to(folder): stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    assert {mode for path, mode in modes.items() if (folder / path).is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if (folder / path).is_file()} == {0o600}
    # A proxy accepts no pushes and needs no secret.
    with_secret = [name for name, config in configs(folder).items() if secret in texts(config)]
    assert with_secret == (["router"] if kind == "router" else names)


@pytest.mark.parametrize("kind", KINDS)
def test_every_placeholder_is_replaced(kind: str, python: Path, tmp_path: Path) -> None:
    run(python, kind, tmp_path / "cluster", *NODES)
    for config in configs(tmp_path / "cluster").values():
        assert [text for text in texts(config) if "$" in text] == []


def test_a_router_accepts_the_keys_of_its_proxies(python: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    run(python, "router", folder, *NODES)
    made = configs(folder)
    _, inner = made["router"]["workers"][0]["transports"]
    assert inner["endpoint"] == {"type": "tcp", "interface": "10.0.0.1", "port": 9080}
    assert inner["auth"]["cryptosign-proxy"]["principals"] == {
        name: {"realm": "realm1", "role": "proxy", "authorized_keys": [key(folder, name)]}
        for name in ("proxy1", "proxy2")
    }
    for name in ("proxy1", "proxy2"):
        assert made[name]["controller"]["id"] == name  # the folder in which the router finds its key
        backend = made[name]["workers"][0]["connections"]["router"]["transport"]["endpoint"]
        assert backend == {"type": "tcp", "host": "10.0.0.1", "port": 9080}


def test_equal_nodes_link_to_all_others(python: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    run(python, "equal", folder, *NODES)
    made = configs(folder)
    for name, others in (("node1", ("node2", "node3")), ("node2", ("node1", "node3")), ("node3", ("node1", "node2"))):
        router = made[name]["workers"][0]
        assert [link["id"] for link in router["realms"][0]["rlinks"]] == list(others)
        principals = router["transports"][1]["auth"]["cryptosign"]["principals"]
        assert {each: principal["authorized_keys"] for each, principal in principals.items()} == {
            other: [key(folder, other)] for other in others
        }
    assert made["node1"]["workers"][0]["realms"][0]["rlinks"][1]["transport"] == {
        "type": "websocket",
        "endpoint": {"type": "tcp", "host": "node.example.com", "port": 2},
        "url": "ws://node.example.com:2",
    }


def key(folder: Path, name: str) -> str:
    return (folder / name / "key.pub").read_text().split()[1]


def test_a_node_is_added_later(python: Path, tmp_path: Path) -> None:
    """When a node is added, keys and secret stay the same, so the other nodes continue until they are restarted."""
    folder = tmp_path / "cluster"
    run(python, "equal", folder, *NODES[:2])
    kept = {path: path.read_text() for path in (folder / "secret", *folder.rglob("key.pub"))}
    run(python, "equal", folder, *NODES)
    assert {path: path.read_text() for path in kept} == kept
    assert len(kept) == 3
    assert [link["id"] for link in configs(folder)["node1"]["workers"][0]["realms"][0]["rlinks"]] == ["node2", "node3"]


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "10.0.0.1:8080", "10.0.0.1:8080:", "[::1]:1:2", "a b:1:2", "$name:1:2"]
)
def test_an_invalid_address_is_refused(address: str, python: Path, tmp_path: Path) -> None:
    done = run(python, "equal", tmp_path / "cluster", NODES[0], address)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{address} is not HOST:PORT:LINK_PORT\n")
    assert not (tmp_path / "cluster").exists()


def test_a_failure_of_crossbar_keys_is_reported(python: Path, tmp_path: Path) -> None:
    python.with_name("crossbar").write_text("#!/bin/sh\nexit 1\n")
    done = run(python, "equal", tmp_path / "cluster")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "crossbar keys failed\n")
