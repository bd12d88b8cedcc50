"""Push to Crossbar.io. Only the URL and the dialect differ from a push to the hub.

WEBMQ_AUTH_KEY=app WEBMQ_AUTH_SECRET=s3cret .venv/bin/python examples/crossbar/push.py

It pushes to Crossbar.io on this machine, whose config.json has that key and secret, unless the variables WEBMQ_… name
another broker.
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
