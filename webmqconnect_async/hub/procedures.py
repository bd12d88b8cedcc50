"""The procedures that a subscriber may CALL. Pure; knows nothing of connections or of push keys.

Subscribers are anonymous. Clients of the original hub had to authenticate even so, by `authreq` without a key and then
`auth`: that works here too, and makes no difference.
"""

from __future__ import annotations

import json

from .echo import shown

__all__ = ["CallFailed", "Procedures"]

_PROCEDURE = "http://api.wamp.ws/procedure#"
_ERROR = "http://api.wamp.ws/error#"
_NULL = "null"


class CallFailed(Exception):
    """The error of a CALL: an error's URI and its description."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(_ERROR + name, description)
        self.uri = _ERROR + name
        self.description = description


class Procedures:
    """What one session may call, and where it stands between `authreq` and `auth`.

    Args:
        may_publish: what `auth` says of the permissions.
    """

    __slots__ = ("_authenticated", "_may_publish", "_requested")

    def __init__(self, *, may_publish: bool) -> None:
        self._may_publish = may_publish
        self._requested = False
        self._authenticated = False

    def call(self, procedure: str, arguments: tuple[str, ...]) -> str:
        """Return the result as JSON text, of arguments as JSON text.

        Raises:
            CallFailed: it failed, or there is no such procedure.
        """
        argument = arguments[0] if arguments else _NULL
        match procedure.removeprefix(_PROCEDURE) if procedure.startswith(_PROCEDURE) else "":
            case "ping":
                return _NULL
            case "echo":
                return argument
            case "authreq":
                return self._authreq(argument)
            case "auth":
                return self._auth(argument)
        raise CallFailed("NoSuchRPCEndpoint", f"no procedure '{shown(procedure)}'")

    def _authreq(self, key: str) -> str:
        if self._authenticated:
            raise CallFailed("already-authenticated", "already authenticated")
        if self._requested:
            raise CallFailed("authentication-already-requested", "authentication already requested")
        if key != _NULL:
            raise CallFailed("no-such-authkey", "no such key: subscribers of this hub are anonymous")
        self._requested = True
        return _NULL

    def _auth(self, signature: str) -> str:
        if self._authenticated:
            raise CallFailed("already-authenticated", "already authenticated")
        if not self._requested:
            raise CallFailed("no-authentication-requested", "no authentication requested")
        if signature != _NULL:
            self._requested = False
            raise CallFailed("invalid-signature", "an anonymous subscriber signs nothing")
        self._authenticated = True
        everything = {"uri": "", "prefix": True, "pub": self._may_publish, "sub": True}
        return json.dumps({"pubsub": [everything], "rpc": []})
