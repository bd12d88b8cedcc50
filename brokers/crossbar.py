"""A Crossbar.io for the tests and the benchmarks. `python3 brokers/crossbar.py` installs it into `.crossbar/`, once.

That takes a minute and 380 MB. Any Python from 3.11 on runs it; it does not need this package.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import venv
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

VERSION = "26.10.1"
PACKAGES = (f"crossbar=={VERSION}", "pyjwt>=2.14")
"""PyJWT is for the component of `examples/crossbar/tickets/`."""
COMMAND = "python3 brokers/crossbar.py"
ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".crossbar"
PYTHON = HOME / "bin" / "python"
"""The interpreter of its venv, which has autobahn, too."""
EXAMPLE = ROOT / "examples" / "crossbar" / "config.json"

_INSTALLED = HOME / "installed.txt"
_READY = "local node configuration ran successfully"
_PATIENCE = 120.0
"""Seconds to start, and again to stop. On a quiet machine it takes three, and two; on a busy one, ten times as long."""
_LONGEST = "3600"
"""Seconds after which a node stops itself."""


def installed() -> bool:
    """Return whether these packages are completely installed."""
    return _INSTALLED.exists() and _INSTALLED.read_text().split() == [*PACKAGES]


def install() -> None:
    """Create the venv, unless that has been done."""
    if installed():
        return
    print(f"installing Crossbar.io {VERSION} into .crossbar/ ...", file=sys.stderr, flush=True)
    venv.create(HOME, with_pip=True, clear=True)
    command = (PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES)
    # One of its dependencies would be compiled where there is a compiler, and then complain whenever it is imported.
    subprocess.run(command, check=True, env=os.environ | {"PYBJDATA_NO_EXTENSION": "1"})  # noqa: S603  # ours
    _INSTALLED.write_text("\n".join(PACKAGES))


@dataclass(frozen=True, slots=True)
class Node:
    """A node that runs."""

    port: int
    pid: int
    """The controller's. Its process group includes the workers."""


@contextmanager
def node(config: dict[str, object]) -> Iterator[Node]:
    """Run a node in a folder of its own until the block is left. None of its processes survives.

    Args:
        config: as in config.json. Its one transport is moved to a free port, which must stay free until then.

    Raises:
        RuntimeError: it did not start; the message ends with its output.
    """
    with tempfile.TemporaryDirectory(prefix="crossbar-") as folder:
        (port,) = free_ports(1)
        Path(folder, "config.json").write_text(json.dumps(_moved(config, port)))
        process = NodeProcess(Path(folder))
        try:
            process.until_ready()
            yield Node(port, process.pid)
        finally:
            process.stop()


class NodeProcess:
    """The processes of a node: its controller and its workers, which share a process group.

    Args:
        folder: has its config.json.
    """

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # ours
            # It stops by itself should whoever started it be killed.
            (HOME / "bin" / "crossbar", "start", "--cbdir", folder, "--color", "false", "--shutdownafter", _LONGEST),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._log = _Log(self._process)

    def until_ready(self) -> None:
        """Return once the node listens.

        Raises:
            RuntimeError: it did not start; the message ends with its output.
        """
        self._log.until_ready()

    def stop(self) -> None:
        """Stop the node, wait until it has ended, and kill what it leaves behind."""
        self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        self.kill()

    def kill(self) -> None:
        """Kill all of its processes at once, as a power cut does."""
        with suppress(ProcessLookupError):  # none is left
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()


class _Log:
    """What a node prints: read to its end, so that the node never waits for a reader."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._last: deque[str] = deque(maxlen=50)
        self._ready = False
        self._told = Event()
        self._thread = Thread(target=self._read, name="crossbar-log", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._last.append(line)
            if _READY in line:
                self._ready = True
                self._told.set()
        self._told.set()

    def until_ready(self) -> None:
        """Return once the node listens."""
        self._told.wait(_PATIENCE)
        if not self._ready:
            raise RuntimeError("Crossbar.io did not start:\n" + "".join(self._last))

    def close(self) -> None:
        """Read to the end."""
        self._thread.join(_PATIENCE)
        if self._process.stdout is not None:
            self._process.stdout.close()


def _moved(config: dict[str, object], port: int) -> dict[str, object]:
    moved: dict[str, object] = json.loads(json.dumps(config))
    match moved:
        case {"workers": [{"transports": [{"endpoint": dict(endpoint)}]}]}:
            endpoint["port"] = port
            return moved
    raise ValueError("config: one worker with one transport is needed")


def free_ports(number: int) -> list[int]:
    """Return different ports of 127.0.0.1 that are free now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


if __name__ == "__main__":
    install()
