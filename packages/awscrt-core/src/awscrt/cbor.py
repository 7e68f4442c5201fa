"""CBOR (RFC 8949): whole Python objects with :func:`dumps` and :func:`loads`, or element by element.

Encoders and decoders are for one thread at a time.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Callable, Optional, Union

from awscrt import NativeResource as NativeResource
from awscrt import _core

__all__ = ["AwsCborDecoder", "AwsCborEncoder", "AwsCborType", "dumps", "loads"]

dumps = _core.cbor_dumps
loads = _core.cbor_loads


class AwsCborType(IntEnum):
    """What the next element is."""

    Unknown = 0
    UnsignedInt = 1
    NegativeInt = 2
    Float = 3
    Bytes = 4
    Text = 5
    ArrayStart = 6
    MapStart = 7
    Tag = 8
    Bool = 9
    Null = 10
    Undefined = 11
    Break = 12
    IndefBytes = 13
    IndefStr = 14
    IndefArray = 15
    IndefMap = 16


_TYPES = tuple(AwsCborType)


class AwsCborEncoder(_core.CborEncoder):
    """Writes CBOR elements one after the other, heads as short as can be.

    Structure is the caller's duty: how many items follow the start of a container, where breaks and tags stand.
    """


class AwsCborDecoder(_core.CborDecoder):
    """Reads CBOR elements one after the other, or whole items.

    ``pop_*`` raises RuntimeError: code 61 (``AWS_ERROR_CBOR_UNEXPECTED_TYPE``) if the next element is of another
    type, which leaves it in place; 60 (``AWS_ERROR_INVALID_CBOR``) if it is not well-formed or the data ends; 62
    (``AWS_ERROR_CBOR_RESOURCE_LIMIT_EXCEEDED``) for more than 10000 entries of a definite container. After 60 and 62
    every call fails the same way until :meth:`reset_src`.

    :param src: the data
    :param on_epoch_time: called with the number behind tag 1; its result stands for the tagged item. Without, the
        number does.
    """

    def __init__(
        self, src: bytes, on_epoch_time: Optional[Callable[[Union[int, float]], Any]] = None, **kwargs: Any
    ) -> None:
        NativeResource.__init__(self)  # named: a small item is read in the time that super() takes
        self._open(src, on_epoch_time)

    def peek_next_type(self) -> AwsCborType:
        """The type of the next element, which stays in place."""
        return _TYPES[self._peek_type()]
