"""How the pages of a board learn of its changes. Knows no framework.

A page sends the ID of its session with the hub along with each change, and the push excludes that session: the page has
the new version in the response. If a push fails, pages find a gap in the versions at the next one, and load the list.
"""

import logging
import os
from dataclasses import asdict
from urllib.parse import urljoin

from store import Board, Change

from webmqconnect_async import AsyncClient, NotAccepted, Unconfirmed, WebMQError, session_id
from webmqconnect_async.typing import DialectName

TOPIC = "http://example.com/board"
DIALECT: DialectName = "crossbar" if os.environ.get("WEBMQ_DIALECT") == "crossbar" else "webmq"
log = logging.getLogger("board")


def named_broker() -> tuple[AsyncClient, str] | None:
    """Return a client of the broker that the environment names, and where that takes subscribers; None without."""
    if endpoint := os.environ.get("WEBMQ_ENDPOINT"):
        return AsyncClient.from_env(), urljoin(endpoint, "ws")
    return None


def listing(board: Board, hub: str) -> dict[str, object]:
    """Return what a page asks for: the items, and where it hears of changes.

    Behind a proxy, pages may have to take another way to the hub than this server: WEBMQ_WS_URL says which.
    """
    return {**asdict(board), "hub": os.environ.get("WEBMQ_WS_URL") or hub, "topic": TOPIC}


async def tell(client: AsyncClient, change: Change, header: str | None) -> None:
    """Push a change to all pages but its author's, which has sent its session ID in a header."""
    author = session_id(header, DIALECT)
    try:
        await client.push(TOPIC, asdict(change), exclude=[author] if author else None)
    except (NotAccepted, Unconfirmed) as error:  # the change is made all the same, and the other pages will load it
        log.warning("version %d was not pushed: %s", change.version, error)
    except WebMQError:
        # A bug, so it is logged with its traceback. Raised, it would end the aiohttp board, whose task group pushes.
        log.exception("version %d cannot be pushed", change.version)
