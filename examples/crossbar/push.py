"""Push to Crossbar.io: what was written for the hub, but for a URL and one word.

WEBMQ_AUTH_KEY=app WEBMQ_AUTH_SECRET=s3cret .venv/bin/python examples/crossbar/push.py

It pushes to Crossbar.io on this machine, whose config.json has that key and secret, or to what the variables WEBMQ_…
say.
"""

import asyncio
import os

from webmqconnect_async import AsyncClient

os.environ.setdefault("WEBMQ_ENDPOINT", "http://127.0.0.1:8080/publish")
os.environ.setdefault("WEBMQ_DIALECT", "crossbar")


async def main() -> None:
    async with AsyncClient.from_env() as client:
        receipt = await client.push("http://example.com/orders", {"id": 17, "state": "paid"})
        print("published as", receipt.id)


if __name__ == "__main__":
    asyncio.run(main())
