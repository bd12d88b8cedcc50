"""A PostgreSQL server for tests, with a new database for each."""

from __future__ import annotations

import os
import pwd
import shutil
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
    """Return the folder of the server's programs; Debian has them outside of PATH."""
    if found := shutil.which("initdb"):
        return str(Path(found).parent)
    folders = sorted(glob("/usr/lib/postgresql/*/bin"), key=lambda folder: int(Path(folder).parent.name))
    return folders[-1] if folders else None


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Args:
        port: on 127.0.0.1.
        process: the server itself, for tests that kill it or let it stand still.
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
    """Run a server. It refuses to run as root: then another user runs it."""
    programs, user = installed(), None
    assert programs is not None
    # Not below tmp_path, which another user cannot enter.
    with tempfile.TemporaryDirectory(prefix="webmq-postgresql-") as folder, socket.socket() as probe:
        password = Path(folder, "password")
        password.write_text(PASSWORD)
        if os.getuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody").pw_uid
            for path in (folder, password):
                os.chown(path, user, -1)
        data = f"{folder}/data"
        created = ("-D", data, "-U", "tester", "-A", "scram-sha-256", "--pwfile", str(password), "-N", "-E", "UTF8")
        subprocess.run(  # noqa: S603
            [f"{programs}/initdb", *created, "--locale", "C.UTF-8"],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        settings = [argument for setting in _SETTINGS for argument in ("-c", setting)]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603
                [f"{programs}/postgres", "-D", data, "-p", str(port), *settings], user=user, cwd=folder, stderr=log
            )
        try:
            server = Server(port, process)
            _until_ready(server)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until_ready(server: Server) -> None:
    for _ in range(600):
        assert server.process.poll() is None, "PostgreSQL has not started"
        try:
            psycopg.connect(server.url()).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("PostgreSQL does not accept connections")
