"""The same by frame, with callbacks: websocket_callbacks.py host port"""

import sys
import threading

from awscrt.websocket import (
    OnConnectionSetupData,
    OnConnectionShutdownData,
    OnIncomingFramePayloadData,
    Opcode,
    WebSocket,
    connect,
    create_handshake_request,
)

host, port = sys.argv[1], int(sys.argv[2])
closed = threading.Event()
connection: "list[WebSocket]" = []  # who drops the last reference closes


def on_setup(data: OnConnectionSetupData) -> None:
    if data.exception is not None or data.websocket is None:
        print("refused:", data.handshake_response_status, data.exception)
        closed.set()
        return
    connection.append(data.websocket)
    data.websocket.send_frame(Opcode.TEXT, "hello")


def on_payload(data: OnIncomingFramePayloadData) -> None:
    print(data.frame.opcode.name, data.data.decode())
    connection[0].close()


def on_shutdown(data: OnConnectionShutdownData) -> None:
    print("closed:", data.exception)
    closed.set()


connect(
    host=host,
    port=port,
    handshake_request=create_handshake_request(host=host, path="/"),
    on_connection_setup=on_setup,
    on_connection_shutdown=on_shutdown,
    on_incoming_frame_payload=on_payload,
)
closed.wait(30)
