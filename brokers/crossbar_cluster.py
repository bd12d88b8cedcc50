"""Crossbar.io clusters of two nodes, prepared by the command that the documentation names."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .crossbar import ROOT, NodeProcess, free_ports

KINDS = ("router", "equal")
COMMAND = "python3 examples/crossbar/cluster.py {kind} cluster"
"""As in the documentation, which starts two nodes on this machine."""
DEFAULTS = ("127.0.0.1:8080:9080", "127.0.0.1:8081:9081")
"""The nodes that the command prepares unless it is given others."""


@dataclass(slots=True)
class Member:
    """A node of a cluster. It can be killed, and started again."""

    folder: Path
    port: int
    link_port: int
    process: NodeProcess = field(init=False)

    @property
    def ws_url(self) -> str:
        """Where pages subscribe."""
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def endpoint(self) -> str:
        """Where to push, unless it is a proxy."""
        return f"http://127.0.0.1:{self.port}/publish"

    def start(self) -> None:
        """Start it, without waiting until it listens."""
        self.process = NodeProcess(self.folder)

    def restart(self) -> None:
        """Start it again after it was killed, and return once it listens."""
        self.start()
        self.process.until_ready()


@dataclass(frozen=True, slots=True)
class Cluster:
    """Two nodes that run."""

    kind: str
    folder: Path
    first: Member
    """The router, or an equal node."""
    second: Member
    """The proxy, or an equal node."""

    @property
    def secret(self) -> str:
        """To sign pushes with, by the key `app`."""
        return (self.folder / "secret").read_text()

    @property
    def endpoints(self) -> tuple[str, str]:
        """Where to push for the subscribers of the first node, and of the second. A proxy accepts no pushes."""
        return self.first.endpoint, (self.first if self.kind == "router" else self.second).endpoint


def prepare(kind: str, folder: Path, *nodes: str) -> list[Path]:
    """Run the documented command, and return the folders of the nodes that it prepares.

    Args:
        kind: of KINDS.
        folder: where the documentation says `cluster`.
        nodes: each HOST:PORT:LINK_PORT; none for the defaults.
    """
    _, *arguments = shlex.split(COMMAND.format(kind=kind))
    arguments.pop()
    done = subprocess.run(  # noqa: S603  # ours
        [sys.executable, *arguments, folder, *nodes], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    commands = [shlex.split(line) for line in done.stdout.splitlines()]
    return [Path(command[3]) for command in commands]


@contextmanager
def cluster(kind: str) -> Iterator[Cluster]:
    """Run a cluster of this kind until the block is left. None of its processes survives."""
    with tempfile.TemporaryDirectory(prefix="crossbar-") as home:
        folder = Path(home, "cluster")
        ports = free_ports(4)
        places = list(zip(ports[:2], ports[2:], strict=True))
        folders = prepare(kind, folder, *(f"127.0.0.1:{port}:{link_port}" for port, link_port in places))
        members = [Member(folder, *place) for folder, place in zip(folders, places, strict=True)]
        started: list[Member] = []
        try:
            for member in members:
                member.start()
                started.append(member)
            for member in members:
                member.process.until_ready()
            yield Cluster(kind, folder, *members)
        finally:
            for member in started:
                member.process.stop()
