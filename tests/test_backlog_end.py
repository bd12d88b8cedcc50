"""The background queue during `close`, and in processes without threads."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from webmqconnect_async import Background, Client, ConnectFailed, Push
from webmqconnect_async._core.backlog import Backlog
from webmqconnect_async._core.dialects.webmq import WebMQ

from .hostile import Hostile


def test_closing_client_tries_at_once() -> None:
    """`close` tries at once, because the broker may be back and the next try may be due only after the grace period."""
    backlog = Backlog(Background(), lambda: 1.0)
    push = Push("http://example.com/orders", 1)
    backlog.add(push, WebMQ(None, None).encode(push), now=0.0)

    def try_in_vain(now: float) -> float:
        """Make a try that fails, and return the delay until the next one."""
        entry = backlog.take(now)
        assert entry is not None
        backlog.done(entry, ConnectFailed("nobody listens"), now)
        delay = backlog.delay(now)
        assert delay is not None
        return delay

    now = 0.0
    for _ in range(8):
        now += try_in_vain(now)
    now -= 4.0
    assert backlog.take(now) is None
    backlog.refuse()
    delays = []
    for _ in range(3):
        delays.append(round(try_in_vain(now), 3))
        now += delays[-1]
    assert delays == [0.2, 0.4, 0.8]


@pytest.mark.parametrize("runs", [False, True])
def test_uwsgi_without_threads(runs: bool, server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first push_soon raises an error that names the option, because queued events would never be pushed."""
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(has_threads=int(runs)))
    with Client(server.url) as client:
        if runs:
            assert client.push_soon("t", 1)
        else:
            with pytest.raises(RuntimeError, match="--enable-threads"):
                client.push_soon("t", 1)
    assert len(server.requests) == runs
