"""Push the rows of an outbox to a broker, in order, each until the broker has accepted it.

    async with AsyncClient.from_env() as client, Relay("postgresql://localhost/shop", client) as relay:
        await relay.run()

`webmqconnect_async.outbox` writes the rows. The command `webmqconnect relay` does the same as `Relay.run`.
"""

from __future__ import annotations

from ._relay import Relay, RelayStats
from ._store import Counts, StoreError, StoreLost

__all__ = ["Counts", "Relay", "RelayStats", "StoreError", "StoreLost"]
