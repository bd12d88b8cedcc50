"""A connection to Redis or Valkey, for one command at a time.

redis-py is not used: with its streams and a timeout for each command, a push would take a quarter more instructions.
hiredis, its parser, is used directly.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TypeAlias, cast

try:
    from hiredis import ProtocolError, Reader, ReplyError, pack_command
except ModuleNotFoundError as error:
    said = "a backplane needs hiredis: pip install 'webmqconnect-async[redis]'"
    raise ModuleNotFoundError(said, name=error.name) from None

from ..._core.escape import visible
from ..._core.transports import abort
from .._backplane import Backplane

_TIMEOUT = 2.0  # seconds within which the server must reply to a command
_READ = 1 << 16  # maximum bytes per read; asyncio would allocate 256 KiB for each

Argument: TypeAlias = bytes | str | int

Reply: TypeAlias = object
"""A reply as hiredis parses it. Depending on the command: bytes, an int, `None`, or a list of these."""


class Unreachable(Exception):
    """The server cannot be used at present. The message says why, without secrets."""


class NotDone(Unreachable):
    """The server has not received a command, or refused it, and has not executed any part of it."""


class Connection(asyncio.BufferedProtocol):
    """A connection, for one command at a time. After an exception other than `NotDone`, it must not be used again."""

    def __init__(self, backplane: Backplane) -> None:
        self._backplane = backplane
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(_READ))  # slices of a bytearray, to which TLS writes, are copies
        self._reader = Reader()
        self._replied: Callable[[Reply | Unreachable], object] | None = None  # `None`: no command is being executed
        self._due = 0.0  # when the reply to the current command must have arrived
        self._timer: asyncio.TimerHandle | None = None
        self._lost = "it has not been opened"  # why the connection cannot be used; empty if it can
        self._ahead = 0.0  # milliseconds that the server's time is ahead of the event loop's, at least

    async def open(self) -> None:
        """Connect, and authenticate."""
        to, reason = self._backplane, ""
        try:
            tls = _context(to.authority_file) if to.tls else None
            async with asyncio.timeout(_TIMEOUT):
                await self._loop.create_connection(lambda: self, to.host, to.port, ssl=tls)
            if to.user or to.password:
                await self.ask("AUTH", *([to.user] if to.user else []), to.password or "")
        except Unreachable as error:
            reason = str(error)
            if reason.startswith("ERR ") and not reason.startswith(_UNQUOTED):
                # Some servers quote the arguments of a command that they refuse, which here are the user and password.
                reason = "it refuses to authenticate"
        except (OSError, TimeoutError, ValueError) as error:
            reason = _reason(error)
            if isinstance(error, ssl.SSLCertVerificationError):  # the authority may have a new certificate
                _context.cache_clear()
        if reason:  # outside of `except`, because the frame of `ask` contains the password
            raise Unreachable(reason)
        if to.database:
            await self.ask("SELECT", to.database)

    async def synchronize(self) -> None:
        """Ask for the server's time, which `deadline` needs."""
        seconds, microseconds = cast(Sequence[bytes], await self.ask("TIME"))
        self._ahead = int(seconds) * 1000 + int(microseconds) // 1000 - self._loop.time() * 1000

    @property
    def deadline(self) -> int:
        """The server's time in milliseconds at which a command that is sent now times out."""
        return int(self._ahead + (self._loop.time() + _TIMEOUT) * 1000)

    async def ask(self, *command: Argument, wait: float = 0.0) -> Reply:
        """Send a command and return the reply, for which the command itself may take `wait` seconds.

        Raises:
            NotDone: The server has not received the command, or has refused it.
            Unreachable: There is no valid reply. The server may have executed the command.
        """
        replied: asyncio.Future[Reply | Unreachable] = self._loop.create_future()
        self.send(command, partial(_set, replied), wait)
        reply = await replied
        if isinstance(reply, Unreachable):
            raise reply
        return reply

    def send(
        self, command: Sequence[Argument], replied: Callable[[Reply | Unreachable], object], wait: float = 0.0
    ) -> None:
        """Send a command, and call a function with the reply, or with the exception that `ask` would raise."""
        if self._transport is None or self._lost:
            replied(NotDone(self._lost))
            return
        self._replied = replied
        self._due = self._loop.time() + _TIMEOUT + wait
        if self._timer is None:
            self._timer = self._loop.call_later(_TIMEOUT, self._check)
        # The stub of hiredis declares a tuple with one item, although any length is allowed.
        self._transport.write(pack_command(tuple(command)))  # type: ignore[arg-type]

    async def aclose(self) -> None:
        """Close the connection, without waiting for the server."""
        self._lose(ConnectionError("the connection is closed"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._lost = ""

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        try:
            self._reader.feed(self._buffer, 0, nbytes)  # type: ignore[arg-type]  # any buffer is allowed
            reply = self._reader.gets()
        except ProtocolError as error:
            self._lose(error)
            return
        if self._replied is None and isinstance(reply, ReplyError):  # Redis refuses the connection
            self._lose(reply)
        elif self._replied is None or (reply is not False and self._reader.has_data()):
            self._lose(ConnectionError("it has sent more replies than commands"))
        elif isinstance(reply, ReplyError):
            refused = str(reply).startswith(_REFUSED)
            self._finish((NotDone if refused else Unreachable)(_reason(reply)))
        elif reply is not False:  # otherwise it is incomplete
            self._finish(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(exc or ConnectionError("it has closed the connection"))

    def _finish(self, reply: Reply | Unreachable) -> None:
        replied, self._replied = self._replied, None
        if replied is not None:
            replied(reply)

    def _lose(self, error: Exception) -> None:
        """Close the connection, unless it is closed. What the server has done with the current command is unknown."""
        if not self._lost:
            self._lost = _reason(error)
            if self._timer is not None:
                self._timer.cancel()
            if self._transport is not None:
                abort(self._transport)
            self._finish(Unreachable(self._lost))

    def _check(self) -> None:
        """Find out whether a reply is late. One timer serves many commands, because most are replied to soon.

        It never waits longer than `_TIMEOUT`, because that may be the time for the next command.
        """
        self._timer = None
        if self._replied is not None:
            if (left := self._due - self._loop.time()) > 0:
                self._timer = self._loop.call_later(min(left, _TIMEOUT), self._check)
            else:
                self._lose(TimeoutError())


def _set(replied: asyncio.Future[Reply | Unreachable], reply: Reply | Unreachable) -> None:
    if not replied.done():
        replied.set_result(reply)


@lru_cache(maxsize=1)  # loading the certificates takes up to 0.1 s
def _context(authority_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority_file)


_UNQUOTED = ("ERR AUTH <password> called without any password", "ERR max number of clients")
"""How replies of Redis to AUTH begin that are errors and do not quote its arguments."""

_REFUSED = ("NOSCRIPT", "OOM", "READONLY", "LOADING", "NOAUTH", "MISCONF", "NOREPLICAS", "MASTERDOWN", "BUSY")
"""How errors begin after which the server has changed nothing. If it stops a script, then at the first write. A missing
right is not among them: a script may have used other rights before."""


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no response within {_TIMEOUT:.0f} s"
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        # asyncio's text has the address as Python source.
        text = os.strerror(error.errno) if "Connect call failed" in text else error.strerror or text
    return visible(" ".join(text.split()).rstrip("."), 200) or type(error).__name__
