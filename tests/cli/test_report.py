"""The texts of `explain` about the format of timestamps, and about how a signature was made."""

from __future__ import annotations

from webmqconnect_async._cli.explain.report import TIMESTAMPS, Origin, signature_origin
from webmqconnect_async.explain import explain
from webmqconnect_async.signing import Credentials, sign


def test_timestamps() -> None:
    """Brokers accept any number of digits from one on, but not a fraction where it does not belong."""
    webmq, crossbar = (TIMESTAMPS[dialect][0].fullmatch for dialect in ("webmq", "crossbar"))
    assert webmq(b"2026-11-24T14:00:00Z")
    assert webmq(b"2026-1-2T3:4:5Z")
    assert not webmq(b"2026-11-24T14:00:00.123Z")
    assert crossbar(b"2026-11-24T14:00:00.1Z")
    assert not crossbar(b"2026-11-24T14:00:00Z")
    assert not crossbar(b"2026-11-24T14:00:00.1Z\n")
    for dialect, (form, example) in TIMESTAMPS.items():
        assert form.fullmatch(example.encode()), dialect


def test_the_origin_of_a_signature() -> None:
    """A signature that matches several requests is attributed to the one that was sent."""
    credentials = Credentials("app", "s3cret")
    sent, expected = explain(credentials, {"topic": b"a"}), explain(credentials, {"topic": b"b"})
    newline = Credentials("app", "s3cret\n")

    def origin(signature: str) -> Origin | None:
        return signature_origin(signature, {"sent": sent, "expected": expected})

    assert origin(sent.signature) == ("sent", None)
    assert origin(expected.signature) == ("expected", None)
    assert origin(sign(newline, b"a")) == ("sent", "a newline at the end of the secret")
    assert origin(sign(newline, b"b")) == ("expected", "a newline at the end of the secret")
    assert origin(sign(newline, b"c")) is None
