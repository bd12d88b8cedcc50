"""Runs a PostgreSQL server for tests, with a new database for each test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob
from itertools import count
from pathlib import Path

import psycopg

PASSWORD = "pa55-of-the-tests"
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "shared_buffers=16MB",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
)
_numbers = count()


def installed() -> str | None:
    """Return the folder of the server's programs, which Debian does not have in PATH."""
    if found := shutil.which("initdb"):
        return str(Path(found).parent)
    folders = sorted(glob("/usr/lib/postgresql/*/bin"), key=lambda folder: int(Path(folder).parent.name))
    return folders[-1] if folders else None


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Args:
        port: on 127.0.0.1.
        process: the server itself, for tests that kill or suspend it.
    """

    port: int
    process: subprocess.Popen[bytes]

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://tester:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Create a database and return its URL."""
        name = f"test{next(_numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)


@contextmanager
def running() -> Iterator[Server]:
    """Run a server."""
    programs = installed()
    assert programs is not None
    with _folder() as (folder, user):
        password = Path(folder, "password")
        password.write_text(PASSWORD)
        password.chmod(0o644)
        data, port = f"{folder}/data", _free_port()
        created = ("-D", data, "-U", "tester", "-A", "scram-sha-256", "--pwfile", str(password), "-N", "-E", "UTF8")
        subprocess.run(  # noqa: S603
            [f"{programs}/initdb", *created, "--locale", "C.UTF-8"], user=user, check=True, capture_output=True
        )
        settings = [argument for setting in _SETTINGS for argument in ("-c", setting)]
        with _serving([f"{programs}/postgres", "-D", data, "-p", str(port), *settings], port, folder, user) as server:
            yield server


@contextmanager
def pooled(server: Server, mode: str) -> Iterator[Server]:
    """Run PgBouncer, in pool mode `transaction` or `session`, in front of a server."""
    port = _free_port()
    with _folder() as (folder, user):
        settings = Path(folder, "pgbouncer.ini")
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port} user=tester password={PASSWORD}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = {mode}\n"
        )
        with _serving(["pgbouncer", str(settings)], port, folder, user) as pooler:
            yield pooler


@contextmanager
def _folder() -> Iterator[tuple[str, int | None]]:
    """Make a folder, and return it with the user that runs the server. `None`: the user of the tests.

    Neither server runs as root. The folder is not below `tmp_path`, which another user cannot enter.
    """
    with tempfile.TemporaryDirectory(prefix="webmq-") as folder:
        user = None
        if os.getuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody").pw_uid
            os.chown(folder, user, -1)
        yield folder, user


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def _serving(command: list[str], port: int, folder: str, user: int | None) -> Iterator[Server]:
    with Path(folder, "log").open("wb") as log:
        process = subprocess.Popen(command, user=user, cwd=folder, stdout=log, stderr=log)  # noqa: S603
    server = Server(port, process)
    try:
        for _ in range(600):
            assert process.poll() is None, Path(folder, "log").read_text()
            try:
                psycopg.connect(server.url()).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                break
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
