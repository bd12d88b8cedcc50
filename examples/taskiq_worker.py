"""taskiq: push in the background, with any number of workers on any number of machines.

.venv/bin/python examples/taskiq_worker.py

This queues tasks and runs them in one process. With Redis it only queues them, and workers run them:

    REDIS_URL=redis://127.0.0.1 .venv/bin/taskiq worker --workers 2 examples.taskiq_worker:broker
    REDIS_URL=redis://127.0.0.1 .venv/bin/python examples/taskiq_worker.py     # in another terminal

Tasks run in no particular order. The ID of a task is the idempotency key of its push: if a task runs again, after a
failure or because its worker was killed, `webmqconnect hub` does not deliver its event twice.

It pushes to `webmqconnect hub` on this machine, unless the variables WEBMQ_… name another broker. A worker that exits
gives pushes in flight five seconds, and prints its counts. Without Redis, the exit status is 1 if a push failed. An
argument sets the number of tasks, which is 20 by default.
"""

import asyncio
import os
import sys

from taskiq import AsyncBroker, Context, InMemoryBroker, SimpleRetryMiddleware, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq import TaskiqMessage as Message
from taskiq import TaskiqResult as Result
from taskiq_redis import RedisStreamBroker

from webmqconnect_async import AsyncClient, Retry, WebMQError

TOPIC = "http://example.com/orders"
REDIS_URL = os.environ.get("REDIS_URL")

os.environ.setdefault("WEBMQ_ENDPOINT", "http://127.0.0.1:8080")  # where `webmqconnect hub` listens


class RetryLater(SimpleRetryMiddleware):
    """Queues a task again, with its ID, if its push failed and may succeed later."""

    async def on_error(self, message: Message, result: Result[object], exception: BaseException) -> None:
        if isinstance(exception, WebMQError) and exception.retryable:
            await super().on_error(message, result, exception)


broker: AsyncBroker
if REDIS_URL:
    # If a worker is killed, another one takes over its tasks after a minute, when the next task is queued. That is less
    # than the five minutes for which the hub remembers keys. Redis drops the oldest of more than about 100,000 tasks.
    broker = RedisStreamBroker(REDIS_URL, idle_timeout=60_000, unacknowledged_lock_timeout=10, maxlen=100_000)
    broker.add_middlewares(RetryLater(default_retry_label=True, default_retry_count=5))
else:
    broker = InMemoryBroker()


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_client(state: TaskiqState) -> None:
    state.client = AsyncClient.from_env(timeout=30, retry=Retry(5, wait=1, at_least_once=True))  # it may be restarting


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_client(state: TaskiqState) -> None:
    await state.client.close()
    print(f"worker {os.getpid()}: {state.client.stats}", flush=True)


def client_of(context: Context = TaskiqDepends()) -> AsyncClient:  # noqa: B008  # taskiq's way to inject a value
    client: AsyncClient = context.state.client
    return client


@broker.task("notify")  # otherwise, the script would name it __main__:notify
async def notify(
    topic: str,
    event: dict[str, object],
    context: Context = TaskiqDepends(),  # noqa: B008  # taskiq's way to inject a value
    client: AsyncClient = TaskiqDepends(client_of),  # noqa: B008  # as above
) -> None:
    await client.push(topic, event, idempotency_key=context.message.task_id)


async def main(count: int) -> int:
    await broker.startup()
    try:
        for number in range(count):
            await notify.kiq(TOPIC, {"id": number, "state": "paid"})
        print(f"{count} tasks queued", flush=True)
        if isinstance(broker, InMemoryBroker):
            await asyncio.shield(broker.wait_all())  # otherwise Ctrl-C would cancel a task instead of this wait
    finally:
        await broker.shutdown()
    return 1 if isinstance(broker, InMemoryBroker) and broker.state.client.stats.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)))
    except KeyboardInterrupt:
        sys.exit(130)
