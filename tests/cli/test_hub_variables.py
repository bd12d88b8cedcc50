"""The variables `WEBMQ_HUB_…`: each sets an option, a typo is an error, and no error shows a secret."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import aiohttp
import pytest
import rich_click as click

from webmqconnect_async import AsyncClient, Rejected
from webmqconnect_async._cli.hub_variables import name_of

from ..processes import MODULE, Ended, python
from .conftest import COMMANDS, SECRET, TOPIC, invoke_here

HUB = COMMANDS["hub"]
OPTIONS = {option.opts[0]: option for option in HUB.params if isinstance(option, click.Option)}
READ_WITH_THE_URL = {"--backplane", "--backplane-file"}
"""Options whose variables are read together with the URL, and not by Click."""


@pytest.fixture(autouse=True)
def no_other_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WEBMQ_AUTH_KEY", *(name_of(option) for option in OPTIONS.values())):
        monkeypatch.delenv(name, raising=False)


def parsed(*arguments: str) -> dict[str, object]:
    """Return the values of all options."""
    return HUB.make_context("hub", list(arguments)).params


def values(option: click.Option) -> tuple[str, ...]:
    """Return values for an option other than its default; two for an option that can be repeated."""
    match option.type:
        case click.Choice():
            return (str(option.type.choices[-1]),)
        case click.Path():
            return (__file__,)
    if option.is_flag:
        return ("1",)
    if option.multiple:
        return ("http://a.example/", "http://b.example/")
    return ("17",)


def failed(env: dict[str, str], *arguments: str) -> str:
    """Run a hub that does not start, and return its error on one line."""
    ended: Ended = invoke_here("hub", *arguments, env=env)
    assert (ended.status, ended.stdout) == (2, "")
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", ended.stderr).split())


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - READ_WITH_THE_URL))
def test_a_variable_sets_its_option(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    option, usual = OPTIONS[name], parsed()
    given = values(option)
    monkeypatch.setenv("WEBMQ_HUB_" + name[2:].upper().replace("-", "_"), " ".join(given))
    by_variable = parsed()
    arguments = [word for value in given for word in ((name,) if option.is_flag else (name, value))]
    monkeypatch.delenv(name_of(option))
    assert by_variable == parsed(*arguments) != usual


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("0", False), ("false", False)])
@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.is_flag])
def test_the_variables_of_flags(name: str, text: str, value: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name_of(OPTIONS[name]), text)
    assert parsed()[str(OPTIONS[name].name)] is value


def test_an_option_takes_precedence_and_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBMQ_HUB_PORT", "1")
    monkeypatch.setenv("WEBMQ_HUB_ALLOW_HOST", "a.example")
    monkeypatch.setenv("WEBMQ_HUB_MAX_BODY", "")
    monkeypatch.setenv("WEBMQ_HUB_CONSOLE", "")
    monkeypatch.setenv("WEBMQ_HUB_TYPO", "")
    params = parsed("--port", "2", "--allow-host", "b.example")
    assert (params["port"], params["allow_hosts"]) == (2, ("b.example",))
    assert (params["max_body"], params["console"]) == (4096, None)


def test_the_key_of_the_hub_takes_precedence_over_that_of_all_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBMQ_AUTH_KEY", "all")
    assert parsed()["key"] == "all"
    monkeypatch.setenv("WEBMQ_HUB_KEY", "hub")
    assert parsed()["key"] == "hub"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"PORT": "80x"}, "Invalid value for WEBMQ_HUB_PORT: '80x' is not a valid integer"),
        ({"CONSOLE": "maybe"}, "Invalid value for WEBMQ_HUB_CONSOLE: 'maybe' is not a valid boolean."),
        ({"KEEPALIVE": "1d"}, "Invalid value for WEBMQ_HUB_KEEPALIVE: '1d' is not a duration"),
        ({"LOG_FORMAT": "xml"}, "Invalid value for WEBMQ_HUB_LOG_FORMAT: 'xml' is not one of"),
        ({"HOST": "0.0.0.0"}, "WEBMQ_HUB_KEY must be given for a hub on '0.0.0.0'"),  # noqa: S104  # refused
        ({"KEY": "app"}, "WEBMQ_HUB_KEY needs its secret: set WEBMQ_AUTH_SECRET, or give WEBMQ_HUB_SECRET_FILE."),
        ({"SECRET_FILE": __file__}, "WEBMQ_HUB_SECRET_FILE needs WEBMQ_HUB_KEY, the name"),
        ({"PUBLIC": TOPIC}, "WEBMQ_HUB_PUBLIC needs WEBMQ_HUB_TICKET_KEY or WEBMQ_HUB_SUBSCRIBER_KEY."),
        ({"ALLOW_HOST": "a.example b:80"}, "WEBMQ_HUB_ALLOW_HOST must contain names without port"),
        ({"METRICS": "9100"}, "WEBMQ_HUB_METRICS must be HOST:PORT"),
        ({"BACKPLANE": "http://a:b@c"}, "WEBMQ_HUB_BACKPLANE must be redis://"),
        ({"BACKPLANE": "redis://a", "BACKPLANE_PREFIX": "a b"}, "WEBMQ_HUB_BACKPLANE_PREFIX must be 1 to 100"),
    ],
)
def test_an_error_names_the_variable(env: dict[str, str], said: str) -> None:
    message = failed({f"WEBMQ_HUB_{name}": value for name, value in env.items()})
    assert said in message
    assert "--" not in message


def test_an_error_names_the_option_that_is_given() -> None:
    assert "WEBMQ_HUB_PUBLIC needs --ticket-key" not in failed({}, "--public", TOPIC)
    said = failed({"WEBMQ_HUB_CONSOLE_TOKEN_FILE": __file__}, "--no-console")
    assert "WEBMQ_HUB_CONSOLE_TOKEN_FILE needs --console." in said
    assert "WEBMQ_AUTH_KEY needs its secret" in failed({"WEBMQ_AUTH_KEY": "app"})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PROT", "WEBMQ_HUB_PORT"),
        ("ALLOW_ORIGINS", "WEBMQ_HUB_ALLOW_ORIGIN"),
        ("MAXBODY", "WEBMQ_HUB_MAX_BODY"),
        ("SECRET", "WEBMQ_AUTH_SECRET"),
        ("SUBSCRIBER_SECRET", "WEBMQ_SUBSCRIBER_SECRET"),
        ("TICKET_SECRET", "WEBMQ_TICKET_SECRET"),
        ("BACKPLANE_URL", "WEBMQ_HUB_BACKPLANE"),
    ],
)
def test_a_typo_is_an_error(name: str, meant: str) -> None:
    """A misspelled variable is an error. Its value is not shown, because it may be a secret."""
    said = failed({f"WEBMQ_HUB_{name}": SECRET})
    assert f"WEBMQ_HUB_{name} is not a variable of the hub: did you mean {meant}?" in said
    assert SECRET not in said


def test_an_unknown_variable_without_a_similar_name() -> None:
    assert "WEBMQ_HUB_ZZZZZZZZZZZZ is not a variable of the hub." in failed({"WEBMQ_HUB_ZZZZZZZZZZZZ": "1"})


def test_variables_that_kubernetes_sets_for_a_service_are_explained() -> None:
    """Kubernetes sets `WEBMQ_HUB_PORT` to `tcp://…` for a service named webmq-hub.

    The error says that this is the cause.
    """
    env = {"WEBMQ_HUB_PORT": "tcp://10.0.0.1:8080", "WEBMQ_HUB_SERVICE_HOST": "10.0.0.1"}
    assert "set enableServiceLinks: false for the pod" in failed(env)


def test_help_is_shown_despite_a_misspelled_variable() -> None:
    ended = invoke_here("hub", "--help", env={"WEBMQ_HUB_PROT": "1"})
    assert ended.status == 0
    assert ended.stdout.count("WEBMQ_HUB_MAX_BODY") == 1


@pytest.mark.parametrize("name", ["SECRET_FILE", "SUBSCRIBER_SECRET_FILE", "TICKET_SECRET_FILE", "CONSOLE_TOKEN_FILE"])
def test_a_secret_given_instead_of_its_path_is_not_shown(name: str) -> None:
    said = failed({f"WEBMQ_HUB_{name}": SECRET})
    assert f"Invalid value for WEBMQ_HUB_{name}: the file that it names cannot be read." in said
    assert SECRET not in said


async def test_a_hub_that_is_configured_only_by_variables(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    env = {
        "WEBMQ_HUB_PORT": "0",
        "WEBMQ_HUB_KEY": "app",
        "WEBMQ_HUB_SECRET_FILE": str(secret),
        "WEBMQ_HUB_ALLOW_ORIGIN": "https://a.example https://b.example",
        "WEBMQ_HUB_CONSOLE": "0",
    }
    async with python(*MODULE, "hub", env=env) as process:
        [url] = re.findall(r"\S+://\S+", await process.said("push to"))
        async with AsyncClient(url, "app", SECRET) as client:
            assert (await client.push(TOPIC, 17)).status == 202
        async with AsyncClient(url) as client:
            with pytest.raises(Rejected, match="signed pushes only"):
                await client.push(TOPIC, 17)
        async with aiohttp.ClientSession() as http:
            for origin, status in (("https://b.example", 400), ("https://c.example", 403)):
                async with http.get(f"{url}/ws", headers={"Origin": origin}) as response:
                    assert response.status == status
            async with http.get(f"{url}/console") as response:
                assert response.status == 404
        assert (await process.stopped(signal.SIGTERM)).status == 0
