"""The format of a WebMQ hub: a form-encoded query, the event as JSON in the body, refusals in plain text.

| response                                                           | verdict         |
|--------------------------------------------------------------------|-----------------|
| 202                                                                | `Receipt`       |
| 400 unknown application key; 401; 403                              | `AuthRejected`  |
| 400 invalid timestamp, timestamp expired                           | `ClockRejected` |
| 400 content length exceeds; 413                                    | `TooLarge`      |
| 429; 503 with a Retry-After of seconds or a date                   | `Overloaded`    |
| any other 4xx                                                      | `Rejected`      |
| anything else                                                      | `BadReply`      |

A 503 without Retry-After comes from a proxy, which may have forwarded the request.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import UTC, datetime
from functools import lru_cache
from itertools import accumulate
from math import inf
from urllib.parse import quote_plus

from ...errors import AuthRejected, ClockRejected, InvalidPush, Rejected, TooLarge
from ...signing import Credentials, sign
from ..idempotency import IDEMPOTENCY_KEY, checked_key, value_of
from ..values import Payload, Push, Receipt, SessionIDs
from . import Encoded, Request, Response, Verdict, unsigned
from .arguments import checked_time, id_text, listed, utf8
from .events import Dumps, encode_event
from .replies import refused, repeated, text_of

_REFUSALS: dict[str, type[Rejected]] = {
    "unknown application key": AuthRejected,
    "invalid timestamp": ClockRejected,
    "timestamp expired": ClockRejected,
    "content length (": TooLarge,
}
"""Errors more specific than `Rejected`, by the beginning of a 400."""

_SIGNED = len("2011-10-14T16%3A59%3A51Z&signature=") + 43 + len("%3D")
"""Bytes of a query from the timestamp to the end of the signature, which is 32 bytes in base64."""

_PUBLICATION_ID = re.compile("[0-9]{1,16}")

_MOST_DIGITS = 20
"""More digits than a Content-Length can have."""


class WebMQ:
    """The dialect of the WebMQ hub."""

    # A hub compares it byte for byte: it refuses a charset, or another case.
    content_type = "application/x-www-form-urlencoded"

    def __init__(self, credentials: Credentials | None = None, dumps: Dumps | None = None) -> None:
        self._credentials = credentials
        self._dumps = dumps
        self._head = len("topicuri=")
        self._room = inf
        if credentials is not None:
            self._key = credentials.key.encode()
            self._appkey = f"&appkey={quote_plus(credentials.key, safe='')}&timestamp="
            self._head += len(self._appkey) + _SIGNED

    def limit_head(self, most: int, fixed: int) -> None:
        """From now on, refuse pushes whose request would have a head of more than `most` bytes, as Twisted counts them.

        Twisted does not count line ends. `fixed` bytes of each head are neither the query nor digits of Content-Length.
        """
        self._head += fixed
        self._room = most - self._head
        if self._room <= 0:
            raise ValueError(
                f"max_request_head: {most} bytes are too few; a head has {self._head} before it has a topic"
            )

    def encode(self, push: Push) -> Encoded:
        if push.options is not None:
            # A hub of 2012 ignores unknown parameters.
            raise InvalidPush(
                "options: a WebMQ hub would ignore them, and send a user's event to everybody; leave them out, and use "
                "a topic per user, such as http://example.com/users/17/orders"
            )
        if isinstance(push.event, Payload):
            raise InvalidPush("event: a WebMQ hub accepts one value, not a Payload; push a list or an object")
        topic, quoted_topic = _topic(push.topic)
        receivers = _receivers(push.eligible, push.exclude)
        body = _escape_separators(encode_event(push.event, self._dumps))
        size = len(quoted_topic) + len(receivers)
        key = ""
        if push.idempotency_key is not None:
            key = checked_key(push.idempotency_key)
            size += len(f"{IDEMPOTENCY_KEY}: {value_of(key)}")
        # The digits of Content-Length are counted only if the result may depend on them.
        if size + _MOST_DIGITS > self._room and (size := size + len(str(len(body)))) > self._room:
            raise _too_large(push, topic, self._head + size, len(receivers), self._head + int(self._room))
        if self._credentials is None:
            return Encoded(unsigned, f"topicuri={quoted_topic}{receivers}", key, body)
        return Encoded(self._signed, self._credentials, topic, quoted_topic, receivers, key, body)

    def _signed(
        self,
        credentials: Credentials,
        topic: bytes,
        quoted_topic: str,
        receivers: str,
        idempotency_key: str,
        body: bytes,
        now: float,
    ) -> Request:
        timestamp, quoted_timestamp = _timestamp(int(checked_time(now)))
        signature = sign(credentials, topic, self._key, timestamp, body)
        # 32 bytes in base64 end with one "=", the only character of a signature to be percent-encoded.
        query = f"topicuri={quoted_topic}{self._appkey}{quoted_timestamp}&signature={signature[:-1]}%3D{receivers}"
        return Request(query, body, signature, idempotency_key)

    def judge(self, request: Request, response: Response, attempts: int, now: float) -> Verdict:
        """Return what a response means, by the table above."""
        if response.status == 202:
            again = bool(request.idempotency_key) and repeated(response)
            publication_id = response.headers.get("webmq-publication")  # from this package's hub
            if publication_id is not None and _PUBLICATION_ID.fullmatch(publication_id):
                return Receipt(202, int(publication_id), attempts, again)
            return Receipt(202, None, attempts, again) if again else _accepted(attempts)
        return refused(request, response, text_of(response.body), _REFUSALS, self._credentials, now)


@lru_cache(16)
def _accepted(attempts: int) -> Receipt:
    """Return the receipt of a push. Pushes with the same number of attempts share one, which saves memory in bulks."""
    return Receipt(202, None, attempts)


def _escape_separators(body: bytes) -> bytes:
    """Escape `&` and `;`, which separate form fields, in JSON, where they occur only inside strings.

    Twisted, the framework of the hub of 2012, parses the body as form fields because of its content type, and a field
    named like a parameter replaces that parameter: an event with a link such as `http://shop/?id=7&eligible=yes` would
    be accepted and lost.
    """
    return body.replace(b"&", b"\\u0026").replace(b";", b"\\u003b")


def _quoted(topic: object) -> tuple[bytes, str]:
    raw = utf8("topic", topic)
    return raw, quote_plus(raw, safe="")


_cached = lru_cache(1024)(_quoted)


def _topic(topic: object) -> tuple[bytes, str]:
    """Return a topic as it is signed, and percent-encoded for the query."""
    return _cached(topic) if isinstance(topic, str) and len(topic) <= 256 else _quoted(topic)


@lru_cache(4)
def _timestamp(second: int) -> tuple[bytes, str]:
    """Return a Unix second as it is signed, and percent-encoded for the query. The format has whole seconds only."""
    text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return text.encode(), quote_plus(text, safe="")


def _receivers(eligible: SessionIDs | None, exclude: SessionIDs | None) -> str:
    """Return the parameters that select the receivers.

    An empty `eligible` is sent as an empty value, which means nobody. Without the parameter, everybody is eligible.
    """
    query = "" if eligible is None else f"&eligible={_joined('eligible', eligible)}"
    if exclude is not None and (excluded := _joined("exclude", exclude)):
        query += f"&exclude={excluded}"
    return query


def _joined(argument: str, ids: object) -> str:
    ids = listed(argument, ids)
    return quote_plus(",".join([id_text(f"{argument}[{place}]", each) for place, each in enumerate(ids)]), safe="")


def _too_large(push: Push, topic: bytes, head: int, receivers: int, most: int) -> TooLarge:
    """Return the error of a push whose head is too long. It names the argument, its size, and how much of it would fit.

    `eligible` and `exclude` take `receivers` of the `head` bytes, of which there may be at most `most`.
    """
    lists = {name: ids for name, ids in (("eligible", push.eligible), ("exclude", push.exclude)) if ids}
    if lists and head - receivers <= most:
        items = f"{' and '.join(lists)}: {' and '.join(str(len(ids)) for ids in lists.values())} session IDs"
        names = sum(len(f"&{name}=") for name in lists)
        room = most - (head - receivers) - names + len("%2C") * len(lists)
        # The longest first, so that any IDs of that number fit.
        each = (id_text(name, session_id) for name, ids in lists.items() for session_id in ids)
        sizes = sorted((len(quote_plus(f",{session_id}", safe="")) for session_id in each), reverse=True)
    else:
        items = f"topic: {len(topic)} bytes"
        sizes = [len(quote_plus(bytes([byte]), safe="")) for byte in topic]
        room = most - (head - (receivers if lists else 0) - sum(sizes))
    fit = bisect_right(list(accumulate(sizes)), room)
    return TooLarge(f"{items} make a request head of {head} bytes; {fit} fit into the {most} of max_request_head")
