"""Checksums against published check values, in every shape of input."""

import array
import inspect
import random
import zlib

import pytest

from awscrt import checksums

FUNCTIONS = [
    (checksums.crc32, 0xCBF43926, 0x190A55AD),
    (checksums.crc32c, 0xE3069283, 0x8A9136AA),
    (checksums.crc64nvme, 0xAE8B14860A799888, 0xCF3473434D4ECF3B),
]
COMBINES = [
    (checksums.crc32, checksums.combine_crc32, "crc32"),
    (checksums.crc32c, checksums.combine_crc32c, "crc32c"),
    (checksums.crc64nvme, checksums.combine_crc64nvme, "crc64nvme"),
]


@pytest.mark.parametrize("function, check, zeros", FUNCTIONS)
@pytest.mark.parametrize("shape", [bytes, bytearray, memoryview, lambda b: array.array("B", b), lambda b: b.decode()])
def test_check_values(function, check, zeros, shape):
    assert function(shape(b"123456789")) == check
    assert function(shape(bytes(32))) == zeros


@pytest.mark.parametrize("function, check, zeros", FUNCTIONS)
def test_continues_from_previous(function, check, zeros):
    assert function(b"6789", function(b"12345")) == check
    previous = list(inspect.signature(function).parameters)[1]
    assert function(input=b"6789", **{previous: function(b"12345")}) == check
    assert function(b"", 77) == 77


def test_long_inputs_match_zlib():
    data = random.Random(1).randbytes(1 << 20) if hasattr(random.Random, "randbytes") else bytes(range(256)) * 4096
    for start, end in [(0, len(data)), (1, 5121), (3, 70000)]:
        assert checksums.crc32(memoryview(data)[start:end]) == zlib.crc32(data[start:end])


@pytest.mark.parametrize("function, check, zeros", FUNCTIONS)
def test_signature(function, check, zeros):
    name = function.__name__
    parameters = inspect.signature(function).parameters
    assert list(parameters) == ["input", f"previous_{name}"]
    assert parameters[f"previous_{name}"].default == 0


@pytest.mark.parametrize("function, check, zeros", FUNCTIONS)
def test_bad_arguments(function, check, zeros):
    with pytest.raises(TypeError):
        function()
    with pytest.raises(TypeError):
        function(b"", 0, 0)
    with pytest.raises(TypeError):
        function(b"", input=b"")
    with pytest.raises(TypeError):
        function(b"", unknown=1)
    with pytest.raises(TypeError):
        function(5)
    with pytest.raises(TypeError):
        function(b"", "0")
    with pytest.raises(OverflowError):
        function(b"", -1)
    with pytest.raises(OverflowError):
        function(b"", 2**64)
    with pytest.raises(BufferError):
        function(memoryview(b"123456")[::2])


@pytest.mark.parametrize("function, combine, prefix", COMBINES)
def test_combine(function, combine, prefix):
    data = bytes(range(256)) * 100
    for split in [0, 1, 100, len(data) - 1, len(data)]:
        a, b = data[:split], data[split:]
        assert combine(function(a), function(b), len(b)) == function(data)


@pytest.mark.parametrize("function, combine, prefix", COMBINES)
@pytest.mark.parametrize("bad", [-1, 2**64, 1.0, None, "1"])
def test_combine_names_the_bad_argument(function, combine, prefix, bad):
    with pytest.raises(ValueError, match=f"{prefix}_result1"):
        combine(bad, 0, 0)
    with pytest.raises(ValueError, match=f"{prefix}_result2"):
        combine(0, bad, 0)
    with pytest.raises(ValueError, match="data_length2"):
        combine(0, 0, bad)
