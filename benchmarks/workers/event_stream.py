"""Event-streams: headers made and read, round trips of one message each, and one long answer.

Params: ``work`` (header, rtt, stream), ``port`` of raw/eventstream.c.
"""

from __future__ import annotations

import threading
from typing import Any, Dict, Optional, Tuple

from common import calls, measure

from awscrt.eventstream import Header
from awscrt.eventstream.rpc import (
    ClientConnection,
    ClientConnectionHandler,
    ClientContinuationHandler,
    MessageType,
)

ROUND_TRIPS = 1000
STREAMED = 20000


class Connection(ClientConnectionHandler):  # type: ignore[misc, unused-ignore]
    """Waits for the acknowledgement of CONNECT."""

    def __init__(self) -> None:
        self.connection: Any = None
        self.acknowledged = threading.Event()

    def on_connection_setup(self, connection: Any, error: Optional[Exception], **kwargs: Any) -> None:
        self.connection = connection

    def on_connection_shutdown(self, reason: Optional[Exception], **kwargs: Any) -> None:
        pass

    def on_protocol_message(self, headers: Any, payload: bytes, message_type: Any, flags: int, **kwargs: Any) -> None:
        if message_type == MessageType.CONNECT_ACK:
            self.acknowledged.set()


class Continuation(ClientContinuationHandler):  # type: ignore[misc, unused-ignore]
    """Counts messages until the peer ends the stream."""

    def __init__(self) -> None:
        self.received = 0
        self.closed = threading.Event()

    def on_continuation_message(
        self, headers: Any, payload: bytes, message_type: Any, flags: int, **kwargs: Any
    ) -> None:
        self.received += 1

    def on_continuation_closed(self, **kwargs: Any) -> None:
        self.closed.set()


def open_connection(port: int) -> Any:
    handler = Connection()
    ClientConnection.connect(handler=handler, host_name="127.0.0.1", port=port).result(30)
    handler.connection.send_protocol_message(message_type=MessageType.CONNECT).result(30)
    assert handler.acknowledged.wait(30)
    return handler.connection


def exchange(connection: Any, payload: bytes) -> int:
    """One stream: a message there, the answers, the end. How many answers came."""
    handler = Continuation()
    stream = connection.new_stream(handler)
    stream.activate(operation="bench", payload=payload, message_type=MessageType.APPLICATION_MESSAGE)
    assert handler.closed.wait(60)
    return handler.received


def make_and_read(value: str) -> str:
    return Header.from_string("content-type", value).value_as_string()


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    if params["work"] == "header":
        return calls(params, make_and_read, "application/json"), "header"
    connection = open_connection(params["port"])
    assert exchange(connection, b"e") == 1
    params["start"]()
    if params["work"] == "rtt":
        for _ in range(ROUND_TRIPS):
            assert exchange(connection, b"e") == 1
        units = ROUND_TRIPS
    else:
        assert exchange(connection, b"s%d" % STREAMED) == STREAMED
        units = STREAMED
    return units, "msg"


measure(work)
