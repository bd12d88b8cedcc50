"""The tree of errors: the tree in the docstring, base classes, copies and pickles."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable

import pytest

from webmqconnect_async import errors
from webmqconnect_async._core.values import Failed, Push, Receipt, Sent
from webmqconnect_async.errors import (
    AuthRejected,
    BadReply,
    ClientClosed,
    ClockRejected,
    ConnectFailed,
    ConnectionLost,
    InvalidPush,
    NotAccepted,
    Overloaded,
    QueueTimeout,
    Rejected,
    ReplyTimeout,
    SourceFailed,
    TooLarge,
    Unconfirmed,
    WebMQError,
    WrongLoop,
)

# Names of the package's errors in the tree of the docstring, with their other base in brackets.
_DRAWN = re.compile(r"(?P<branch>[ │├└─]*)(?P<name>[A-Z]\w+)(?: \((?P<other>[A-Z]\w+)\))?(?:\s{2,}.*)?")


def _drawn_tree(drawing: str) -> dict[str, tuple[str | None, str | None]]:
    """Return the parent of each class in the docstring's tree, and the other base in brackets."""
    tree: dict[str, tuple[str | None, str | None]] = {}
    above: list[tuple[int, str]] = []
    for line in drawing.splitlines():
        match = _DRAWN.fullmatch(line)
        if match is None or match["name"] not in errors.__all__:
            continue
        depth = len(match["branch"])
        while above and above[-1][0] >= depth:
            above.pop()
        tree[match["name"]] = (above[-1][1] if above else None, match["other"])
        above.append((depth, match["name"]))
    return tree


def _real_tree() -> dict[str, tuple[str | None, str | None]]:
    """Return the nearest public base class of each public class, and the nearest built-in one."""
    tree: dict[str, tuple[str | None, str | None]] = {}
    for name in errors.__all__:
        ancestors = getattr(errors, name).__mro__[1:]
        parent = next((base.__name__ for base in ancestors if base.__name__ in errors.__all__), None)
        other = next(base.__name__ for base in ancestors if base.__module__ == "builtins")
        inherited = tree_of_parent.__mro__ if (tree_of_parent := getattr(errors, parent or "", None)) else ()
        news = other != "Exception" and other not in {base.__name__ for base in inherited}
        tree[name] = (parent, other if news else None)
    return tree


def test_the_tree_of_the_docstring_is_the_real_one() -> None:
    """The docstring's tree has every public class below its parent, with its other built-in base."""
    drawn = _drawn_tree(errors.__doc__ or "")
    assert drawn == _real_tree()
    assert len(drawn) == len(errors.__all__) == 17


def test_a_class_in_a_wrong_place_of_the_docstring_is_found() -> None:
    moved = (errors.__doc__ or "").replace("│     ├─ TooLarge ", "├─ TooLarge       ")
    assert moved != errors.__doc__
    assert _drawn_tree(moved) != _real_tree()


def test_all_contains_every_public_class() -> None:
    public = {name for name, value in vars(errors).items() if isinstance(value, type) and not name.startswith("_")}
    assert public - {"Self"} == set(errors.__all__)


@pytest.mark.parametrize(
    ("builtin", "caught"),
    [
        (ValueError, {InvalidPush}),
        (RuntimeError, {ClientClosed, WrongLoop}),
        (ConnectionError, {ConnectFailed, ConnectionLost}),
        (TimeoutError, {QueueTimeout, ReplyTimeout}),
        (OSError, {ConnectFailed, ConnectionLost, QueueTimeout, ReplyTimeout}),
        (
            NotAccepted,
            {NotAccepted, ConnectFailed, QueueTimeout, Rejected, AuthRejected, ClockRejected, TooLarge, Overloaded},
        ),
        (Unconfirmed, {Unconfirmed, ReplyTimeout, ConnectionLost, BadReply}),
        (Rejected, {Rejected, AuthRejected, ClockRejected, TooLarge, Overloaded}),
    ],
)
def test_an_except_clause_catches_the_subclasses(builtin: type[Exception], caught: set[type[Exception]]) -> None:
    found = {getattr(errors, name) for name in errors.__all__ if issubclass(getattr(errors, name), builtin)}
    assert found == caught


def test_no_error_is_both_safe_and_unsafe_to_push_again() -> None:
    for name in errors.__all__:
        cls = getattr(errors, name)
        assert not (issubclass(cls, NotAccepted) and issubclass(cls, Unconfirmed)), name


def _clock(skew: float | None) -> ClockRejected:
    error = ClockRejected("off", attempts=1, status=400, reason="timestamp expired (delta 302 seconds)")
    error.skew = skew
    return error


def _overloaded(seconds: float | None) -> Overloaded:
    error = Overloaded("busy", attempts=2, status=429, reason="slow down")
    error.retry_after = seconds
    return error


_SAMPLES: list[WebMQError] = [
    WebMQError("said", attempts=4),
    InvalidPush("topic must be a string, not int"),
    ClientClosed("the client is closed"),
    WrongLoop("another loop"),
    SourceFailed("half-way", outcomes=[Sent(0, Push("t", [1]), Receipt(202)), Failed(1, None, InvalidPush("x"))]),
    NotAccepted("no", attempts=1),
    ConnectFailed("a certificate", attempts=1, transient=False),
    ConnectFailed("refused", attempts=3),
    QueueTimeout("full"),
    Rejected("no", attempts=1, status=404, reason="nowhere"),
    AuthRejected("no", attempts=1, status=401, reason="unknown application key 'x'"),
    _clock(302.5),
    _clock(None),
    TooLarge("no", attempts=1, status=413, reason="too long"),
    _overloaded(17.0),
    _overloaded(None),
    Unconfirmed("perhaps", attempts=1),
    ReplyTimeout("late", attempts=1),
    ConnectionLost("broke", attempts=2),
    BadReply("the broker answered 500", attempts=1, status=500, reason="internal"),
]


def _pickled(error: WebMQError) -> WebMQError:
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301  # its own bytes
    assert isinstance(copied, WebMQError)
    return copied


def _all_attributes(error: WebMQError) -> dict[str, object]:
    names = {name for cls in type(error).__mro__ for name in vars(cls).get("__annotations__", {})}
    return {name: getattr(error, name) for name in names}


def test_every_class_has_a_sample() -> None:
    assert {type(error).__name__ for error in _SAMPLES} == set(errors.__all__)


@pytest.mark.parametrize("copied", [_pickled, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
@pytest.mark.parametrize("original", _SAMPLES, ids=lambda error: type(error).__name__)
def test_a_copy_of_an_error_is_complete(original: WebMQError, copied: Callable[[WebMQError], WebMQError]) -> None:
    """Type, message, arguments, every attribute and the notes are copied; the original keeps its own."""
    error = copy.deepcopy(original)
    error.add_note("while pushing order 17")
    twin = copied(error)
    assert twin is not error
    assert type(twin) is type(error)
    assert (str(twin), twin.args) == (str(error), error.args)
    if isinstance(error, SourceFailed) and isinstance(twin, SourceFailed):
        assert [(o.index, o.push, o.receipt, type(o.error)) for o in twin.outcomes] == [
            (o.index, o.push, o.receipt, type(o.error)) for o in error.outcomes
        ]
    else:
        assert _all_attributes(twin) == _all_attributes(error)
    assert twin.__notes__ == ["while pushing order 17"]
    twin._after(9)
    assert error.attempts == original.attempts


def _retryable(error: WebMQError) -> bool:
    """Return the value that the documentation gives."""
    match error:
        case ConnectFailed(transient=False):
            return False
        case BadReply(status=status):
            return 500 <= status <= 599
    return isinstance(error, ConnectFailed | QueueTimeout | Overloaded | ConnectionLost | ReplyTimeout)


@pytest.mark.parametrize(
    "error",
    [
        *_SAMPLES,
        *(BadReply("no", status=status) for status in (0, 200, 302, 499, 500, 503, 599, 600, 999)),
        Rejected("no", status=500),
    ],
    ids=repr,
)
def test_retryable(error: WebMQError) -> None:
    """A copy has the same value. It is a read-only property, so that a program cannot set it by mistake."""
    assert error.retryable is _retryable(error)
    assert _pickled(error).retryable is error.retryable
    with pytest.raises(AttributeError):
        error.retryable = True  # type: ignore[misc]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_pickle_works(protocol: int) -> None:
    twin = pickle.loads(pickle.dumps(ConnectFailed("cert", attempts=1, transient=False), protocol))  # noqa: S301  # own bytes
    assert (twin.attempts, twin.transient, str(twin)) == (1, False, "cert")


def test_an_error_of_the_callers_own_class_can_be_pickled() -> None:
    error = _OfTheCaller("broke", attempts=2)
    error.order = 17
    twin = _pickled(error)
    assert isinstance(twin, _OfTheCaller)
    assert (twin.order, twin.attempts) == (17, 2)


class _OfTheCaller(ConnectionLost):
    order: int = 0


class _Sold(ConnectionLost):
    def __init__(self, order: int) -> None:
        super().__init__(f"order {order} was not announced", attempts=1)


def test_an_error_with_its_own_constructor_can_be_pickled() -> None:
    """Unpickling does not call the constructor with the message in place of its own argument."""
    assert str(_pickled(_Sold(17))) == "order 17 was not announced"


def test_a_pickle_does_not_contain_the_cause() -> None:
    """The cause of an error may be an error of aiohttp, which contains the signed URL."""
    error = ConnectionLost("the connection broke", attempts=1)
    error.__cause__ = ValueError("http://broker/?signature=Xb1_rlsdin9c1AC9mSNqXZF1ybyseyQmMAxJOFVdoB8%3D")
    assert b"signature" not in pickle.dumps(error)


def test_after_returns_the_same_error_with_the_attempts() -> None:
    error = ReplyTimeout("late")
    assert error.attempts == 0
    assert error._after(3) is error
    assert error.attempts == 3


def test_the_attributes_have_defaults() -> None:
    """An error can be created from only its message, as tests of applications do."""
    assert SourceFailed().outcomes == ()
    assert ConnectFailed().transient is True
    assert (Rejected().status, Rejected().reason) == (0, "")
    assert ClockRejected().skew is None
    assert Overloaded().retry_after is None
    for name in errors.__all__:
        error = getattr(errors, name)("said")
        assert (str(error), error.attempts) == ("said", 0), name


def test_the_fields_of_oserror_stay_empty() -> None:
    """`OSError` interprets two arguments as errno and text; the package's errors pass one."""
    error = ConnectFailed("refused", attempts=1)
    assert (error.errno, error.strerror, error.args) == (None, None, ("refused",))


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (InvalidPush("topic: no"), "InvalidPush('topic: no')"),
        (ConnectFailed("refused", attempts=3), "ConnectFailed('refused', attempts=3)"),
        (Rejected("no", attempts=1, status=404, reason="gone"), "Rejected('no', status=404, attempts=1)"),
        (_clock(302.5), "ClockRejected('off', status=400, attempts=1, skew=302.5)"),
        (_overloaded(17.0), "Overloaded('busy', status=429, attempts=2, retry_after=17.0)"),
        (_overloaded(None), "Overloaded('busy', status=429, attempts=2)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_repr_shows_the_known_attributes(error: WebMQError, shown: str) -> None:
    assert repr(error) == shown
