"""Which clients are compared, and the goals for ratios and limits. Pure data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .load import EVENT_BYTES


@dataclass(frozen=True, slots=True)
class Cell:
    """One client under one load."""

    client: str
    concurrency: int = 1
    events: int = 6000
    loop: str = "asyncio"
    topics: int = 1
    body: int = EVENT_BYTES
    delay: float = 0.0
    """Seconds until the broker responds."""
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast one cell should be as another, in the same round."""

    title: str
    ours: Cell
    peer: Cell
    goal: float | None = None
    stretch: float | None = None
    unit: str = "x"
    """The unit of the goals: "x" for factors, or "%"."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The highest cost that meets the goal."""

    goal: float
    stretch: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Ratios whose cells take turns within each round."""

    ratios: Sequence[Ratio]
    others: Sequence[Cell] = ()
    """Cells without a ratio that are measured too, for the table and the chart."""

    @property
    def cells(self) -> Sequence[Cell]:
        """All cells, each once. Each comes after the cell that it is compared with."""
        compared = (cell for ratio in self.ratios for cell in (ratio.peer, ratio.ours))
        return tuple(dict.fromkeys((*compared, *self.others)))

    def goals_only(self) -> Group:
        """Return a group without the ratios and cells that have no goal."""
        return Group([ratio for ratio in self.ratios if ratio.goal is not None])


def _against_naive(concurrency: int, goal: float, stretch: float | None = None) -> Ratio:
    ours, peer = Cell("push_many", concurrency), Cell("aiohttp, naive", concurrency)
    return Ratio(f"push_many against naive aiohttp, concurrency {concurrency}", ours, peer, goal, stretch)


def _awaited(concurrency: int, events: int, goal: float, stretch: float) -> Ratio:
    ours, peer = Cell("push", concurrency, events), Cell("aiohttp, naive, awaited", concurrency, events)
    return Ratio(f"push, awaited, against the awaited naive post, concurrency {concurrency}", ours, peer, goal, stretch)


_MANY_10, _NAIVE_10, _UVLOOP_10 = (
    Cell("push_many", 10),
    Cell("aiohttp, naive", 10),
    Cell("push_many", 10, loop="uvloop"),
)
_MANY, NAIVE, _UVLOOP = Cell("push_many", 100), Cell("aiohttp, naive", 100), Cell("push_many", 100, loop="uvloop")
_RAW = Cell("raw protocol loop", 100)
_UNORDERED = replace(_MANY, topics=1000)
_STREAM = Cell("push_stream", 50, topics=1000)

_LINES, _PUSHES = Cell("push --jsonl", 50, events=20_000), Cell("push_many", 50, events=20_000)

BULK = (
    Group([_against_naive(1, 1.5)], [Cell("raw protocol loop")]),
    Group(
        [
            _against_naive(10, 2.4, 3.0),
            Ratio("push_many on uvloop against naive aiohttp on asyncio, concurrency 10", _UVLOOP_10, _NAIVE_10),
        ],
        # httpx gets slower with concurrency: with more events, it would take most of the time of the run.
        [
            *(Cell(name, 10) for name in ("aiohttp, hand-inlined", "aiohttp, constant", "cent", "pyreqwest")),
            Cell("httpx", 10, events=600),
            Cell("raw protocol loop", 10),
        ],
    ),
    Group(
        [
            _against_naive(100, 2.5, 3.0),
            Ratio("push_many on uvloop against naive aiohttp on asyncio, concurrency 100", _UVLOOP, NAIVE, 2.6, 3.2),
            Ratio(
                "push_many with dumps=orjson.dumps against naive aiohttp, concurrency 100",
                Cell("push_many, orjson", 100), NAIVE, 3.2,
            ),
            Ratio(
                "push_many against the hand-inlined aiohttp loop, concurrency 100",
                _MANY, Cell("aiohttp, hand-inlined", 100), 1.9, 2.2,
            ),
            Ratio(
                "push_many against aiohttp with constant URL and body, concurrency 100",
                _MANY, Cell("aiohttp, constant", 100), 1.25, 1.4,
            ),
            Ratio("push_many against pyreqwest (Rust), concurrency 100", _MANY, Cell("pyreqwest", 100), 1.15, 1.3),
            Ratio("push_many, of the raw protocol loop that signs, concurrency 100", _MANY, _RAW, 50, 65, "%"),
            Ratio("push_many against cent's AsyncClient, concurrency 100", _MANY, Cell("cent", 100)),
            Ratio("push_stream against push_many, concurrency 100", Cell("push_stream", 100), _MANY, 0.95, 1.0),
            Ratio(
                "order_by_topic=True over 1,000 topics against unordered, concurrency 100",
                replace(_UNORDERED, client="push_many, ordered"), _UNORDERED, 0.95, 1.0,
            ),
        ],
        [Cell("httpx", 100, events=300), replace(_RAW, loop="uvloop")],
    ),
    Group([_against_naive(1000, 2.2)]),
    Group([Ratio("relay against push_stream, SQLite, 1,000 topics", replace(_STREAM, client="relay"), _STREAM, 0.5)]),
    Group([Ratio("push --jsonl against push_many from a generator, concurrency 50", _LINES, _PUSHES, 0.8)]),
)  # fmt: skip  # a line for each cell

SINGLE = (Group([_awaited(1, 3000, 1.6, 2.2)]), Group([_awaited(10, 6000, 2.5, 3.2)]))

_CLIENT = Cell("Client.push")

SYNC = (
    Group(
        [
            Ratio(
                "Client.push against a raw http.client loop, the same signing", _CLIENT, Cell("http.client"), 1.3
            ),
            Ratio(
                "Client.push against a raw http.client loop, signing as in 2012",
                _CLIENT, Cell("http.client as in 2012"), 1.5,
            ),
            Ratio("Client.push against urllib3", _CLIENT, Cell("urllib3", events=3000), 2.5),
            Ratio("Client.push against requests", _CLIENT, Cell("requests", events=1500), 6.0),
        ]
    ),
)  # fmt: skip  # a line for each cell

_LATE = replace(_MANY, events=10_000, delay=0.020)

SLOW = (
    Group(
        [
            Ratio(
                "push_many to a broker that responds after 20 ms, of the raw protocol loop, concurrency 100",
                _LATE, replace(_LATE, client="raw protocol loop"), 95, 98, "%",
            )
        ]
    ),
)  # fmt: skip  # a line for each cell

_TLS, _NAIVE_TLS, _UVLOOP_TLS = (replace(cell, tls=True) for cell in (_MANY_10, _NAIVE_10, _UVLOOP_10))

TLS = (
    Group(
        [
            Ratio("push_many against naive aiohttp, TLS, concurrency 10", _TLS, _NAIVE_TLS, 2.2),
            Ratio("push_many on uvloop against naive aiohttp on asyncio, TLS, concurrency 10", _UVLOOP_TLS, _NAIVE_TLS),
        ]
    ),
)

INSTRUCTIONS: Mapping[Cell, Limit | None] = {
    _MANY: Limit(201_000, 170_000),
    Cell("push"): Limit(201_000, 170_000),
    NAIVE: None,
    _RAW: None,
    Cell("encode_event"): None,  # encodes the event without pushing it
}
"""Limits on the instructions per push, on asyncio and CPython 3.11."""

OTHER_CPYTHON = 1.13
"""How many times as many instructions another CPython may need: 3.13.0 needs 7 % more for push_many."""

GROWN = Limit(0.5)
"""MB that a process may grow by during a million pushes."""

KEPT = Limit(200)
"""Bytes that `push_many` may keep per outcome."""
