"""Prepare a Crossbar.io cluster: a folder for each node, with its keys and a config.json from a template in cluster/.

    python3 examples/crossbar/cluster.py router FOLDER [NODE ...]
    python3 examples/crossbar/cluster.py equal FOLDER [NODE ...]

router: the first node is the router, the others are proxies. equal: each node links to all others.

A NODE is HOST:PORT:LINK_PORT. Pages and pushes use PORT, the other nodes LINK_PORT. HOST is an address in a private
network, because nothing is encrypted. The default is two nodes that only this machine can reach, at the ports 8080 and
8081, and 9080 and 9081. To add nodes later, run it again with all of them: it keeps the keys and the secret.

FOLDER/secret is the secret to sign pushes with. Only you can read FOLDER, and no secret is printed.
"""

import argparse
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from string import Template

HERE = Path(__file__).resolve().parent
PLACES = (str(Path(sys.executable).parent), str(HERE.parents[1] / ".crossbar" / "bin"), os.environ.get("PATH", ""))

Values = dict[str, object]  # of placeholders


def node(kind: str, number: int, address: str) -> Values:
    matched = re.fullmatch(r"([A-Za-z0-9.-]+):([0-9]{1,5}):([0-9]{1,5})", address)
    if matched is None:
        raise SystemExit(f"{address} is not HOST:PORT:LINK_PORT")
    names = {"equal": f"node{number + 1}", "router": f"proxy{number}" if number else "router"}
    return {"name": names[kind], "host": matched[1], "port": int(matched[2]), "link_port": int(matched[3])}


def prefixed(prefix: str, values: Values) -> Values:
    return {prefix + name: value for name, value in values.items()}


def filled(part: object, values: Values, peers: list[Values]) -> object:
    """Replace the placeholders in a part of a template. Parts named `$peer_name` are repeated for each other node."""
    match part:
        case str():
            alone = re.fullmatch(r"\$(\w+)", part)  # a port stays a number
            return values[alone[1]] if alone else Template(part).substitute(values)
        case dict():
            pairs = [(key, each) for key in part for each in (peers if key == "$peer_name" else [values])]
            return {filled(key, each, peers): filled(part[key], each, peers) for key, each in pairs}
        case [{"id": "$peer_name"} as item]:
            return [filled(item, each, peers) for each in peers]
        case list():
            return [filled(item, values, peers) for item in part]
    return part


def write_private(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as private:
        private.write(text)


def main(kind: str, folder: Path, addresses: list[str]) -> None:
    crossbar = shutil.which("crossbar", path=os.pathsep.join(PLACES))
    if crossbar is None:
        raise SystemExit("crossbar is neither beside this Python, nor in .crossbar/bin, nor in the PATH")
    cluster = {folder / str(made["name"]): made for made in (node(kind, *each) for each in enumerate(addresses))}
    folder.mkdir(0o700, parents=True, exist_ok=True)
    if not (folder / "secret").exists():
        write_private(folder / "secret", secrets.token_urlsafe(32))
    for home in cluster:
        home.mkdir(0o700, exist_ok=True)
    # Makes the keys unless they exist. Each process takes seconds to start, so all run at once.
    commands = [(crossbar, "keys", "--cbdir", home) for home in cluster]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]  # noqa: S603  # ours
    if [process for process in running if process.wait()]:
        raise SystemExit("crossbar keys failed")
    for home, made in cluster.items():
        (made["key"],) = re.findall("^public-key-ed25519: (.+)$", (home / "key.pub").read_text(), re.MULTILINE)
    router, *_ = cluster.values()
    for home, made in cluster.items():
        values = {**made, **prefixed("router_", router), "secret": (folder / "secret").read_text()}
        peers = [values | prefixed("peer_", peer) for peer in cluster.values() if peer != made]
        template = json.loads((HERE / "cluster" / f"{home.name.rstrip('0123456789')}.json").read_text())
        write_private(home / "config.json", json.dumps(filled(template, values, peers), indent=2))
        print(f"{crossbar} start --cbdir {home}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["router", "equal"])
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("nodes", nargs="*", metavar="NODE", default=["127.0.0.1:8080:9080", "127.0.0.1:8081:9081"])
    arguments = parser.parse_args()
    main(arguments.kind, Path(arguments.folder).resolve(), arguments.nodes)
