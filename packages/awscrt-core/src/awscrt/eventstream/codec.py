"""Event-stream messages as bytes, for those who bring their own transport.

There and back::

    decoder = EventStreamDecoder()
    decoder.add_data(encode_message([Header.from_string(":event-type", "tick")], b"{}"))
    for message in decoder:
        print(message.headers, message.payload)

Neither side does any I/O.
"""

from __future__ import annotations

from collections import namedtuple

from awscrt import _core
from awscrt.eventstream import Header

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    from typing import Iterable, Iterator, List, NamedTuple, Optional, Union

    class Message(NamedTuple):
        headers: List[Header]
        payload: bytes

else:
    Message = namedtuple("Message", ["headers", "payload"])

__all__ = ["EventStreamDecoder", "Header", "Message", "encode_message"]

Message.__doc__ = "A decoded message: its headers, in order, and its payload."


def encode_message(
    headers: Optional[Iterable[Header]] = None, payload: Union[None, str, bytes, bytearray, memoryview] = None
) -> bytes:
    """The bytes of a message: prelude, headers, payload and CRCs.

    :param headers: any iterable of :class:`~awscrt.eventstream.Header`
    :param payload: bytes; a str is sent as UTF-8, None as nothing
    :raises ValueError: a name, or a STRING, that is too long
    :raises RuntimeError: another value is too long (AWS_ERROR_EVENT_STREAM_MESSAGE_INVALID_HEADERS_LEN), or the
        message exceeds 24 MiB (AWS_ERROR_EVENT_STREAM_MESSAGE_FIELD_SIZE_EXCEEDED)
    :raises AttributeError: an element of ``headers`` is no Header
    :raises TypeError: a payload, or the value of a BYTE_BUF, that is no buffer
    """
    return _core.eventstream_encode(headers, payload)


class EventStreamDecoder:
    """Decodes a stream of messages that comes in pieces, cut anywhere. Iterating gives the messages complete so far.

    What violates the format raises :class:`awscrt.exceptions.AwsCrtError` (codes 4096 to 4108), behind the
    messages before it. A bad prelude or CRC is for good: there is no telling where the next message begins.
    """

    def __init__(self) -> None:
        self._native = _core._EventStreamDecoder()

    def add_data(self, data: Union[bytes, bytearray, memoryview]) -> None:
        """Take the next bytes of the stream.

        :raises TypeError: no buffer
        """
        self._native.add_data(data)

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        return Message(*next(self._native))
