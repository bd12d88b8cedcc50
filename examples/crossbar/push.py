"""Push to Crossbar.io: what was written for the hub, but for a URL and one word.

python examples/crossbar/push.py

CROSSBAR_ENDPOINT says where Crossbar.io takes pushes (http://127.0.0.1:8080/publish if unset), CROSSBAR_SECRET what its
config.json says, too.
"""

import asyncio
import os

from webmqconnect_async import AsyncClient

ENDPOINT = os.environ.get("CROSSBAR_ENDPOINT", "http://127.0.0.1:8080/publish")
SECRET = os.environ.get("CROSSBAR_SECRET", "s3cret")


async def main() -> None:
    async with AsyncClient(ENDPOINT, auth_key="app", auth_secret=SECRET, dialect="crossbar") as client:
        receipt = await client.push("http://example.com/orders", {"id": 17, "state": "paid"})
        print("published as", receipt.id)


if __name__ == "__main__":
    asyncio.run(main())
