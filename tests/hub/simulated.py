"""`webmq.js` in Node.js, in a page with a simulated clock: a test takes almost no time, even if the script waits."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from pathlib import Path

from webmqconnect_async.hub._browser import CLASSIC

_SIMULATION = Path(__file__).with_name("simulation.js")
_PATIENCE = 30.0


async def simulate(subprotocol: str, script: str, source: str = CLASSIC) -> object:
    """Run a script, the body of an async function, with `mq`, and return what it returns.

    Args:
        subprotocol: the one that the broker chooses; empty: none.
        script: can use everything that `simulation.js` defines.
        source: the classic script that defines `WebMQ`.
    """
    program = f"""
        const SUBPROTOCOL = {json.dumps(subprotocol)};
        {_SIMULATION.read_text()}
        {source}
        const states = [];
        function start(options) {{
            const mq = new WebMQ("http://hub.example:8080", options);
            mq.onstate = (state, detail) => states.push(detail ? [state, detail] : state);
            return mq;
        }}
        (async () => {{ {script} }})().then((result) => console.log(JSON.stringify(result)));
    """
    node = await asyncio.create_subprocess_exec("node", "-", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    try:
        stdout, stderr = await asyncio.wait_for(node.communicate(program.encode()), _PATIENCE)
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()
    assert node.returncode == 0, stderr.decode()
    assert stderr == b"", stderr.decode()
    result: object = json.loads(stdout)
    return result
