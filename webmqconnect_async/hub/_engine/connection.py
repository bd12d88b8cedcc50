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

_TIMEOUT = 2.0
"""Seconds for the server to reply to a command."""


class _Driver(TypedDict, total=False):
    driver_info: None


_DRIVER: _Driver = {"driver_info": None} if "driver_info" in signature(AbstractConnection).parameters else {}
"""Without this, redis-py 8 reads its own version from a file for each connection, in the event loop."""

Reply: TypeAlias = object
"""What Redis replies, as redis-py parses it: bytes, an int, `None`, or a list of these, by the command."""


class Unreachable(Exception):
    """The server cannot be used at present. The message says why, without secrets."""


class NotDone(Unreachable):
    """The server has refused a command, and has done nothing of it."""


class Connection:
    """A connection. After an exception other than `NotDone`, it is closed.

    Args:
        backplane: the server.
    """

    def __init__(self, backplane: Backplane) -> None:
        tls = partial(SSLConnection, ssl_ca_certs=backplane.authority_file, ssl_check_hostname=True)
        self._ahead = 0.0  # milliseconds that the server's time is ahead of the event loop's, at least
        kind = tls if backplane.tls else RedisConnection
        self._redis = kind(
            host=backplane.host,
            port=backplane.port,
            db=backplane.database,
            username=backplane.user,
            password=backplane.password,
            protocol=2,
            **_DRIVER,
            # Timeouts are asyncio's, around a whole command: redis-py would make a task for each that it sends.
            socket_timeout=None,
            socket_connect_timeout=_TIMEOUT,
            retry=Retry(NoBackoff(), 0),  # a command that is repeated may be done twice
        )

    async def open(self) -> None:
        """Connect, and authenticate.

        Raises:
            Unreachable: That fails.
        """
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
        if reason:  # outside, because redis-py's frames have the password
            raise Unreachable(reason)

    async def synchronize(self) -> None:
        """Ask for the server's time, which `deadline` needs.

        Raises:
            Unreachable: The server cannot be used.
        """
        seconds, microseconds = cast(Sequence[bytes], await self.ask("TIME"))
        now = asyncio.get_running_loop().time()
        self._ahead = int(seconds) * 1000 + int(microseconds) // 1000 - now * 1000

    @property
    def deadline(self) -> int:
        """The server's time in milliseconds at which `ask` gives up a command that is sent now."""
        return int(self._ahead + (asyncio.get_running_loop().time() + _TIMEOUT) * 1000)

    async def ask(self, *command: bytes | str | int, wait: float = 0.0) -> Reply:
        """Send a command and return the reply.

        Args:
            command: its name and arguments.
            wait: seconds that the command itself may take to reply.

        Raises:
            NotDone: The server has refused it.
            Unreachable: There is no reply. It is not known whether the command has been done.
        """
        try:
            async with asyncio.timeout(wait + _TIMEOUT):
                # In a fifth of redis-py's time, and in one piece. The stub of hiredis means a tuple of any length.
                packed = pack_command(command)  # type: ignore[arg-type]
                await self._redis.send_packed_command(packed, check_health=False)
                reply: Reply = await self._redis.read_response()
        except _REFUSALS as error:
            raise NotDone(_reason(error)) from None
        except exceptions.ResponseError as error:
            refused = str(error).startswith(_REFUSED)
            raise (NotDone if refused else Unreachable)(_reason(error)) from None
        except (exceptions.RedisError, OSError, TimeoutError) as error:
            raise Unreachable(_reason(error)) from None
        return reply

    async def close(self) -> None:
        """Close the connection, without waiting for the server."""
        await self._redis.disconnect(nowait=True)


_REFUSALS = (
    exceptions.NoScriptError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.BusyLoadingError,
    exceptions.AuthenticationError,
)
"""Errors before the server does anything: a script is stopped at its first write, if at all. A right that is taken away
meanwhile is not among them, because a script may have used others before."""

_REFUSED = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "BUSY")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError | exceptions.TimeoutError):
        return f"no response within {_TIMEOUT:.0f} s"
    return visible(" ".join(str(error).split()).rstrip("."), 200) or type(error).__name__
