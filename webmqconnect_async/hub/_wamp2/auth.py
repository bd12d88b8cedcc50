"""How a WAMP v2 client comes in: HELLO, a challenge where the hub has subscriber keys, WELCOME or ABORT. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...signing import Credentials
from .._wampcra import answers, expected_answer, timestamp
from .messages import Hello

__all__ = ["Challenged", "Joined", "Joining", "Turned"]


@dataclass(frozen=True, slots=True)
class Joined:
    """The session is open."""

    realm: str
    key: str | None
    """Whom the client has proved to be; None for anonymous."""


@dataclass(frozen=True, slots=True)
class Challenged:
    """The client is to sign this."""

    challenge: str


@dataclass(frozen=True, slots=True)
class Turned:
    """The client is turned away."""

    reason: str
    """An error's URI."""
    message: str
    late: bool = False
    """Whether the answer is to be held back for a while, as guessing must take time."""


class Joining:
    """Where one client stands between HELLO and WELCOME.

    Args:
        session_id: the session's name.
        keys: subscribers' credentials by key; empty where they are anonymous.
        nonce: returns a text that cannot be guessed and does not come again.
        clock: returns Unix time in seconds.
    """

    __slots__ = ("_clock", "_expected", "_key", "_keys", "_nonce", "_realm", "_session_id")

    def __init__(
        self,
        session_id: str,
        *,
        keys: Mapping[str, Credentials],
        nonce: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self._session_id = session_id
        self._keys = keys
        self._nonce = nonce
        self._clock = clock
        self._realm = ""
        self._key = ""
        self._expected: str | None = None

    def hello(self, hello: Hello) -> Joined | Challenged | Turned | None:
        """Take a client that says who it is; None where it has. Any realm will do: the hub is a single one."""
        if self._expected is not None:
            return None
        if not self._keys:
            if hello.methods and "anonymous" not in hello.methods:
                return Turned("wamp.error.no_matching_auth_method", "subscribers of this hub are anonymous")
            return Joined(hello.realm, None)
        if "wampcra" not in hello.methods or hello.authid is None:
            return Turned("wamp.error.no_matching_auth_method", "subscribers of this hub need a key (wampcra)")
        self._realm, self._key = hello.realm, hello.authid
        challenge = json.dumps(
            {
                "authid": hello.authid,
                "authrole": "subscriber",
                "authmethod": "wampcra",
                "authprovider": "static",
                "nonce": self._nonce(),
                "session": int(self._session_id),
                "timestamp": timestamp(self._clock()),
            }
        )
        # Who has no key here is challenged, too: nothing is to tell the two apart.
        credentials = self._keys.get(hello.authid) or Credentials("nobody", self._nonce())
        self._expected = expected_answer(credentials, challenge)
        return Challenged(challenge)

    def authenticate(self, signature: str) -> Joined | Turned | None:
        """Take a client's answer to the challenge; None where there was none."""
        expected, self._expected = self._expected, None
        if expected is None:
            return None
        if not answers(signature, expected) or self._key not in self._keys:
            return Turned("wamp.error.authentication_failed", "no such key, or a wrong signature", late=True)
        return Joined(self._realm, self._key)
