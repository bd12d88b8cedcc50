"""For the test suites of applications that push: a real hub on a port of its own, which tells what it was pushed.

    with Hub() as hub:
        shop = Shop(endpoint=hub.url)
        shop.sell(17)
        assert hub.pushes == [Pushed("http://example.com/orders", {"id": 17})]

With pytest, `pytest_plugins = ["webmqconnect_async.testing"]` in the topmost conftest.py, or in a module of tests, opts
into these fixtures:

    webmq_hub           a `Hub` for one test
    webmq_hub_options   its options, none: override it to give some, for all tests or for those of a module or class, or
                        parametrize it

Pytest is needed for these alone. It is not imported here, but imports their module itself, as a plugin of this plugin.

PYTEST_DONT_REWRITE: or pytest warns of a plugin that conftest.py has imported names from.
"""

from __future__ import annotations

from ._journal import Pushed
from ._threaded import Hub

__all__ = ["Hub", "Pushed"]

pytest_plugins = ("webmqconnect_async.testing._fixtures",)
