"""The Crossbar.io of these tests starts, stops, and leaves no processes or files behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from brokers import crossbar

pytestmark = pytest.mark.usefixtures("crossbar")

CONFIG: dict[str, Any] = json.loads(crossbar.EXAMPLE.read_text())


def test_a_node_listens_and_leaves_no_process_behind() -> None:
    with crossbar.node(CONFIG) as node:
        socket.create_connection(("127.0.0.1", node.port), 10).close()
        os.killpg(node.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.killpg(node.pid, 0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", node.port), 10)


def test_the_error_of_a_node_that_does_not_start_has_its_log() -> None:
    with pytest.raises(RuntimeError, match="invalid-version"), crossbar.node(CONFIG | {"version": "invalid-version"}):
        pass


def test_installing_a_second_time_does_nothing() -> None:
    command = (sys.executable, *crossbar.COMMAND.split()[1:])
    done = subprocess.run(command, cwd=crossbar.ROOT, capture_output=True, timeout=30, check=True)  # noqa: S603  # ours
    assert (done.stdout, done.stderr) == (b"", b"")
