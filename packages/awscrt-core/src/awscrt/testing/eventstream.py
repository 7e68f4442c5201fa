"""A scripted event-stream RPC server: plays well-behaved peers, and every way to break the protocol.

def script(peer):
    peer.accept()
    request = peer.receive()
    peer.reply(request, b"pong", flags=TERMINATE_STREAM)

with EventStreamServer(script) as server:
    ...  # connect to server.port

Messages are built and read here without the code under test.
"""

from __future__ import annotations

import ssl
import struct
import uuid
import zlib
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from awscrt.testing.scripted import Peer, ScriptedServer

__all__ = [
    "CONNECTION_ACCEPTED",
    "TERMINATE_STREAM",
    "EventStreamPeer",
    "EventStreamServer",
    "Received",
    "decode",
    "encode",
    "frame",
    "header",
    "route",
    "serve_operations",
]

APPLICATION_MESSAGE, APPLICATION_ERROR, PING, PING_RESPONSE, CONNECT, CONNECT_ACK, PROTOCOL_ERROR, INTERNAL_ERROR = (
    range(8)
)
CONNECTION_ACCEPTED = 1
TERMINATE_STREAM = 2

_INTEGERS = {2: ">b", 3: ">h", 4: ">i", 5: ">q", 8: ">q"}  # type byte: struct format
_BYTE_BUF, _STRING, _UUID = 6, 7, 9

# name, type byte, value
HeaderTuple = Tuple[str, int, Any]


class Received(NamedTuple):
    """A message from the client."""

    headers: List[HeaderTuple]
    payload: bytes
    raw: bytes

    def value(self, name: str) -> Any:
        """Value of the last header of that name; None when there is none."""
        found = [value for key, _, value in self.headers if key == name]
        return found[-1] if found else None

    @property
    def message_type(self) -> int:
        return int(self.value(":message-type"))

    @property
    def flags(self) -> int:
        return int(self.value(":message-flags"))

    @property
    def stream_id(self) -> int:
        return int(self.value(":stream-id"))


# ---- bytes ----


def header(name: str, kind: int, value: Any = None) -> bytes:
    """The bytes of one header.

    :param value: for types without a value, and for unknown ones, bytes that are written as they are
    """
    encoded = name.encode()
    start = bytes([len(encoded)]) + encoded + bytes([kind])
    if kind in _INTEGERS:
        return start + struct.pack(_INTEGERS[kind], value)
    if kind in (_BYTE_BUF, _STRING):
        data = value.encode() if isinstance(value, str) else value
        return start + struct.pack(">H", len(data)) + data
    if kind == _UUID:
        return start + bytes(value.bytes)
    return start + (value if isinstance(value, bytes) else b"")


def route(message_type: int, flags: int = 0, stream_id: int = 0) -> bytes:
    """The three headers every message of the RPC protocol has."""
    named = ((":message-type", message_type), (":message-flags", flags), (":stream-id", stream_id))
    return b"".join(header(name, 4, value) for name, value in named)


def frame(
    headers: bytes = b"",
    payload: bytes = b"",
    *,
    total: Optional[int] = None,
    headers_len: Optional[int] = None,
    spoil_prelude: bool = False,
    spoil_message: bool = False,
) -> bytes:
    """The bytes of a message; its lengths may lie and its CRCs may be wrong.

    :param total: total length to claim
    :param headers_len: headers length to claim
    """
    total = 16 + len(headers) + len(payload) if total is None else total
    prelude = struct.pack(">II", total, len(headers) if headers_len is None else headers_len)
    prelude += struct.pack(">I", zlib.crc32(prelude) ^ spoil_prelude)
    body = prelude + headers + payload
    return body + struct.pack(">I", zlib.crc32(body) ^ spoil_message)


def encode(headers: Sequence[HeaderTuple], payload: bytes = b"") -> bytes:
    """The bytes of a message."""
    return frame(b"".join(header(*each) for each in headers), payload)


def _read_value(block: bytes, at: int, kind: int) -> Tuple[Any, int]:
    if kind in _INTEGERS:
        size = struct.calcsize(_INTEGERS[kind])
        return struct.unpack(_INTEGERS[kind], block[at : at + size])[0], at + size
    if kind in (_BYTE_BUF, _STRING):
        (size,) = struct.unpack(">H", block[at : at + 2])
        data = block[at + 2 : at + 2 + size]
        return data.decode() if kind == _STRING else data, at + 2 + size
    if kind == _UUID:
        return uuid.UUID(bytes=block[at : at + 16]), at + 16
    assert kind in (0, 1), kind
    return kind == 0, at


def decode(raw: bytes) -> Received:
    """The message that these bytes are; AssertionError when they are none."""
    total, headers_len, prelude_crc = struct.unpack(">III", raw[:12])
    assert total == len(raw)
    assert prelude_crc == zlib.crc32(raw[:8])
    assert struct.unpack(">I", raw[-4:])[0] == zlib.crc32(raw[:-4])
    block = raw[12 : 12 + headers_len]
    headers: List[HeaderTuple] = []
    at = 0
    while at < len(block):
        name = block[at + 1 : at + 1 + block[at]].decode()
        at += 1 + block[at]
        kind = block[at]
        value, at = _read_value(block, at + 1, kind)
        headers.append((name, kind, value))
    return Received(headers, raw[12 + headers_len : -4], raw)


# ---- the server ----


class EventStreamPeer:
    """The server's end of one connection, with blocking calls."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.number = peer.number  #: 0 for the first connection

    def receive(self) -> Received:
        """The client's next message. Raises EOFError when there is none."""
        prelude = self.peer.receive_exactly(12)
        (total,) = struct.unpack(">I", prelude[:4])
        return decode(prelude + self.peer.receive_exactly(total - 12))

    def receive_rest(self) -> List[Received]:
        """Every message until the client closes."""
        messages = []
        try:
            while True:
                messages.append(self.receive())
        except (EOFError, ConnectionError):
            return messages

    def send_raw(self, data: bytes) -> None:
        """Any bytes."""
        self.peer.send(data)

    def send(
        self,
        payload: bytes = b"",
        *,
        message_type: int = APPLICATION_MESSAGE,
        flags: int = 0,
        stream_id: int = 0,
        headers: Sequence[HeaderTuple] = (),
    ) -> None:
        """One message."""
        block = b"".join(header(*each) for each in headers) + route(message_type, flags, stream_id)
        self.peer.send(frame(block, payload))

    def reply(self, request: Received, payload: bytes = b"", **options: Any) -> None:
        """A message on the stream of a request."""
        self.send(payload, stream_id=request.stream_id, **options)

    def accept(self, flags: int = CONNECTION_ACCEPTED) -> Received:
        """Waits for CONNECT and answers it; gives the CONNECT."""
        message = self.receive()
        assert message.message_type == CONNECT, message
        self.send(message_type=CONNECT_ACK, flags=flags)
        return message

    def close(self) -> None:
        """Closes in an orderly way."""
        self.peer.close()

    def reset(self) -> None:
        """Closes with a TCP reset."""
        self.peer.reset()


class EventStreamServer(ScriptedServer):
    """Runs ``script(peer)`` on a thread for each connection, and closes the connection when it returns.

    :param context: makes it a TLS server
    :param path: listens on a Unix socket there
    """

    def __init__(
        self,
        script: Callable[[EventStreamPeer], None],
        *,
        context: Optional[ssl.SSLContext] = None,
        path: Optional[str] = None,
    ) -> None:
        super().__init__(lambda peer: script(EventStreamPeer(peer)), context=context, path=path)


def serve_operations(
    operations: Dict[str, Callable[[EventStreamPeer, Received], None]],
    *,
    on_connect: Callable[[Received], Any] = lambda message: None,
) -> Callable[..., None]:
    """A script that accepts the connection and calls what is registered for each operation a stream begins with.

    Messages on streams that have begun go to the function of their operation, too. PINGs are answered.

    :param on_connect: called with the CONNECT before it is acknowledged
    """

    def script(peer: EventStreamPeer) -> None:
        connect = peer.receive()
        assert connect.message_type == CONNECT, connect
        on_connect(connect)
        peer.send(message_type=CONNECT_ACK, flags=CONNECTION_ACCEPTED)
        streams: Dict[int, str] = {}
        try:
            while True:
                message = peer.receive()
                if message.message_type == PING:
                    peer.send(message.payload, message_type=PING_RESPONSE)
                elif message.stream_id:
                    operation = streams.setdefault(message.stream_id, message.value("operation"))
                    operations[operation](peer, message)
        except EOFError:
            return

    return script
