"""A connection to Redis or Valkey, for one command at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from inspect import signature
from typing import TypeAlias, TypedDict, cast

try:
    from hiredis import pack_command
    from redis import exceptions
    from redis.asyncio import Connection as RedisConnection
    from redis.asyncio import SSLConnection
    from redis.asyncio.connection import AbstractConnection
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
except ModuleNotFoundError as error:
    said = "a backplane needs redis-py: pip install 'webmqconnect-async[redis]'"
    raise ModuleNotFoundError(said, name=error.name) from None

from ..._core.escape import visible
from .._backplane import Backplane

_TIMEOUT = 2.0  # seconds within which the server must reply to a command


class _Driver(TypedDict, total=False):
    driver_info: None


_DRIVER: _Driver = {"driver_info": None} if "driver_info" in signature(AbstractConnection).parameters else {}
"""Without this, redis-py 8 reads its own version from a file for each connection, in the event loop."""

Reply: TypeAlias = object
"""A reply as redis-py parses it. Depending on the command: bytes, an int, `None`, or a list of these."""


class Unreachable(Exception):
    """The server cannot be used at present. The message says why, without secrets."""


class NotDone(Unreachable):
    """The server has refused a command, and has not executed any part of it."""


class Connection:
    """A connection, for one command at a time. After an exception other than `NotDone`, it must not be used again."""

    def __init__(self, backplane: Backplane) -> None:
        self._ahead = 0.0  # milliseconds that the server's time is ahead of the event loop's, at least
        tls = partial(SSLConnection, ssl_ca_certs=backplane.authority_file, ssl_check_hostname=True)
        kind = tls if backplane.tls else RedisConnection
        self._redis = kind(
            host=backplane.host,
            port=backplane.port,
            db=backplane.database,
            username=backplane.user,
            password=backplane.password,
            protocol=2,  # in version 3, the reply to XREAD is a map
            **_DRIVER,
            # `ask` has a timeout for the whole command. With a timeout here, redis-py would create a task per command.
            socket_timeout=None,
            socket_connect_timeout=_TIMEOUT,
            retry=Retry(NoBackoff(), 0),  # the server may execute a repeated command twice
        )

    async def open(self) -> None:
        """Connect, and authenticate."""
        reason = ""
        try:
            async with asyncio.timeout(_TIMEOUT):
                await self._redis.connect()  # type: ignore[no-untyped-call]
        except exceptions.ResponseError as error:
            known = isinstance(error, exceptions.NoPermissionError) or str(error).startswith("DB index")
            # Some servers quote the arguments of a command that they refuse, which here are the user and the password.
            reason = _reason(error) if known else "it refuses to authenticate, or to select the database"
        except (exceptions.RedisError, OSError, TimeoutError, ValueError) as error:
            reason = _reason(error)
        if reason:  # outside of `except`, because redis-py's frames contain the password
            raise Unreachable(reason)

    async def synchronize(self) -> None:
        """Ask for the server's time, which `deadline` needs."""
        seconds, microseconds = cast(Sequence[bytes], await self.ask("TIME"))
        now = asyncio.get_running_loop().time()
        self._ahead = int(seconds) * 1000 + int(microseconds) // 1000 - now * 1000

    @property
    def deadline(self) -> int:
        """The server's time in milliseconds at which `ask` gives up a command that is sent now."""
        return int(self._ahead + (asyncio.get_running_loop().time() + _TIMEOUT) * 1000)

    async def ask(self, *command: bytes | str | int, wait: float = 0.0) -> Reply:
        """Send a command and return the reply, for which the command itself may take `wait` seconds.

        Raises:
            NotDone: The server has refused the command.
            Unreachable: There is no valid reply. The server may have executed the command.
        """
        try:
            async with asyncio.timeout(wait + _TIMEOUT):
                # This takes a fifth of the time of redis-py's packer, and returns a single bytes object. The stub of
                # hiredis declares a tuple with one item, although any length is allowed.
                packed = pack_command(command)  # type: ignore[arg-type]
                await self._redis.send_packed_command(packed, check_health=False)
                reply: Reply = await self._redis.read_response()
        except (exceptions.RedisError, OSError, TimeoutError) as error:
            # From the text of an error that has a class of its own, redis-py removes the code.
            refused = isinstance(error, _REFUSALS) or str(error).startswith(_REFUSED)
            raise (NotDone if refused else Unreachable)(_reason(error)) from None
        return reply

    async def aclose(self) -> None:
        """Close the connection, without waiting for the server."""
        await self._redis.disconnect(nowait=True)


_REFUSALS = (
    exceptions.NoScriptError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.MasterDownError,
    exceptions.BusyLoadingError,
    exceptions.AuthenticationError,
)
"""Errors after which the server has changed nothing. If it stops a script, then at the first write. A missing right is
not among them: a script may have used other rights before."""

# redis-py has no class for these errors; for MASTERDOWN it has one since 6.0.
_REFUSED = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "BUSY")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError | exceptions.TimeoutError):
        return f"no response within {_TIMEOUT:.0f} s"
    return visible(" ".join(str(error).split()).rstrip("."), 200) or type(error).__name__
