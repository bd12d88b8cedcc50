"""Prints the number of page faults of a thousand receptions, each into a buffer of 256 KB as in asyncio."""

import resource
import socket

ours, theirs = socket.socketpair()
with ours, theirs:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(1000):
        theirs.send(b"x")
        ours.recv(1 << 18)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
