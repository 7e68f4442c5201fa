"""Checksums against published check values, in every shape of input."""

import array
import inspect
import os
import platform
import random
import zlib

import pytest

from awscrt import _core, checksums

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


@pytest.mark.parametrize("function, combine, prefix", COMBINES)
def test_combine_takes_keywords_and_drops_high_bits(function, combine, prefix):
    a, b = function(b"123"), function(b"456")
    names = [f"{prefix}_result1", f"{prefix}_result2", "data_length2"]
    assert list(inspect.signature(combine).parameters) == names
    assert combine(**dict(zip(names, (a, b, 3)))) == function(b"123456")
    if prefix != "crc64nvme":
        assert combine(a + 2**32, b + 2**63, 3) == function(b"123456")
        assert function(b"456", a + 2**32) == function(b"123456")
    with pytest.raises(TypeError):
        combine(1, 2)


@pytest.mark.parametrize("function, check, zeros", FUNCTIONS)
def test_pieces_of_every_length_give_the_whole(function, check, zeros):
    """Crosses the limits between short inputs, table, narrow and wide registers, and the GIL's."""
    data = bytes(i * 7 + (i >> 8) & 0xFF for i in range(80_000))
    whole = function(data)
    for cut in [*range(0, 600, 13), 5119, 5120, 5121, 24575, 24576, 24577, 79_999]:
        assert function(data[cut:], function(data[:cut])) == whole


@pytest.mark.parametrize("function, check, zeros", FUNCTIONS)
def test_large_inputs_in_any_pieces_give_the_whole(function, check, zeros):
    """Long enough for every kernel's pieces, from several alignments."""
    generator = random.Random(64)
    data = memoryview(bytes(i * 11 + (i >> 7) & 0xFF for i in range(1 << 16)) * 12)
    for start in (0, 1, 32, 63):
        part = data[start:]
        whole = function(part)
        for _ in range(5):
            value, at = 0, 0
            while at < len(part):
                step = generator.choice((generator.randrange(1, 400), generator.randrange(1, 400_000)))
                value = function(part[at : at + step], value)
                at += step
            assert value == whole


VALUES = """
from awscrt import _core, checksums
data = bytes(range(256)) * 2048
print(sorted(_core.checksum_kernels().items()))
for function in (checksums.crc32, checksums.crc32c, checksums.crc64nvme):
    print(function(data))
for name in ("64", "3_64", "3_128"):
    print(getattr(checksums.XXHash, "compute_xxhash" + name)(data).hex())
"""


def test_environment_keeps_to_narrow_registers(run_python):
    narrow = run_python(VALUES, AWS_COMMON_AVX2="0").stdout.splitlines()
    wide = run_python(VALUES, AWS_COMMON_AVX2="1").stdout.splitlines()
    assert "avx" not in narrow[0]
    assert len(narrow) == 7 and narrow[1:] == wide[1:]


def test_kernels_of_this_processor_are_chosen():
    kernels = _core.checksum_kernels()
    assert sorted(kernels) == ["crc32", "crc32c", "crc64nvme", "xxh3"]
    if (
        platform.machine() != "x86_64"
        or not os.path.exists("/proc/cpuinfo")
        or os.environ.get("AWS_COMMON_AVX2") == "0"
    ):
        pytest.skip("the processor's flags are read on Linux on x86-64")
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        pairs = [line.split(":", 1) for line in f if ":" in line]
    first = {name.strip(): value for name, value in reversed(pairs)}
    flags = first["flags"].split()
    wide = {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= set(flags)
    assert kernels["xxh3"] == ("avx512" if wide else "avx2" if "avx2" in flags else "baseline")
    expected = "avx512" if wide and "vpclmulqdq" in flags else "pclmul" if "pclmulqdq" in flags else None
    zen5 = first["vendor_id"].strip() == "AuthenticAMD" and int(first["cpu family"]) >= 26
    if expected == "avx512" and "gfni" in flags and zen5:
        expected = "avx512-gfni"
    if expected:
        assert {kernels[name] for name in ("crc32", "crc32c", "crc64nvme")} == {expected}
