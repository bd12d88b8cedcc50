"""The snippets of the pages "In a web page" and "Subscribers that authenticate", in a browser, with signing servers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from tests.chromium import Page
from tests.examples.serving import serving
from tests.hub.pages import watched
from tests.snippets import HUB, PAGES, ROOT, broker, fences, run
from webmqconnect_async import AsyncClient, __version__
from webmqconnect_async._cli.app import app as command
from webmqconnect_async.hub import Hub
from webmqconnect_async.hub._browser import FILES
from webmqconnect_async.signing import Credentials, sign_challenge
from webmqconnect_async.testing import Hub as Recorder

pytestmark = pytest.mark.usefixtures("chromium")

TOPIC = "http://example.com/orders"
EVENT = {"id": 17, "state": "paid"}
FENCES = {
    each.title or each.language: each.text
    for page in ("authenticate", "browser")
    for each in fences(PAGES / f"how-to/{page}.md")
}
"""The snippets by title, or by language for those without one."""
TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript"}


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """Return a folder with the files that `webmqconnect js` writes."""
    result = CliRunner().invoke(command, ["js", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    return tmp_path


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with broker() as running:
        yield running


@asynccontextmanager
async def site(pages: Mapping[str, str], static: Path | None = None, policy: str = "") -> AsyncIterator[str]:
    """Serve texts by name, and a folder at `/static`; yield the URL, with a slash."""

    async def serve(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        headers = {"Content-Security-Policy": policy} if policy else {}
        return web.Response(text=pages[name], content_type=TYPES[Path(name).suffix], headers=headers)

    application = web.Application()
    if static is not None:
        application.router.add_static("/static", static)
    application.router.add_get("/{name}", serve)
    async with TestServer(application, host="127.0.0.1") as server:
        yield str(server.make_url("/"))


async def gets_an_event(page: Page, url: str) -> None:
    """Push an event once the page has subscribed, and wait until it shows the event."""
    await page.until("globalThis.sockets.at(-1)?.subscription !== undefined")
    async with AsyncClient(url, "app", "s3cret") as client:
        await client.push(TOPIC, EVENT)
    await page.until("document.title === '17: paid'")


@pytest.mark.parametrize("name", ["script.html", "module.html", "own.html", "integrity.html"])
async def test_a_page_gets_an_event(name: str, static: Path) -> None:
    digest = base64.b64encode(hashlib.sha384(FILES["webmq.min.js"]).digest()).decode()
    async with Hub(port=0, keys={"app": "s3cret"}) as hub:
        html = FENCES[name].replace(HUB, hub.url).replace("0.1.0", __version__).replace("sha384-…", f"sha384-{digest}")
        async with site({name: html}, static) as url, watched() as page:
            await page.open(url + name)
            await gets_an_event(page, hub.url)


@pytest.mark.parametrize("page", [ROOT / "README.md", PAGES / "index.md"], ids=lambda page: page.name)
async def test_the_first_page_shows_the_event_of_the_python_snippet(page: Path, recorder: Recorder) -> None:
    """The event that the Python snippet pushes appears in the page of the HTML snippet."""
    html, python = (next(each for each in fences(page) if each.language == name) for name in ("html", "python"))
    async with site({"orders.html": html.text.replace(HUB, recorder.url)}) as url, watched() as browser:
        await browser.open(url + "orders.html")
        await browser.until("globalThis.sockets.at(-1)?.subscription !== undefined")
        await asyncio.to_thread(run, python, recorder)
        await browser.until("document.getElementById('orders').textContent === '17: paid'")


async def test_the_documented_content_security_policy_allows_webmq_js() -> None:
    """The page works under the documented Content-Security-Policy.

    It forbids inline scripts, so the page's script is a file.
    """
    async with Hub(port=0, keys={"app": "s3cret"}) as hub:
        policy = FENCES["http"].removeprefix("Content-Security-Policy: ").strip()
        policy = policy.replace("https://events.example.com", hub.url)
        policy = policy.replace("wss://events.example.com", hub.url.replace("http", "ws"))
        head, script, _ = re.split("<script>|</script>\n$", FENCES["script.html"].replace(HUB, hub.url))
        pages = {"page.html": f'{head}<script src="own.js"></script>', "own.js": script}
        async with site(pages, policy=policy) as url, watched() as page:
            await page.open(f"{url}page.html")
            await gets_an_event(page, hub.url)


async def test_a_worker_gets_an_event() -> None:
    async with Hub(port=0) as hub, AsyncClient(hub.url) as client:
        ready = f'mq.subscribe("{TOPIC}", () => {{}}).ready.then(postMessage);'
        worker = FENCES["worker.mjs"].replace(HUB, hub.url) + ready
        pages = {"worker.mjs": worker, "page.html": "<title>page</title>"}
        async with site(pages) as url, watched() as page:
            await page.open(f"{url}page.html")
            await page.evaluate("""new Promise((done) => {
                globalThis.worker = new Worker("worker.mjs", { type: "module" });
                worker.onmessage = done;
            })""")
            await page.evaluate("globalThis.told = new Promise((done) => { worker.onmessage = done; }), null")
            await client.push(TOPIC, EVENT)
            assert await page.evaluate("told.then(({ data }) => data)") == EVENT


# Authentication


async def test_the_documented_derived_key_is_that_of_the_signer() -> None:
    """The key derived as the page "Crossbar.io" shows produces the same signature as `WebMQ.signer` with the secret."""
    names: dict[str, object] = {}
    exec(FENCES["python"], names)  # noqa: S102  # ours
    assert isinstance(names["page"], Credentials)
    async with Hub(port=0) as hub, watched() as page:
        await page.open(hub.url)
        extra = "{ salt: 'the salt', iterations: 1000, keylen: 32 }"
        signature = await page.evaluate(f"WebMQ.signer('page-s3cret')('a challenge', {extra})")
    assert signature == sign_challenge(names["page"], "a challenge")


FASTAPI = """
import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

app = FastAPI()
app.include_router(router)
sessions["a session"] = "ann"
app.get("/", response_class=HTMLResponse)(lambda: PAGE)
"""
DJANGO = """
import django
import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware", "__main__.login"],
    ROOT_URLCONF="__main__",
)
django.setup()
from django.contrib.auth.models import AnonymousUser, User


def login(respond):
    def middleware(request):
        request.user = User("ann") if "session" in request.COOKIES else AnonymousUser()
        return respond(request)
    return middleware


urlpatterns.append(path("", lambda request: HttpResponse(PAGE)))
app = get_asgi_application()
"""
SERVERS = {"signing.py": FASTAPI, "shop/signing.py": DJANGO}


@pytest.mark.parametrize("endpoint", SERVERS)
async def test_a_server_signs_only_for_users_that_are_logged_in(endpoint: str, tmp_path: Path) -> None:
    """The server signs only for users that are logged in.

    A page whose user logs in later connects without being reloaded.
    """
    async with Hub(port=0, keys={"app": "s3cret"}, subscriber_keys={"page": "page-s3cret"}) as hub:
        html = FENCES["page.html"].replace(HUB, hub.url)
        program = tmp_path / "site.py"
        program.write_text(f"{FENCES[endpoint]}\nPAGE = {html!r}\n{SERVERS[endpoint]}\nuvicorn.run(app, port=0)")
        async with serving(str(program), says="Uvicorn running on") as server, watched() as page:
            await page.before_scripts("Math.random = () => 0;")  # it reconnects without a delay
            await page.open(f"{server.url}/")
            await page.until("mq.state === 'closed' && mq.detail.includes('cannot sign: 401')")
            await page.evaluate("document.cookie = 'session=a session'")
            await gets_an_event(page, hub.url)
