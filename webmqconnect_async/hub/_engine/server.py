"""What `INFO` says of a server: may hubs use it, and does it still have what was in it before? Pure."""

from __future__ import annotations

from typing import NamedTuple

from .connection import Unreachable

_OLDEST = (6, 2)


class Unusable(Unreachable):
    """The server is of a kind that hubs cannot use."""


class Server(NamedTuple):
    """A run of a server."""

    run: str
    """Another one after each start."""
    place: str
    """Its port and its configuration file, which a server keeps when it starts again."""
    durable: bool
    """Whether it writes each event to its file before it replies, and was no replica before."""

    def __str__(self) -> str:
        return f"{self.run} {self.place}"

    def kept_all(self, before: str) -> bool:
        """Return whether it has all that another run had, unless another run is what it was copied from.

        Args:
            before: that run, as text.
        """
        run, _, place = before.partition(" ")
        return run == self.run or (self.durable and place == self.place)


def server_of(info: bytes) -> Server:
    """Return the server of a reply to `INFO`.

    Raises:
        Unusable: It is none that hubs can use.
    """
    lines = (line.partition(":") for line in info.decode("utf-8", "replace").splitlines())
    facts = {name: value for name, _, value in lines}
    if facts.get("loading", "0") != "0":  # until then, it says that it has no file
        raise Unreachable("it is still loading its data")
    mode = facts.get("redis_mode", facts.get("server_mode", "standalone"))
    if mode == "sentinel":
        raise Unusable("it is a Redis Sentinel: give the address of the server itself")
    if mode == "cluster":
        raise Unusable("it belongs to a Redis Cluster: hubs need a server that is alone")
    if facts.get("role", "master") != "master":
        raise Unusable("it is a replica, which accepts no events")
    version = facts.get("redis_version", "")
    if [*map(int, filter(str.isdigit, version.split(".")[:2]))] < [*_OLDEST]:
        raise Unusable(f"it is Redis {version}, and hubs need 6.2 or later, or Valkey")
    promoted = facts.get("master_replid2", "").strip("0") != ""
    place = f"{facts.get('tcp_port', '')} {facts.get('config_file', '')}"
    return Server(facts.get("run_id", ""), place, facts.get("aof_enabled") == "1" and not promoted)
