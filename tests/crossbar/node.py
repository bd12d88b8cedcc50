"""A Crossbar.io for the tests and the benchmarks: `python3 tests/crossbar/node.py` installs it into `.crossbar/`, once.

It takes a minute and 380 MB. Any Python from 3.11 on does, without this package, of which it knows nothing.
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

VERSION = "26.10.1"
COMMAND = "python3 tests/crossbar/node.py"
ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".crossbar"
PYTHON = HOME / "bin" / "python"
"""The interpreter of its venv, which has autobahn, too."""
EXAMPLE = ROOT / "examples" / "crossbar" / "config.json"

_INSTALLED = HOME / "installed.txt"
_READY = "local node configuration ran successfully"
_PATIENCE = 30.0
"""Seconds to start, and again to stop; it takes three, and two."""
_LONGEST = "3600"
"""Seconds that a node lives at most."""


def installed() -> bool:
    """Tell whether this very version is there, whole."""
    return _INSTALLED.exists() and _INSTALLED.read_text() == VERSION


def install() -> None:
    """Make the venv; nothing where that has been done."""
    if installed():
        return
    print(f"installing Crossbar.io {VERSION} into .crossbar/ ...", file=sys.stderr, flush=True)
    venv.create(HOME, with_pip=True, clear=True)
    command = (PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", f"crossbar=={VERSION}")
    # One of its dependencies would be compiled where there is a compiler, and then complain whenever it is imported.
    subprocess.run(command, check=True, env=os.environ | {"PYBJDATA_NO_EXTENSION": "1"})  # noqa: S603  # ours
    _INSTALLED.write_text(VERSION)


@dataclass(frozen=True, slots=True)
class Node:
    """A node that runs."""

    port: int
    pid: int
    """Of the controller, whose process group the workers are in."""


@contextmanager
def node(config: dict[str, object]) -> Iterator[Node]:
    """Run a node in a folder of its own until the block is left; then none of its processes is left either.

    Args:
        config: as in config.json. Its one transport is moved to a free port, which nobody else must take meanwhile.

    Raises:
        RuntimeError: it did not start; the message ends with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="crossbar-") as folder:
        port = _free_port()
        Path(folder, "config.json").write_text(json.dumps(_moved(config, port)))
        process = subprocess.Popen(  # noqa: S603  # ours
            # Should whoever started it be killed, it goes by itself.
            (HOME / "bin" / "crossbar", "start", "--cbdir", folder, "--color", "false", "--shutdownafter", _LONGEST),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        log = _Log(process)
        try:
            log.until_ready()
            yield Node(port, process.pid)
        finally:
            _stop(process)
            log.close()


class _Log:
    """What a node says: read to its end, so that the node never waits for a reader."""

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _stop(process: subprocess.Popen[str]) -> None:
    """Ask the node to stop, wait until it has, and end what it leaves behind."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError):  # as a rule nobody is left
        os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    install()
