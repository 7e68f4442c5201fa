"""The server's end of an HTTP/2 connection, frame by frame (RFC 9113, section 4.1), for scripts that break rules.

def script(peer):
    http2 = Http2Peer(peer)
    http2.until(HEADERS)
    http2.reset(1, CANCEL)
    http2.drain()

with ScriptedServer(script) as server:
    ...  # connect to server.port with prior knowledge
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Tuple

from awscrt.testing.scripted import Peer

__all__ = ["Frame", "Http2Peer"]

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
NO_ERROR, INTERNAL_ERROR, CANCEL = 0, 2, 8


class Frame(NamedTuple):
    """A frame as it came."""

    type: int
    flags: int
    stream: int
    payload: bytes

    @property
    def number(self) -> int:
        """The error code of RST_STREAM, the increment of WINDOW_UPDATE, the last stream of GOAWAY."""
        return int(struct.unpack(">I", self.payload[:4])[0])


class Http2Peer:
    """Reads the preface and the client's SETTINGS, which are kept; answers with its own."""

    def __init__(self, peer: Peer, settings: Tuple[Tuple[int, int], ...] = ()) -> None:
        self._peer = peer
        assert peer.receive_exactly(24) == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        first = self.next()
        assert first.type == SETTINGS
        self.client_settings = [struct.unpack_from(">HI", first.payload, i) for i in range(0, len(first.payload), 6)]
        self.settings(*settings)
        self.send(SETTINGS, ACK)

    def next(self) -> Frame:
        """The next frame, whatever it is. Raises EOFError when the client closes."""
        head = self._peer.receive_exactly(9)
        payload = self._peer.receive_exactly(int.from_bytes(head[:3], "big"))
        return Frame(head[3], head[4], int.from_bytes(head[5:], "big"), payload)

    def until(self, type: int) -> Frame:
        """The next frame of that type, acknowledgements aside."""
        while True:
            frame = self.next()
            if frame.type == type and not (type in (SETTINGS, PING) and frame.flags & ACK):
                return frame

    def send(self, type: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> None:
        """Sends a frame."""
        head = len(payload).to_bytes(3, "big") + bytes([type, flags]) + stream.to_bytes(4, "big")
        self._peer.send(head + payload)

    def settings(self, *pairs: Tuple[int, int]) -> None:
        """Sends SETTINGS of (id, value)."""
        self.send(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))

    def head(self, stream: int, *fields: Tuple[str, str], flags: int = 0) -> None:
        """Sends a header block of names and values of up to 126 bytes."""
        block = b"".join(
            b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields
        )
        self.send(HEADERS, flags | END_HEADERS, stream, block)

    def respond(self, stream: int, body: bytes = b"ok") -> None:
        """Sends a complete response with status 200."""
        self.head(stream, (":status", "200"))
        self.send(DATA, END_STREAM, stream, body)

    def reset(self, stream: int, code: int) -> None:
        """Sends RST_STREAM."""
        self.send(RST_STREAM, 0, stream, struct.pack(">I", code))

    def goaway(self, last: int) -> None:
        """Sends GOAWAY(NO_ERROR): streams above ``last`` are not served."""
        self.send(GOAWAY, 0, 0, struct.pack(">II", last, 0))

    def drain(self) -> None:
        """Until the client closes."""
        try:
            while True:
                self.next()
        except EOFError:
            pass
