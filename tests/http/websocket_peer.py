"""The server's end of a WebSocket, played by a test, and a client of awscrt.websocket that notes what it is told."""

from __future__ import annotations

import base64
import hashlib
import struct
import threading
import time
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

from awscrt import websocket
from awscrt.testing.scripted import Peer, ScriptedServer

TIMEOUT = 20  # seconds; far more than anything here takes
CLOSE = 8


class Frame(NamedTuple):
    opcode: int
    fin: bool
    rsv: int
    payload: bytes


def accept_of(key: str) -> str:
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return base64.b64encode(digest).decode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A frame as servers send it."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    if len(payload) < 65536:
        return bytes([first, 126]) + struct.pack("!H", len(payload)) + payload
    return bytes([first, 127]) + struct.pack("!Q", len(payload)) + payload


class Side:
    """One connection, after :meth:`handshake`."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.head = ""

    @property
    def headers(self) -> dict[str, str]:
        pairs = (line.split(": ", 1) for line in self.head.split("\r\n")[1:] if line)
        return {name.lower(): value for name, value in pairs}

    def read_head(self) -> None:
        self.head = self.peer.receive_until(b"\r\n\r\n").decode()

    def handshake(self, *extra: str, then: bytes = b"") -> Side:
        self.read_head()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_of(self.headers['sec-websocket-key'])}",
            *extra,
        ]
        self.peer.send("\r\n".join(lines).encode() + b"\r\n\r\n" + then)
        return self

    def send(self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> None:
        self.peer.send(frame(opcode, payload, fin=fin, rsv=rsv))

    def read(self) -> Frame:
        """The next frame; it must be masked, and its length in the shortest form."""
        first, second = self.peer.receive_exactly(2)
        assert second & 0x80, "a client's frame is not masked"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.peer.receive_exactly(2))
            assert length > 125
        elif length == 127:
            (length,) = struct.unpack("!Q", self.peer.receive_exactly(8))
            assert length > 65535
        mask = self.peer.receive_exactly(4)
        data = self.peer.receive_exactly(length)
        key = int.from_bytes(mask * (length // 4 + 1), "big") >> 8 * (4 - length % 4)
        payload = (int.from_bytes(data, "big") ^ key).to_bytes(length, "big")
        return Frame(first & 15, bool(first & 0x80), first >> 4 & 7, payload)

    def read_to_end(self) -> List[Frame]:
        """All frames until the client closes the connection."""
        frames = []
        while True:
            try:
                frames.append(self.read())
            except (EOFError, ConnectionError):
                return frames

    def read_to_close(self) -> List[Frame]:
        """All frames up to the client's CLOSE, or its end."""
        frames = []
        while not frames or frames[-1].opcode != CLOSE:
            try:
                frames.append(self.read())
            except (EOFError, ConnectionError):
                break
        return frames


def serve(script: Callable[[Side], None], *extra: str, then: bytes = b"") -> ScriptedServer:
    """A server that shakes hands and runs ``script``."""
    return ScriptedServer(lambda peer: script(Side(peer).handshake(*extra, then=then)))


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


class Client:
    """A connection of awscrt.websocket. ``told`` is what its callbacks were given, in order."""

    def __init__(
        self, port: int, *, headers: Sequence[Tuple[str, str]] = (), raises: Sequence[str] = (), **options: Any
    ) -> None:
        self.told: List[Any] = []
        self.raises = raises
        self.ready = threading.Event()
        self.down = threading.Event()
        self.websocket: Optional[websocket.WebSocket] = None
        request = options.pop("handshake_request", None)
        if request is None:
            request = websocket.create_handshake_request(host="localhost", path="/chat")
            request.headers.add_pairs(headers)
        callbacks = {
            "on_connection_shutdown": self._on_shutdown,
            "on_incoming_frame_begin": self._note("on_incoming_frame_begin"),
            "on_incoming_frame_payload": self._note("on_incoming_frame_payload"),
            "on_incoming_frame_complete": self._note("on_incoming_frame_complete"),
        }
        callbacks.update(options)
        websocket.connect(
            host=callbacks.pop("host", "127.0.0.1"),  # type: ignore[arg-type]
            port=port,
            handshake_request=request,
            on_connection_setup=self._on_setup,
            **callbacks,  # type: ignore[arg-type]
        )

    def _check(self, name: str) -> None:
        if name in self.raises:
            raise KeyError(name)

    def _on_setup(self, data: websocket.OnConnectionSetupData) -> None:
        self.told.append(data)
        self.websocket = data.websocket
        self.ready.set()
        self._check("on_connection_setup")

    def _on_shutdown(self, data: websocket.OnConnectionShutdownData) -> None:
        self.told.append(data)
        self.down.set()
        self._check("on_connection_shutdown")

    def _note(self, name: str) -> Callable[[Any], None]:
        def callback(data: Any) -> None:
            self.told.append(data)
            self._check(name)

        return callback

    def on_sent(self, data: websocket.OnSendFrameCompleteData) -> None:
        self.told.append(data)

    @property
    def setup(self) -> websocket.OnConnectionSetupData:
        assert self.ready.wait(TIMEOUT)
        return self.told[0]

    def open(self) -> websocket.WebSocket:
        assert self.setup.exception is None, self.setup.exception
        assert self.websocket is not None
        return self.websocket

    def shutdown(self) -> Optional[Exception]:
        """Waits for the end; why it came."""
        assert self.down.wait(TIMEOUT)
        return self.of(websocket.OnConnectionShutdownData)[0].exception

    def of(self, kind: type) -> List[Any]:
        return [data for data in self.told if type(data) is kind]

    @property
    def frames(self) -> List[Tuple[int, bool, bytes]]:
        """Frames that are complete: opcode, fin, payload."""
        found, payload = [], b""
        for data in self.told:
            if type(data) is websocket.OnIncomingFrameBeginData:
                payload = b""
            elif type(data) is websocket.OnIncomingFramePayloadData:
                payload += data.data
            elif type(data) is websocket.OnIncomingFrameCompleteData and data.exception is None:
                assert len(payload) == data.frame.payload_length
                found.append((int(data.frame.opcode), data.frame.fin, payload))
        return found

    @property
    def failed_frames(self) -> List[str]:
        """Names of the errors that frames ended with."""
        complete = self.of(websocket.OnIncomingFrameCompleteData)
        return [data.exception.name for data in complete if data.exception is not None]
