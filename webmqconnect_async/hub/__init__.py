"""The embedded hub, for development, tests and small sites.

    async with Hub(port=0, keys={"app": "s3cret"}) as hub:
        async with AsyncClient(hub.url, auth_key="app", auth_secret="s3cret") as client:
            await client.push("http://example.com/orders", {"id": 17})

It accepts pushes in the format of the WebMQ hub of 2012 and, at `/publish`, in the format of Crossbar.io's HTTP bridge.
Subscribers speak WAMP v1 or v2 and receive the same events. The clients do not import this package.
"""

from __future__ import annotations

from ._config import HubConfig, HubOptions
from ._pushes.verdicts import Accepted, Refused
from ._rights import Identity
from ._server import Hub, create_app

__all__ = ["Accepted", "Hub", "HubConfig", "HubOptions", "Identity", "Refused", "create_app"]
