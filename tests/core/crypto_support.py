"""What the tests of awscrt.crypto share."""

import array
import ctypes
import json
import re
from contextlib import contextmanager
from pathlib import Path

import pytest


def vectors(name):
    return json.loads((Path(__file__).parent / "vectors" / name).read_text())


@contextmanager
def raises_code(code):
    """A plain RuntimeError with this code and its name in front."""
    with pytest.raises(RuntimeError) as caught:
        yield
    assert type(caught.value) is RuntimeError
    assert re.match(rf"{code} \(AWS_[A-Z0-9_]+\): .", str(caught.value)), str(caught.value)


# Everything that is a contiguous buffer of bytes.
BUFFERS = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "slice": lambda data: memoryview(b"<" + data + b">")[1:-1],
    "writable view": lambda data: memoryview(bytearray(data)),
    "array": lambda data: array.array("B", data),
    "ctypes": lambda data: (ctypes.c_char * len(data)).from_buffer_copy(data),
    "subclass": type("Subclass", (bytes,), {}),
}

NO_BUFFERS = [None, 5, 1.5, [1, 2], object(), ("a",), {}]
