"""asyncio: push the rows of a CSV file of any length, and report which failed, and whether they may be pushed again.

.venv/bin/python examples/csv_prices.py examples/prices.csv

It pushes to `webmqconnect hub` on this machine, unless the variables WEBMQ_… name another broker. The column `topic` is
the topic, and the others are the event, as text. Rows of one topic are pushed one after another. Rows that fail are
written to prices.failed.csv, with the reason and whether it is safe to push them again, and the exit status is 1. A run
that ends early, for example by Ctrl-C, does not change that file, and leaves its failures in prices.failed.csv.part.
"""

import asyncio
import csv
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO, cast

from webmqconnect_async import AsyncClient, NotAccepted, Push, Unconfirmed, WebMQError

os.environ.setdefault("WEBMQ_ENDPOINT", "http://127.0.0.1:8080")  # where `webmqconnect hub` listens


def pushes(rows: Iterable[dict[str, str]]) -> Iterator[Push]:
    for row in rows:
        yield Push(row["topic"], {name: row[name] for name in row if name not in ("topic", "verdict", "reason")})


def verdict_on(error: WebMQError) -> str:
    match error:
        case NotAccepted():
            return "not pushed, and safe to push again"
        case Unconfirmed():
            return "perhaps pushed: push again only where a duplicate does no harm"
    return "not pushed, and has to be corrected first"  # an InvalidPush


async def push_rows(rows: "csv.DictReader[str]", rest: TextIO) -> WebMQError | None:
    """Push all rows, write those that failed to `rest`, and return the last error, or None if all were pushed."""
    columns = dict.fromkeys([*(rows.fieldnames or ()), "verdict", "reason"])
    failed = csv.DictWriter(rest, columns, extrasaction="ignore")
    failed.writeheader()
    counts: Counter[str] = Counter()
    last = None
    try:
        async with AsyncClient.from_env() as client, client.push_stream(pushes(rows), order_by_topic=True) as outcomes:
            async for outcome in outcomes:  # as they come: no row is kept
                push, error = outcome.push, outcome.error
                verdict = "pushed" if error is None else verdict_on(error)
                counts[verdict] += 1
                if error is not None and push is not None:
                    last = error
                    row = cast(dict[str, object], push.event)
                    failed.writerow(row | {"topic": push.topic, "verdict": verdict, "reason": error})
    finally:
        for verdict, count in counts.items():
            print(count, verdict)
    return last


def main(file: Path) -> int | str:
    """Return the exit status, or an error message, with which `sys.exit` exits with status 1."""
    rest = file.with_suffix(".failed.csv")
    part = Path(f"{rest}.part")
    try:
        with file.open(encoding="utf-8-sig", newline="") as source:  # Excel writes a byte order mark
            rows = csv.DictReader(source, restkey="more")
            if "topic" not in (rows.fieldnames or ()):
                return "the first line has no column 'topic'"
            with part.open("w", buffering=1, encoding="utf-8", newline="") as failed:  # 1: by line
                error = asyncio.run(push_rows(rows, failed))
    except (OSError, ValueError, csv.Error) as reason:
        return str(reason)
    except KeyboardInterrupt:
        print(f"interrupted: rows in flight are not counted; failures are in {part}")
        return 130
    part.replace(rest)
    if error is None:
        rest.unlink()
        return 0
    print(f"see {rest}; the last reason: {error}")
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) if len(sys.argv) == 2 else "which CSV file?")
