"""A hub that appends the number and the topic of each push to a journal before it responds: `... hub JOURNAL`.

It prints its port, and serves until its stdin ends or it is killed. A kill loses no line of the journal, because
`os.write` has passed the line to the kernel before the response is sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from benchmarks.load import KEY, SECRET
from webmqconnect_async.hub import Accepted, Hub


async def serve(journal: str) -> None:
    """Run the hub."""
    lines = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def admit(push: Accepted) -> None:
        os.write(lines, f"{json.loads(push.event)['number']} {push.topic}\n".encode())

    async with Hub(port=0, keys={KEY: SECRET}, admit=admit) as hub:
        print(hub.url.rpartition(":")[2], flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
