"""Make tickets, with which your application lets its users read topics of a hub or of Crossbar.io. Needs PyJWT."""

from __future__ import annotations

import time
from collections.abc import Iterable
from math import isfinite

from ._core import tickets
from ._core.checks import wrong_type
from ._core.topics import check_topics
from .signing import Credentials

__all__ = ["ticket"]

_MAX_SUBJECT = 256
"""Characters."""


def ticket(
    *, key: str, secret: str | bytes, sub: str, topics: Iterable[str], valid: float = 3600, now: float | None = None
) -> str:
    """Return a ticket for one user: a JSON Web Token (RFC 7519), signed with HS256. Any JWT library can make the same.

    The user, and everybody who gets hold of the ticket, can read the topics until it expires. It cannot be revoked.
    Its content is signed and not encrypted.

    Args:
        key: the name of a ticket key that the broker has, too (`kid`).
        secret: the secret of that key, at least 32 random bytes. Text is encoded as UTF-8. Keep it on the server:
            anybody who has it can make any ticket.
        sub: the user's ID, as text of at most 256 characters. It becomes the `authid` of the user's sessions.
        topics: what the user may read. A trailing `*` after `/`, `.` or `:` stands for any text:
            `http://example.com/users/17/*`.
        valid: seconds until the ticket expires, 1 to 86,400. The hub ends sessions shortly before, and `webmq.js` asks
            for a new ticket.
        now: the Unix time in seconds. `None`: that of the clock.

    Raises:
        TypeError, ValueError: an argument is invalid; the message names it.
    """
    problem = ""
    try:
        credentials = Credentials(key, secret)
        problem = tickets.check_secret(credentials.secret)
    finally:
        del secret  # error reporters show the local variables of a traceback's frames
    if problem:
        raise ValueError(f"secret {problem}")
    if not isinstance(sub, str):
        raise TypeError(wrong_type("sub", "a string", sub))
    if not 0 < len(sub) <= _MAX_SUBJECT:
        raise ValueError(f"sub must have at least 1 and at most {_MAX_SUBJECT} characters")
    if not isinstance(valid, int | float) or isinstance(valid, bool):
        raise TypeError(wrong_type("valid", "a number of seconds", valid))
    if not 1 <= valid <= tickets.MAX_SECONDS:
        raise ValueError(f"valid must be at least 1 and at most {tickets.MAX_SECONDS} seconds")
    if now is None:
        now = time.time()
    elif not isinstance(now, int | float) or isinstance(now, bool) or not isfinite(now):
        raise TypeError(wrong_type("now", "a finite number of seconds or None", now))
    issued = int(now)
    covered = check_topics("topics", topics)
    return tickets.encode(credentials, {"sub": sub, "topics": covered, "iat": issued, "exp": issued + int(valid)})
