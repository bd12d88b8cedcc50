"""Joining by WAMP v2: HELLO, a challenge if the hub has subscriber keys, then WELCOME or ABORT. No I/O and no clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..._core.wampcra import is_signature, timestamp
from ...signing import Credentials, sign_challenge
from .messages import Hello

__all__ = ["Challenged", "Joined", "Joining", "Refusal"]


@dataclass(frozen=True, slots=True)
class Joined:
    """The session is open."""

    realm: str
    key: str | None
    """The key that the client has authenticated with; `None` if it is anonymous."""


@dataclass(frozen=True, slots=True)
class Challenged:
    """The client has to sign a challenge."""

    challenge: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The client is refused."""

    reason: str
    """The URI of the error."""
    message: str
    delayed: bool = False
    """Whether to delay the reply, to slow down guessing."""


class Joining:
    """The state of one client between HELLO and WELCOME.

    Args:
        session_id: the ID of the session.
        keys: subscribers' credentials by key; empty if subscribers are anonymous.
        nonce: returns a unique, unpredictable string.
        clock: returns the Unix time in seconds.
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

    def hello(self, hello: Hello) -> Joined | Challenged | Refusal | None:
        """Process a HELLO; return None if it is unexpected. Any realm is accepted: a hub has only one."""
        if self._expected is not None:
            return None
        if not self._keys:
            if hello.methods and "anonymous" not in hello.methods:
                return Refusal("wamp.error.no_matching_auth_method", "subscribers of this hub are anonymous")
            return Joined(hello.realm, None)
        if "wampcra" not in hello.methods or hello.authid is None:
            return Refusal("wamp.error.no_matching_auth_method", "subscribers of this hub need a key (wampcra)")
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
        # An unknown key gets a challenge, too, so that it cannot be told from a known one.
        credentials = self._keys.get(hello.authid) or Credentials("nobody", self._nonce())
        self._expected = sign_challenge(credentials, challenge)
        return Challenged(challenge)

    def authenticate(self, signature: str) -> Joined | Refusal | None:
        """Process the response to a challenge; return None if there was no challenge."""
        expected, self._expected = self._expected, None
        if expected is None:
            return None
        if not is_signature(signature, expected) or self._key not in self._keys:
            return Refusal("wamp.error.authentication_failed", "no such key, or a wrong signature", delayed=True)
        return Joined(self._realm, self._key)
