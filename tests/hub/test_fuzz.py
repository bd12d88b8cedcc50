"""Two thousand inputs from the fuzzer; `python -m tests.hub.fuzzing` checks a million."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from types import ModuleType

import pytest

from webmqconnect_async._cli.push import jsonl
from webmqconnect_async._core import strict_json
from webmqconnect_async.hub import _host_and_origin
from webmqconnect_async.hub._broker import Broker
from webmqconnect_async.hub._frames import text_frame
from webmqconnect_async.hub._publish_options import Audience
from webmqconnect_async.hub._pushes import crossbar, webmq
from webmqconnect_async.hub._pushes.verdicts import Rules
from webmqconnect_async.hub._wamp1 import auth as wamp1_auth
from webmqconnect_async.hub._wamp1 import messages as wamp1_messages
from webmqconnect_async.hub._wamp2 import auth as wamp2_auth
from webmqconnect_async.hub._wamp2 import messages as wamp2_messages

from .fuzzing import TARGETS, fuzz, shares

INPUTS = 2_000
SEED = 7
UNLIMITED = Rules({}, max_body=1 << 30, max_topic=1 << 30)
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_violates_a_guarantee(name: str) -> None:
    fuzz(TARGETS[name], shares(TARGETS, INPUTS)[name], SEED)


# The checks can fail


def _takes_any_text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _takes_any_authority(text: str, scheme: str = "") -> _host_and_origin._Origin:
    return _host_and_origin._Origin(scheme, text.rpartition("@")[2].partition(":")[0], 443)


@pytest.mark.parametrize(
    ("target", "module", "name", "bug"),
    [
        ("judge", webmq, "verify", lambda *_: True),
        ("judge", webmq, "_json_text", _takes_any_text),
        ("judge", webmq, "MAX_SKEW", 1 << 30),
        ("judge", webmq, "visible", lambda text, _: text),
        ("judge", webmq, "_session_ids", lambda text: frozenset(text.split(","))),
        ("bridge", crossbar, "verify", lambda *_: True),
        ("bridge", strict_json, "encode", repr),
        ("bridge", crossbar, "is_uri", lambda _: 1 / 0),
        ("wamp1", strict_json, "encode", str),
        ("wamp1", strict_json, "decode", lambda text, **_: json.loads(text)),
        ("wamp2", wamp2_messages, "audience_of", lambda _: Audience()),
        ("wamp2", strict_json, "decode", lambda *_, **__: [8]),
        ("subscribers", wamp2_auth, "is_signature", lambda *_: True),
        ("subscribers", wamp1_auth, "is_signature", lambda *_: True),
        ("subscribers", Broker, "unsubscribe", lambda *_: None),
        ("gate", _host_and_origin, "is_loopback", lambda host: host.startswith("localhost")),
        ("gate", _host_and_origin, "_parsed", _takes_any_authority),
        ("lines", jsonl, "_members", lambda _: {}),
        ("lines", jsonl, "_json", lambda value: f'"{value}"'),
    ],
)
def test_a_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, target: str, module: ModuleType, name: str, bug: object
) -> None:
    """Each of these bugs accepts something invalid, loses something, or causes an error, and the fuzzer finds it."""
    monkeypatch.setattr(module, name, bug)
    with pytest.raises((Exception, ExceptionGroup)):  # any error is a finding
        fuzz(TARGETS[target], 2_000, SEED, shrink=False)


# The cost of the largest inputs


def _judged(body: bytes) -> object:
    return webmq.judge("topicuri=t", FORM, body, 0.0, UNLIMITED)


def _asked(query: str) -> object:
    return webmq.judge(query, FORM, b"1", 0.0, UNLIMITED)


def _bridged(body: str) -> object:
    return crossbar.judge("", None, body.encode(), 0.0, UNLIMITED)


@pytest.mark.parametrize(
    "take",
    [
        lambda size: _judged(b'"%s"' % (b"\xc3\xa9" * (size // 2))),
        lambda size: _judged(b"[" * size),
        lambda size: _judged(b"[%s1]" % (b"1," * (size // 2))),
        lambda size: _asked("topicuri=" + "%e9" * (size // 3)),
        lambda size: _asked("topicuri=t&exclude=" + "1," * (size // 2)),
        lambda size: _asked("&".join("x" * (size // 2))),
        lambda size: _bridged('{"topic": "t", "args": "%s"}' % ("é" * (size // 2))),
        lambda size: _bridged('{"topic": "t", "args": [%s1]}' % ("[]," * (size // 3))),
        lambda size: _bridged('{"topic": "t", "options": {"exclude": [%s1]}}' % ("1," * (size // 2))),
        lambda size: wamp1_messages.decode('[2, "1", "x", "%s"]' % ("\U0001f600" * (size // 4))),
        lambda size: wamp1_messages.decode('[7, "t", 1, [%s1]]' % ("1," * (size // 2))),
        lambda size: wamp2_messages.decode('[16, 1, {}, "t", [%s1]]' % ("{}," * (size // 3))),
        lambda size: text_frame("é" * (size // 2)),
    ],
)
def test_peak_memory_is_at_most_linear_in_the_input(take: Callable[[int], object]) -> None:
    """The peak memory is a few objects for each value in the text, for any text."""

    def peak(size: int) -> int:
        tracemalloc.start()
        try:
            take(size)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    take(100)  # objects that are created once
    small, large = peak(50_000), peak(200_000)
    assert large < 150 * 200_000
    assert large < 8 * small  # quadratic growth would be a factor of sixteen; sets grow in steps
