"""Runs a Redis server for tests, on a free port of the loopback. It can be killed, suspended and replaced by a copy."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import redis
import trustme

PATIENCE = 30.0
"""Seconds for the server to start or to end."""

_SETTINGS = (
    "bind 127.0.0.1",
    'save ""',
    "auto-aof-rewrite-percentage 0",  # so that the folder can be copied at any time
)


class RedisServer:
    """A server in a folder of its own. `with` runs it.

    Args:
        folder: the folder for data, configuration and log. It may contain the data of a server that has ended.
        port: `None`: a free one. It stays the same when the server is started again.
        appendonly: whether it writes each change to a file before it responds, so that it survives a SIGKILL. If
            not, the server starts empty each time.
        password: the password of the user `default`. `None`: no password is needed.
        acl: lines of an ACL file, such as `user hub on >pa55 ~webmq:* +ping`. The file replaces `password`.
        authority: issues the certificate of the server, which then accepts only TLS connections. `None`: no TLS.
        settings: further lines of the configuration.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        appendonly: bool = True,
        password: str | None = None,
        acl: Iterable[str] = (),
        authority: trustme.CA | None = None,
        settings: Iterable[str] = (),
    ) -> None:
        self.folder = folder
        self.port = free_port() if port is None else port
        self.process: subprocess.Popen[bytes] | None = None
        """The server itself; `None` while it does not run."""
        self._appendonly = appendonly
        self._password = password
        self._acl = tuple(acl)
        self._authority = authority
        self._settings = tuple(settings)

    @property
    def url(self) -> str:
        """Its URL, without a user and a password."""
        return f"{'redis' if self._authority is None else 'rediss'}://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> str:
        """The log of the servers in this folder."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start the server, and return when it responds to PING."""
        assert self.process is None
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "redis.conf"
        configuration.write_text("\n".join((*self._lines(), "")))
        with (self.folder / "log").open("ab") as log:
            command = ["redis-server", str(configuration)]
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)  # noqa: S603
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End the server by SIGTERM, so that it writes its data first."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server by SIGKILL, if it is running."""
        if self.process is not None:
            self._end(signal.SIGKILL)

    def restart(self) -> None:
        """End the server by SIGTERM, and start it with the same data on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Suspend the process (SIGSTOP): it keeps its connections and does not respond."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume the process (SIGCONT)."""
        self._signal(signal.SIGCONT)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspend the process within the block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def copy(self, folder: Path) -> Path:
        """Copy the current data to a new folder, and return the folder. The server may be running."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("log", "*.pem", "temp-*"))
        return folder

    def replace(self, folder: Path) -> None:
        """Kill the server, and start one with the data of another folder on the same port."""
        self.kill()
        self.folder = folder
        self.start()

    def restore(self, folder: Path) -> None:
        """Kill the server, replace its data by those of another folder, and start it.

        The same server then has older data, as after a power failure before the kernel has written the latest data.
        """
        self.kill()
        shutil.rmtree(self.folder)
        shutil.copytree(folder, self.folder)
        self.start()

    @contextmanager
    def client(self, user: str | None = None, password: str | None = None) -> Iterator[redis.Redis]:
        """Return a client, by default of the user `default`."""
        options = {} if self._authority is None else {"ssl_ca_certs": str(self.folder / "ca.pem")}
        client = redis.Redis.from_url(
            self.url,
            username=user,
            password=self._password if user is None else password,
            socket_timeout=PATIENCE,
            **options,
        )
        try:
            yield client
        finally:
            client.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()

    def _lines(self) -> Iterator[str]:
        yield from _SETTINGS
        yield f'dir "{self.folder}"'
        yield f"appendonly {'yes' if self._appendonly else 'no'}"
        if self._authority is None:
            yield f"port {self.port}"
        else:
            certificate = self._authority.issue_cert("127.0.0.1")
            certificate.private_key_and_cert_chain_pem.write_to_path(self.folder / "server.pem")
            self._authority.cert_pem.write_to_path(self.folder / "ca.pem")
            yield f"port 0\ntls-port {self.port}\ntls-auth-clients no"
            yield f'tls-cert-file "{self.folder}/server.pem"\ntls-key-file "{self.folder}/server.pem"'
            yield f'tls-ca-cert-file "{self.folder}/ca.pem"'
        if self._acl:
            users = self.folder / "users.acl"
            users.write_text("\n".join((*self._acl, "")))
            yield f'aclfile "{users}"'
        elif self._password is not None:
            yield f"requirepass {self._password}"
        yield from self._settings

    def _wait_until_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self.process.poll() is None, self.log
            try:
                with self.client() as client:
                    client.ping()
                return
            except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
                return  # the server responds
            except (redis.ConnectionError, redis.TimeoutError):  # or it is loading its data
                assert time.monotonic() < deadline, self.log
                time.sleep(0.01)

    def _signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _end(self, number: int) -> None:
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)  # the process may be suspended
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@contextmanager
def running(
    *,
    appendonly: bool = True,
    password: str | None = None,
    acl: Iterable[str] = (),
    authority: trustme.CA | None = None,
) -> Iterator[RedisServer]:
    """Run a server in a temporary folder."""
    with (
        tempfile.TemporaryDirectory(prefix="webmq-") as folder,
        RedisServer(Path(folder), appendonly=appendonly, password=password, acl=acl, authority=authority) as server,
    ):
        yield server


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
