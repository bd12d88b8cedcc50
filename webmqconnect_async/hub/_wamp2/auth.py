"""How a client joins in WAMP v2: HELLO, a challenge if it has to authenticate, then WELCOME or ABORT. Pure.

A client authenticates by signing the challenge with a subscriber key (`wampcra`), or by sending a ticket (`ticket`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ..._core.wampcra import is_signature, timestamp
from ...signing import Credentials, sign_challenge
from .. import _remedies as remedies
from .._config import HubConfig
from .messages import Hello

if TYPE_CHECKING:
    from ..._core.tickets import Ticket


class Joined(NamedTuple):
    """The session is open."""

    realm: str
    method: str
    authid: str | None = None
    """The key that the client has authenticated with, or the subject of its ticket; `None` if it is anonymous."""
    ticket: Ticket | None = None


class Challenged(NamedTuple):
    """The client has to authenticate."""

    method: str
    extra: Mapping[str, str]
    """With the challenge to sign; empty if a ticket is expected."""


class Refusal(NamedTuple):
    """The client is refused."""

    reason: str  # the URI of the error
    message: str
    remedy: str = ""
    forged: bool = False
    """Whether the key or the signature is wrong. If so, delay the reply, to slow down guessing."""


class Joining:
    """The state of one client between HELLO and WELCOME. `nonce` returns a unique, unpredictable string."""

    def __init__(self, session_id: str, config: HubConfig, nonce: Callable[[], str]) -> None:
        self._session_id = session_id
        self._config = config
        self._keys, self._ticket_keys = config._subscriber_credentials, config._ticket_credentials
        self._nonce = nonce
        self._verify: Callable[[str], Joined | Refusal] | None = None  # verifies the response to the challenge

    def hello(self, hello: Hello) -> Joined | Challenged | Refusal | None:
        """Process a HELLO; return `None` if it is unexpected. Any realm is accepted, because a hub has only one."""
        if self._verify is not None:
            return None
        for method in hello.methods or ("anonymous",):
            if method == "anonymous" and self._config._rights.anonymous:
                return Joined(hello.realm, method)
            if method == "ticket" and self._ticket_keys:
                self._verify = partial(self._verify_ticket, hello.realm)
                return Challenged(method, {})
            if method == "wampcra" and self._keys and hello.authid is not None:
                return self._challenge(hello.realm, hello.authid)
        return self._no_method("ticket" in hello.methods)

    def authenticate(self, signature: str) -> Joined | Refusal | None:
        """Process the response to a challenge, a signature or a ticket; return `None` if there was no challenge."""
        verify, self._verify = self._verify, None
        return None if verify is None else verify(signature)

    def _no_method(self, ticket: bool) -> Refusal:
        uri = "wamp.error.no_matching_auth_method"
        if ticket and not self._ticket_keys:
            return Refusal(uri, "this hub does not accept tickets", remedies.TICKET_KEY)
        if self._ticket_keys:
            key = " or a key (wampcra)" if self._keys else ""
            return Refusal(uri, f"subscribers of this hub need a ticket{key}", remedies.TICKET)
        if self._keys:
            return Refusal(uri, "subscribers of this hub need a key (wampcra)", remedies.AUTHENTICATE)
        return Refusal(uri, "this hub has no subscriber keys; join as anonymous", remedies.NO_SUBSCRIBER_KEY)

    def _challenge(self, realm: str, key: str) -> Challenged:
        challenge = json.dumps(
            {
                "authid": key,
                "authrole": "subscriber",
                "authmethod": "wampcra",
                "authprovider": "static",
                "nonce": self._nonce(),
                "session": int(self._session_id),
                "timestamp": timestamp(self._config.clock()),
            }
        )
        # An unknown key gets a challenge, too, so that the response does not reveal which keys exist.
        credentials = self._keys.get(key) or Credentials("nobody", self._nonce())
        self._verify = partial(self._verify_signature, realm, key, sign_challenge(credentials, challenge))
        return Challenged("wampcra", {"challenge": challenge})

    def _verify_signature(self, realm: str, key: str, expected: str, signature: str) -> Joined | Refusal:
        if not is_signature(signature, expected) or key not in self._keys:
            return Refusal("wamp.error.authentication_failed", "no such key, or a wrong signature", forged=True)
        return Joined(realm, "wampcra", key)

    def _verify_ticket(self, realm: str, token: str) -> Joined | Refusal:
        from ..._core.tickets import TicketRefused, verify  # needs PyJWT

        try:
            ticket = verify(token, self._ticket_keys, self._config.clock())
        except TicketRefused as refused:
            uri = "webmq.error.ticket_expired" if refused.expired else "wamp.error.authentication_failed"
            return Refusal(uri, str(refused), forged=refused.forged)
        return Joined(realm, "ticket", ticket.sub, ticket)
