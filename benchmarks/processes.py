"""Starts servers and clients in separate processes. With two or more cores, servers and clients have separate cores."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from brokers import crossbar

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 900
"""Seconds after which a measurement fails."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    url: str
    pid: int
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that the server's clients need."""


def has_two_cores() -> bool:
    """Return whether servers and clients run on different cores."""
    return hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1


@contextmanager
def _core(index: int | None) -> Iterator[None]:
    """Run the processes that are started in this block on one core, if there are two. `None`: on any."""
    if index is None or not has_two_cores():
        yield
        return
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {allowed[index]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextmanager
def server(module: str, *arguments: str, core: int | None = 0, under: Sequence[str] = ()) -> Iterator[Server]:
    """Run a module of this package that prints its port first and then serves, until the end of the block.

    `under` is how its command begins, if another program runs it.
    """
    with _core(core):
        process = subprocess.Popen(  # noqa: S603  # ours
            (*under, *command(module, *arguments)), cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
    with process:
        try:
            port = process.stdout.readline() if process.stdout else ""
            if not port:
                raise RuntimeError(f"{module} did not start")
            yield Server(f"http://127.0.0.1:{int(port)}", process.pid)
        finally:
            process.terminate()


def has_redis() -> bool:
    """Return whether Redis is installed."""
    return shutil.which("redis-server") is not None


@contextmanager
def redis(core: int | None = -1) -> Iterator[Server]:
    """Run Redis with an append-only file, as hubs need it; by default on the core of the clients."""
    with tempfile.TemporaryDirectory(prefix="webmq-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        probe.close()
        options = ("--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", "", "--appendonly", "yes")
        with _core(core):
            process = subprocess.Popen(("redis-server", *options), stdout=subprocess.PIPE, text=True)  # noqa: S603, S607
        with process:
            try:
                for line in process.stdout or ():
                    if "Ready to accept connections" in line:
                        break
                else:
                    raise RuntimeError("Redis did not start")
                yield Server(f"redis://127.0.0.1:{port}/0", process.pid)
            finally:
                process.kill()


@contextmanager
def crossbar_io() -> Iterator[crossbar.Node]:
    """Run Crossbar.io on the core of the servers, with the configuration of the example."""
    with ExitStack() as stack:
        with _core(0):
            node = stack.enter_context(crossbar.node(json.loads(crossbar.EXAMPLE.read_text())))
        yield node


@contextmanager
def attendant(module: str, *arguments: str) -> Iterator[Callable[[], str]]:
    """Run a module of this package on the core of the clients. It prints a line when it is ready, and ends with stdin.

    Yields a function that ends it and returns the rest of its output.
    """
    with _core(-1):
        process = subprocess.Popen(  # noqa: S603  # ours
            command(module, *arguments), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    with process:
        try:
            if not (process.stdout and process.stdout.readline()):
                raise RuntimeError(f"{module} did not start")
            yield lambda: process.communicate(timeout=LONGEST)[0]
        finally:
            process.kill()


def output(module: str, *arguments: str, **environment: str) -> str:
    """Run a module of this package as a client, and return what it prints."""
    return run(*command(module, *arguments), **environment)


def run(*command: str, **environment: str) -> str:
    """Run a command on the core of the clients and return what it prints; CalledProcessError if it fails."""
    return run_on(-1, command, environment)


def run_on(core: int | None, command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a command on a core, or on any, and return what it prints; CalledProcessError if it fails."""
    # Remove the variables that make coverage measure child processes: it would slow them down.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    with _core(core):
        process = subprocess.Popen(  # noqa: S603  # ours
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**inherited, **environment}
        )
    with process:
        try:
            printed, _ = process.communicate(timeout=LONGEST)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return printed


def has_proc() -> bool:
    """Return whether `resident` and `cpu_seconds` work on this system."""
    return Path("/proc/self/statm").exists()


def resident(pid: int | str = "self") -> int:
    """Return the bytes of memory that a process occupies, where the system has /proc."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, where the system has /proc."""
    # The CPU clock of a process, as by clock_getcpuclockid(3); /proc has a resolution of only 10 ms.
    return time.clock_gettime(~pid << 3 | 2)


def command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a module of this package, with a settled allocator."""
    return (sys.executable, "-m", "benchmarks.settled", module, *arguments)
