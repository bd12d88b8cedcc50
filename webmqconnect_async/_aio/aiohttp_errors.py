"""Convert exceptions of aiohttp and asyncio, whose messages may quote signed URLs, to failures without them."""

from __future__ import annotations

import os

import aiohttp

from .._core import transport_failures as failures
from .._core.transport_failures import TransportFailure


def failure_of(error: Exception, broker: str, *, begun: bool) -> TransportFailure:
    """Return the failure that an aiohttp.ClientError or OSError means. `begun`: a byte may have been sent."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            what = getattr(error.certificate_error, "verify_message", "") or type(error.certificate_error).__name__
            return failures.unverified(broker, what)
        case aiohttp.ClientHttpProxyError():
            return failures.refused_by_proxy(broker, error.status)
        case aiohttp.ClientConnectorError():
            return failures.unreachable(broker, _strerror(error.os_error))
        case aiohttp.ConnectionTimeoutError():
            return failures.unreachable(broker, "timed out")
        case aiohttp.ClientResponseError():
            return failures.garbage(broker, begun)
        case aiohttp.ServerDisconnectedError():
            return failures.cut_off(broker, begun)
        case TimeoutError() if not begun and error.errno is None:
            # Raised by the connector after `sock_connect`. A timeout of the system (ETIMEDOUT) has an errno.
            return failures.unreachable(broker, "timed out")
        case _:
            return failures.broken(broker, begun, describe(error))


def describe(error: BaseException) -> str:
    """Return the system's message for the error of a connection, or the name of its class."""
    what = error.strerror if isinstance(error, OSError) else None
    if not what or "://" in what:
        what = type(error.__cause__ or error).__name__
    return what


def _strerror(error: OSError) -> str:
    """Return the system's message for a failed connect, which asyncio replaces by one with the address."""
    if error.errno is not None and (error.strerror or "").startswith("Connect call failed"):
        return os.strerror(error.errno)
    return error.strerror or str(error)
