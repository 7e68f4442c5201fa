"""XXHash: published values, streams, every shape of input."""

from __future__ import annotations

import array
import inspect
import threading

import pytest

from awscrt import NativeResource
from awscrt.checksums import XXHash

EMPTY = {
    "xxhash64": "ef46db3751d8e999",
    "xxhash3_64": "2d06800538d394c2",
    "xxhash3_128": "99aa06d3014798d86001c324468d497f",
}
HELLO = {
    "xxhash64": "c500b0c912b376d8",
    "xxhash3_64": "b6acb9d84a38ff74",
    "xxhash3_128": "7351f89812f97382b91d05b31e04dd7f",
}
each_algorithm = pytest.mark.parametrize("name", sorted(EMPTY))


def compute(name, *args, **kwargs):
    return getattr(XXHash, f"compute_{name}")(*args, **kwargs)


def new(name, *args, **kwargs):
    return getattr(XXHash, f"new_{name}")(*args, **kwargs)


@each_algorithm
@pytest.mark.parametrize("shape", [bytes, bytearray, memoryview, lambda b: array.array("B", b)])
def test_published_values(name, shape):
    assert compute(name, shape(b"")).hex() == EMPTY[name]
    assert compute(name, shape(b"Hello world")).hex() == HELLO[name]
    assert compute(name, input=shape(b"Hello world"), seed=0).hex() == HELLO[name]


@each_algorithm
def test_stream_may_go_on_after_finalize(name):
    stream = new(name)
    assert isinstance(stream, NativeResource)
    assert stream.finalize().hex() == EMPTY[name]
    stream.update(b"Hello")
    assert stream.finalize() == stream.finalize() == compute(name, b"Hello")
    stream.update(memoryview(b" world"))
    assert stream.finalize().hex() == HELLO[name]


@each_algorithm
@pytest.mark.parametrize("size", [0, 1, 64, 240, 241, 1024, 5120, 5121, 1 << 20])
def test_stream_and_one_call_agree_at_every_length_class(name, size):
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    stream = new(name, seed=2**64 - 1)
    for start in range(0, size, 6000):
        stream.update(data[start : start + 6000])
    assert stream.finalize() == compute(name, data, 2**64 - 1)
    assert stream.finalize() != compute(name, data)


@each_algorithm
def test_wrong_inputs(name):
    for call in (lambda data: compute(name, data), new(name).update):
        with pytest.raises(TypeError):
            call("text")
        with pytest.raises(TypeError):
            call(5)
        with pytest.raises(BufferError):
            call(memoryview(b"123456")[::2])
    for arguments in ((), (b"", 0, 0)):
        with pytest.raises(TypeError):
            compute(name, *arguments)
    with pytest.raises(TypeError):
        compute(name, b"", input=b"")


@each_algorithm
@pytest.mark.parametrize(
    "seed, error", [(-1, OverflowError), (2**64, OverflowError), ("1", TypeError), (1.0, TypeError)]
)
def test_wrong_seeds(name, seed, error):
    with pytest.raises(error):
        compute(name, b"", seed)
    with pytest.raises(error):
        new(name, seed)


@each_algorithm
def test_signature(name):
    parameters = inspect.signature(getattr(XXHash, f"compute_{name}")).parameters
    assert list(parameters) == ["input", "seed"]
    assert parameters["seed"].default == 0
    assert XXHash(new(name)._binding).finalize().hex() == EMPTY[name]


def test_threads_may_share_a_stream():
    stream = XXHash.new_xxhash3_128()
    block = bytes(64 * 1024)
    threads = [threading.Thread(target=lambda: [stream.update(block) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stream.finalize() == XXHash.compute_xxhash3_128(block * 200)
