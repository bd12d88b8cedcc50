"""The recipe of docs/pages/how-to/observability.md for Sentry, with a real SDK that sends to a server of the tests."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from .escapes import shown
from .hostile import ACCEPTED, Peer, Recorded, answer, hostile, reply
from .processes import python

PAGE = (Path(__file__).parents[1] / "docs/pages/how-to/observability.md").read_text("utf-8")
[RECIPE] = [snippet for snippet in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "sentry_sdk" in snippet]

PUSHES = """
from webmqconnect_async import Client, WebMQError
from webmqconnect_async.testing import Hub


def traced():
    if STREAMED:
        return sentry_sdk.traces.start_span(name="pushes")
    return sentry_sdk.start_transaction(name="pushes")


async def pushes(url):
    async with AsyncClient(url, auth_key="app", auth_secret="s3cret") as client:
        with traced():
            for _ in range(3):
                try:
                    await client.push("http://example.com/orders", {"id": 17})
                except WebMQError as error:
                    sentry_sdk.capture_exception(error)


asyncio.run(pushes("http://127.0.0.1:8080"))
try:
    Client("http://127.0.0.1:8080", auth_key="app", auth_secret="s3cret").push("http://example.com/orders", 1)
except WebMQError as error:
    sentry_sdk.capture_exception(error)
with Hub(keys={"app": "s3cret"}) as hub:
    asyncio.run(pushes(hub.url))
sentry_sdk.flush(timeout=60)
"""
"""A program after the recipe: failing pushes, and pushes to a hub in the same process, all of them traced."""

OPTIONS = {
    "transactions": "STREAMED, OPTIONS = False, dict(traces_sample_rate=1.0)",
    "streamed": (
        "STREAMED, OPTIONS = True, dict(traces_sample_rate=1.0, data_collection={}, trace_lifecycle='stream',"
        " before_send_span=without_signatures)"
    ),
}


async def refuse_with_signature(peer: Peer) -> None:
    """Refuse a push with its valid signature in the response."""
    signature = (await peer.request()).query["signature"]
    await peer.send(reply(401, f"expected {signature}".encode(), f"X: {signature}"))


def envelope(request: Recorded) -> str:
    """Return the data that the SDK has sent in a request."""
    zipped = request.header("Content-Encoding") == "gzip"
    return (gzip.decompress(request.body) if zipped else request.body).decode()


async def sent(options: str, recipe: str = RECIPE) -> tuple[str, list[str]]:
    """Run the recipe with options, then push; return the data sent to Sentry, and the signatures of the pushes."""
    with (
        hostile(answer(ACCEPTED), *[refuse_with_signature] * 4) as broker,
        hostile(accepted=reply(200, b"{}")) as sentry,
    ):
        script = recipe.replace("sentry_sdk.init(", f"{options}\nsentry_sdk.init(**OPTIONS, ") + PUSHES
        # Sentry also sends the lines of source around each frame; since Python 3.13 even those of `python -c`.
        script = script.replace('"s3cret"', '__import__("os").environ["PUSH_SECRET"]')
        script = script.replace("http://127.0.0.1:8080", broker.url)
        dsn = sentry.url.replace("//", "//key@").replace("/push", "/1")
        async with python("-c", script, env={"SENTRY_DSN": dsn, "PUSH_SECRET": "s3cret"}) as process:
            ended = await process.ended()
        assert (ended.status, ended.stderr) == (0, "")
        signatures = [request.query["signature"] for request in broker.requests]
        return "\n".join(map(envelope, sentry.requests)), signatures


async def test_without_the_integration() -> None:
    """Requests are sent without aiohttp's session, and cause no breadcrumbs."""
    [disabled] = re.findall(r"`(sentry_sdk\.init\(disabled.*?)`", PAGE)
    script = f"""
import asyncio
import sentry_sdk
from sentry_sdk.integrations.aiohttp import AioHttpIntegration

{disabled}

from webmqconnect_async import AsyncClient
from webmqconnect_async.testing import Hub

async def main():
    with Hub() as hub:
        async with AsyncClient(hub.url) as client:
            await client.push("http://example.com/orders", 1)
            print("direct" in repr(client))

asyncio.run(main())
"""
    async with python("-c", script) as process:
        ended = await process.ended()
    assert (ended.stdout, ended.stderr) == ("True\n", "")


@pytest.mark.parametrize("options", OPTIONS)
async def test_no_signature_is_sent(options: str) -> None:
    """No signature is in a breadcrumb, a span, a request that a hub has received, or a local variable."""
    said, signatures = await sent(OPTIONS[options])
    assert said.count("the broker answered 401") > 3
    assert '"flow"' in said  # local variables are sent
    assert "[removed]" in said
    assert len(signatures) == 5
    assert shown([said], *signatures) == []
    for part in ("signature=", "topicuri=", "s3cret"):
        assert part not in said


@pytest.mark.parametrize(
    ("options", "hooks"),
    [
        ("transactions", "before_breadcrumb|before_send"),
        ("transactions", "before_send_transaction"),
        ("streamed", "before_send_span"),
    ],
)
async def test_without_a_hook_signatures_are_sent(options: str, hooks: str) -> None:
    """Without the hooks, signatures are sent, so the test above can fail. Breadcrumbs pass through two hooks.

    The SDK imports every framework that it finds, which takes seconds. This test enables only the one integration.
    """
    alone = "dict(auto_enabling_integrations=False, integrations=[AioHttpIntegration()], "
    unhooked = [
        re.sub(rf"\b({hooks})=without_signatures", r"\1=lambda value, hint: value", text)
        for text in (OPTIONS[options].replace("dict(", alone), RECIPE)
    ]
    unhooked[0] = f"from sentry_sdk.integrations.aiohttp import AioHttpIntegration\n{unhooked[0]}"
    said, _ = await sent(*unhooked)
    assert "signature=" in said
