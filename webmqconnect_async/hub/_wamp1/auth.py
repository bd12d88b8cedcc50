"""The procedures that a WAMP v1 subscriber can CALL, by which it authenticates. No I/O and no clock.

    authreq(key, extra)    returns the challenge, which is unique
    auth(signature)        returns the permissions if the signature is right: HMAC-SHA256(secret, challenge), in base64

Subscribers may be anonymous if the hub has public topics, or keys for neither subscribers nor tickets. Clients of the
original hub had to authenticate even so, with an `authreq` without a key and then `auth`: both succeed here, too, and
change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from ..._core.escape import visible
from ..._core.wampcra import is_signature, timestamp
from ...signing import sign_challenge
from .._config import HubConfig

_PROCEDURE = "http://api.wamp.ws/procedure#"
_ERROR = "http://api.wamp.ws/error#"
_NULL = "null"
_MAX_EXTRA = 256  # characters of JSON that a client can add to its challenge


class CallFailed(Exception):
    """A CALL failed.

    If it is `delayed`, delay the reply, to slow down guessing. Until `Procedures.failure_sent` is called, no further
    attempt to authenticate is accepted.
    """

    def __init__(self, name: str, description: str, *, delayed: bool = False) -> None:
        super().__init__(name, description)
        self.uri = _ERROR + name
        self.description = description
        self.delayed = delayed


class Procedures:
    """The procedures of one session, and the state of its authentication.

    `nonce` returns a unique, unpredictable string.
    """

    def __init__(self, session_id: str, config: HubConfig, nonce: Callable[[], str]) -> None:
        self._session_id = session_id
        self._config = config
        self._keys = config._subscriber_credentials
        self._nonce = nonce
        self._expected: str | None = None  # the right argument of `auth`, as JSON; None without a challenge
        self._key: str | None = None  # the key of the last challenge
        self._failing = False  # whether the reply to a failed attempt is delayed
        self._authenticated = False

    @property
    def admitted(self) -> bool:
        """Whether the session may subscribe and publish."""
        return self._authenticated or self._config._rights.anonymous

    @property
    def authenticated_as(self) -> str | None:
        """The key that the session has authenticated with; `None` if it is anonymous."""
        return self._key if self._authenticated else None

    def call(self, procedure: str, arguments: tuple[str, ...]) -> str:
        """Call a procedure. Arguments and result are JSON texts. Raise `CallFailed` if it fails, or does not exist."""
        argument, extra = (*arguments, _NULL, _NULL)[:2]
        match procedure.removeprefix(_PROCEDURE) if procedure.startswith(_PROCEDURE) else "":
            case "ping":
                return _NULL
            case "echo":
                return argument
            case "authreq":
                return self._authreq(argument, extra)
            case "auth":
                return self._auth(argument)
        raise CallFailed("NoSuchRPCEndpoint", f"no procedure '{visible(procedure, 100)}'")

    def failure_sent(self) -> None:
        """Accept another attempt to authenticate: the delayed reply has been sent."""
        self._failing = False

    def _authreq(self, key: str, extra: str) -> str:
        if self._authenticated:
            raise CallFailed("already-authenticated", "already authenticated")
        if self._expected is not None or self._failing:
            raise CallFailed("authentication-already-requested", "authentication already requested")
        if key == _NULL:
            if not self._config._rights.anonymous:
                with_key = "subscribers of this hub need a key"
                with_ticket = "subscribers of this hub need a ticket, which WAMP v1 does not have"
                raise CallFailed("anonymous-auth-forbidden", with_key if self._keys else with_ticket)
            self._key, self._expected = None, _NULL
            return _NULL
        if not self._keys:
            raise CallFailed("no-such-authkey", "no such key: this hub has none")
        credentials = self._keys.get(json.loads(key)) if key.startswith('"') else None
        if credentials is None:
            # This reveals which keys exist. But keys are not secret, and guessing is as slow as for a signature.
            raise self._failure("no-such-authkey", "no such key")
        # It has no member `authextra`, which would mean that the secret is salted.
        members: dict[str, object] = {
            "authid": self._nonce(),
            "authkey": credentials.key,
            "sessionid": self._session_id,
            "timestamp": timestamp(self._config.clock()),
        }
        if extra.startswith("{") and len(extra) <= _MAX_EXTRA:
            members["extra"] = json.loads(extra)
        challenge = json.dumps(members)
        self._key = credentials.key
        self._expected = json.dumps(sign_challenge(credentials, challenge))
        return json.dumps(challenge)

    def _auth(self, signature: str) -> str:
        if self._authenticated:
            raise CallFailed("already-authenticated", "already authenticated")
        expected, self._expected = self._expected, None  # a challenge is valid for one attempt
        if expected is None:
            raise CallFailed("no-authentication-requested", "no authentication requested")
        # Both are JSON texts, because a client may send a value of any type.
        if not is_signature(signature, expected):
            raise self._failure("invalid-signature", "wrong signature")
        self._authenticated = True
        everything = {"uri": "", "prefix": True, "pub": self._config.allow_publish, "sub": True}
        return json.dumps({"pubsub": [everything], "rpc": []})

    def _failure(self, name: str, description: str) -> CallFailed:
        self._failing = bool(self._keys)  # without keys there is nothing to guess
        return CallFailed(name, description, delayed=self._failing)
