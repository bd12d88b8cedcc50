"""An unknown dialect is refused with the same message everywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from webmqconnect_async import AsyncClient, Client
from webmqconnect_async.explain import signed_request


@pytest.mark.parametrize("dialect", ["wamp", "", "WebMQ", None, ["webmq"]])
@pytest.mark.parametrize(
    "use",
    [
        lambda dialect: AsyncClient("http://127.0.0.1/", dialect=dialect),
        lambda dialect: Client("http://127.0.0.1/", dialect=dialect),
        lambda dialect: signed_request(dialect, "", b""),
    ],
    ids=["AsyncClient", "Client", "signed_request"],
)
def test_an_unknown_dialect(use: Callable[[object], object], dialect: object) -> None:
    with pytest.raises(ValueError, match="dialect") as caught:
        use(dialect)
    assert str(caught.value) == f"dialect must be 'webmq' or 'crossbar', not {dialect!r}"
