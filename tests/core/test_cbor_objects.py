"""CBOR forms of whole Python objects: dumps and loads."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awscrt.cbor import AwsCborDecoder, AwsCborEncoder, dumps, loads

UTC = dt.timezone.utc
ROWS = json.loads((Path(__file__).parent / "cbor_rfc8949.json").read_text())["rows"]


class Tag(tuple):
    """What tests let an unknown tag stand for."""


def value_of(notation):
    if isinstance(notation, list):
        return [value_of(each) for each in notation]
    if not isinstance(notation, dict):
        return notation
    kind, value = notation["$"], notation.get("v")
    if kind == "map":
        return {value_of(key): value_of(each) for key, each in value}
    if kind == "datetime":
        return dt.datetime.fromisoformat(value)
    if kind == "tag":
        return Tag((notation["n"], value_of(value)))
    return {"float": float, "bytes": bytes.fromhex, "undefined": lambda _: None}[kind](value)


def same(left, right):
    """Equal, of equal types, signs of zero and NaN included."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return repr(left) == repr(right)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        pairs = zip(left.items(), right.items())
        return len(left) == len(right) and all(same(a, b) for a, b in pairs)
    return left == right


@pytest.mark.parametrize("data, notation", ROWS, ids=[row[0] for row in ROWS])
def test_examples_of_the_rfc(data, notation):
    data = bytes.fromhex(data)
    if isinstance(notation, dict) and notation["$"] == "simple":
        with pytest.raises(ValueError, match="byte 0: a reserved head"):
            loads(data)
        return
    assert same(loads(data, tag_hook=lambda *pair: Tag(pair)), value_of(notation))


@pytest.mark.parametrize("data, notation", ROWS, ids=[row[0] for row in ROWS])
def test_examples_of_the_rfc_element_by_element(data, notation):
    data = bytes.fromhex(data)
    if isinstance(notation, dict) and notation["$"] in ("simple", "tag") or data[0] in (0xC0, 0xC2, 0xC3):
        with pytest.raises((RuntimeError, ValueError)):
            AwsCborDecoder(data).pop_next_data_item()
        return
    expected = value_of(notation)
    decoder = AwsCborDecoder(data, lambda seconds: dt.datetime.fromtimestamp(seconds, UTC))
    assert same(decoder.pop_next_data_item(), expected)
    decoder.reset_src(data)
    decoder.consume_next_whole_data_item()
    assert decoder.get_remaining_bytes_len() == 0


# ---- round trips ----

moments = st.datetimes(timezones=st.just(UTC))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | st.text()
    | st.binary()
    | moments
)
keys = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
objects = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(keys, inner, max_size=6), max_leaves=30
)


@settings(deadline=None)
@given(objects)
def test_what_is_dumped_is_loaded_again(value):
    assert same(loads(dumps(value)), value)


@settings(deadline=None, max_examples=50)
@given(objects)
def test_no_beginning_of_an_item_is_an_item(value):
    data = dumps(value)
    for end in range(len(data)):
        with pytest.raises(ValueError, match="invalid CBOR at byte"):
            loads(data[:end])
    with pytest.raises(ValueError, match=f"at byte {len(data)}: data behind the item"):
        loads(data + b"\x00")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_an_item_or_refused(data):
    try:
        value = loads(data, tag_hook=lambda *pair: None)
    except ValueError:
        return
    assert same(loads(dumps(value)), value)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=6),
    max_leaves=30,
)


@settings(deadline=None)
@given(plain)
def test_encoder_and_decoder_agree_with_dumps_and_loads(value):
    encoder = AwsCborEncoder()
    encoder.write_data_item(value)
    data = encoder.get_encoded_data()
    assert AwsCborDecoder(data).pop_next_data_item() == value == loads(data)
    assert AwsCborDecoder(dumps(value)).pop_next_data_item() == value


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -1.0, 0.1, 5e-324, 1.7e308, math.inf, -math.inf, math.nan, 2.0**53])
def test_floats_stay_floats(value):
    assert same(loads(dumps(value)), value)


@pytest.mark.parametrize(
    "value, data",
    [
        (2**64 - 1, "1bffffffffffffffff"),
        (2**64, "c249010000000000000000"),
        (-(2**64), "3bffffffffffffffff"),
        (-(2**64) - 1, "c349010000000000000000"),
        (2**4096, "c2590201" + "01" + "00" * 512),
    ],
    ids=["63", "64", "-64", "-65", "4096"],
)
def test_integers_of_any_size(value, data):
    assert dumps(value).hex() == data
    assert loads(bytes.fromhex(data)) == value
    assert loads(dumps(-value)) == -value


def test_bignums_may_be_short_or_in_chunks():
    assert loads(bytes.fromhex("c240")) == 0
    assert loads(bytes.fromhex("c340")) == -1
    assert loads(bytes.fromhex("c2420001")) == 1
    assert loads(bytes.fromhex("c25f41014100ff")) == 256


class Text(str):
    pass


class Real(float):
    pass


class Raw(bytes):
    pass


class Color(enum.IntEnum):
    RED = 2


class Loud(int):
    def to_bytes(self, *args, **kwargs):
        raise AssertionError("not asked")

    bit_length = to_bytes


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "value, plain",
    [
        (Text("ü"), "ü"),
        (Real(1.5), 1.5),
        (Raw(b"\x01"), b"\x01"),
        (Color.RED, 2),
        (Loud(2**70), 2**70),
        (Loud(-(2**70)), -(2**70)),
        ((1, (2,)), [1, [2]]),
        (Point(1, 2), [1, 2]),
        (bytearray(b"abc"), b"abc"),
        (memoryview(b"abc"), b"abc"),
        (memoryview(b"abcdef")[::2], b"ace"),
        (memoryview(bytearray(b"\x01\x00\x02\x00")).cast("H"), b"\x01\x00\x02\x00"),
        (collections.OrderedDict([("b", 1), ("a", 2)]), {"b": 1, "a": 2}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (type("List", (list,), {})([1]), [1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_types_become_the_plain_one(value, plain):
    assert same(loads(dumps(value)), plain)
    assert dumps([value]) == b"\x81" + dumps(value)


def test_arrays_in_keys_are_tuples():
    assert loads(dumps({(1, (2, "a")): [(1,)]})) == {(1, (2, "a")): [[1]]}
    assert loads(dumps({1: {(): [[]]}})) == {1: {(): [[]]}}


@pytest.mark.parametrize("data", ["a1a000", "a181a000", "a19fa0ff00", "a1bfff00"])
def test_maps_cannot_be_keys(data):
    with pytest.raises(ValueError, match="byte 0: unhashable type: 'dict'") as caught:
        loads(bytes.fromhex(data))
    assert isinstance(caught.value.__cause__, TypeError)


def test_keys_are_found_again_however_long_and_whatever_they_are():
    table = {"k" * length: length for length in range(70)}
    table.update({f"ключ {i}": i for i in range(2000)})
    for _ in range(2):
        assert loads(dumps(table)) == table
    for data in ("a161ff00", "a17f61ffff00"):
        with pytest.raises(ValueError, match="'utf-8' codec"):
            loads(bytes.fromhex(data))


# ---- dates ----


@pytest.mark.parametrize(
    "text, data",
    [
        ("1970-01-01T00:00:00+00:00", "c100"),
        ("2013-03-21T20:04:00+00:00", "c11a514b67b0"),
        ("2013-03-21T22:04:00+02:00", "c11a514b67b0"),
        ("1969-12-31T23:59:59+00:00", "c120"),
        ("2013-03-21T20:04:00.500000+00:00", "c1fb41d452d9ec200000"),
        ("0001-01-01T00:00:00+00:00", "c13b0000000e7791f6ff"),
    ],
)
def test_datetimes_are_epoch_times(text, data):
    value = dt.datetime.fromisoformat(text)
    assert dumps(value).hex() == data
    assert loads(bytes.fromhex(data)) == value
    assert loads(bytes.fromhex(data)).utcoffset() == dt.timedelta(0)


@pytest.mark.parametrize("year", [1, 1600, 1697, 1970, 2023, 2242, 2243, 9999])
@pytest.mark.parametrize("microsecond", [1, 123456, 499999, 500001, 999999])
def test_datetimes_keep_their_microseconds(year, microsecond):
    value = dt.datetime(year, 6, 15, 12, 30, 59, microsecond, tzinfo=UTC)
    assert loads(dumps(value)) == value


def test_datetimes_keep_the_moment_not_the_zone():
    zone = dt.timezone(dt.timedelta(hours=-3, minutes=-30, seconds=-15))
    value = dt.datetime(2500, 1, 1, microsecond=7, tzinfo=zone)
    assert loads(dumps(value)) == value


def test_a_datetime_without_a_zone_is_no_moment():
    with pytest.raises(ValueError, match="no time zone"):
        dumps(dt.datetime(2020, 1, 1))


def test_what_a_zone_raises_is_told():
    class Zone(dt.tzinfo):
        def utcoffset(self, when):
            raise KeyError("zone")

    with pytest.raises(KeyError):
        dumps([dt.datetime(2020, 1, 1, tzinfo=Zone())])


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2013-03-21T20:04:00Z", "2013-03-21T20:04:00+00:00"),
        ("2013-03-21t20:04:00z", "2013-03-21T20:04:00+00:00"),
        ("2013-03-21T20:04:00.5Z", "2013-03-21T20:04:00.500000+00:00"),
        ("2013-03-21T20:04:00.123456789-05:30", "2013-03-21T20:04:00.123456-05:30"),
        ("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00+23:59"),
    ],
)
def test_dates_as_texts(text, expected):
    found = loads(b"\xc0" + dumps(text))
    assert found.isoformat() == expected


@pytest.mark.parametrize(
    "content",
    [
        "",
        "2013",
        "2013-03-21",
        "2013-03-21 20:04:00Z",
        "2013-03-21T20:04:00",
        "2013-03-21T20:04:00.Z",
        "2013-03-21T20:04:00Zx",
        "2013-03-21T20:04:00+0000",
        "2013-02-30T00:00:00Z",
        "2013-03-21T24:00:00Z",
        "2013-03-21T20:04:60Z",
        "2013-03-21T20:04:00+24:00",
        "٢٠١٣-03-21T20:04:00Z",
        b"2013-03-21T20:04:00Z",
        5,
        None,
        [],
    ],
)
def test_texts_that_are_no_dates(content):
    with pytest.raises(ValueError, match="invalid CBOR at byte 1: "):
        loads(b"\x81\xc0" + dumps(content))


@pytest.mark.parametrize("content", ["5", b"5", None, True, [], math.nan, math.inf, 1e300, 2**64 - 1, -(2**64), 2**100])
def test_numbers_that_are_no_dates(content):
    with pytest.raises(ValueError, match="invalid CBOR at byte 1: "):
        loads(b"\x81\xc1" + dumps(content))


# ---- tags ----


def test_the_mark_of_cbor_is_skipped():
    assert loads(bytes.fromhex("d9d9f78101")) == [1]
    assert loads(bytes.fromhex("a1d9d9f7810102")) == {(1,): 2}


def test_unknown_tags_need_a_hook():
    data = bytes.fromhex("82c501c6820102")
    with pytest.raises(ValueError, match="at byte 1: tag 5 is not known"):
        loads(data)
    assert loads(data, tag_hook=lambda number, content: (number, content)) == [(5, 1), (6, [1, 2])]


def test_a_hook_is_not_asked_for_known_tags():
    assert loads(dumps([2**70]), tag_hook=pytest.fail) == [2**70]


def test_what_a_hook_raises_is_told():
    error = TypeError("mine")

    def hook(number, content):
        raise error

    with pytest.raises(TypeError) as caught:
        loads(bytes.fromhex("81c501"), tag_hook=hook)
    assert caught.value is error


def test_bignums_are_byte_strings():
    for data in ("c201", "c36161", "c280"):
        with pytest.raises(ValueError, match="byte 0: a bignum must be a byte string"):
            loads(bytes.fromhex(data))


# ---- refusals ----


@pytest.mark.parametrize(
    "data, offset",
    [
        ("", 0),
        ("8201", 2),
        ("8261", 1),
        ("81a1", 2),
        ("9f01", 2),
        ("821c00", 1),
        ("82f8ff00", 1),
        ("ff", 0),
        ("81ff", 1),
        ("bf01ff", 2),
        ("81c1ff", 2),
        ("5f01ff", 1),
        ("5f6161ff", 1),
        ("8261ff00", 2),
        ("9bffffffffffffffff", 0),
        ("9b0fffffffffffffff00", 10),
        ("bb0fffffffffffffff0000", 11),
        ("5bffffffffffffffff00", 0),
        ("0000", 1),
    ],
)
def test_refusals_name_the_byte(data, offset):
    with pytest.raises(ValueError, match=f"^invalid CBOR at byte {offset}: "):
        loads(bytes.fromhex(data))


@pytest.mark.parametrize(
    "value", [{1}, object(), 1j, range(3), dt.date(2020, 1, 1), Ellipsis, type, iter([])], ids=repr
)
def test_objects_without_a_form(value):
    for each in (value, [value], {"k": value}, (value,)):
        with pytest.raises(TypeError, match="has no CBOR form"):
            dumps(each)


def test_texts_without_a_form():
    with pytest.raises(TypeError, match="surrogates"):
        dumps({"\udfff": 1})


@pytest.mark.parametrize("data", [None, 1, "00", [0], memoryview(b"abcd")[::2]])
def test_loads_takes_contiguous_buffers_only(data):
    with pytest.raises((TypeError, BufferError)):
        loads(data)


def test_loads_takes_any_contiguous_buffer():
    for data in (b"\x81\x01", bytearray(b"\x81\x01"), memoryview(b"x\x81\x01")[1:]):
        assert loads(data) == [1]


@pytest.mark.parametrize("function, value", [(dumps, 1), (loads, b"\x01")])
def test_arguments_are_checked(function, value):
    assert function(value, max_depth=None, max_size=None) is not None
    for name in ("max_depth", "max_size"):
        for wrong in (0, -1, -(2**80)):
            with pytest.raises((ValueError, OverflowError)):
                function(value, **{name: wrong})
        for wrong in ("1", 1.0, []):
            with pytest.raises(TypeError):
                function(value, **{name: wrong})
    for args, kwargs in [((), {}), ((value, 1), {}), ((value,), {"nonsense": 1}), ((value,), {"obj": 1, "data": 1})]:
        with pytest.raises(TypeError):
            function(*args, **kwargs)
    with pytest.raises(TypeError):
        loads(b"\x01", tag_hook=5)


def nested(levels):
    value = 0
    for _ in range(levels):
        value = [value]
    return value


def test_depth_is_limited_alike_in_both_directions():
    assert dumps(loads(dumps(nested(999)))) == b"\x81" * 999 + b"\x00"
    with pytest.raises(RecursionError, match="1000 levels"):
        dumps(nested(1000))
    with pytest.raises(RecursionError, match="1000 levels"):
        loads(b"\x81" * 1000 + b"\x00")
    with pytest.raises(RecursionError):
        loads(b"\xc5" * 1000 + b"\x00", tag_hook=lambda number, content: content)
    assert dumps([[]], max_depth=2) == b"\x81\x80" and loads(b"\x81\x80", max_depth=2) == [[]]
    for value in ([[0]], [{0: 0}], {(1,): 0}):
        assert loads(dumps(value, max_depth=3), max_depth=3) == value
        with pytest.raises(RecursionError):
            dumps(value, max_depth=2)
        with pytest.raises(RecursionError):
            loads(dumps(value), max_depth=2)


def test_depth_costs_no_stack():
    data = b"\x9f" * 200_000 + b"\xff" * 200_000
    value = loads(data, max_depth=10**6)
    assert dumps(value, max_depth=10**6) == b"\x81" * 199_999 + b"\x80"


def test_containers_that_contain_themselves():
    cycle = [1, {"k": ()}]
    cycle[1]["k"] = (cycle,)
    for limit in (None, 10**6):
        with pytest.raises(RecursionError, match="contains itself"):
            dumps(cycle, max_depth=limit)


def test_size_is_limited():
    assert dumps("x" * 10, max_size=11) == b"\x6a" + b"x" * 10
    for value in ("x" * 11, ["x" * 10], {"x" * 10: ""}):
        with pytest.raises(ValueError, match="longer than 11 bytes"):
            dumps(value, max_size=11)
    assert loads(b"\x01", max_size=1) == 1
    with pytest.raises(ValueError, match="2 bytes, more than 1"):
        loads(b"\x18\x18", max_size=1)


def test_size_is_limited_before_memory_is_spent():
    value = ["x" * 1000] * 1000
    for _ in range(10):
        value = [value] * 1000
    with pytest.raises(ValueError, match="longer than"):
        dumps(value, max_size=100_000)


def test_names():
    assert (dumps.__name__, dumps.__module__) == ("dumps", "awscrt.cbor")
    assert (loads.__name__, loads.__module__) == ("loads", "awscrt.cbor")
