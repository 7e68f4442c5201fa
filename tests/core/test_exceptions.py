"""Codes become exceptions and exceptions become codes, as users of the AWS runtime know them."""

import copy
import json
import pickle
import re
from pathlib import Path

import pytest

from awscrt.exceptions import AwsCrtError, from_code

BUILT_INS = [
    (1, MemoryError),
    (5, OverflowError),
    (10, IndexError),
    (34, ValueError),
    (37, NotImplementedError),
    (44, FileNotFoundError),
    (1043, BlockingIOError),
    (1044, BrokenPipeError),
]


@pytest.mark.parametrize("code, expected", BUILT_INS)
def test_codes_that_mean_a_built_in(code, expected):
    error = from_code(code)
    assert type(error) is expected
    assert error.args == ()


EVERY_CODE = [int(code) for code in json.loads((Path(__file__).parent / "surface_core.json").read_text())["errors"]]


def test_messages_are_sentences_of_their_own(probe):
    messages = {}
    for code in EVERY_CODE:
        with pytest.raises(RuntimeError) as caught:
            probe.raise_code(code, None)
        message = re.fullmatch(rf"{code} \(\w+\): (.+)", str(caught.value))[1]
        assert re.fullmatch(r"[A-Z].{14,180}[.)]|.*pip install [\w-]+", message), message
        assert not re.search(r"(?i)todo|fixme|placeholder|lorem|AWS_[A-Z_]+_[A-Z_]+_[A-Z_]+_[A-Z_]+ ", message)
        assert message not in messages, f"{code} says the same as {messages[message]}"
        messages[message] = code
    assert len(messages) == 469


@pytest.mark.parametrize("code", EVERY_CODE)
def test_every_code_names_its_exception(code):
    error = from_code(code)
    if type(error) is AwsCrtError:
        assert re.fullmatch(r"(DEPRECATED_)?AWS_[A-Z0-9_]+", error.name)
        assert str(error) == f"{error.name}: {error.message}"
        assert pickle.loads(pickle.dumps(error)).__dict__ == error.__dict__
    else:
        assert (code, type(error)) in BUILT_INS


def test_other_codes():
    error = from_code(1048)
    assert type(error) is AwsCrtError
    assert (error.code, error.name, error.args) == (1048, "AWS_IO_SOCKET_TIMEOUT", ())
    assert str(error) == f"AWS_IO_SOCKET_TIMEOUT: {error.message}"
    assert repr(error) == f"AwsCrtError(name='AWS_IO_SOCKET_TIMEOUT', message={error.message!r}, code=1048)"


def test_code_zero_means_success():
    error = from_code(0)
    assert error.name == "AWS_ERROR_SUCCESS"
    assert "success" in error.message.lower()


@pytest.mark.parametrize("code", [-1, 16384, 999999999])
def test_unknown_codes(code):
    error = from_code(code)
    assert (error.code, error.name, error.message) == (code, "Unknown Error Code", "Unknown Error Code")


@pytest.mark.parametrize("code", [2**31, -(2**31) - 1, 2**100])
def test_codes_beyond_32_bits(code):
    with pytest.raises(OverflowError):
        from_code(code)


@pytest.mark.parametrize("code", [None, "34", 1.5])
def test_code_must_be_an_int(code):
    with pytest.raises(TypeError):
        from_code(code)


def test_true_is_one():
    assert type(from_code(True)) is MemoryError


class Detailed(AwsCrtError):
    """As S3ResponseError: more arguments, passed on by name."""

    def __init__(self, *, code, name, message, status):
        super().__init__(code=code, name=name, message=message)
        self.status = status


@pytest.mark.parametrize(
    "error",
    [
        from_code(1048),
        AwsCrtError(7, "NAME", "text"),
        Detailed(code=8, name="N", message="m", status=404),
    ],
    ids=["from_code", "positional", "subclass"],
)
@pytest.mark.parametrize("round_trip", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_round_trips(error, round_trip):
    again = round_trip(error)
    assert type(again) is type(error)
    assert again.__dict__ == error.__dict__
    assert again.args == error.args
    assert (str(again), repr(again)) == (str(error), repr(error))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_round_trips_keep_what_was_added(protocol):
    error = from_code(1048)
    error.request_id = "id"
    again = pickle.loads(pickle.dumps(error, protocol))
    assert (again.code, again.request_id) == (1048, "id")


def test_keywords_leave_args_empty():
    assert AwsCrtError(code=1, name="N", message="m").args == ()
    assert AwsCrtError(1, "N", "m").args == (1, "N", "m")
    assert AwsCrtError.__mro__[1] is Exception
    assert repr(Detailed(code=8, name="N", message="m", status=404)) == "Detailed(name='N', message='m', code=8)"


def test_equality_is_identity():
    assert from_code(1048) != from_code(1048)


def test_detail_is_part_of_the_message(probe):
    error = probe.exception(1047, "connecting to host:1")
    assert error.message == f"{from_code(1047).message} connecting to host:1"
    assert "host:1" in str(probe.exception(34, "for host:1"))


def test_detail_may_hold_any_bytes(probe):
    with pytest.raises(RuntimeError, match=r"^1051 \(AWS_IO_SOCKET_CLOSED\): .* peer said "):
        probe.raise_code(1051, b"peer said \xff")


def test_synchronous_failures_are_runtime_errors(probe):
    with pytest.raises(RuntimeError) as caught:
        probe.raise_code(34, None)
    assert type(caught.value) is RuntimeError
    assert str(caught.value) == "34 (AWS_ERROR_INVALID_ARGUMENT): " + str(caught.value).split(": ", 1)[1]


@pytest.mark.parametrize(
    "raised, code",
    [
        (IndexError, 10),
        (MemoryError, 1),
        (NotImplementedError, 37),
        (OverflowError, 5),
        (TypeError, 34),
        (ValueError, 34),
        (FileNotFoundError, 44),
        (BlockingIOError, 1043),
        (BrokenPipeError, 1044),
        (OSError, 3),
        (RuntimeError, 3),
        (KeyError, 3),
        (SystemExit, 3),
        (KeyboardInterrupt, 3),
    ],
)
def test_exceptions_map_to_codes_by_exact_type(probe, capfd, raised, code):
    def fail():
        raise raised("told")

    assert probe.code_of(fail) == code
    printed = capfd.readouterr().err
    assert raised.__name__ in printed and "Traceback" in printed
    assert str(code) in printed.splitlines()[-1]


def test_subclasses_of_mapped_exceptions_are_unknown(probe, capfd):
    assert probe.code_of(lambda: b"\xff".decode()) == 3  # UnicodeDecodeError is a ValueError
