"""Pushes the changes of a board to its pages. Independent of the framework.

With each change, a page sends its session ID, and the push excludes that session, because the page gets the new version
in the response. If a push fails, pages notice a gap in the versions at the next change, and load the list.
"""

import os
from dataclasses import asdict
from urllib.parse import urljoin

from store import Board, Change

from webmqconnect_async import AsyncClient, session_id
from webmqconnect_async.typing import DialectName

TOPIC = "http://example.com/board"
DIALECT: DialectName = "crossbar" if os.environ.get("WEBMQ_DIALECT") == "crossbar" else "webmq"


def named_broker() -> tuple[AsyncClient, str] | None:
    """Return a client for the broker in WEBMQ_ENDPOINT, and its URL for subscribers, or None if that is not set."""
    if endpoint := os.environ.get("WEBMQ_ENDPOINT"):
        return AsyncClient.from_env(), urljoin(endpoint, "ws")
    return None


def listing(board: Board, hub: str) -> dict[str, object]:
    """Return the items, and the URL and the topic with which a page subscribes to changes.

    Behind a proxy, pages may need another URL for the hub than this server: set WEBMQ_WS_URL.
    """
    return {**asdict(board), "hub": os.environ.get("WEBMQ_WS_URL") or hub, "topic": TOPIC}


def announce(client: AsyncClient, change: Change, header: str | None) -> None:
    """Push a change to all pages but that of its author, which has sent its session ID in a header."""
    author = session_id(header, DIALECT)
    client.push_soon(TOPIC, asdict(change), exclude=[author] if author else None)
