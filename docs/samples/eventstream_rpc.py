"""Call one operation of an event-stream RPC server on a Unix socket and print what it answers."""

import sys
import threading

from awscrt.eventstream import Header
from awscrt.eventstream.rpc import (
    ClientConnection,
    ClientConnectionHandler,
    ClientContinuationHandler,
    MessageFlag,
    MessageType,
)
from awscrt.io import SocketDomain, SocketOptions

path, operation, request = sys.argv[1:]


class Connection(ClientConnectionHandler):
    def __init__(self):
        self.connection = None
        self.accepted = threading.Event()

    def on_connection_setup(self, connection, error, **kwargs):
        self.connection = connection
        if error is None:
            connection.send_protocol_message(
                message_type=MessageType.CONNECT, headers=[Header.from_string(":version", "0.1.0")]
            )

    def on_protocol_message(self, headers, payload, message_type, flags, **kwargs):
        if message_type == MessageType.CONNECT_ACK and flags & MessageFlag.CONNECTION_ACCEPTED:
            self.accepted.set()

    def on_connection_shutdown(self, reason, **kwargs):
        print("gone:", reason)


class Answers(ClientContinuationHandler):
    def on_continuation_message(self, headers, payload, message_type, flags, **kwargs):
        print(message_type.name, payload.decode())

    def on_continuation_closed(self, **kwargs):
        print("closed")


options = SocketOptions()
options.domain = SocketDomain.Local
handler = Connection()
ClientConnection.connect(handler=handler, host_name=path, port=0, socket_options=options).result(10)
if not handler.accepted.wait(10):
    sys.exit("the server does not take the connection")

stream = handler.connection.new_stream(Answers())
stream.activate(operation=operation, payload=request, message_type=MessageType.APPLICATION_MESSAGE)
stream.closed_future.result(10)
handler.connection.close().result(10)
