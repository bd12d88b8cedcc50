"""`from_env`: the arguments that it passes, errors that name the variable, and that no error contains the secret."""

from __future__ import annotations

import gzip
import os
import re
import traceback
from pathlib import Path

import pytest

from webmqconnect_async import AsyncClient, Client
from webmqconnect_async._core.environment import Environment, read_secret
from webmqconnect_async.hub import Hub

from .running import in_thread

SECRET = "a-secret-of-the-tests"
URL = "http://127.0.0.1:8080"
CLIENTS: list[type[AsyncClient] | type[Client]] = [AsyncClient, Client]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("WEBMQ_"):
            monkeypatch.delenv(name)


def environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in {"ENDPOINT": URL, **variables}.items():
        monkeypatch.setenv(f"WEBMQ_{name}", value)


async def test_the_asynchronous_client_pushes_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Hub(port=0, keys={"app": SECRET}) as hub:
        environment(monkeypatch, ENDPOINT=hub.url, AUTH_KEY="app", AUTH_SECRET=SECRET)
        async with AsyncClient.from_env(timeout=5.0) as client:
            assert (await client.push("t", 1)).status == 202


def test_the_blocking_client_pushes_in_the_other_dialect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    with in_thread(lambda: Hub(port=0, keys={"app": SECRET})) as hub:
        environment(monkeypatch, ENDPOINT=f"{hub.url}/publish", DIALECT="crossbar", AUTH_KEY="app")
        monkeypatch.setenv("WEBMQ_AUTH_SECRET_FILE", str(tmp_path / "secret"))
        with Client.from_env() as client:
            receipt = client.push("com.example.t", 1)
    assert (receipt.status, receipt.id is None) == (200, False)


@pytest.mark.parametrize("make", CLIENTS)
def test_only_the_endpoint_is_required(make: type[AsyncClient] | type[Client], monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch)
    assert repr(make.from_env()) == f"<{make.__name__} {URL}/ auth_key=None>"
    assert Environment.read() == Environment(URL, "webmq", None, None)


@pytest.mark.parametrize("make", CLIENTS)
def test_from_env_of_a_subclass_returns_the_subclass(
    make: type[AsyncClient] | type[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(monkeypatch)
    assert type(type("Mine", (make,), {}).from_env()).__name__ == "Mine"  # type: ignore[attr-defined]  # made here


@pytest.mark.parametrize("make", CLIENTS)
def test_the_other_arguments_are_those_of_the_constructor(
    make: type[AsyncClient] | type[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The constructor checks them. Arguments that the environment provides are not accepted."""
    environment(monkeypatch)
    with pytest.raises(ValueError, match="concurrency must "):
        make.from_env(concurrency=0)
    for said in ("endpoint", "auth_key", "dialect"):
        with pytest.raises(TypeError, match=f"multiple values for .*argument '{said}'"):
            make.from_env(**{said: "x"})  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(TypeError, match="colour"):
        make.from_env(colour="blue")  # type: ignore[call-arg]  # wrong on purpose


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable counts as unset, because docker-compose and many shells cannot unset one."""
    environment(monkeypatch, AUTH_KEY="", AUTH_SECRET="", AUTH_SECRET_FILE="", DIALECT="")
    assert Environment.read() == Environment(URL, "webmq", None, None)


@pytest.mark.parametrize(
    ("held", "secret"),
    [
        (b"s3cret", b"s3cret"),
        (b"s3cret\n", b"s3cret"),
        (b"s3cret\r\n", b"s3cret"),
        (b" s3cret \n", b" s3cret "),
        (b"\xff\x01", b"\xff\x01"),
    ],
)
def test_one_newline_at_the_end_of_a_file_is_removed(
    held: bytes, secret: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(held)
    environment(monkeypatch, AUTH_KEY="app", AUTH_SECRET_FILE=str(file))
    assert Environment.read().auth_secret == secret


def test_a_variable_is_used_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, AUTH_KEY="app", AUTH_SECRET=os.fsdecode(b" s3cret\xff "))
    assert Environment.read().auth_secret == b" s3cret\xff "


DAMAGED = [
    (b"\xef\xbb\xbfs3cret\r\n", "begins with a byte order mark"),
    ("s3cret\r\n".encode("utf-16"), "is UTF-16"),
    (b"\xfe\xff" + "s3cret".encode("utf-16-be"), "is UTF-16"),
    ("s3cret\n".encode("utf-16-le"), "has a NUL byte"),
    (gzip.compress(b"s3cret", mtime=0), "has a NUL byte"),
    (b"s3cret\r", "ends with an extra carriage return"),
    (b"s3cret\n\n", "ends with an extra"),
    (b"s3cret\r\n\r\n", "ends with an extra"),
]


@pytest.mark.parametrize(("held", "said"), DAMAGED, ids=range(len(DAMAGED)))
def test_a_secret_that_an_editor_or_a_shell_has_damaged(
    held: bytes, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error names the variable or the file, and does not show the secret."""
    file = tmp_path / "secret"
    file.write_bytes(held)
    variables = [("AUTH_SECRET_FILE", str(file))]
    if b"\0" not in held:  # a character that no variable can contain
        variables.append(("AUTH_SECRET", os.fsdecode(held.removesuffix(b"\r\n") or held)))
    for name, value in variables:
        with monkeypatch.context() as context:
            environment(context, AUTH_KEY="app", **{name: value})
            with pytest.raises(ValueError, match=f"^WEBMQ_{name}: the secret .*{said}") as caught:
                Environment.read()
        assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(ValueError, match=re.escape(f"the secret in {file} {said}")):
        read_secret(file)


UNREADABLE = "WEBMQ_AUTH_SECRET_FILE: cannot read the file that it names: "

WRONG = [
    ({"ENDPOINT": ""}, "WEBMQ_ENDPOINT: not set; set it to the http or https URL of the broker"),
    ({"ENDPOINT": "ftp://h"}, "WEBMQ_ENDPOINT: must begin with http:// or https://"),
    ({"ENDPOINT": f"http://app:{SECRET}@h"}, "WEBMQ_ENDPOINT: user information is not supported"),
    ({"AUTH_KEY": "app"}, "WEBMQ_AUTH_SECRET: not set, nor is WEBMQ_AUTH_SECRET_FILE; set one of them"),
    ({"AUTH_KEY": "app", "AUTH_SECRET": ""}, "WEBMQ_AUTH_SECRET: not set"),
    ({"AUTH_SECRET": SECRET}, "WEBMQ_AUTH_KEY: not set; set it to the name of the key that the secret belongs to"),
    ({"AUTH_KEY": "", "AUTH_SECRET": SECRET}, "WEBMQ_AUTH_KEY: not set"),
    ({"AUTH_KEY": "app\udcff", "AUTH_SECRET": SECRET}, "WEBMQ_AUTH_KEY: a lone surrogate is not UTF-8"),
    (
        {"AUTH_KEY": "app", "AUTH_SECRET": SECRET, "AUTH_SECRET_FILE": "full"},
        "WEBMQ_AUTH_SECRET and WEBMQ_AUTH_SECRET_FILE: both are set",
    ),
    ({"AUTH_KEY": "app", "AUTH_SECRET_FILE": "absent"}, f"{UNREADABLE}No such file or directory$"),
    # The secret itself, set as the wrong variable.
    ({"AUTH_KEY": "app", "AUTH_SECRET_FILE": SECRET}, f"{UNREADABLE}No such file or directory$"),
    ({"AUTH_KEY": "app", "AUTH_SECRET_FILE": "."}, f"{UNREADABLE}Is a directory$"),
    (
        {"AUTH_KEY": "app", "AUTH_SECRET_FILE": "empty"},
        "WEBMQ_AUTH_SECRET_FILE: the secret in the file that it names is empty$",
    ),
    ({"AUTH_SECRET_FILE": "full"}, "WEBMQ_AUTH_KEY: not set"),
    ({"DIALECT": "wamp"}, "WEBMQ_DIALECT must be 'webmq' or 'crossbar', not 'wamp'"),
]


@pytest.mark.parametrize(("variables", "said"), WRONG, ids=[said for _, said in WRONG])
def test_the_error_of_a_wrong_variable_names_it(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").write_text(SECRET)
    Path("empty").write_text("\n")
    environment(monkeypatch, **variables)
    for make in CLIENTS:
        with pytest.raises(ValueError, match=f"^{said}") as caught:
            make.from_env()
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        # No chained error contains it either: an OSError would contain the name of the file.
        behind = caught.value.__context__
        while behind is not None:
            assert SECRET not in str(behind)
            behind = behind.__context__


def test_the_secret_is_in_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, AUTH_KEY="app", AUTH_SECRET=SECRET)
    assert repr(Environment.read()) == f"Environment(endpoint='{URL}', dialect='webmq', auth_key='app')"
