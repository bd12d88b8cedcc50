"""Evaluates the `INFO` of a server: whether hubs can use it, and whether a restart may have lost data. Pure."""

from __future__ import annotations

from typing import NamedTuple

from .connection import Unreachable


class Server(NamedTuple):
    """One run of a server, from its start to its end."""

    run: str  # the ID of the run, which is new after each start
    place: str  # the port and the configuration file, which are the same after a restart
    durable: bool
    """Whether it writes each event to its append-only file before it replies, and was not a replica before."""

    def __str__(self) -> str:
        return f"{self.run} {self.place}"

    def kept_all(self, before: str) -> bool:
        """Return whether the server still has all data of an earlier run. That is unknown if its file was replaced."""
        run, _, place = before.partition(" ")
        return run == self.run or (self.durable and place == self.place)


def server_of(info: bytes) -> Server:
    """Return the server of a reply to `INFO`; raise `Unreachable` if hubs cannot use it, or not yet."""
    facts = dict(line.split(":", 1) for line in info.decode("utf-8", "replace").splitlines() if ":" in line)
    if facts.get("loading", "0") != "0":  # until then, it reports aof_enabled:0
        raise Unreachable("it is still loading its data")
    mode = facts.get("redis_mode", facts.get("server_mode", "standalone"))
    if mode == "sentinel":
        raise Unreachable("it is a Redis Sentinel: give the address of the server itself")
    if mode == "cluster":
        raise Unreachable("it belongs to a Redis Cluster: hubs need a server that is alone")
    if facts.get("role", "master") != "master":
        raise Unreachable("it is a replica, which accepts no events")
    version = facts.get("redis_version", "")
    # XADD has NOMKSTREAM, and ranges can exclude an end, since 6.2.
    if [*map(int, filter(str.isdigit, version.split(".")[:2]))] < [6, 2]:
        raise Unreachable(f"it is Redis {version}, and hubs need 6.2 or later, or Valkey")
    promoted = facts.get("master_replid2", "").strip("0") != ""
    place = f"{facts.get('tcp_port', '')} {facts.get('config_file', '')}"
    return Server(facts.get("run_id", ""), place, facts.get("aof_enabled") == "1" and not promoted)
