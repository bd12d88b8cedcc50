"""A real nginx in front of hubs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from .processes import PATIENCE
from .redis_server import free_port


@asynccontextmanager
async def proxied(folder: Path, *hubs: str, headers: str = "") -> AsyncIterator[str]:
    """Run nginx in front of hubs; yield its URL.

    Requests are distributed over the hubs. `proxy_next_upstream` has its default: nginx sends a push to another hub
    if it could not connect, and never one that it may have sent already.

    Args:
        folder: the folder for its files.
        hubs: the URLs of the hubs.
        headers: further directives, such as `proxy_set_header Host $http_host;`. Without that one, a single hub gets
            its own address as the host, and several get a name that they do not accept.
    """
    port = free_port()
    paths = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    target, upstream = hubs[0], ""
    if len(hubs) > 1:
        # A hub that has refused a connection gets no requests for this long; by default for 10 s.
        servers = " ".join(f"server {hub.removeprefix('http://')} fail_timeout=1s;" for hub in hubs)
        target, upstream = "http://hubs", f"upstream hubs {{ {servers} }}"
    configuration = folder / "nginx.conf"
    configuration.write_text(f"""
        daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
        events {{}}
        http {{
            access_log off; {paths}
            {upstream}
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass {target}; proxy_http_version 1.1; {headers}
                    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;
                }}
            }}
        }}
    """)
    process = await asyncio.create_subprocess_exec("nginx", "-p", str(folder), "-c", str(configuration))
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                assert process.returncode is None, (folder / "error.log").read_text()
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
