"""Measures how many pushes a server accepts from a client with almost no cost: wrk, or pipelining over a socket."""

from __future__ import annotations

import re
import shutil
import socket
import time
from urllib.parse import urlsplit

from . import processes
from .load import HEADERS, Refused
from .sink import ACCEPTED

SCRIPT = str(processes.ROOT / "benchmarks" / "post.lua")
NO_WRK = "wrk is not installed (apt-get install wrk)"
_BATCH = 100


def has_wrk() -> bool:
    """Return whether wrk is installed."""
    return shutil.which("wrk") is not None


def by_wrk(
    url: str,
    target: str,
    body: bytes,
    seconds: float,
    connections: int = 100,
    content_type: str = HEADERS["Content-Type"],
    core: int | None = -1,
) -> float:
    """Return the requests per second that wrk gets through.

    Args:
        url: the server.
        target: path and query of every request.
        body: the body of every request.
        seconds: how long to measure. wrk rounds down to whole seconds, and measures at least one.
        connections: requests in flight.
        content_type: the type of the body.
        core: the core on which wrk runs; `None`: any.

    Raises:
        Refused: a response was not 2xx, or a socket failed.
    """
    duration = f"{max(1, round(seconds))}s"
    command = ("wrk", "-t1", f"-c{connections}", f"-d{duration}", "-s", SCRIPT, url)
    environment = {"TARGET": target, "BODY": body.decode(), "CONTENT_TYPE": content_type}
    printed = processes.run_on(core, command, environment)
    found = re.search(r"Requests/sec: +([\d.]+)", printed)
    if found is None or "Non-2xx" in printed or "Socket errors" in printed:
        raise Refused(printed)
    return float(found[1])


def by_pipelining(url: str, target: str, body: bytes, seconds: float) -> float:
    """Return the requests per second of one connection that sends many requests before it reads the responses."""
    address = urlsplit(url)
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    request = f"POST {target} HTTP/1.1\r\nHost: {address.netloc}\r\n{head}Content-Length: {len(body)}\r\n\r\n"
    batch = (request.encode() + body) * _BATCH
    batches = 0
    with socket.create_connection((address.hostname or "", address.port or 80), timeout=5) as connection:
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds:
            connection.sendall(batch)
            left = len(ACCEPTED) * _BATCH
            while left:
                left -= len(connection.recv(left))
            batches += 1
    return batches * _BATCH / passed


def of_sink(url: str, target: str, body: bytes, seconds: float) -> tuple[float, str]:
    """Return the requests per second that the sink handles, and how they were measured."""
    if has_wrk():
        return by_wrk(url, target, body, seconds), "wrk, 100 connections"
    return by_pipelining(url, target, body, seconds), "one pipelined connection"
