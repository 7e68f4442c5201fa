"""CBOR elements: AwsCborEncoder and AwsCborDecoder. Whole objects are in test_cbor_objects.py."""

from __future__ import annotations

import collections
import enum
import gc
import inspect
import math
import weakref

import pytest

from awscrt import NativeResource
from awscrt.cbor import AwsCborDecoder, AwsCborEncoder, AwsCborType

UNEXPECTED = r"^61 \(AWS_ERROR_CBOR_UNEXPECTED_TYPE\)"
INVALID = r"^60 \(AWS_ERROR_INVALID_CBOR\)"
TOO_MUCH = r"^62 \(AWS_ERROR_CBOR_RESOURCE_LIMIT_EXCEEDED\)"


def encoded(method, *args):
    encoder = AwsCborEncoder()
    assert getattr(encoder, method)(*args) is None
    return encoder.get_encoded_data().hex()


def decoder(data, *args, **kwargs):
    return AwsCborDecoder(bytes.fromhex(data), *args, **kwargs)


def item(data, *args):
    return decoder(data, *args).pop_next_data_item()


# ---- the encoder ----


@pytest.mark.parametrize(
    "value, expected",
    [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (256, "190100"),
        (65536, "1a00010000"),
        (2**32, "1b0000000100000000"),
        (2**63 - 1, "1b7fffffffffffffff"),
        (2**63, "1b8000000000000000"),
        (2**64 - 1, "1bffffffffffffffff"),
        (-1, "20"),
        (-25, "3818"),
        (-(2**63), "3b7fffffffffffffff"),
        (-(2**63) - 1, "3b8000000000000000"),
        (-(2**64), "3bffffffffffffffff"),
        (True, "01"),
    ],
)
def test_write_int_takes_64_bits_and_a_sign(value, expected):
    assert encoded("write_int", value) == expected


@pytest.mark.parametrize("value", [2**64, -(2**64) - 1, 10**100, 1.0, "1", None, b"1"])
def test_write_int_refuses_all_else(value):
    encoder = AwsCborEncoder()
    with pytest.raises(TypeError):
        encoder.write_int(value)
    assert encoder.get_encoded_data() == b""


@pytest.mark.parametrize(
    "value, expected",
    [
        (0.0, "00"),
        (-0.0, "00"),
        (1, "01"),
        (True, "01"),
        (-1.0, "20"),
        (float(2**32 - 1), "1affffffff"),
        (float(-(2**32)), "3affffffff"),
        (float(2**32), "fa4f800000"),
        (float(2**32 + 1), "fb41f0000000100000"),
        (1.5, "fa3fc00000"),
        (0.1, "fb3fb999999999999a"),
        (math.nan, "fa7fc00000"),
        (-math.nan, "fa7fc00000"),
        (math.inf, "fa7f800000"),
        (-math.inf, "faff800000"),
    ],
)
def test_write_float_takes_the_shortest_equal_form(value, expected):
    assert encoded("write_float", value) == expected
    assert encoded("write_epoch_time", value) == "c1" + expected
    if isinstance(value, float):
        assert encoded("write_data_item", value) == expected


@pytest.mark.parametrize("method", ["write_float", "write_epoch_time"])
@pytest.mark.parametrize("value", ["1.5", None, b"", 10**400, 1j])
def test_write_float_refuses_what_is_no_real_number(method, value):
    encoder = AwsCborEncoder()
    with pytest.raises(TypeError):
        getattr(encoder, method)(value)
    assert encoder.get_encoded_data() == b""


def test_write_float_takes_what_can_be_converted():
    class Half:
        def __float__(self):
            return 0.5

    assert encoded("write_float", Half()) == "fa3f000000"


def test_strings():
    assert encoded("write_bytes", b"") == "40"
    assert encoded("write_bytes", b"\x01" * 24) == "5818" + "01" * 24
    assert encoded("write_text", "") == "60"
    assert encoded("write_text", "ü") == "62c3bc"
    assert encoded("write_text", "x" * 256) == "790100" + "78" * 256


@pytest.mark.parametrize("value", ["text", bytearray(b"x"), memoryview(b"x"), 1, None])
def test_write_bytes_takes_bytes_only(value):
    with pytest.raises(TypeError):
        AwsCborEncoder().write_bytes(value)


@pytest.mark.parametrize("value", [b"bytes", 1, None, "\ud800"])
def test_write_text_takes_str_that_has_a_utf8_form(value):
    with pytest.raises(TypeError):
        AwsCborEncoder().write_text(value)


def test_elements_without_an_argument():
    encoder = AwsCborEncoder()
    encoder.write_null()
    encoder.write_undefined()
    encoder.write_break()
    encoder.write_indef_bytes_start()
    encoder.write_indef_text_start()
    encoder.write_indef_array_start()
    encoder.write_indef_map_start()
    assert encoder.get_encoded_data().hex() == "f6f7ff5f7f9fbf"


@pytest.mark.parametrize(
    "value, expected", [(True, "f5"), (False, "f4"), (0, "f4"), ("x", "f5"), ([], "f4"), (None, "f4")]
)
def test_write_bool_goes_by_truth(value, expected):
    assert encoded("write_bool", value) == expected


def test_write_bool_tells_what_truth_raised():
    class Broken:
        def __bool__(self):
            raise KeyError("truth")

    with pytest.raises(KeyError):
        AwsCborEncoder().write_bool(Broken())


@pytest.mark.parametrize("method, major", [("write_array_start", 0x80), ("write_map_start", 0xA0), ("write_tag", 0xC0)])
def test_counts_and_tags(method, major):
    assert encoded(method, 0) == f"{major:02x}"
    assert encoded(method, True) == f"{major + 1:02x}"
    assert encoded(method, 24) == f"{major + 24:02x}18"
    assert encoded(method, 2**64 - 1) == f"{major + 27:02x}" + "ff" * 8
    encoder = AwsCborEncoder()
    for value in (-1, 2**64 + 1, 2**65, -(2**70)):
        with pytest.raises(ValueError):
            getattr(encoder, method)(value)
    for value in (2**64, 1.0, None, "1"):
        with pytest.raises(TypeError):
            getattr(encoder, method)(value)
    assert encoder.get_encoded_data() == b""


def test_data_so_far_can_be_had_at_any_time():
    encoder = AwsCborEncoder()
    assert encoder.get_encoded_data() == b""
    encoder.write_int(1)
    first = encoder.get_encoded_data()
    encoder.write_int(2)
    assert (first, encoder.get_encoded_data()) == (b"\x01", b"\x01\x02")
    encoder.reset()
    assert encoder.get_encoded_data() == b""
    encoder.write_text("x" * 100_000)
    assert len(encoder.get_encoded_data()) == 100_005


def test_write_data_item():
    value = {"a": [None, True, False, -1, b"\x00", "ü", {}], 1: 2, None: [], b"k": 0.5, "z": {"y": {"x": 1.0}}}
    expected = "a5616187f6f5f4204100" + "62c3bc" + "a0" + "0102" + "f680" + "416b" + "fa3f000000" + "617aa16179a1617801"
    assert encoded("write_data_item", value) == expected
    assert encoded("write_dict", value) == expected
    assert encoded("write_list", [1, [2]]) == "82018102"


class Text(str):
    pass


class Items(list):
    pass


def test_subclasses_of_str_list_and_dict_are_items():
    ordered = collections.OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    assert encoded("write_data_item", Text("a")) == "6161"
    assert encoded("write_data_item", Items([1])) == "8101"
    assert encoded("write_data_item", collections.defaultdict(list, a=1)) == "a1616101"
    assert encoded("write_data_item", ordered) == "a2616202616101"


class Whole(int):
    pass


class Real(float):
    pass


class Raw(bytes):
    pass


class Color(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [Whole(1), Real(1), Raw(b""), Color.RED, (1,), {1}, bytearray(b""), memoryview(b""), 1j, object(), type],
    ids=repr,
)
def test_other_types_are_no_items(value):
    for each, before in ((value, ""), ([1, value], "8201"), ({"k": value}, "a1616b")):
        encoder = AwsCborEncoder()
        with pytest.raises(ValueError, match="^Not supported type <"):
            encoder.write_data_item(each)
        assert encoder.get_encoded_data().hex() == before  # what was written stays


@pytest.mark.parametrize("value", [2**64, -(2**64) - 1, 10**50])
def test_items_hold_integers_of_64_bits_and_a_sign(value):
    encoder = AwsCborEncoder()
    with pytest.raises(OverflowError):
        encoder.write_data_item([1, value])
    assert encoder.get_encoded_data().hex() == "8201"


def test_lone_surrogates_in_an_item():
    encoder = AwsCborEncoder()
    with pytest.raises(TypeError, match="surrogates"):
        encoder.write_data_item(["a", "\ud800"])
    assert encoder.get_encoded_data().hex() == "826161"


@pytest.mark.parametrize("method, values", [("write_list", [(1,), {}, None, "x"]), ("write_dict", [[], None, "x", ()])])
def test_write_list_and_write_dict_refuse_other_containers(method, values):
    encoder = AwsCborEncoder()
    for value in values:
        with pytest.raises(TypeError):
            getattr(encoder, method)(value)
    assert encoder.get_encoded_data() == b""


def nested(levels, inner=0):
    value = inner
    for _ in range(levels):
        value = [value]
    return value


def test_encoding_has_no_limit_of_depth():
    assert encoded("write_data_item", nested(100_000)) == "81" * 100_000 + "00"
    value = 0
    for _ in range(1000):
        value = {"": value}
    assert encoded("write_data_item", value) == "a160" * 1000 + "00"


def cycles():
    direct = []
    direct.append(direct)
    yield direct
    mapping = {}
    mapping["self"] = mapping
    yield mapping
    for length in (2, 3, 7, 64):
        links = [[0] for _ in range(length)]
        for i, link in enumerate(links):
            link.append(links[(i + 1) % length])
        yield links[0]
        yield nested(50, links[0])
    derived = collections.OrderedDict()
    derived["list"] = [derived]
    yield derived


@pytest.mark.parametrize("value", cycles(), ids=lambda value: type(value).__name__)
def test_containers_that_contain_themselves(value):
    with pytest.raises(RecursionError, match="contains itself"):
        AwsCborEncoder().write_data_item(value)


def test_one_container_in_several_places_is_no_cycle():
    shared = [1]
    assert encoded("write_data_item", [shared, shared, [shared, [shared]]]) == "8381018101828101818101"


def test_items_of_a_mapping_may_be_anything():
    class Mapping(dict):
        answer = None

        def items(self):
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

    mapping = Mapping()
    mapping.answer = [("a", 1)]
    assert encoded("write_data_item", mapping) == "a1616101"
    mapping.answer = [("a", 1, 2)]
    with pytest.raises(TypeError, match="must give pairs"):
        AwsCborEncoder().write_data_item(mapping)
    mapping.answer = 5
    with pytest.raises(TypeError):
        AwsCborEncoder().write_data_item(mapping)
    mapping.answer = KeyError("items")
    with pytest.raises(KeyError):
        AwsCborEncoder().write_data_item(mapping)


def test_a_container_that_shrinks_meanwhile():
    outer = []

    class Mapping(dict):
        def items(self):
            outer.clear()
            return []

    outer += [Mapping(), [1], 2]
    with pytest.raises(RuntimeError, match="changed its size"):
        AwsCborEncoder().write_data_item(outer)
    table = {}

    class Growing(dict):
        def items(self):
            table["new"] = 1
            return []

    table["first"] = Growing()
    with pytest.raises(RuntimeError, match="changed its size"):
        AwsCborEncoder().write_data_item(table)


def test_an_encoder_may_be_used_from_within():
    encoder = AwsCborEncoder()

    class Mapping(dict):
        def items(self):
            encoder.reset()
            encoder.write_text("x" * 5000)
            return []

    encoder.write_data_item([Mapping(), 1])
    assert encoder.get_encoded_data() == b"\x79\x13\x88" + b"x" * 5000 + b"\xa0\x01"


# ---- the decoder: elements ----

ELEMENTS = {
    AwsCborType.UnsignedInt: "1903e8",
    AwsCborType.NegativeInt: "29",
    AwsCborType.Float: "f93e00",
    AwsCborType.Bytes: "4101",
    AwsCborType.Text: "6161",
    AwsCborType.ArrayStart: "81",
    AwsCborType.MapStart: "a2",
    AwsCborType.Tag: "d87b",
    AwsCborType.Bool: "f5",
    AwsCborType.Null: "f6",
    AwsCborType.Undefined: "f7",
    AwsCborType.Break: "ff",
    AwsCborType.IndefBytes: "5f",
    AwsCborType.IndefStr: "7f",
    AwsCborType.IndefArray: "9f",
    AwsCborType.IndefMap: "bf",
}
POPS = {
    "pop_next_unsigned_int": (AwsCborType.UnsignedInt, 1000),
    "pop_next_negative_int": (AwsCborType.NegativeInt, -10),
    "pop_next_double": (AwsCborType.Float, 1.5),
    "pop_next_bytes": (AwsCborType.Bytes, b"\x01"),
    "pop_next_text": (AwsCborType.Text, "a"),
    "pop_next_array_start": (AwsCborType.ArrayStart, 1),
    "pop_next_map_start": (AwsCborType.MapStart, 2),
    "pop_next_tag_val": (AwsCborType.Tag, 123),
    "pop_next_bool": (AwsCborType.Bool, True),
}


@pytest.mark.parametrize("kind", ELEMENTS, ids=lambda kind: kind.name)
def test_peeking_leaves_the_element_in_place(kind):
    each = decoder(ELEMENTS[kind] + "00")
    assert each.peek_next_type() is kind
    assert each.peek_next_type() is kind
    assert each.get_remaining_bytes() == b"\x00"  # a peeked element does not count
    assert each.consume_next_single_element() is None
    assert each.pop_next_unsigned_int() == 0
    assert each.get_remaining_bytes_len() == 0


@pytest.mark.parametrize("method", POPS)
@pytest.mark.parametrize("kind", ELEMENTS, ids=lambda kind: kind.name)
def test_pops_take_one_type_and_leave_all_else(method, kind):
    wanted, value = POPS[method]
    each = decoder(ELEMENTS[kind] + "00")
    if kind is wanted:
        assert getattr(each, method)() == value
        assert each.get_remaining_bytes_len() == 1
        return
    for _ in range(2):
        with pytest.raises(RuntimeError, match=UNEXPECTED + r".*byte 0: expected .*, found "):
            getattr(each, method)()
        assert each.get_remaining_bytes_len() == 1
    assert each.peek_next_type() is kind


def test_integers_of_full_width():
    assert decoder("1bffffffffffffffff").pop_next_unsigned_int() == 2**64 - 1
    assert decoder("3b7fffffffffffffff").pop_next_negative_int() == -(2**63)
    assert decoder("3b8000000000000000").pop_next_negative_int() == -(2**63) - 1
    assert decoder("3bffffffffffffffff").pop_next_negative_int() == -(2**64)


@pytest.mark.parametrize("data, value", [("f93c00", 1.0), ("fa47c35000", 100000.0), ("fb3ff199999999999a", 1.1)])
def test_floats_of_every_width(data, value):
    assert decoder(data).pop_next_double() == value


def test_text_that_is_not_utf8_is_consumed():
    each = decoder("61ff00")
    with pytest.raises(UnicodeDecodeError):
        each.pop_next_text()
    assert each.pop_next_unsigned_int() == 0


METHODS = [*POPS, "pop_next_list", "pop_next_map", "pop_next_data_item", "peek_next_type"]
METHODS += ["consume_next_single_element", "consume_next_whole_data_item"]


@pytest.mark.parametrize(
    "data", ["", "18", "6261", "1c", "1d", "1e", "1f", "3f", "df", "f0", "f3", "f800", "f8ff", "fc"]
)
@pytest.mark.parametrize("method", METHODS)
def test_malformed_data_is_final(method, data):
    each = decoder(data)
    with pytest.raises(RuntimeError, match=INVALID):
        getattr(each, method)()
    for later in METHODS:
        with pytest.raises(RuntimeError, match=INVALID):
            getattr(each, later)()
    assert each.get_remaining_bytes().hex() == data
    each.reset_src(b"\x05")
    assert each.pop_next_unsigned_int() == 5


def test_reset_src_forgets_what_was_peeked():
    each = decoder("01")
    each.peek_next_type()
    each.reset_src(b"\x02")
    assert each.get_remaining_bytes() == b"\x02"
    assert each.pop_next_data_item() == 2
    for value in (None, 1, bytearray(b"\x00"), memoryview(b"\x00"), [0]):
        with pytest.raises(TypeError):
            each.reset_src(value)
        with pytest.raises(TypeError):
            AwsCborDecoder(value)


def test_a_str_is_its_utf8_bytes():
    assert AwsCborDecoder("aa").get_remaining_bytes() == b"aa"


# ---- the decoder: items ----


@pytest.mark.parametrize(
    "data, value",
    [
        ("f6", None),
        ("f7", None),
        ("9fff", []),
        ("bfff", {}),
        ("9f0102ff", [1, 2]),
        ("bf616101ff", {"a": 1}),
        ("5fff", b""),
        ("5f4101420203ff", b"\x01\x02\x03"),
        ("7f61616162ff", "ab"),
        ("a201020103", {1: 3}),
        ("8301820203a10405", [1, [2, 3], {4: 5}]),
        ("c11903e8", 1000),
        ("c1fb3ff8000000000000", 1.5),
        ("c120", -1),
    ],
)
def test_items(data, value):
    each = decoder(data + "00")
    found = each.pop_next_data_item()
    assert found == value and type(found) is type(value)
    assert each.get_remaining_bytes() == b"\x00"


@pytest.mark.parametrize(
    "data, rest",
    [
        ("ff", ""),
        ("81ff", ""),
        ("bf01ff", ""),
        ("a1ff01", "01"),
        ("5f00ff", "ff"),
        ("5f5f4101ffff", "4101ffff"),
        ("7f4161ff", "ff"),
        ("c16161", ""),
        ("c1c100", "00"),
        ("9fc1ff", ""),
    ],
)
def test_elements_of_a_wrong_type_within_items_stay(data, rest):
    each = decoder(data)
    with pytest.raises(RuntimeError, match=UNEXPECTED):
        each.pop_next_data_item()
    assert each.get_remaining_bytes().hex() == rest
    each.peek_next_type()  # it is what was not expected, and goes on being there
    assert each.get_remaining_bytes().hex() == rest


def test_tags_other_than_1_are_consumed_and_refused():
    each = decoder("c5016161")
    with pytest.raises(ValueError, match="^Unsupported tag value: 5"):
        each.pop_next_data_item()
    assert each.pop_next_data_item() == 1


def test_keys_that_cannot_be_hashed():
    each = decoder("a1800001")
    with pytest.raises(TypeError, match="unhashable"):
        each.pop_next_data_item()
    assert each.pop_next_data_item() == 1


def test_epoch_times_go_through_the_callback():
    seen = []

    def on_epoch_time(value):
        seen.append(value)
        return f"<{value}>"

    assert item("83c101c1f93e00a1c12001", on_epoch_time) == ["<1>", "<1.5>", {"<-1>": 1}]
    assert seen == [1, 1.5, -1]
    assert decoder("c101", on_epoch_time=on_epoch_time, unknown=1).pop_next_data_item() == "<1>"

    def fail(value):
        raise KeyError(value)

    with pytest.raises(KeyError):
        item("c101", fail)
    with pytest.raises(TypeError):
        item("c101", 5)


def test_a_callback_may_use_the_decoder():
    each = None

    def replace(value):
        each.reset_src(bytes.fromhex("0203"))
        gc.collect()
        return value

    each = decoder("83c10a0bff", replace)
    assert each.pop_next_data_item() == [10, 2, 3]
    each = decoder("83c10a0b0c", lambda value: each.pop_next_data_item())
    with pytest.raises(RuntimeError, match=INVALID):
        each.pop_next_data_item()


def test_lists_and_maps():
    assert decoder("820102").pop_next_list() == [1, 2]
    assert decoder("9f01ff").pop_next_list() == [1]
    assert decoder("a10102").pop_next_map() == {1: 2}
    assert decoder("bf0102ff").pop_next_map() == {1: 2}
    for method, data in (
        ("pop_next_list", "a0"),
        ("pop_next_list", "00"),
        ("pop_next_map", "80"),
        ("pop_next_map", "f6"),
    ):
        each = decoder(data)
        with pytest.raises(RuntimeError, match=UNEXPECTED):
            getattr(each, method)()
        each.consume_next_whole_data_item()


@pytest.mark.parametrize("method", ["pop_next_array_start", "pop_next_list", "pop_next_data_item"])
def test_definite_arrays_have_at_most_10000_items(method):
    assert getattr(decoder("992710" + "00" * 10000), method)() in (10000, [0] * 10000)
    for head in ("992711", "9a00010000", "9bffffffffffffffff", "9b7fffffffffffffff"):
        each = decoder(head + "00" * 100)
        for _ in range(2):
            with pytest.raises(RuntimeError, match=TOO_MUCH):
                getattr(each, method)()


@pytest.mark.parametrize("method", ["pop_next_map_start", "pop_next_map", "pop_next_data_item"])
def test_definite_maps_have_at_most_10000_entries(method):
    for head in ("b92711", "bbffffffffffffffff", "bb7fffffffffffffff"):
        each = decoder(head + "00" * 100)
        for _ in range(2):
            with pytest.raises(RuntimeError, match=TOO_MUCH):
                getattr(each, method)()


def test_indefinite_containers_and_skipping_know_no_such_limit():
    assert item("9f" + "00" * 20000 + "ff") == [0] * 20000
    each = decoder("994e20" + "00" * 20000 + "05")
    each.consume_next_whole_data_item()
    assert each.pop_next_data_item() == 5


@pytest.mark.parametrize("opener, end", [("81", ""), ("9f", "ff"), ("a100", ""), ("bf00", "ff")])
def test_items_nest_at_most_128_levels(opener, end):
    item(opener * 127 + "00" + end * 127)
    method = "pop_next_list" if opener in ("81", "9f") else "pop_next_map"
    getattr(decoder(opener * 128 + "00" + end * 128), method)()
    each = decoder(opener * 128 + "07" + end * 128)
    with pytest.raises(RecursionError, match="128 levels"):
        each.pop_next_data_item()
    if not opener.endswith("00"):
        assert each.pop_next_data_item() == 7  # goes on at the inner position
    with pytest.raises(RecursionError):
        getattr(decoder(opener * 129 + "00" + end * 129), method)()


def test_skipping_is_limited_to_128_levels():
    decoder("81" * 127 + "00").consume_next_whole_data_item()
    decoder("c6" * 127 + "00").consume_next_whole_data_item()
    each = decoder("81" * 128 + "00")
    for _ in range(2):
        with pytest.raises(RuntimeError, match=TOO_MUCH):
            each.consume_next_whole_data_item()


@pytest.mark.parametrize("data", ["ff", "81ff", "bf01ff", "c1ff", "a1ff01", "5f00ff", "c5a10102", "9f9fffff", "1903e8"])
def test_skipping_takes_a_break_for_an_item(data):
    for peeked in (False, True):
        each = decoder(data + "05")
        if peeked:
            each.peek_next_type()
        each.consume_next_whole_data_item()
        assert each.pop_next_data_item() == 5


# ---- as classes ----


def test_subclasses():
    class Encoder(AwsCborEncoder):
        def __init__(self, label):
            super().__init__()
            self.label = label

        def write_int(self, val):
            super().write_int(val + 1)

    encoder = Encoder("mine")
    encoder.write_int(val=1)
    encoder.write_data_item(data_item=[1])  # not written through overridden methods
    assert (encoder.label, encoder.get_encoded_data().hex()) == ("mine", "028101")

    class Decoder(AwsCborDecoder):
        def pop_next_text(self):
            return super().pop_next_text().upper()

    each = Decoder(src=b"\x61a\x61b")
    assert (each.pop_next_text(), each.pop_next_data_item()) == ("A", "b")


@pytest.mark.parametrize("make", [AwsCborEncoder, lambda: AwsCborDecoder(b"")], ids=["encoder", "decoder"])
def test_instances_are_ordinary_objects(make):
    each = make()
    assert isinstance(each, NativeResource)
    each.attribute = each  # a cycle
    each._binding = [each]
    reference = weakref.ref(each)
    del each
    gc.collect()
    assert reference() is None


def test_a_callback_may_hold_its_decoder():
    holder = []
    each = decoder("c101", holder.append)
    holder.append(each)
    assert each.pop_next_data_item() is None
    reference = weakref.ref(each)
    del each, holder
    gc.collect()
    assert reference() is None


def test_instances_that_were_not_initialized():
    encoder = AwsCborEncoder.__new__(AwsCborEncoder)
    encoder.write_int(1)
    assert encoder.get_encoded_data() == b"\x01"
    with pytest.raises(RuntimeError, match=INVALID):
        AwsCborDecoder.__new__(AwsCborDecoder).pop_next_data_item()


@pytest.mark.parametrize("owner", [AwsCborEncoder, AwsCborDecoder])
def test_methods_check_their_arguments(owner):
    each = owner() if owner is AwsCborEncoder else owner(b"")
    for name, _ in inspect.getmembers(owner, callable):
        if name.startswith("_"):
            continue
        bound = getattr(each, name)
        parameters = list(inspect.signature(bound).parameters)
        wrong = [((1, 2), {}), ((), {"nonsense": 1}), ((), {"nonsense": 1, "more": 2})]
        wrong += [((1,), {parameters[0]: 1}), ((), {})] if parameters else [((1,), {})]
        for args, kwargs in wrong:
            with pytest.raises(TypeError):
                bound(*args, **kwargs)


def test_the_classes_refuse_wrong_arguments():
    with pytest.raises(TypeError):
        AwsCborEncoder(1)
    with pytest.raises(TypeError):
        AwsCborDecoder()


def test_every_cut_of_a_document_is_refused():
    encoder = AwsCborEncoder()
    encoder.write_data_item({"a": [1, -1000, 1.1, "text", b"bytes", None, True, {"b": [2**40]}]})
    data = encoder.get_encoded_data()
    for end in range(len(data)):
        each = AwsCborDecoder(data[:end])
        with pytest.raises(RuntimeError, match=INVALID):
            each.pop_next_data_item()
        with pytest.raises(RuntimeError, match=INVALID):
            AwsCborDecoder(data[:end]).consume_next_whole_data_item()
