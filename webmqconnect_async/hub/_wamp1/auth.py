"""The procedures that a subscriber may CALL, and who it is by them. Pure; knows nothing of connections or of push keys.

    authreq(key, extra)    the challenge, a text that nobody was ever given to sign
    auth(signature)        the permissions, if it is base64 (padded) of HMAC-SHA256(secret, challenge)

Where there are no subscriber keys, subscribers are anonymous. Clients of the original hub had to authenticate even so,
by `authreq` without a key and then `auth`: that works here too, and makes no difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from ...signing import Credentials
from .._escape import shown
from .._wampcra import answers, expected_answer, timestamp

__all__ = ["CallFailed", "Procedures"]

_PROCEDURE = "http://api.wamp.ws/procedure#"
_ERROR = "http://api.wamp.ws/error#"
_NULL = "null"
_MAX_EXTRA = 256
"""Characters of what a client may add to its challenge."""


class CallFailed(Exception):
    """The error of a CALL: an error's URI and its description.

    Args:
        name: the last part of the URI.
        description: for people.
        late: whether the answer is to be held back for a while, as guessing must take time. No attempt to authenticate
            is taken until `Procedures.failure_told`.
    """

    def __init__(self, name: str, description: str, *, late: bool = False) -> None:
        super().__init__(_ERROR + name, description)
        self.uri = _ERROR + name
        self.description = description
        self.late = late


class Procedures:
    """What one session may call, and where it stands between `authreq` and `auth`.

    Args:
        session_id: the session.
        keys: subscribers' credentials by key; empty where they are anonymous.
        may_publish: what `auth` says of the permissions.
        nonce: returns a text that cannot be guessed and does not come again.
        clock: returns Unix time in seconds.
    """

    __slots__ = (
        "_authenticated",
        "_clock",
        "_expected",
        "_failing",
        "_key",
        "_keys",
        "_may_publish",
        "_nonce",
        "_session_id",
    )

    def __init__(
        self,
        session_id: str,
        *,
        keys: Mapping[str, Credentials],
        may_publish: bool,
        nonce: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self._session_id = session_id
        self._keys = keys
        self._may_publish = may_publish
        self._nonce = nonce
        self._clock = clock
        self._expected: str | None = None  # the argument of `auth` that is right; None where none was requested
        self._key: str | None = None  # whom the last challenge was for
        self._failing = False  # a failure's answer is held back
        self._authenticated = False

    @property
    def admitted(self) -> bool:
        """Whether the session may subscribe and publish: an anonymous one from the beginning."""
        return self._authenticated or not self._keys

    @property
    def authenticated_as(self) -> str | None:
        """The key that the session has proved to have; None for an anonymous one."""
        return self._key if self._authenticated else None

    def call(self, procedure: str, arguments: tuple[str, ...]) -> str:
        """Return the result as JSON text, of arguments as JSON text.

        Raises:
            CallFailed: it failed, or there is no such procedure.
        """
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
        raise CallFailed("NoSuchRPCEndpoint", f"no procedure '{shown(procedure)}'")

    def failure_told(self) -> None:
        """Take another attempt to authenticate: the answer that was held back is out."""
        self._failing = False

    def _authreq(self, key: str, extra: str) -> str:
        if self._authenticated:
            raise CallFailed("already-authenticated", "already authenticated")
        if self._expected is not None or self._failing:
            raise CallFailed("authentication-already-requested", "authentication already requested")
        if key == _NULL:
            if self._keys:
                raise CallFailed("anonymous-auth-forbidden", "subscribers of this hub need a key")
            self._expected = _NULL
            return _NULL
        if not self._keys:
            raise CallFailed("no-such-authkey", "no such key: subscribers of this hub are anonymous")
        credentials = self._keys.get(json.loads(key)) if key.startswith('"') else None
        if credentials is None:
            # So the wire tells which keys there are. A key is no secret, though, and trying another takes as long as
            # trying a signature.
            raise self._failure("no-such-authkey", "no such key")
        challenge = self._challenge(credentials.key, extra)
        self._key = credentials.key
        self._expected = json.dumps(expected_answer(credentials, challenge))
        return json.dumps(challenge)

    def _auth(self, signature: str) -> str:
        if self._authenticated:
            raise CallFailed("already-authenticated", "already authenticated")
        expected, self._expected = self._expected, None  # right or wrong, a challenge is good for one attempt
        if expected is None:
            raise CallFailed("no-authentication-requested", "no authentication requested")
        # Both are JSON text: whatever was sent, of any type, equals or does not.
        if not answers(signature, expected):
            raise self._failure("invalid-signature", "wrong signature")
        self._authenticated = True
        everything = {"uri": "", "prefix": True, "pub": self._may_publish, "sub": True}
        return json.dumps({"pubsub": [everything], "rpc": []})

    def _challenge(self, key: str, extra: str) -> str:
        """Return the challenge: without `authextra`, which would say that the secret is salted."""
        challenge: dict[str, object] = {
            "authid": self._nonce(),
            "authkey": key,
            "sessionid": self._session_id,
            "timestamp": timestamp(self._clock()),
        }
        if extra.startswith("{") and len(extra) <= _MAX_EXTRA:
            challenge["extra"] = json.loads(extra)
        return json.dumps(challenge)

    def _failure(self, name: str, description: str) -> CallFailed:
        self._failing = bool(self._keys)  # where nothing can be guessed, nobody has to wait
        return CallFailed(name, description, late=self._failing)
