"""Events as compact JSON in UTF-8: supported types, the path of a value that has no JSON form, and `dumps`."""

from __future__ import annotations

import enum
import json
import math
import traceback
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, NoReturn
from unittest.mock import MagicMock
from uuid import UUID
from xmlrpc.client import ServerProxy
from zoneinfo import ZoneInfo

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmqconnect_async._core.dialects import DialectName
from webmqconnect_async._core.dialects.events import Dumps, encode_event, to_json
from webmqconnect_async._core.dialects.webmq import WebMQ
from webmqconnect_async._core.settings import new_dialect
from webmqconnect_async._core.values import Push
from webmqconnect_async.errors import InvalidPush

_TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('&;=+%"\\'))
_EVENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner),
    max_leaves=20,
)


class _Color(enum.IntEnum):
    RED = 1


class _Size(enum.StrEnum):
    LARGE = "L"


class _Due(enum.Enum):
    """Enumerations whose values have no JSON form."""

    DATE = date(2026, 5, 1)
    NAIVE = datetime(2026, 5, 1)
    PAIR = (1, Decimal("2.50"))


class _Price(Decimal, enum.Enum):
    TEA = "1.10"


@dataclass(slots=True)
class _Item:
    name: str
    price: object


@dataclass
class _Order:
    items: list[object]


class _Model(pydantic.BaseModel):
    a: object = None
    host: IPv4Address = IPv4Address("127.0.0.1")


class _Numpy:
    """A scalar or array of numpy, with the attributes that the encoder reads."""

    def __init__(self, value: object, kind: object = "f") -> None:
        self.value, self.kind = value, kind

    @property
    def dtype(self) -> object:
        return SimpleNamespace(kind=self.kind)

    def tolist(self) -> object:
        return self.value


class _LongDouble(_Numpy):
    """A value like numpy.longdouble, which has no equivalent in Python."""

    def tolist(self) -> object:
        return _LongDouble(self.value)


class _NaT(datetime):
    """A value like pandas.NaT."""

    __hash__ = datetime.__hash__

    def __ne__(self, other: object) -> bool:
        return True

    def utcoffset(self) -> NoReturn:
        raise ValueError("NaTType does not support utcoffset")


class _Row:
    """A lazy row of a database that is unreachable."""

    def __getattr__(self, name: str) -> NoReturn:
        raise OSError("the database is away")


class _Away(LookupError):
    """An exception of an application."""


class _LazyModel(_Model):
    def model_dump(self, **options: object) -> NoReturn:
        raise _Away("no row")


class _LazyPath:
    def __fspath__(self) -> NoReturn:
        raise OSError("unmounted")


class _Computed:
    """An object whose attributes look like those of a model and of a path, but raise errors."""

    @property
    def model_dump(self) -> NoReturn:
        raise OSError("the database is away")

    __fspath__ = model_dump


class _LazyArray(_Numpy):
    def tolist(self) -> NoReturn:
        raise _Away("deleted")


@dataclass
class _LazyItem:
    name: str

    def __getattribute__(self, name: str) -> object:
        if name == "name":
            raise _Away("no row")
        return super().__getattribute__(name)


_HERE = __name__
_HINT = "; dumps=webmqconnect_async.to_json encodes it"
_PATH = f"{PurePosixPath.__module__}.PurePosixPath"  # named pathlib._local on CPython 3.13
_NAIVE = "a naive datetime, which browsers would read as local time; give it a time zone"
_ZONE_WITHOUT_DATE = "a time in a zone whose offset depends on the date; push a datetime, or a naive time"

_ODD_OFFSET = "a time whose UTC offset is not a whole number of minutes; push a datetime, or a naive time"

_Point = namedtuple("_Point", "x y")


@pytest.mark.parametrize(
    ("event", "body"),
    [
        (None, b"null"),
        (True, b"true"),
        (0, b"0"),
        (-1.5, b"-1.5"),
        (2**70, b"1180591620717411303424"),
        (1e300, b"1e+300"),
        ("", b'""'),
        ("Hello, world!", b'"Hello, world!"'),
        ('"\\/\b\f\n\r\t\0', b'"\\"\\\\/\\b\\f\\n\\r\\t\\u0000"'),
        ("ü☃😀", '"ü☃😀"'.encode()),
        ("\u2028\ufeff\x7f", '"\u2028\ufeff\x7f"'.encode()),
        ([], b"[]"),
        ({}, b"{}"),
        ((1, 2), b"[1,2]"),
        (_Point(1, 2), b"[1,2]"),
        ([_Color.RED], b"[1]"),
        (OrderedDict(b=1, a=2), b'{"b":1,"a":2}'),
        ({"a": [1, {"b": None}], "c": True}, b'{"a":[1,{"b":null}],"c":true}'),
        ({1: "a", 1.5: "b", None: "c"}, b'{"1":"a","1.5":"b","null":"c"}'),
        ({True: "a", False: "b"}, b'{"true":"a","false":"b"}'),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_an_event_is_compact_json_in_utf_8(event: object, body: bytes) -> None:
    assert encode_event(event) == body


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2026, 5, 1, 12, 30, tzinfo=UTC), "2026-05-01T12:30:00+00:00"),
        (datetime(2026, 5, 1, 12, 30, 0, 1500, ZoneInfo("Europe/Berlin")), "2026-05-01T12:30:00.001500+02:00"),
        (datetime(1800, 1, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28))), "1799-12-31T23:06:32+00:00"),
        (datetime(2026, 5, 1, tzinfo=timezone(timedelta(microseconds=1))), "2026-04-30T23:59:59.999999+00:00"),
        (date(2026, 5, 1), "2026-05-01"),
        (time(9, 30), "09:30:00"),
        (time(9, 30, tzinfo=UTC), "09:30:00+00:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (_Due.DATE, "2026-05-01"),
        (_Due.PAIR, [1, "2.50"]),
        (_Price.TEA, "1.10"),
        (_Size.LARGE, "L"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("dumps", [None, to_json])
def test_a_value_of_the_standard_library_becomes_text(value: object, text: object, dumps: Dumps | None) -> None:
    assert json.loads(encode_event({"a": [value]}, dumps)) == {"a": [text]}


@pytest.mark.parametrize(
    ("event", "decoded"),
    [
        (_Item("tea", Decimal("1.10")), {"name": "tea", "price": "1.10"}),
        (_Order([_Item("tea", _Numpy(1.5))]), {"items": [{"name": "tea", "price": 1.5}]}),
        (_Model(a=[UUID(int=0)]), {"a": ["00000000-0000-0000-0000-000000000000"], "host": "127.0.0.1"}),
        ([PurePosixPath("/orders/ü")], ["/orders/ü"]),
        (_Numpy([1, 2]), [1, 2]),
        ({"plain": [1, None, "ü"]}, {"plain": [1, None, "ü"]}),
    ],
    ids=repr,
)
def test_to_json_encodes_types_of_other_libraries(event: object, decoded: object) -> None:
    assert json.loads(to_json(event)) == decoded
    assert encode_event(event, to_json) == to_json(event)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (_Order([1, 2, 3, _Item("tea", object())]), "event.items[3].price: object is not JSON"),
        ({"o": _Order([{"when": datetime(2026, 1, 1)}])}, f"event['o'].items[0]['when']: {_NAIVE}"),
        (_Item("tea", math.nan), "event.price: nan is not JSON"),
        (_Item("tea", {1}), "event.price: set is not JSON: a set has no order; pass a sorted list"),
        (_Item("tea", PurePosixPath("\udcff")), "event.price: a lone surrogate is not UTF-8"),
        (_Item("tea", _Numpy(1, "m")), f"event.price: {_HERE}._Numpy is not JSON"),
        (_Item("tea", _LongDouble(1)), f"event.price: {_HERE}._LongDouble is not JSON"),
        ([_Numpy([1, _LongDouble(1)])], f"event[0][1]: {_HERE}._LongDouble is not JSON"),
        ([_Item], "event[0]: type is not JSON"),
        (_Item("tea", MagicMock()), "event.price: unittest.mock.MagicMock is not JSON"),
        (_Item("tea", ServerProxy("http://127.0.0.1:1")), "event.price: xmlrpc.client.ServerProxy is not JSON"),
        (_Item("tea", _Row()), f"event.price: {_HERE}._Row is not JSON"),
        ({"row": [_LazyModel()]}, "event['row'][0]: _Away: no row"),
        ({"row": [_LazyItem("tea")]}, "event['row'][0]: _Away: no row"),
        ([_LazyPath()], "event[0]: OSError: unmounted"),
        ([_LazyArray(1)], f"event[0]: {_HERE}._LazyArray is not JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("encode", [to_json, lambda event: encode_event(event, to_json)], ids=["to_json", "dumps"])
def test_to_json_names_the_type_and_the_path(encode: Dumps, event: object, said: str) -> None:
    with pytest.raises(InvalidPush) as caught:
        encode(event)
    assert str(caught.value) == said


def test_to_json_refuses_values_that_contain_themselves_or_raise_errors() -> None:
    order = _Order([])
    order.items.append({"again": order})
    with pytest.raises(InvalidPush, match=r"^event\.items\[0\]\['again'\]: contains itself$"):
        to_json(order)
    with pytest.raises(InvalidPush, match=r"^event\[0\]: PydanticSerializationError: "):
        to_json([_Model(a=object())])


@given(_EVENTS)
def test_any_event_is_equal_after_decoding(event: object) -> None:
    assert json.loads(encode_event(event)) == event


def _circle() -> list[object]:
    circle: list[object] = [1]
    circle.append({"again": circle})
    return circle


def _deep(levels: int, innermost: object = None) -> object:
    event = innermost
    for _ in range(levels):
        event = [event]
    return event


_NOT_JSON: list[tuple[object, str]] = [
    (math.nan, "event: nan is not JSON"),
    (math.inf, "event: inf is not JSON"),
    ([1, [2.0, -math.inf]], "event[1][1]: -inf is not JSON"),
    ({"a": {"b": (0, math.nan)}}, "event['a']['b'][1]: nan is not JSON"),
    ({math.nan: 1}, "event: the key nan: nan is not JSON"),
    ({"a": [{math.inf: 1}]}, "event['a'][0]: the key inf: inf is not JSON"),
    ("\ud800", "event: a lone surrogate is not UTF-8"),
    ({"a": ["ok", "\udfff"]}, "event['a'][1]: a lone surrogate is not UTF-8"),
    ({"ok": 1, "\ud83d": 2}, "event: the key '\\ud83d': a lone surrogate is not UTF-8"),
    (["\ude00\ud83d"], "event[0]: a lone surrogate is not UTF-8"),
    (object(), "event: object is not JSON"),
    ({"tags": {"a"}}, "event['tags']: set is not JSON: a set has no order; pass a sorted list"),
    ([frozenset()], "event[0]: frozenset is not JSON: a set has no order; pass a sorted list"),
    ({"when": datetime(2026, 1, 1)}, f"event['when']: {_NAIVE}"),
    ([_Due.NAIVE], f"event[0]: {_NAIVE}"),
    (time(9, tzinfo=ZoneInfo("Europe/Berlin")), f"event: {_ZONE_WITHOUT_DATE}"),
    ({"when": _NaT(2026, 1, 1)}, "event['when']: NaT is not JSON; push None"),
    ([time(1, tzinfo=timezone(timedelta(seconds=1)))], f"event[0]: {_ODD_OFFSET}"),
    ([time(1, tzinfo=timezone(timedelta(microseconds=1)))], f"event[0]: {_ODD_OFFSET}"),
    ([Decimal("NaN")], "event[0]: NaN is not JSON"),
    ([Decimal("sNaN")], "event[0]: sNaN is not JSON"),
    ([Decimal("-Infinity")], "event[0]: -Infinity is not JSON"),
    ({date(2026, 1, 1): 3}, "event: a key of type datetime.date is not JSON"),
    ([_Item("tea", 1)], f"event[0]: {_HERE}._Item is not JSON{_HINT}"),
    ([1, _Model(a=1)], f"event[1]: {_HERE}._Model is not JSON{_HINT}"),
    ({"p": PurePosixPath("a")}, f"event['p']: {_PATH} is not JSON{_HINT}"),
    ([_Numpy(1.5)], f"event[0]: {_HERE}._Numpy is not JSON{_HINT}"),
    ([_Numpy(1, "M")], f"event[0]: {_HERE}._Numpy is not JSON"),
    ([_LongDouble(1)], f"event[0]: {_HERE}._LongDouble is not JSON"),
    ([MagicMock()], "event[0]: unittest.mock.MagicMock is not JSON"),
    ([ServerProxy("http://127.0.0.1:1")], "event[0]: xmlrpc.client.ServerProxy is not JSON"),
    ([_Row()], f"event[0]: {_HERE}._Row is not JSON"),
    ([_Computed()], f"event[0]: {_HERE}._Computed is not JSON"),
    ([_Item], "event[0]: type is not JSON"),
    ([b"bytes"], "event[0]: bytes is not JSON"),
    (1j, "event: complex is not JSON"),
    ({(1, 2): 3}, "event: a key of type tuple is not JSON"),
    ([{b"k": 3}], "event[0]: a key of type bytes is not JSON"),
    (_circle(), "event[1]['again']: contains itself"),
    ({"first": 1, "twice": [_circle()]}, "event['twice'][0][1]['again']: contains itself"),
]


@pytest.mark.parametrize(("event", "said"), _NOT_JSON, ids=[said for _, said in _NOT_JSON])
def test_the_error_of_a_value_without_a_json_form_has_its_path(event: object, said: str) -> None:
    with pytest.raises(InvalidPush) as caught:
        encode_event(event)
    assert str(caught.value) == said


def test_the_same_list_may_occur_twice() -> None:
    shared: list[object] = [1]
    assert encode_event([shared, shared, {"a": shared}]) == b'[[1],[1],{"a":[1]}]'
    with pytest.raises(InvalidPush, match=r"^event\[2\]: nan is not JSON"):
        encode_event([shared, {"a": shared}, math.nan])


@pytest.mark.parametrize("event", [_deep(100_000), _deep(150, math.nan)], ids=["too deep", "NaN far down"])
def test_a_value_that_is_nested_too_deeply_is_refused_without_a_path(event: object) -> None:
    """A value that is nested too deeply is refused without its path, because the depth of the search is limited."""
    with pytest.raises(InvalidPush, match=r"^event: not JSON: (RecursionError|ValueError)"):
        encode_event(event)


def test_a_deeply_nested_circular_reference_is_refused() -> None:
    with pytest.raises(InvalidPush, match=r"^event: not JSON: ValueError: Circular reference"):
        encode_event(_deep(150, _circle()))


@pytest.mark.parametrize(
    "event",
    [10**5000, [10**5000], {10**5000: 1}, {10**5000: math.nan}, {"a": {10**5000: object()}}],
    ids=["whole", "inside", "key", "key of NaN", "key of an object"],
)
def test_an_integer_of_more_digits_than_python_writes_is_refused(event: object) -> None:
    """Integers of more than 4,300 digits, which Python does not convert to text, are refused."""
    with pytest.raises(InvalidPush, match=r"^event"):
        encode_event(event)


def test_a_long_path_is_shortened_in_the_message() -> None:
    with pytest.raises(InvalidPush) as caught:
        encode_event({"k" * 100_000: {"l" * 100_000: math.nan}})
    assert len(str(caught.value)) < 250
    assert str(caught.value).endswith(": nan is not JSON")


def test_the_error_of_the_encoder_is_the_cause() -> None:
    with pytest.raises(InvalidPush) as caught:
        encode_event(object())
    assert isinstance(caught.value.__cause__, TypeError)


@given(
    st.recursive(
        st.floats() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.floats(), inner),
    )
)
def test_encoding_results_in_json_or_invalid_push(event: object) -> None:
    """Encoding any event results in strict JSON in UTF-8 or in InvalidPush, never in another error."""
    try:
        body = encode_event(event)
    except InvalidPush as error:
        body, said = b"null", str(error)
    else:
        said = ""
    json.loads(body.decode(), parse_constant=pytest.fail)
    assert not said.startswith("event: not JSON")


# The `dumps` argument


def test_dumps_replaces_the_encoder() -> None:
    assert encode_event({"a": 1}, json.dumps) == b'{"a": 1}'
    assert encode_event(date(2026, 1, 1), lambda event: f'"{event}"') == b'"2026-01-01"'


def test_dumps_may_return_bytes() -> None:
    """`dumps` may return bytes, as `orjson.dumps` does."""
    assert (
        encode_event({"a": "ü"}, lambda event: json.dumps(event, ensure_ascii=False).encode()) == '{"a": "ü"}'.encode()
    )


@pytest.mark.parametrize("dumps", [json.dumps, lambda event: json.dumps(event).encode()], ids=["text", "bytes"])
@pytest.mark.parametrize("event", [math.nan, -math.inf, {"NaN": ["Infinity", {'a\\"': math.nan}, math.inf]}], ids=repr)
@pytest.mark.parametrize("dialect", ["webmq", "crossbar"])
def test_nan_and_infinity_in_the_output_of_dumps_are_refused(dialect: DialectName, event: object, dumps: Dumps) -> None:
    """NaN and Infinity in the output of `dumps` are refused, because JSON.parse would fail on them in each page."""
    with pytest.raises(InvalidPush, match=r"^event: dumps returned (NaN|Infinity), which is not JSON$"):
        new_dialect(dialect, None, dumps).encode(Push("t", event))


@pytest.mark.parametrize("event", ["NaN", {"Infinity": '"NaN'}, ["\\", "NaN", '\\"', "-Infinity"]], ids=repr)
def test_a_string_in_the_output_of_dumps_may_contain_nan(event: object) -> None:
    assert json.loads(encode_event(event, json.dumps)) == event


def test_other_output_of_dumps_is_not_checked() -> None:
    assert encode_event(1, lambda event: b"\xff") == b"\xff"
    assert encode_event("\ud800", json.dumps) == b'"\\ud800"'


class _Broken(TypeError):
    pass


def _raising(event: object) -> str:
    raise _Broken("no codec for this")


class _SoftTimeLimit(Exception):
    """An exception that a signal handler may raise while the encoder runs."""


def _none(event: object) -> None:
    return None


@pytest.mark.parametrize(
    ("dumps", "said"),
    [
        (_raising, "event: not JSON: _Broken: no codec for this"),
        (_none, "dumps must return str or bytes, not NoneType"),
        (lambda event: bytearray(b"1"), "dumps must return str or bytes, not bytearray"),
        (lambda event: 5, "dumps must return str or bytes, not int"),
        (lambda event: '"\ud800"', "event: not JSON: UnicodeEncodeError: "),
        (lambda: "1", "event: not JSON: TypeError: "),
    ],
    ids=["raises", "None", "bytearray", "int", "surrogate", "no parameter"],
)
def test_a_dumps_that_fails_is_an_invalid_push(dumps: Dumps, said: str) -> None:
    with pytest.raises(InvalidPush) as caught:
        encode_event({"a": 1}, dumps)
    assert str(caught.value).startswith(said)


def _raises(error: BaseException) -> Dumps:
    def dumps(event: object) -> str:
        raise error

    return dumps


@pytest.mark.parametrize(
    "error",
    [
        *(TypeError(), ValueError(), OverflowError(), ZeroDivisionError(), KeyError(), IndexError(), AttributeError()),
        *(RuntimeError("dictionary changed size during iteration"), RecursionError(), NotImplementedError()),
        UnicodeEncodeError("utf-8", "", 0, 0, ""),
    ],
    ids=repr,
)
def test_an_encoding_error_of_dumps_is_an_invalid_push(error: Exception) -> None:
    with pytest.raises(InvalidPush) as caught:
        encode_event(1, _raises(error))
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(),
        _SoftTimeLimit(),
        TimeoutError(),
        OSError("disk"),
        MemoryError(),
        GeneratorExit(),
    ],
    ids=repr,
)
def test_any_other_error_of_dumps_is_not_caught(error: BaseException) -> None:
    """Any other error is not caught: a signal handler, or something that `dumps` called, raised it."""
    with pytest.raises(type(error)) as caught:
        encode_event(1, _raises(error))
    assert caught.value is error


def test_the_standard_encoder_does_not_catch_the_error_of_a_signal_handler() -> None:
    """The error of a signal handler, which may be raised wherever the encoder runs Python code, is not caught."""

    class Numbers(dict[str, object]):
        def items(self) -> Any:
            raise _SoftTimeLimit

    with pytest.raises(_SoftTimeLimit):
        encode_event([Numbers(a=1)])


# Characters at which the hub would split a form


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ("a&b;c", b'"a\\u0026b\\u003bc"'),
        ({"&": ";"}, b'{"\\u0026":"\\u003b"}'),
        ("\\&", b'"\\\\\\u0026"'),
        ("=+%26%3B", b'"=+%26%3B"'),
        ("&&;;", b'"\\u0026\\u0026\\u003b\\u003b"'),
    ],
)
def test_ampersand_and_semicolon_are_escaped(event: object, body: bytes) -> None:
    assert WebMQ().encode(Push("t", event))(0).body == body
    assert json.loads(body) == event


@pytest.mark.parametrize(
    "dumps", [json.dumps, lambda event: json.dumps(event, indent=1).encode()], ids=["text", "bytes"]
)
def test_ampersand_and_semicolon_in_the_output_of_dumps_are_escaped(dumps: Dumps) -> None:
    event = {"link": "http://shop/?id=7&eligible=yes;exclude=no"}
    body = WebMQ(dumps=dumps).encode(Push("t", event))(0).body
    assert not set(body) & set(b"&;")
    assert json.loads(body) == event


@given(_EVENTS)
def test_any_escaped_event_is_equal_after_decoding(event: object) -> None:
    body = WebMQ().encode(Push("t", event))(0).body
    assert not set(body) & set(b"&;")
    assert json.loads(body) == event


def test_the_traceback_of_an_invalid_push_ends_with_the_message_of_the_package() -> None:
    with pytest.raises(InvalidPush) as caught:
        encode_event([math.nan])
    assert traceback.format_exception_only(caught.value) == [
        "webmqconnect_async.errors.InvalidPush: event[0]: nan is not JSON\n"
    ]
