"""Push from a plain script: one event, then many.

python examples/plain.py

WEBMQ_ENDPOINT says where the hub is (http://127.0.0.1:8080 if unset), WEBMQ_AUTH_KEY and WEBMQ_AUTH_SECRET sign.
`webmqconnect listen http://127.0.0.1:8080 http://example.com/orders` shows what arrives.
"""

import asyncio
import os
from collections.abc import Iterator

from webmqconnect_async import AsyncClient, NotAccepted, Push, Unconfirmed

TOPIC = "http://example.com/orders"


def orders() -> Iterator[Push]:
    for number in range(1, 101):
        yield Push(TOPIC, {"id": number, "state": "paid"})


async def main() -> None:
    async with AsyncClient(
        os.environ.get("WEBMQ_ENDPOINT", "http://127.0.0.1:8080"),
        auth_key=os.environ.get("WEBMQ_AUTH_KEY"),
        auth_secret=os.environ.get("WEBMQ_AUTH_SECRET"),
    ) as client:
        try:
            await client.push(TOPIC, {"id": 0, "state": "new"})
        except NotAccepted as error:
            print(f"not pushed, and safe to push again: {error}")
        except Unconfirmed as error:
            print(f"perhaps pushed, perhaps not: {error}")

        outcomes = await client.push_many(orders(), order_by_topic=True)
        print(f"{sum(outcome.ok for outcome in outcomes)} of {len(outcomes)} pushed")


if __name__ == "__main__":
    asyncio.run(main())
