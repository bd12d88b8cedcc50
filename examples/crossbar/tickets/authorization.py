"""Authenticates subscribers of Crossbar.io with the tickets of `webmqconnect_async.tickets`, as the hub does.

config.json loads it. It runs in the environment of Crossbar.io, which needs PyJWT, but not webmqconnect_async.
"""

import random
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
from autobahn.twisted.wamp import ApplicationSession
from autobahn.wamp.exception import ApplicationError
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList

TOPIC = re.compile(r"[^*]+|[^*]*[/.:]\*")  # http://example.com* would cover http://example.com.evil
CHECKS = {"verify_exp": False, "verify_aud": False, "verify_jti": False}  # exp is checked below, without leeway
OPTIONS: Any = {"require": ["sub", "topics", "iat", "exp"], **CHECKS}
LONGEST = 86_400  # seconds, because a ticket cannot be revoked


def verify(ticket: str, secrets: dict[str, bytes]) -> dict[str, Any]:
    """Return the claims of a ticket. If it is not valid, raise the error with which Crossbar.io sends ABORT."""
    claims: dict[str, Any] = {}
    try:
        secret = secrets[jwt.get_unverified_header(ticket)["kid"]]
        # The algorithm is fixed: a token that chooses its own could choose none.
        claims = jwt.decode(ticket, secret, algorithms=["HS256"], options=OPTIONS, leeway=30)
        topics, valid = claims["topics"], claims["exp"] - claims["iat"]
        right = len(ticket) <= 8192 and isinstance(topics, list) and topics and all(map(TOPIC.fullmatch, topics))
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
        right, valid = False, 0
    if not right or not claims["sub"] or not valid <= LONGEST:
        raise ApplicationError("wamp.error.authentication_failed", "the ticket is not valid")
    if claims["exp"] <= time.time():
        raise ApplicationError("webmq.error.ticket_expired", "the ticket has expired")
    return claims


def covers(topics: Iterable[str], topic: str) -> bool:
    return any(topic.startswith(each[:-1]) if each.endswith("*") else topic == each for each in topics)


class Authorization(ApplicationSession):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        folder, files = Path(config.extra["cbdir"]), config.extra["keys"]
        self.secrets = {key: (folder / file).read_bytes().rstrip(b"\r\n") for key, file in files.items()}
        if any(len(secret) < 32 for secret in self.secrets.values()):
            raise ValueError("the secret of a key for tickets must have at least 32 bytes")
        self.sessions: dict[int, tuple[list[str], float]] = {}  # what each may read, and until when

    async def onJoin(self, details: object) -> None:
        await self.subscribe(self.left, "wamp.session.on_leave")
        await self.register(self.authorize, "com.example.authorize")
        await self.register(self.authenticate, "com.example.authenticate")

    def authenticate(self, realm: str, authid: str | None, details: dict[str, Any]) -> dict[str, str]:
        claims, session = verify(details["ticket"], self.secrets), details["session"]
        # Somewhat earlier, so that pages whose tickets expire at the same time do not all reconnect at once.
        early = random.uniform(0, min(30, (claims["exp"] - claims["iat"]) / 10))  # noqa: S311  # no secret
        self.sessions[session] = claims["topics"], claims["exp"] - early
        self.watch(session)
        return {"realm": realm, "role": "subscriber", "authid": claims["sub"]}

    def authorize(self, session: dict[str, Any], uri: str, action: str, options: dict[str, Any]) -> bool:
        topics, end = self.sessions.get(session["session"], ([], 0))
        match options.get("match", "exact"):
            case "exact":
                covered = covers(topics, uri)
            case pattern:  # up to the first wildcard, which is an empty component, all topics that match are the same
                start = uri if pattern == "prefix" else uri[: f".{uri}..".index("..")]
                covered = covers([topic for topic in topics if topic.endswith("*")], start)
        return action == "subscribe" and covered and time.time() < end

    def watch(self, session: int) -> None:
        """End the session in time, even if the clock is changed or the machine was suspended."""
        if session in self.sessions and (seconds := self.sessions[session][1] - time.time()) > 0:
            reactor.callLater(min(seconds, 5), self.watch, session)
        elif session in self.sessions:
            Deferred.fromCoroutine(self.end(session))

    async def end(self, session: int) -> None:
        self.sessions.pop(session, None)  # it cannot subscribe from now on
        # wamp.session.kill sends GOODBYE; a client that ignores it keeps what it has subscribed to.
        with suppress(ApplicationError):  # it has no subscriptions
            found = await self.call("wamp.subscription.list", session)
            ids = [subscription for each in found.values() for subscription in each]
            remove = "wamp.subscription.remove_subscriber"
            await DeferredList([self.call(remove, each, session) for each in ids], consumeErrors=True)
        with suppress(ApplicationError):  # it has left meanwhile
            await self.call("wamp.session.kill", session, reason="webmq.close.ticket_expired")

    def left(self, session: int) -> None:
        self.sessions.pop(session, None)
