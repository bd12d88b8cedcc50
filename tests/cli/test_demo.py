"""`webmqconnect demo` shows four pushes and their receivers, and detects every fault."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from webmqconnect_async._cli import scenes
from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._publication import Publication

from ..processes import FORCED, webmqconnect
from .conftest import invoke_here

Deliver = Callable[..., int]


def test_demo() -> None:
    """The demo shows each push as a line of Python and each event with its receiver, and exits with 0."""
    ended = invoke_here("demo")
    assert (ended.status, ended.stderr) == (0, "")
    assert re.findall(r"await client\.push\((.*)\)", ended.stdout) == [
        "topic, 'Hello, browsers!'",
        "topic, {'id': 17, 'state': 'paid', 'items': [{'sku': 'tea', 'count': 2}]}",
        "topic, 'alice is typing', exclude=[alice]",
        'topic, {"alice\'s balance": 99.5}, eligible=[alice]',
    ]
    shown = re.findall(r"→ (alice|bob) +(.*)", ended.stdout)
    nested = '{"id": 17, "state": "paid", "items": [{"sku": "tea", "count": 2}]}'
    assert sorted(shown[:2]) == [("alice", '"Hello, browsers!"'), ("bob", '"Hello, browsers!"')]
    assert sorted(shown[2:4]) == [("alice", nested), ("bob", nested)]
    assert sorted(shown[4:6]) == [("alice", "nothing, which is correct"), ("bob", '"alice is typing"')]
    assert sorted(shown[6:]) == [("alice", '{"alice\'s balance": 99.5}'), ("bob", "nothing, which is correct")]
    assert "4 pushes, 6 events" in ended.stdout
    assert ended.stdout.endswith(f"WEBMQ_AUTH_SECRET=s3cret {sys.executable} -m webmqconnect_async hub --key app\n")


async def test_no_colours_and_no_arrows() -> None:
    """Output to a pipe has no colours. If its encoding lacks the arrow, an escape is printed."""
    env = {**FORCED, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = await webmqconnect("demo", env=env)
    assert (ended.status, ended.stderr) == (0, "")
    assert "\x1b" not in ended.stdout
    assert r"\u2192 " in ended.stdout


def lost(deliver: Deliver) -> Deliver:
    def faulty(broker: Broker, publication: Publication, *more: object, **named: object) -> int:
        return 0 if "Hello" in publication.event else deliver(broker, publication, *more, **named)

    return faulty


def doubled(deliver: Deliver) -> Deliver:
    def faulty(broker: Broker, publication: Publication, *more: object, **named: object) -> int:
        if "Hello" in publication.event:
            deliver(broker, publication, *more, **named)
        return deliver(broker, publication, *more, **named)

    return faulty


def altered(deliver: Deliver) -> Deliver:
    def faulty(broker: Broker, publication: Publication, *more: object, **named: object) -> int:
        return deliver(
            broker, replace(publication, event=publication.event.replace('"paid"', '"open"')), *more, **named
        )

    return faulty


def late(deliver: Deliver) -> Deliver:
    def faulty(broker: Broker, publication: Publication, *more: object, **named: object) -> int:
        held = [publication] if "Hello" in publication.event else []
        count = 0 if held else deliver(broker, publication, *more, **named)
        if publication.topic == scenes._MARKER and publication.event == "1":
            deliver(broker, Publication(scenes._TOPIC, json.dumps("Hello, browsers!")))
        return count

    return faulty


def to_everybody(deliver: Deliver) -> Deliver:
    def faulty(broker: Broker, publication: Publication, *more: object, **named: object) -> int:
        return deliver(broker, replace(publication, eligible=None, exclude=frozenset()))

    return faulty


@pytest.mark.parametrize(
    ("fault", "complaints"),
    [
        (lost, ['push 1: alice received nothing instead of "Hello, browsers!"', "push 1: bob received nothing"]),
        (doubled, ['push 1: bob received "Hello, browsers!", "Hello, browsers!" instead']),
        (altered, ['push 2: alice received {"id": 17, "state": "open"']),
        (late, ["push 1: alice received nothing", 'push 2: alice received "Hello, browsers!", {"id"']),
        (
            to_everybody,
            ['push 3: alice received "alice is typing" instead of nothing', "push 4: bob received {"],
        ),
    ],
)
def test_fault_in_the_hub(
    fault: Callable[[Deliver], Deliver], complaints: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an event is missing, unexpected, changed or late, the demo names it, shows all scenes, and exits with 1."""
    monkeypatch.setattr(Broker, "deliver", fault(Broker.deliver))
    result = invoke_here("demo")
    assert result.status == 1
    assert result.stderr.startswith("error: push ")
    for complaint in complaints:
        assert complaint in result.stderr
    assert "4. " in result.stdout
    assert "4 pushes" not in result.stdout


def test_the_demo_ends_if_no_event_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broker, "deliver", lambda *_, **__: 0)
    monkeypatch.setattr(scenes, "_TIMEOUT", 0.1)
    result = invoke_here("demo")
    assert result.status == 1
    assert result.stderr == "error: push 1: no event arrived in time at alice and bob\n"
