"""Event-stream headers: names with typed values.

:mod:`awscrt.eventstream.rpc` speaks the RPC protocol over a connection, :mod:`awscrt.eventstream.codec` turns messages
into bytes and back without one.
"""

from __future__ import annotations

from enum import IntEnum

from awscrt import _core

__all__ = ["HeaderType", "Header"]


class HeaderType(IntEnum):
    """Type of a header's value, and its type byte on the wire."""

    BOOL_TRUE = 0
    """No bytes follow: the type is the value."""
    BOOL_FALSE = 1
    BYTE = 2
    """Signed, 8 bits."""
    INT16 = 3
    INT32 = 4
    INT64 = 5
    BYTE_BUF = 6
    """Up to 32,767 bytes."""
    STRING = 7
    """Up to 32,767 bytes of UTF-8."""
    TIMESTAMP = 8
    """Signed, 64 bits; seconds since 1970 by convention."""
    UUID = 9

    def __format__(self, format_spec: str) -> str:
        return str(self)


class Header(_core._EventStreamHeader):
    """A header of an event-stream message. Made by its factories (``from_...``); it does not change afterwards.

    What a factory does not check is checked when the header is sent: names have 1 to 254 bytes of UTF-8, STRING and
    BYTE_BUF values at most 32,767.
    """


_core.eventstream_use_types(Header, HeaderType)
