"""Event-stream headers and messages, without a connection."""

import gc
import struct
import uuid
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awscrt import _core
from awscrt.eventstream import Header, HeaderType
from awscrt.eventstream.codec import EventStreamDecoder, Message, encode_message
from awscrt.exceptions import AwsCrtError
from awscrt.testing import eventstream as kit

UUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")

ONE_OF_EVERY_TYPE = [
    Header.from_bool("t", True),
    Header.from_bool("f", False),
    Header.from_byte("b", -2),
    Header.from_int16("h", -2),
    Header.from_int32("i", -2),
    Header.from_int64("l", -2),
    Header.from_byte_buf("y", b"\x00\xff"),
    Header.from_string("s", "\xe9"),
    Header.from_timestamp("d", 1),
    Header.from_uuid("u", UUID),
]

VECTOR_5 = bytes.fromhex(
    "000000950000008496113030017400016601016202fe016803fffe016904fffffffe016c05fffffffffffffffe017906000200ff01730700"
    "02c3a9016408000000000000000101750900112233445566778899aabbccddeeff0d3a6d6573736167652d7479706504000000040e3a6d65"
    "73736167652d666c61677304000000000a3a73747265616d2d6964040000000050c228dc4f"
)


def decoded(*pieces):
    decoder = EventStreamDecoder()
    for piece in pieces:
        decoder.add_data(piece)
    return list(decoder)


def facts(message):
    return [(header.name, header.type, header.value) for header in message.headers], message.payload


# ---- headers ----


@pytest.mark.parametrize(
    "factory, kind, low, high",
    [
        ("from_byte", HeaderType.BYTE, -(2**7), 2**7 - 1),
        ("from_int16", HeaderType.INT16, -(2**15), 2**15 - 1),
        ("from_int32", HeaderType.INT32, -(2**31), 2**31 - 1),
        ("from_int64", HeaderType.INT64, -(2**63), 2**63 - 1),
        ("from_timestamp", HeaderType.TIMESTAMP, -(2**63), 2**63 - 1),
    ],
)
def test_integers_keep_to_the_range_of_their_type(factory, kind, low, high):
    make = getattr(Header, factory)
    for value in (low, -1, 0, high):
        header = make("n", value)
        assert (header.name, header.type, header.value) == ("n", kind, value)
        ((back,), _) = facts(decoded(encode_message([header]))[0])
        assert back == ("n", kind, value)
    for value in (low - 1, high + 1, 10**40, -(10**40), "seven", float("nan")):
        with pytest.raises(ValueError):
            make("n", value)
    with pytest.raises(OverflowError):
        make("n", float("inf"))
    with pytest.raises(TypeError):
        make("n", None)
    assert [make("n", value).value for value in (1.9, "7", True)] == [1, 7, 1]
    assert type(make("n", True).value) is int


def test_factories_convert_their_values():
    assert Header.from_bool("n", "yes").type is HeaderType.BOOL_TRUE
    assert Header.from_bool("n", []).type is HeaderType.BOOL_FALSE
    assert Header.from_bool("n", 1).value is True
    assert Header.from_string("n", 42).value == "42"
    assert Header.from_string(name="n", value=None).value == "None"
    data = bytearray(b"x")
    assert Header.from_byte_buf("n", data).value is data
    assert Header.from_uuid("n", UUID).value == UUID
    for wrong in (str(UUID), UUID.bytes, None):
        with pytest.raises(TypeError):
            Header.from_uuid("n", wrong)


def test_what_conversions_raise_comes_through():
    class Broken:
        def __bool__(self):
            raise KeyError("bool")

        def __str__(self):
            raise KeyError("str")

        def __int__(self):
            raise KeyError("int")

    for factory in (Header.from_bool, Header.from_string, Header.from_int32):
        with pytest.raises(KeyError):
            factory("n", Broken())


ACCESSORS = {
    "value_as_bool": (HeaderType.BOOL_TRUE, HeaderType.BOOL_FALSE),
    "value_as_byte": (HeaderType.BYTE,),
    "value_as_int16": (HeaderType.INT16,),
    "value_as_int32": (HeaderType.INT32,),
    "value_as_int64": (HeaderType.INT64,),
    "value_as_byte_buf": (HeaderType.BYTE_BUF,),
    "value_as_string": (HeaderType.STRING,),
    "value_as_timestamp": (HeaderType.TIMESTAMP,),
    "value_as_uuid": (HeaderType.UUID,),
}


@pytest.mark.parametrize("accessor", sorted(ACCESSORS))
@pytest.mark.parametrize("header", ONE_OF_EVERY_TYPE, ids=str)
def test_accessors_give_the_value_of_their_type_only(header, accessor):
    if header.type in ACCESSORS[accessor]:
        assert getattr(header, accessor)() == header.value
    else:
        with pytest.raises(TypeError):
            getattr(header, accessor)()


def test_text_forms():
    header = Header.from_int32("n", 5)
    assert str(header) == "n: 5 <INT32>"
    assert repr(header) == "Header('n', 5, <HeaderType.INT32: 4>)"
    assert str(Header.from_string("s", "a\n")) == r"s: 'a\n' <STRING>"
    assert f"{HeaderType.INT32:>20}" == str(HeaderType.INT32)


def test_headers_do_not_change_and_are_equal_to_themselves_only():
    header = Header.from_int32("n", 5)
    for name in ("name", "type", "value"):
        with pytest.raises(AttributeError):
            setattr(header, name, 1)
    assert header == header and header != Header.from_int32("n", 5)
    assert len({header, Header.from_int32("n", 5)}) == 2
    header.note = "they take attributes"
    gone = weakref.ref(header)
    del header
    assert gone() is None


def test_headers_in_cycles_are_collected():
    cell = bytearray(b"x")
    header = Header.from_byte_buf("n", cell)
    holder = [header]
    header.__dict__["holder"] = holder
    gone = weakref.ref(header)
    del header, holder
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("arguments", [(), ("n",), ("n", 1, 2), ("n", 1, 2, 3)])
def test_factories_take_two_arguments(arguments):
    with pytest.raises(TypeError):
        Header.from_int32(*arguments)
    with pytest.raises(TypeError):
        Header.from_int32("n", name="again")
    with pytest.raises(TypeError):
        Header.from_int32("n", valu=1)


def test_the_private_constructor_checks_too():
    assert Header("n", "5", HeaderType.INT32).value == 5
    with pytest.raises(ValueError):
        Header("n", 5, 10)
    with pytest.raises(TypeError):
        Header("n", 5, "INT32")
    with pytest.raises(ValueError):
        encode_message([Header.__new__(Header)])


# ---- what cannot be sent ----


@pytest.mark.parametrize("header", ONE_OF_EVERY_TYPE, ids=str)
def test_names_have_1_to_254_bytes(header):
    def named(name):
        return Header(name, header.value, header.type)

    for name in ("n" * 254, "\xe9" * 127):
        ((back,), _) = facts(decoded(encode_message([named(name)]))[0])
        assert back[0] == name
    for name in ("", "n" * 255, "\xe9" * 128, "\ud800"):
        with pytest.raises(ValueError):
            encode_message([named(name)])
    for name in (None, 5, b"n"):
        with pytest.raises(TypeError):
            encode_message([named(name)])


@pytest.mark.parametrize(
    "header, error, text",
    [
        (Header.from_string("s", "x" * 32768), RuntimeError, "4101"),
        (Header.from_string("s", "x" * 65535), RuntimeError, "4101"),
        (Header.from_string("s", "x" * 65536), ValueError, "STRING"),
        (Header.from_string("s", "\ud800"), ValueError, "surrogates"),
        (Header.from_byte_buf("s", b"x" * 32768), RuntimeError, "4101"),
        (Header.from_byte_buf("s", b"x" * 65536), RuntimeError, "4101"),
        (Header.from_byte_buf("s", b"x" * 65537), RuntimeError, "4101"),
        (Header.from_byte_buf("s", "text"), TypeError, "bytes-like"),
        (Header.from_byte_buf("s", None), TypeError, "bytes-like"),
    ],
    ids=lambda value: value.name if isinstance(value, Header) else None,
)
def test_values_that_are_too_long_or_no_buffer(header, error, text):
    with pytest.raises(error, match=text):
        encode_message([header])
    with pytest.raises(error, match=text):  # buffers of those before it are released
        encode_message([Header.from_byte_buf("y", bytearray(b"1")), header])


def test_the_longest_values_pass():
    for make, value in ((Header.from_string, "x" * 32767), (Header.from_byte_buf, b"x" * 32767)):
        (message,) = decoded(encode_message([make("v", value), make("e", value[:0])]))
        assert [header.value for header in message.headers] == [value, value[:0]]


def test_buffers_are_free_after_encoding():
    data = bytearray(b"12345")
    message = encode_message([Header.from_byte_buf("b", data)], memoryview(data))
    data.extend(b"6")  # BufferError if anything still held it
    assert decoded(message)[0].payload == b"12345"


@pytest.mark.parametrize("headers, error", [([1], AttributeError), (["x"], AttributeError), (5, TypeError)])
def test_headers_must_be_an_iterable_of_headers(headers, error):
    with pytest.raises(error):
        encode_message(headers)


def test_headers_may_be_any_iterable_and_payloads_text():
    many = (Header.from_int32(f"n{i}", i) for i in range(2000))
    message = kit.decode(encode_message(many, "\xe9"))
    assert message.payload == "\xe9".encode()
    assert [value for _, _, value in message.headers] == list(range(2000))
    with pytest.raises(TypeError):
        encode_message(None, 5)


def test_24_mib_are_the_most():
    payload = bytes(24 * 2**20 - 16)
    (message,) = decoded(encode_message(None, payload))
    assert message.payload == payload
    with pytest.raises(RuntimeError, match="4098"):
        encode_message(None, payload + b"x")


# ---- messages ----


def test_messages_match_the_published_vectors():
    assert encode_message().hex() == "000000100000000005c248eb7d98c8ff"
    assert encode_message(None, b"{'foo':'bar'}").hex() == "0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936"
    assert _core.eventstream_encode_rpc([Header.from_string(":version", "0.1.0")], None, 4, None, 0).hex() == (
        "0000005800000048154692c1083a76657273696f6e070005302e312e300d3a6d6573736167652d7479706504000000040e3a6d657373"
        "6167652d666c61677304000000000a3a73747265616d2d69640400000000a7f5636c"
    )
    assert _core.eventstream_encode_rpc(None, b"hi", 0, 0, 1, "echo").hex() == (
        "0000005a000000486f86c1a10d3a6d6573736167652d7479706504000000000e3a6d6573736167652d666c61677304000000000a3a73"
        "747265616d2d69640400000001096f7065726174696f6e0700046563686f686901a52929"
    )
    assert _core.eventstream_encode_rpc(ONE_OF_EVERY_TYPE, b"P", 4, 0, 0) == VECTOR_5


def test_a_message_with_every_type_is_read_back():
    (message,) = decoded(VECTOR_5)
    assert isinstance(message, Message)
    sent = [(header.name, header.type, header.value) for header in ONE_OF_EVERY_TYPE]
    received, payload = facts(message)
    assert received[:10] == sent
    assert payload == b"P"
    assert [type(value) for _, _, value in received[:10]] == [type(value) for _, _, value in sent]


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
headers = st.one_of(
    st.builds(Header.from_bool, names, st.booleans()),
    st.builds(Header.from_byte, names, st.integers(-(2**7), 2**7 - 1)),
    st.builds(Header.from_int16, names, st.integers(-(2**15), 2**15 - 1)),
    st.builds(Header.from_int32, names, st.integers(-(2**31), 2**31 - 1)),
    st.builds(Header.from_int64, names, st.integers(-(2**63), 2**63 - 1)),
    st.builds(Header.from_timestamp, names, st.integers(-(2**63), 2**63 - 1)),
    st.builds(Header.from_byte_buf, names, st.binary(max_size=300)),
    st.builds(Header.from_string, names, st.text(st.characters(exclude_categories=["Cs"]), max_size=100)),
    st.builds(Header.from_uuid, names, st.uuids()),
)
messages = st.tuples(st.lists(headers, max_size=15), st.binary(max_size=300))


@given(st.lists(messages, max_size=4))
@settings(max_examples=60, deadline=None)
def test_messages_are_what_an_independent_reader_reads(sent):
    wire = [encode_message(headers, payload) for headers, payload in sent]
    for (headers, payload), raw in zip(sent, wire):
        message = kit.decode(raw)
        assert message.headers == [(each.name, each.type, each.value) for each in headers]
        assert message.payload == payload
    assert [facts(message) for message in decoded(b"".join(wire))] == [
        ([(each.name, each.type, each.value) for each in headers], payload) for headers, payload in sent
    ]


@given(st.lists(messages, min_size=1, max_size=3), st.data())
@settings(max_examples=40, deadline=None)
def test_messages_may_be_cut_anywhere(sent, data):
    wire = b"".join(encode_message(headers, payload) for headers, payload in sent)
    whole = [facts(message) for message in decoded(wire)]
    assert [facts(message) for message in decoded(*(wire[i : i + 1] for i in range(len(wire))))] == whole
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)])]
    assert [facts(message) for message in decoded(*pieces)] == whole


def test_every_split_point_of_two_messages():
    wire = VECTOR_5 + encode_message(None, b"second")
    whole = [facts(message) for message in decoded(wire)]
    for cut in range(len(wire) + 1):
        decoder = EventStreamDecoder()
        decoder.add_data(wire[:cut])
        first = [facts(message) for message in decoder]
        decoder.add_data(wire[cut:])
        assert first + [facts(message) for message in decoder] == whole


@given(st.binary(max_size=200), st.integers(0, 199), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_no_single_damaged_byte_goes_unnoticed(payload, at, flip):
    wire = bytearray(encode_message(ONE_OF_EVERY_TYPE, payload))
    wire[at % len(wire)] ^= flip
    with pytest.raises(AwsCrtError) as raised:
        decoded(bytes(wire))
    assert 4096 <= raised.value.code <= 4103


@pytest.mark.parametrize(
    "wire, code",
    [
        (kit.frame(spoil_prelude=True)[:12], 4099),
        (kit.frame(b"", b"payload", spoil_message=True), 4100),
        (kit.frame(total=24 * 2**20 + 1)[:12], 4098),
        (kit.frame(total=15)[:12], 4096),
        (kit.frame(total=0)[:12], 4096),
        (kit.frame(headers_len=1)[:12], 4101),
        (kit.frame(total=2**32 - 1, headers_len=2**32 - 1)[:12], 4098),
        (kit.frame(b"\x05n"), 4101),
        (kit.frame(b"\x01n"), 4101),
        (kit.frame(b"\x01n\x04\x00"), 4101),
        (kit.frame(b"\x01n\x07\x00"), 4101),
        (kit.frame(b"\x01n\x07\x00\x05abcd"), 4101),
        (kit.frame(b"\x01n\x09" + bytes(15)), 4101),
        (kit.frame(kit.header("n", 7, "x" * 32768)), 4101),
        (kit.frame(kit.header("n", 10)), 4102),
        (kit.frame(kit.header("n", 255)), 4102),
        (kit.frame(kit.header("n", 0) * 1025), 4108),
    ],
)
def test_violations_are_told_behind_the_messages_before_them(wire, code):
    good = encode_message(None, b"before")
    decoder = EventStreamDecoder()
    for byte in good + wire:
        decoder.add_data(bytes([byte]))
    assert next(decoder).payload == b"before"
    with pytest.raises(AwsCrtError) as raised:
        next(decoder)
    assert raised.value.code == code


def test_a_bad_prelude_is_for_good_and_bad_headers_are_not():
    decoder = EventStreamDecoder()
    decoder.add_data(kit.frame(kit.header("n", 10)) + encode_message(None, b"next"))
    with pytest.raises(AwsCrtError):
        next(decoder)
    assert next(decoder).payload == b"next"
    decoder.add_data(kit.frame(spoil_prelude=True) + encode_message())
    for _ in range(2):
        with pytest.raises(AwsCrtError):
            next(decoder)
        decoder.add_data(encode_message())


def test_lenient_where_receiving_is():
    block = kit.header("", 0) + kit.header("n" * 255, 1) + kit.header("n", 0) * 1022
    (message,) = decoded(kit.frame(block))
    assert len(message.headers) == 1024
    assert [message.headers[0].name, message.headers[1].name] == ["", "n" * 255]
    for block in (b"\x01\xff\x00", kit.header("n", 7, b"\xff")):
        with pytest.raises(UnicodeDecodeError):
            decoded(kit.frame(block))


def test_the_decoder_takes_buffers_only():
    decoder = EventStreamDecoder()
    for wrong in ("text", None, 5, [1]):
        with pytest.raises(TypeError):
            decoder.add_data(wrong)
    decoder.add_data(b"")
    decoder.add_data(bytearray(struct.pack(">I", 16)))
    decoder.add_data(memoryview(encode_message())[4:])
    assert [facts(message) for message in decoder] == [([], b"")]
