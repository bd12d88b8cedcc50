"""A hub on loopback behind a real nginx, the documented way to run one: not everybody can open its console."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nginx import proxied
from webmqconnect_async.hub import Hub, _websocket

from .conftest import PATIENCE, HubClient, Run

TOKEN = "token-of-the-console"
PROTOCOLS = ("webmq.console",)

pytestmark = pytest.mark.usefixtures("nginx")


@pytest.mark.parametrize("header", ["", "proxy_set_header Host $host;", "proxy_set_header Host $http_host;"])
async def test_no_console_without_the_token(
    run: Run, wire: HubClient, tmp_path: Path, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The console needs its token: without `Host`, requests of other machines look to the hub as if they were local."""
    monkeypatch.setattr(_websocket, "_penalty", lambda: 0.0)
    hub = await run(Hub(port=0, console_token=TOKEN))
    async with proxied(tmp_path, hub.url, headers=header) as url:
        for query in ("", f"?token={TOKEN}", f"?console={TOKEN}"):
            async with wire.session.get(f"{url}/console{query}") as answer:
                assert (answer.status, TOKEN in await answer.text()) == (401, False)
            async with wire.session.ws_connect(f"{url}/console{query}", protocols=PROTOCOLS) as ws:
                await ws.send_str("wrong")
                assert (await ws.receive(timeout=PATIENCE)).data == 4401
        async with wire.session.ws_connect(f"{url}/console", protocols=PROTOCOLS) as ws:
            await ws.send_str(TOKEN)
            assert "topics" in await ws.receive_json(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("header", "own"), [("", False), ("proxy_set_header Host $http_host;", True)], ids=["without Host", "with Host"]
)
async def test_the_page_of_the_hub_is_the_one_with_the_name_of_the_browser(
    run: Run, wire: HubClient, tmp_path: Path, header: str, own: bool
) -> None:
    hub = await run(Hub(port=0, console_token=TOKEN))
    async with proxied(tmp_path, hub.url, headers=header) as url:
        for origin, status in ((url, 401 if own else 403), ("http://shop.example.com", 403)):
            async with wire.session.get(f"{url}/console", headers={"Origin": origin}) as answer:
                assert answer.status == status  # 401 means that the token is missing
