"""A real hub for the test suites of applications, which records what is pushed to it.

    with Hub() as hub:
        shop = Shop(endpoint=hub.url)
        shop.sell(17)
        assert hub.pushes == [Pushed("http://example.com/orders", {"id": 17})]

For pytest, `pytest_plugins = ["webmqconnect_async.testing"]` in the top-level conftest.py, or in a test module, adds
these fixtures:

    webmq_hub           a `Hub` for one test
    webmq_hub_options   the options of that hub, `{}` by default: override the fixture for all tests, a module or a
                        class, or parametrize it

Only the fixtures need pytest, which loads their module as a plugin of this plugin.

PYTEST_DONT_REWRITE: without this word, pytest warns if conftest.py imports names from this plugin.
"""

from __future__ import annotations

from ._journal import Pushed
from ._threaded import Hub

__all__ = ["Hub", "Pushed"]

pytest_plugins: tuple[str, ...] = ("webmqconnect_async.testing._fixtures",)
