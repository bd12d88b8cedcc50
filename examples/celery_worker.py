"""Celery: tasks push with one `Client`, which is created before the pool forks. A warm shutdown loses nothing.

.venv/bin/celery --app examples.celery_worker worker --concurrency 2

The queue is a folder, celery-queue, unless CELERY_BROKER_URL names another one, such as redis://127.0.0.1. Ship 20
orders in another terminal; an argument is another number:

    .venv/bin/python -m examples.celery_worker

It pushes to `webmqconnect hub` on this machine, unless the variables WEBMQ_… name another broker.
"""

import os
import sys
from pathlib import Path

from celery import Celery
from celery.signals import worker_process_shutdown

from webmqconnect_async import Client

BROKER_URL = os.environ.get("CELERY_BROKER_URL")
FOLDER = Path("celery-queue").absolute()
os.environ.setdefault("WEBMQ_ENDPOINT", "http://127.0.0.1:8080")  # where `webmqconnect hub` listens
client = Client.from_env()  # each process of the pool has its own connections, queue and thread
app = Celery("shop", broker=BROKER_URL or "filesystem://")
if not BROKER_URL:
    FOLDER.mkdir(exist_ok=True)
    folders = ("data_folder_in", "data_folder_out", "control_folder")
    app.conf.broker_transport_options = {**dict.fromkeys(folders, str(FOLDER)), "polling_interval": 0.1}


@app.task(name="ship", ignore_result=True)  # otherwise, the script would name it __main__.ship
def ship(number: int) -> None:
    # … ship it. The task succeeds even if no page shows that.
    client.push_soon("http://example.com/orders", {"id": number, "state": "shipped", "worker": os.getpid()})


@worker_process_shutdown.connect
def close_client(**_kwargs: object) -> None:
    client.close()  # pushes the queued events; Celery ends the processes of a pool without `atexit`


if __name__ == "__main__":
    for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else 20):
        ship.delay(number)
