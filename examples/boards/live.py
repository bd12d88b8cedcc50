"""How the pages of a board learn of its changes. Independent of the framework.

A page sends the ID of its session with the hub along with each change, and the push excludes that session: the page has
the new version in the response. If a push fails, pages find a gap in the versions at the next one, and load the list.
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
    """Return a client of the broker that the environment names, and its URL for subscribers; None without a broker."""
    if endpoint := os.environ.get("WEBMQ_ENDPOINT"):
        return AsyncClient.from_env(), urljoin(endpoint, "ws")
    return None


def listing(board: Board, hub: str) -> dict[str, object]:
    """Return what a page needs: the items, and where it subscribes to changes.

    Behind a proxy, pages may need another URL for the hub than this server: set WEBMQ_WS_URL.
    """
    return {**asdict(board), "hub": os.environ.get("WEBMQ_WS_URL") or hub, "topic": TOPIC}


def announce(client: AsyncClient, change: Change, header: str | None) -> None:
    """Push a change to all pages but its author's, which has sent its session ID in a header."""
    author = session_id(header, DIALECT)
    client.push_soon(TOPIC, asdict(change), exclude=[author] if author else None)
