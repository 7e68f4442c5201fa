"""Handlers that write down what they are told, for the tests of event-stream RPC."""

import threading

from awscrt.eventstream import Header
from awscrt.eventstream.rpc import ClientConnection, ClientConnectionHandler, ClientContinuationHandler, MessageType

PATIENCE = 20  # seconds; only a test that fails waits so long


class Log:
    """What happened, in order."""

    def __init__(self):
        self.entries = []
        self._changed = threading.Condition()

    def add(self, *entry):
        with self._changed:
            self.entries.append(entry)
            self._changed.notify_all()

    def wait_for(self, predicate):
        with self._changed:
            assert self._changed.wait_for(lambda: predicate(self.entries), PATIENCE), self.entries

    def wait_count(self, name, count=1):
        self.wait_for(lambda entries: sum(entry[0] == name for entry in entries) >= count)

    def of(self, name):
        return [entry for entry in self.entries if entry[0] == name]

    def names(self):
        return [entry[0] for entry in self.entries]


class RecordingHandler(ClientConnectionHandler):
    """`actions` maps a method's name to what is called in it, with the arguments of the call."""

    def __init__(self, log=None, **actions):
        self.log = log or Log()
        self.connection = None
        self.actions = actions

    def _act(self, name, **arguments):
        if name in self.actions:
            self.actions[name](**arguments)

    def on_connection_setup(self, connection, error, **kwargs):
        self.connection = connection
        self.thread = threading.get_ident()
        self.log.add("setup", error)
        self._act("on_connection_setup", connection=connection, error=error)

    def on_connection_shutdown(self, reason, **kwargs):
        self.log.add("shutdown", reason)
        self._act("on_connection_shutdown", reason=reason)

    def on_protocol_message(self, headers, payload, message_type, flags, **kwargs):
        self.log.add("protocol", message_type, payload, flags, headers)
        self._act("on_protocol_message", message_type=message_type)


class RecordingContinuation(ClientContinuationHandler):
    def __init__(self, log, name="", **actions):
        self.log = log
        self.name = name
        self.stream = None
        self.actions = actions

    def on_continuation_message(self, headers, payload, message_type, flags, **kwargs):
        closed = self.stream.is_closed() if self.stream else None
        self.log.add("message", self.name, message_type, payload, flags, closed, headers)
        if "message" in self.actions:
            self.actions["message"](payload)

    def on_continuation_closed(self, **kwargs):
        self.log.add("closed", self.name)
        if "closed" in self.actions:
            self.actions["closed"]()


def connect(server, handler=None, **options):
    """The handler of a connection that is set up."""
    handler = handler or RecordingHandler()
    options.setdefault("host_name", "127.0.0.1")
    options.setdefault("port", server.port)
    assert ClientConnection.connect(handler=handler, **options).result(PATIENCE) is None
    return handler


def send_connect(connection):
    return connection.send_protocol_message(
        headers=[Header.from_string(":version", "0.1.0")], message_type=MessageType.CONNECT
    )


def accepted(server, handler=None, **options):
    """The handler of a connection whose CONNECT was acknowledged."""
    handler = connect(server, handler, **options)
    send_connect(handler.connection).result(PATIENCE)
    handler.log.wait_count("protocol")
    return handler


def open_stream(handler, name="", operation="echo", log=None, activate=None, **actions):
    """A continuation that is activated; its handler is `.handler`, an attribute that only tests set."""
    receiver = RecordingContinuation(log or handler.log, name, **actions)
    stream = receiver.stream = handler.connection.new_stream(receiver)
    stream.activate(operation=operation, message_type=MessageType.APPLICATION_MESSAGE, **(activate or {}))
    return stream


def closed(handler):
    """Closes the connection; gives the log."""
    handler.connection.close().result(PATIENCE)
    return handler.log


def code_of(future):
    """Error code of a future that fails."""
    error = future.exception(PATIENCE)
    assert error is not None
    return error.code
