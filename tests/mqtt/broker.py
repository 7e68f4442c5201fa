"""A broker that the test itself plays, packet by packet, on the test's own thread; and a record of a client's events.

broker = Broker()
client = mqtt5.Client(events.options(broker.port))
client.start()
session = broker.accept()
session.accept_connect()
"""

from __future__ import annotations

import queue
import socket
import struct
from dataclasses import dataclass
from typing import Any, List, Tuple

from awscrt import mqtt5

PATIENCE = 20.0  # seconds

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 10, 11, 12, 13, 14


@dataclass
class Packet:
    type: int
    flags: int
    body: bytes


def varint(value: int) -> bytes:
    out = b""
    while True:
        value, digit = value >> 7, value & 0x7F
        out += bytes([digit | (0x80 if value else 0)])
        if not value:
            return out


def text(value: str) -> bytes:
    return struct.pack(">H", len(value.encode())) + value.encode()


def packet(type: int, body: bytes = b"", flags: int = 0) -> bytes:
    return bytes([type << 4 | flags]) + varint(len(body)) + body


def connack(reason: int = 0, *, session_present: bool = False, properties: bytes = b"") -> bytes:
    return packet(CONNACK, bytes([session_present, reason]) + varint(len(properties)) + properties)


def publish(topic: str, payload: bytes = b"", *, qos: int = 0, packet_id: int = 1, properties: bytes = b"") -> bytes:
    identifier = struct.pack(">H", packet_id) if qos else b""
    return packet(PUBLISH, text(topic) + identifier + varint(len(properties)) + properties + payload, qos << 1)


def puback(packet_id: int, reason: int = 0, properties: bytes = b"") -> bytes:
    return packet(PUBACK, struct.pack(">HB", packet_id, reason) + varint(len(properties)) + properties)


def suback(packet_id: int, codes: List[int], *, type: int = SUBACK) -> bytes:
    return packet(type, struct.pack(">H", packet_id) + b"\0" + bytes(codes))


class Session:
    """The broker's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        self._connection = connection
        self._buffer = b""

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            received = self._connection.recv(65536)
            if not received:
                raise EOFError("the client closed the connection")
            self._buffer += received
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def read(self) -> Packet:
        first = self._take(1)[0]
        length = shift = 0
        while True:
            digit = self._take(1)[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                return Packet(first >> 4, first & 15, self._take(length))

    def expect(self, type: int) -> Packet:
        got = self.read()
        assert got.type == type, got
        return got

    def accept_connect(self, answer: bytes = connack()) -> Packet:
        got = self.expect(CONNECT)
        self.send(answer)
        return got

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def ends(self) -> bool:
        """Waits for the client to close; False when it says something instead."""
        try:
            return not self._buffer and not self._connection.recv(1)
        except ConnectionError:
            return True

    def close(self) -> None:
        self._connection.close()


class Broker:
    """Listens on a free port of the loopback interface."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.port: int = self._listener.getsockname()[1]
        self._sessions: List[Session] = []

    def accept(self) -> Session:
        session = Session(self._listener.accept()[0])
        self._sessions.append(session)
        return session

    def close(self) -> None:
        self._listener.close()
        for session in self._sessions:
            session.close()


class Events:
    """The callbacks of a client, in the order they were called."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Tuple[str, Any]] = queue.Queue()

    def options(self, port: int, **changes: Any) -> mqtt5.ClientOptions:
        """Options for a client whose events are recorded here; reconnects at once, unless told otherwise."""
        options = mqtt5.ClientOptions(
            host_name="127.0.0.1",
            port=port,
            connect_options=mqtt5.ConnectPacket(client_id="tester"),
            min_reconnect_delay_ms=1,
            max_reconnect_delay_ms=5,
            on_publish_callback_fn=lambda data: self._queue.put(("publish", data)),
            on_lifecycle_event_stopped_fn=lambda data: self._queue.put(("stopped", data)),
            on_lifecycle_event_attempting_connect_fn=lambda data: self._queue.put(("attempt", data)),
            on_lifecycle_event_connection_success_fn=lambda data: self._queue.put(("success", data)),
            on_lifecycle_event_connection_failure_fn=lambda data: self._queue.put(("failure", data)),
            on_lifecycle_event_disconnection_fn=lambda data: self._queue.put(("disconnection", data)),
        )
        for name, value in changes.items():
            setattr(options, name, value)
        return options

    def note(self, name: str, data: Any = None) -> None:
        self._queue.put((name, data))

    def next(self) -> Tuple[str, Any]:
        return self._queue.get(timeout=PATIENCE)

    def expect(self, name: str) -> Any:
        """The data of the next event, which must have that name."""
        got, data = self.next()
        assert got == name, (got, data)
        return data

    def wait_for(self, name: str) -> Any:
        """The data of the next event of that name; others are passed over."""
        while True:
            got, data = self.next()
            if got == name:
                return data
