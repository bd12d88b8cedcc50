"""A resolver that uses daemon threads, so that neither a deadline nor the end of the program has to wait for it.

asyncio resolves names in its default executor. `getaddrinfo` cannot be interrupted, and `asyncio.run` and the
interpreter join the threads of executors: a program would not end while a name server does not respond.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias, TypeVar

from aiohttp.abc import AbstractResolver, ResolveResult

_T = TypeVar("_T")
_Address: TypeAlias = tuple[str, int, socket.AddressFamily, int]
"""A numeric host, its port, the family and the protocol."""

# On macOS, the constant may contain flags that getaddrinfo does not accept.
_CONFIGURED = socket.AI_ADDRCONFIG & getattr(socket, "AI_MASK", socket.AI_ADDRCONFIG)
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class DaemonResolver(AbstractResolver):
    """Resolves each name in a daemon thread of its own. The results are those of aiohttp's ThreadedResolver."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises:
            OSError: the name has no address, or no thread can be started.
        """
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[_Address]] = loop.create_future()

        def hand_over(settle: Callable[[_T], None], value: _T) -> None:
            def unless_cancelled() -> None:
                if not found.done():
                    settle(value)

            with suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(unless_cancelled)

        def look_up() -> None:
            try:
                hand_over(found.set_result, _addresses(host, port, family))
            except Exception as error:  # noqa: BLE001  # it is raised where the result is awaited
                hand_over(found.set_exception, error)

        try:
            threading.Thread(target=look_up, name="webmqconnect-resolve", daemon=True).start()
        except RuntimeError as error:  # "can't start new thread"
            raise OSError(str(error)) from None
        addresses = await found
        if not addresses:
            # aiohttp would raise an AssertionError.
            raise OSError("the name has no address")
        return [
            ResolveResult(hostname=host, host=numeric, port=port, family=family, proto=proto, flags=_NUMERIC)
            for numeric, port, family, proto in addresses
        ]

    async def close(self) -> None:
        """Do nothing: the threads end by themselves."""


def _addresses(host: str, port: int, family: socket.AddressFamily) -> list[_Address]:
    addresses: list[_Address] = []
    for found, _, proto, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, family=family, flags=_CONFIGURED
    ):
        # An IPv6 address is (host, port, flow, scope). A Python without IPv6 returns two raw values instead.
        if found == socket.AF_INET6 and len(address) < 4:
            continue
        numeric = str(address[0])
        if len(address) == 4 and address[3]:
            # A link-local address needs its scope (RFC 4007, section 11), which getnameinfo adds: fe80::1%eth0.
            numeric, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
        addresses.append((numeric, int(address[1]), found, proto))
    return addresses
