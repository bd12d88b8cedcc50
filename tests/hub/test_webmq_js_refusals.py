"""How `webmq.js` handles a broker that refuses it or ends its session, in a simulated page."""

from __future__ import annotations

import json

import pytest

from .simulated import simulate

pytestmark = pytest.mark.usefixtures("node")

V1, V2 = "wamp", "wamp.2.json"

both = pytest.mark.parametrize("protocol", [V1, V2])

KEY = "{ key: 'reader', sign: () => '='.repeat(44) }"


def short(uri: str) -> str:
    """Return the part of an error's URI that `detail` contains."""
    return uri.replace("#", ".").rpartition(".")[2]


# Refusals of the page's key or ticket

IDENTITY_REFUSED = {
    V1: [
        "http://api.wamp.ws/error#no-such-authkey",
        "http://api.wamp.ws/error#invalid-signature",
        "http://api.wamp.ws/error#anonymous-auth-forbidden",
    ],
    V2: [
        "wamp.error.not_authorized",
        "wamp.error.no_such_principal",
        "wamp.error.no_such_role",
        "wamp.error.no_auth_method",
        "wamp.error.no_matching_auth_method",
        "wamp.error.authentication_failed",
        "wamp.error.authentication_denied",
        "wamp.error.authentication_required",
        "wamp.error.authorization_denied",
        "wamp.error.authorization_required",
    ],
}


@both
async def test_an_identity_refused_at_the_first_join_is_final(protocol: str) -> None:
    uris = IDENTITY_REFUSED[protocol]
    said = await simulate(
        protocol,
        f"""
        const said = [];
        for (const uri of {json.dumps(uris)}) {{
            const mq = start();
            await join(uri, "not you");
            online();
            looked();
            await pass(3600000);
            said.push([mq.state, mq.detail, sockets.length, sockets.at(-1).closed, timers.size]);
        }}
        return said;
        """,
    )
    assert said == [["refused", f"{short(uri)}: not you", number, 1, 0] for number, uri in enumerate(uris, 1)]


@both
async def test_an_identity_refused_at_the_first_join_is_final_after_a_transient_failure(protocol: str) -> None:
    said = await simulate(
        protocol,
        f"""
        start();
        await lose();
        await elapse();
        await join("{IDENTITY_REFUSED[protocol][0]}", "not you");
        return [states.at(-1), sockets.length, timers.size];
        """,
    )
    assert said == [["refused", f"{short(IDENTITY_REFUSED[protocol][0])}: not you"], 2, 0]


@both
async def test_an_identity_refused_at_a_later_join_is_tried_again(protocol: str) -> None:
    """The page tries again, because its key may just be being replaced."""
    uris = IDENTITY_REFUSED[protocol]
    said = await simulate(
        protocol,
        f"""
        start();
        await join();
        await lose(1001);
        const waits = [await elapse()];
        for (const uri of {json.dumps(uris)}) {{
            await join(uri, "not now");
            waits.push(await elapse());
        }}
        await join();
        return [waits.slice(0, 4), sockets.length, states];
        """,
    )
    states: list[object] = ["open", ["closed", "the connection ended (1001)"], "connecting"]
    for uri in uris:
        states += [["closed", f"{short(uri)}: not now"], "connecting"]
    assert said == [[500, 1000, 2000, 4000], len(uris) + 2, [*states, "open"]]


@pytest.mark.parametrize("challenged", [True, False])
async def test_a_key_refused_at_the_first_join_over_wamp_2_is_final(challenged: bool) -> None:
    said = await simulate(
        V2,
        f"""
        start({KEY});
        await accept();
        if ({str(challenged).lower()}) await say(4, "wampcra", {{ challenge: "c" }});
        await say(3, {{ message: "no such key" }}, "wamp.error.authentication_failed");
        return [states, sockets.length, timers.size];
        """,
    )
    assert said == [[["refused", "authentication_failed: no such key"]], 1, 0]


async def test_a_key_refused_at_the_first_join_over_wamp_1_is_final() -> None:
    said = await simulate(
        V1,
        f"""
        start({KEY});
        await accept();
        await say(0, "1234", 1, "a hub");
        await answer("the challenge");
        await say(4, sent().at(-1)[1], "http://api.wamp.ws/error#invalid-signature", "wrong signature");
        return [states, sockets.length, timers.size];
        """,
    )
    assert said == [[["refused", "invalid-signature: wrong signature"]], 1, 0]


async def test_a_page_without_a_key_that_is_challenged_is_refused() -> None:
    said = await simulate(
        V2,
        """
        start();
        await accept();
        await say(4, "wampcra", { challenge: "c" });
        return [states, sockets.length, timers.size];
        """,
    )
    assert said == [[["refused", "authentication_required: no key"]], 1, 0]


# Transient refusals

PASSING = {
    V1: [
        "http://api.wamp.ws/error#no-authentication-requested",
        "http://api.wamp.ws/error#authentication-already-requested",
        "http://api.wamp.ws/error#already-authenticated",
        "http://api.wamp.ws/error#generic",
        "http://example.com/error#no-such-authkey",
        "",
    ],
    V2: [
        "wamp.error.no_such_realm",
        "wamp.error.no_such_procedure",
        "wamp.error.authorization_failed",
        "wamp.error.canceled",
        "wamp.error.protocol_violation",
        "wamp.error.runtime_error",
        "wamp.error.system_shutdown",
        "wamp.error.timeout",
        "wamp.close.close_realm",
        "wamp.close.system_shutdown",
        "com.example.not_authorized",
        "",
    ],
}


@both
async def test_any_other_error_at_the_first_join_is_tried_again(protocol: str) -> None:
    uris = PASSING[protocol]
    said = await simulate(
        protocol,
        f"""
        start();
        const waits = [];
        for (const uri of {json.dumps(uris)}) {{
            await join(uri, "not now");
            waits.push(await elapse());
        }}
        await join();
        return [waits.slice(0, 4), sockets.map(({{ closed }}) => closed), states];
        """,
    )
    states: list[object] = []
    for uri in uris:
        states += [["closed", f"{short(uri)}: not now"], "connecting"]
    assert said == [[500, 1000, 2000, 4000], [*(1 for _ in uris), 0], [*states, "open"]]


async def test_a_proxy_without_its_router_is_tried_again() -> None:
    """Crossbar.io's proxy sends the URI of a refusal, and only the text of its message differs."""
    said = await simulate(
        V2,
        """
        start();
        await join("wamp.error.authentication_failed", "Frontend connection accept failed (no route to host)");
        const wait = await elapse();
        await join();
        return [wait, sockets.length, states];
        """,
    )
    detail = "authentication_failed: Frontend connection accept failed (no route to host)"
    assert said == [500, 2, [["closed", detail], "connecting", "open"]]


async def test_a_malformed_abort_is_tried_again() -> None:
    said = await simulate(
        V2,
        """
        start();
        for (const abort of [[3], [3, null], [3, {}, null], [3, [], 7], [3, { message: {} }, {}]]) {
            await accept();
            await say(...abort);
            await elapse();
        }
        await join();
        return [sockets.length, states.at(-1)];
        """,
    )
    assert said == [6, "open"]


async def test_a_second_challenge_is_an_error() -> None:
    said = await simulate(
        V2,
        f"""
        start({KEY});
        await accept();
        await say(4, "wampcra", {{ challenge: "one" }});
        await say(4, "wampcra", {{ challenge: "two" }});
        const before = [...states];
        await say(2, 1234, {{}});
        return [before, states];
        """,
    )
    assert said == [[], ["open"]]


async def test_a_page_with_a_key_tries_a_hub_without_keys_again() -> None:
    said = await simulate(
        V1,
        f"""
        start({KEY});
        await join("http://api.wamp.ws/error#NoSuchRPCEndpoint", "no such procedure");
        return [states, await elapse(), sockets.length];
        """,
    )
    assert said == [[["closed", "NoSuchRPCEndpoint: no such procedure"], "connecting"], 500, 2]


async def test_an_abort_during_sign_takes_effect_at_once() -> None:
    said = await simulate(
        V2,
        """
        start({ key: "reader", sign: () => new Promise(() => {}) });
        await accept();
        await say(4, "wampcra", { challenge: "c" });
        await say(3, { message: "not in time" }, "wamp.error.timeout");
        return states;
        """,
    )
    assert said == [["closed", "timeout: not in time"]]


@both
@pytest.mark.parametrize("error", ["new Error('no server')", "{ message: 'no server', final: true }", "'no server'"])
async def test_a_failing_sign_is_called_again(protocol: str, error: str) -> None:
    said = await simulate(
        protocol,
        f"""
        start({{ key: "reader", sign: async () => {{ throw {error}; }} }});
        await accept();
        if (SUBPROTOCOL === "wamp") {{
            await say(0, "1234", 1, "a hub");
            await answer("the challenge");
        }} else {{
            await say(4, "wampcra", {{ challenge: "the challenge" }});
        }}
        return [states, await elapse()];
        """,
    )
    assert said == [[["closed", "not authenticated: no server"], "connecting"], 500]


CHALLENGED = """
    const challenged = async () => {
        await accept();
        if (SUBPROTOCOL === "wamp") {
            await say(0, "1234", 1, "a hub");
            await answer('{"salt":"s","more":1}');
        } else {
            await say(4, "wampcra", { challenge: "the challenge", salt: "s" });
        }
    };
"""


@both
@pytest.mark.parametrize(
    ("returned", "length"),
    [
        ("'<h1>502 Bad Gateway</h1>'", "24"),
        ("''", "0"),
        ("'='.repeat(43)", "43"),
        ("'='.repeat(44) + String.fromCharCode(10)", "45"),
        ("null", "0"),
        ("new Response('not read')", "0"),
    ],
)
async def test_an_invalid_signature_is_not_sent_and_sign_is_called_again(
    protocol: str, returned: str, length: str
) -> None:
    said = await simulate(
        protocol,
        f"""
        {CHALLENGED}
        start({{ key: "reader", sign: async () => {returned} }});
        await challenged();
        const messages = sent().length;
        const waits = [await elapse()];
        await challenged();
        waits.push(await elapse());
        return [messages, states.slice(0, 2), waits, sockets.length];
        """,
    )
    why = f"not authenticated: sign returned {length} characters, not 44"
    assert said == [1, [["closed", why], "connecting"], [500, 1000], 3]


@both
async def test_a_sign_that_never_settles_times_out(protocol: str) -> None:
    said = await simulate(
        protocol,
        f"""
        {CHALLENGED}
        let signs = 0, late;
        const sign = () => {{ signs += 1; return new Promise((resolve) => {{ late ??= resolve; }}); }};
        start({{ key: "reader", sign }});
        await challenged();
        const waits = [await elapse(), await elapse()];
        late("=".repeat(44));
        await challenged();
        return [waits, signs, states, sent().length];
        """,
    )
    assert said == [[10000, 500], 2, [["closed", "no welcome by hub.example:8080 within 10 s"], "connecting"], 1]


@both
async def test_sign_gets_the_challenge_and_its_details(protocol: str) -> None:
    said = await simulate(
        protocol,
        f"""
        {CHALLENGED}
        const calls = [];
        start({{ key: "reader", sign: (...args) => {{ calls.push(args); return "=".repeat(44); }} }});
        await challenged();
        return [calls, sent().at(-1).at(SUBPROTOCOL === "wamp" ? -1 : 1)];
        """,
    )
    challenge, extra = {
        V1: ('{"salt":"s","more":1}', {"salt": "s", "more": 1}),
        V2: ("the challenge", {"challenge": "the challenge", "salt": "s"}),
    }[protocol]
    assert said == [[[challenge, extra]], "=" * 44]


async def test_a_challenge_over_wamp_1_that_is_not_json() -> None:
    said = await simulate(
        V1,
        """
        const calls = [];
        start({ key: "reader", sign: (...args) => { calls.push(args); return "=".repeat(44); } });
        await accept();
        await say(0, "1234", 1, "a hub");
        await answer("the challenge");
        return calls;
        """,
    )
    assert said == [["the challenge", None]]


@pytest.mark.parametrize(
    ("extra", "signature"),
    [
        ("{ salt: 'sält', iterations: 100, keylen: 32 }", "bD5vAUX1VszZx1IsRZTSHQsWi5Ns2BabclHha3BK4o4="),
        ("{ salt: 'sält', iterations: 100, keylen: 16 }", "HZlFxkUe8gIWeRzHDfe10+4/VS/R6dZ8fZtc/6JAKoQ="),
        ("{}", "4EJGezVuVM7znF5iCSepBUIX+pacSz4QtJcOo+xQdWE="),
        ("null", "4EJGezVuVM7znF5iCSepBUIX+pacSz4QtJcOo+xQdWE="),
        ("undefined", "4EJGezVuVM7znF5iCSepBUIX+pacSz4QtJcOo+xQdWE="),
    ],
)
async def test_signatures_by_salted_and_plain_secrets(extra: str, signature: str) -> None:
    """The signatures equal those of `autobahn.wamp.auth`."""
    said = await simulate(V2, f"return WebMQ.signer('s3cret ü')('the challenge €', {extra});")
    assert said == signature


# A session that the broker ends

GOODBYES = ["wamp.close.system_shutdown", "wamp.close.close_realm", "wamp.close.killed", "wamp.error.not_authorized"]


async def test_a_goodbye_gets_a_reply_and_ends_the_connection() -> None:
    """The page closes the connection, whether the broker closes it or not."""
    said = await simulate(
        V2,
        f"""
        start();
        const waits = [];
        for (const reason of {json.dumps(GOODBYES)}) {{
            await join();
            await say(6, {{}}, reason);
            waits.push(await elapse());
        }}
        return [states, waits, sockets.slice(0, -1).map(({{ sent, closed }}) => [sent.at(-1), closed])];
        """,
    )
    states: list[object] = []
    for reason in GOODBYES:
        states += ["open", ["closed", f"{short(reason)}: no reason"], "connecting"]
    answered = [[6, {}, "wamp.close.goodbye_and_out"], 1]
    assert said == [states, [500, 1000, 2000, 4000], [answered] * 4]


@pytest.mark.parametrize("reason", ["wamp.error.protocol_violation", "wamp.error.not_authorized"])
async def test_an_abort_of_an_open_session_gets_no_reply_and_is_tried_again(reason: str) -> None:
    said = await simulate(
        V2,
        f"""
        start();
        await join();
        await say(3, {{ message: "too much" }}, "{reason}");
        const {{ sent, closed }} = sockets[0];
        return [states, sent.length, closed, await elapse()];
        """,
    )
    assert said == [["open", ["closed", f"{short(reason)}: too much"], "connecting"], 1, 1, 500]
