"""Every refusal of the bridge that can be provoked, by Crossbar.io and by the hub, and the dialect's verdict on it.

The requests are sent raw, because no client of this package would send them. The expected values are literals, the
same for both brokers. Where the hub differs on purpose, `hub` has its response, and a comment gives the reason.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest

from webmqconnect_async import AuthRejected, BadReply, ClockRejected, Receipt, Rejected, TooLarge
from webmqconnect_async._core.dialects import Request, Response, Verdict
from webmqconnect_async._core.dialects.crossbar import Crossbar

from .brokers import KEY, SECRET, Broker
from .raw import JSON, post, signed

PUSH = {"topic": "com.example.refused", "args": [1]}

FIELD = "REST bridge signature was invalid (missing mandatory field - "
BROKEN = (500, BadReply, "")
"""A request that breaks the bridge, which responds `Unhandled exception in Crossbar.`; the hub says what is wrong."""
PUBLISHED = (200, Receipt, "")
NO_SESSIONS: Sequence[object] = (["1"], [1.0], [None], [True], "1", {})


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and its response: the status, the class of the verdict, and the beginning of the reason."""

    name: str
    expected: tuple[int, type[Verdict], str]
    body: object = None
    """Bytes, or a value to encode as JSON; `None`: a valid push."""
    door: str = "open"
    query: str | Callable[[bytes], str] = ""
    """The query without the `?`, or a function that makes it from the bytes of the body."""
    method: str = "POST"
    headers: Sequence[tuple[str, str]] = (JSON,)
    hub: tuple[int, type[Verdict], str] | None = None
    """The response of the hub; `None` if it is the same."""


def options(**values: object) -> dict[str, object]:
    return PUSH | {"options": values}


def typed(content_type: str) -> Sequence[tuple[str, str]]:
    return (("Content-Type", content_type),)


def by(
    changed: Mapping[str, str | None] | None = None, *, key: str = KEY, secret: str = SECRET, late: float = 0
) -> Callable[[bytes], str]:
    return lambda body: signed(body, changed or {}, key=key, secret=secret, late=late)


CASES = [
    # The request
    Case("GET", (405, Rejected, "Method not accepted by the REST bridge."), method="GET"),
    Case("DELETE", (405, Rejected, "Method not accepted by the REST bridge."), method="DELETE"),
    Case("PATCH", (405, Rejected, "Method not accepted by the REST bridge."), method="PATCH"),
    Case("PUT", PUBLISHED, method="PUT"),
    Case("no content type", PUBLISHED, headers=()),
    Case("text/plain", (400, Rejected, "Non-accepted content type."), headers=typed("text/plain")),
    Case("a form", (400, Rejected, "Non-accepted content type."), headers=typed("application/x-www-form-urlencoded")),
    Case("latin-1", (400, Rejected, "Non-accepted request encoding"), headers=typed("application/json;charset=latin1")),
    Case(
        "a quoted charset",
        (400, Rejected, "Non-accepted request encoding"),
        headers=typed('application/json; charset="utf-8"'),
    ),
    Case("a charset", PUBLISHED, headers=typed("Application/JSON; charset=UTF8")),
    Case("two lengths", (400, Rejected, ""), headers=(JSON, ("Content-Length", "1"))),
    Case("too long", (413, TooLarge, "Request too long."), PUSH | {"args": ["x" * 100]}, "small"),
    # The body
    Case("not UTF-8", (400, Rejected, "Non-decodable request body, was not UTF-8."), b'{"topic":"\xff"}'),
    Case("empty", (400, Rejected, "Request body was invalid JSON."), b""),
    Case("not JSON", (400, Rejected, "Request body was invalid JSON."), b'{"topic":'),
    Case("a BOM", (400, Rejected, "Request body was invalid JSON."), b'\xef\xbb\xbf{"topic":"a"}'),
    # By default, the hub refuses a body of this size.
    Case(
        "an endless number",
        (400, Rejected, "Request body was invalid JSON."),
        b'{"topic":"a","args":[%b]}' % (b"1" * 4301),
        hub=(413, TooLarge, ""),
    ),
    Case("a list", (400, Rejected, "Request body was valid JSON, but not well formed (must be a dict)."), []),
    Case("a text", (400, Rejected, "Request body was valid JSON, but not well formed (must be a dict)."), "topic"),
    Case("no topic", (400, Rejected, "Request body was valid JSON, but not well formed (missing key 'topic')."), {}),
    *(
        Case(f"topic {topic!r}", BROKEN, {"topic": topic})
        for topic in ("", 5, None, ["a"], "a..b", ".a", "a.", "a b", "\n", "a#b", "a\u00a0b")
    ),
    Case("a topic of the router", (200, Rejected, "wamp.error.invalid_uri"), {"topic": "wamp.a"}),
    Case("args a number", BROKEN, PUSH | {"args": 5}),
    Case("kwargs a list", BROKEN, PUSH | {"kwargs": [1]}),
    Case("options a list", BROKEN, PUSH | {"options": [1]}),
    Case("args, kwargs and options null", PUBLISHED, PUSH | {"args": None, "kwargs": None, "options": None}),
    *(Case(f"a keyword named {name}", BROKEN, PUSH | {"kwargs": {name: 1}}) for name in ("topic", "self")),
    *(
        Case(f"{name} {ids!r}", BROKEN, options(**{name: ids}))
        for name in ("eligible", "exclude")
        for ids in NO_SESSIONS
    ),
    *(
        Case(f"{name} [1]", BROKEN, options(**{name: [1]}))
        for name in ("eligible_authid", "exclude_authid", "eligible_authrole", "exclude_authrole")
    ),
    *(Case(f"{name} 1", BROKEN, options(**{name: 1})) for name in ("retain", "exclude_me", "forward_for")),
    # The query
    Case(
        "unsigned, stale",
        (400, ClockRejected, "Request expired, too old timestamp."),
        query="timestamp=2011-10-14T16:59:51.123Z",
    ),
    Case("unsigned, seq x", (400, AuthRejected, "REST bridge signature was invalid (invalid seq"), query="seq=x"),
    Case("unsigned, nonce", (400, AuthRejected, "REST bridge signature was invalid (invalid nonce"), query="nonce="),
    Case("a parameter's name is not ASCII", BROKEN, query="%C3%A9=1"),
    Case("an unknown parameter", PUBLISHED, query="topicuri=x&signature=y&key=z"),
    Case("signed", PUBLISHED, door="signed", query=by()),
    Case("signed, text in seq", PUBLISHED, door="signed", query=by({"seq": " -0_1 "})),
    Case("unsigned", (400, AuthRejected, FIELD + "'key' field missing)."), door="signed"),
    *(
        Case(f"without {name}", (400, AuthRejected, f"{FIELD}{said})."), door="signed", query=by({name: None}))
        for name, said in (
            ("key", "'key' field missing"),
            ("timestamp", "signed request required, but mandatory 'timestamp' field missing"),
            ("seq", "'seq' field missing"),
            ("nonce", "'nonce' field missing"),
            ("signature", "'signature' field missing"),
        )
    ),
    *(
        Case(
            f"timestamp {text!r}",
            (400, ClockRejected, f"REST bridge signature was invalid (invalid timestamp '{text}' (must be UTC"),
            door="signed",
            query=by({"timestamp": text}),
        )
        for text in ("", "now", "2011-10-14T16:59:51Z", "2011-10-14T16:59:51.1234567Z", "2011-10-14 16:59:51.123Z")
    ),
    *(
        Case(
            f"{name} {text!r}",
            (400, AuthRejected, f"REST bridge signature was invalid (invalid {said} '{text}' (must be an integer))."),
            door="signed",
            query=by({name: text}),
        )
        for name, said in (("seq", "sequence number"), ("nonce", "nonce"))
        for text in ("", "x", "1.0")
    ),
    *(
        Case(
            f"{late:+} s late",
            (400, ClockRejected, "Request expired, too old timestamp."),
            door="signed",
            query=by(late=late),
        )
        for late in (310, -310)
    ),
    *(Case(f"{late:+} s late", PUBLISHED, door="signed", query=by(late=late)) for late in (290, -290)),
    Case(
        "unknown key", (401, AuthRejected, "REST bridge signature key not valid."), door="signed", query=by(key="other")
    ),
    Case(
        "wrong secret",
        (401, AuthRejected, "REST bridge signature secret not valid."),
        door="signed",
        query=by(secret="x"),
    ),
    Case(
        "signature x",
        (401, AuthRejected, "REST bridge signature secret not valid."),
        door="signed",
        query=by({"signature": "x"}),
    ),
    Case(
        "signature ''",
        (401, AuthRejected, "REST bridge signature secret not valid."),
        door="signed",
        query=by({"signature": ""}),
    ),
    Case(
        "signature é",
        (401, AuthRejected, "REST bridge signature secret not valid."),
        door="signed",
        query=by({"signature": "é"}),
    ),
    *(
        Case(f"{name} is not ASCII", BROKEN, door="signed", query=by({name: "é"}))
        for name in ("timestamp", "seq", "nonce")
    ),
    # The hub has no reason to fail here.
    Case(
        "key is not ASCII",
        BROKEN,
        door="signed",
        query=by(key="é"),
        hub=(401, AuthRejected, "REST bridge signature key not valid."),
    ),
    # A valid signature does not hide bad JSON, but an invalid one does
    Case("signed, not JSON", (400, Rejected, "Request body was invalid JSON."), b"{", "signed", by()),
    Case("signed wrong, not JSON", (401, AuthRejected, "REST bridge signature secret"), b"{", "signed", by(secret="x")),
]

CROSSBAR_ALONE = [
    # The hub has no roles: a client that may push may push to every topic; `admit` refuses single pushes.
    Case("a role that may not publish", (200, AuthRejected, "wamp.error.not_authorized"), door="mute"),
    Case("an unknown role", (200, AuthRejected, "wamp.error.not_authorized"), door="nobody"),
    # The hub does not restrict networks or TLS: the bound address and a proxy do that.
    Case("a foreign network", (400, AuthRejected, "Request denied based on IP address."), door="fenced"),
    Case("no TLS", (400, Rejected, "Malformed request to the REST bridge."), door="tls"),
]


def response_of(case: Case, broker: Broker) -> tuple[Response, Verdict]:
    body = PUSH if case.body is None else case.body
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    query = case.query if isinstance(case.query, str) else case.query(sent)
    endpoint = broker.doors[case.door].endpoint
    answer = post(endpoint, sent, query, method=case.method, headers=case.headers)
    return answer, judged(answer)


_REQUEST = Request("", b"1")
"""An unsigned request, so that no signature is masked in reasons."""


def judged(answer: Response) -> Verdict:
    return Crossbar(None, None, sequence=lambda: 1, nonce=lambda: 1).judge(_REQUEST, answer, 1, time.time())


def check(answer: Response, verdict: Verdict, expected: tuple[int, type[Verdict], str]) -> None:
    status, kind, reason = expected
    assert (answer.status, type(verdict)) == (status, kind), answer.body
    if not isinstance(verdict, Receipt):
        assert verdict.reason.startswith(reason)
    if isinstance(verdict, ClockRejected):
        assert verdict.skew == pytest.approx(0, abs=3)  # the clock of this process is also the broker's


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_bridge_and_the_hub_respond_alike(case: Case, broker: Broker) -> None:
    differs = case.hub if broker.name == "hub" else None
    check(*response_of(case, broker), differs or case.expected)


@pytest.mark.usefixtures("crossbar")
@pytest.mark.parametrize("case", CROSSBAR_ALONE, ids=lambda case: case.name)
def test_refusals_of_the_bridge_only(case: Case, real: Broker) -> None:
    check(*response_of(case, real), case.expected)


def test_another_path_is_not_found(broker: Broker) -> None:
    """Another path is not found: a part of the broker other than the bridge responds, in HTML or plain text."""
    answer = post(broker.open.endpoint.replace("/publish", "/nowhere"), PUSH)
    assert (answer.status, type(judged(answer))) == (404, Rejected)
