"""The embedded hub: for development, for tests, and for small sites.

    async with Hub(port=0, keys={"app": "s3cret"}) as hub:
        async with AsyncClient(hub.url, auth_key="app", auth_secret="s3cret") as client:
            await client.push("http://example.com/orders", {"id": 17})

It takes pushes as the WebMQ hub of 2012 did and, at `/publish`, as Crossbar.io's HTTP bridge does. Subscribers speak
WAMP v1 or v2, and get the same events. Nothing of it is imported by the clients.
"""

from __future__ import annotations

from ._config import HubConfig, HubOptions
from ._pushes.verdicts import Accepted, Refused
from ._server import Hub, create_app

__all__ = ["Accepted", "Hub", "HubConfig", "HubOptions", "Refused", "create_app"]
