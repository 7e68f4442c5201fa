"""The client of the event-stream RPC protocol, against a scripted server."""

import gc
import json
import os
import ssl
import threading
import weakref

import pytest

from awscrt.eventstream import Header
from awscrt.eventstream.rpc import (
    ClientConnection,
    ClientConnectionHandler,
    ClientContinuationHandler,
    MessageFlag,
    MessageType,
)
from awscrt.exceptions import AwsCrtError
from awscrt.io import (
    ClientBootstrap,
    ClientTlsContext,
    DefaultHostResolver,
    EventLoopGroup,
    SocketDomain,
    SocketOptions,
    TlsContextOptions,
)
from awscrt.testing import eventstream as kit
from awscrt.testing.eventstream import EventStreamServer, serve_operations

from .eventstream_client import (
    PATIENCE,
    Log,
    RecordingContinuation,
    RecordingHandler,
    accepted,
    closed,
    code_of,
    connect,
    open_stream,
    send_connect,
)
from .test_eventstream import ONE_OF_EVERY_TYPE, VECTOR_5

APPLICATION_MESSAGE = MessageType.APPLICATION_MESSAGE
APPLICATION_ERROR = MessageType.APPLICATION_ERROR
TERMINATE = MessageFlag.TERMINATE_STREAM
ENDS = {"flags": TERMINATE}


@pytest.fixture
def serve():
    """A function that starts a server on a script; scripts that fail fail the test."""
    servers = []

    def start(script, **options):
        server = EventStreamServer(script, **options)
        servers.append(server.__enter__())
        return server

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def watch_unraisable(monkeypatch):
    """What is handed to sys.unraisablehook from now on; pytest's own hook comes in behind the fixtures."""
    seen = []
    monkeypatch.setattr("sys.unraisablehook", lambda report: seen.append((report.exc_type, str(report.exc_value))))
    return seen


def idle(peer):
    peer.receive_rest()


def wait_accepted(peer):
    peer.accept()
    peer.receive_rest()


class Rest:
    """Every message the server still receives, once the client is gone."""

    def __init__(self):
        self._messages = []
        self._complete = threading.Event()

    def read(self, peer):
        self._messages = peer.receive_rest()
        self._complete.set()

    @property
    def messages(self):
        assert self._complete.wait(PATIENCE)
        return self._messages


# ---- enumerations and handlers ----


def test_flags_and_types():
    assert (MessageFlag.NONE, MessageFlag.CONNECTION_ACCEPTED, MessageFlag.TERMINATE_STREAM) == (0, 1, 2)
    assert [int(member) for member in MessageType] == list(range(8))
    assert f"{MessageType.PING:>9}" == str(MessageType.PING)


def test_handlers_are_abstract():
    class Half(ClientConnectionHandler):
        def on_connection_setup(self, connection, error, **kwargs):
            pass

    for incomplete in (Half, ClientConnectionHandler, ClientContinuationHandler):
        with pytest.raises(TypeError):
            incomplete()


# ---- connecting ----


def test_setup_comes_before_the_future_and_shutdown_is_last(serve):
    server = serve(idle)
    handler = RecordingHandler()
    future = ClientConnection.connect(handler=handler, host_name="127.0.0.1", port=server.port)
    future.add_done_callback(lambda _: handler.log.add("future"))
    assert future.cancel() is False
    assert future.result(PATIENCE) is None
    connection = handler.connection
    assert handler.thread != threading.get_ident()
    assert connection.is_open()
    assert (connection.host_name, connection.port) == ("127.0.0.1", server.port)
    connection.shutdown_future.add_done_callback(lambda _: handler.log.add("shutdown future"))
    assert connection.shutdown_future.cancel() is False
    assert connection.close() is connection.shutdown_future is connection.close()
    assert not connection.is_open()
    assert connection.shutdown_future.result(PATIENCE) is None
    assert handler.log.entries == [("setup", None), ("future",), ("shutdown", None), ("shutdown future",)]


def test_a_refused_connection_fails_the_setup():
    with EventStreamServer(wait_accepted) as server:
        port = server.port
    handler = RecordingHandler()
    future = ClientConnection.connect(handler=handler, host_name="127.0.0.1", port=port)
    assert code_of(future) == 1047
    assert handler.log.entries == [("setup", future.exception())]
    assert handler.connection is None


def test_an_unresolvable_name_fails_the_setup():
    handler = RecordingHandler()
    future = ClientConnection.connect(handler=handler, host_name="no-such-host.invalid", port=1)
    assert isinstance(future.exception(PATIENCE), AwsCrtError)
    assert handler.log.names() == ["setup"]


def test_a_setup_handler_that_raises_after_a_failed_connect_is_reported(monkeypatch):
    unraisable = watch_unraisable(monkeypatch)

    def fail(connection, error):
        raise KeyError("setup")

    handler = RecordingHandler(on_connection_setup=fail)
    future = ClientConnection.connect(handler=handler, host_name="127.0.0.1", port=0)
    assert code_of(future) == 1055
    assert unraisable == [(KeyError, "'setup'")]


@pytest.mark.parametrize(
    "change, error",
    [
        ({"host_name": None}, TypeError),
        ({"host_name": b"127.0.0.1"}, TypeError),
        ({"host_name": "a\0b"}, ValueError),
        ({"port": "80"}, TypeError),
        ({"port": 80.0}, TypeError),
        ({"port": -1}, OverflowError),
        ({"port": 2**32}, OverflowError),
        ({"port": 2**80}, OverflowError),
        ({"bootstrap": "x"}, TypeError),
        ({"tls_connection_options": "x"}, TypeError),
        ({"socket_options": "x"}, AttributeError),
        ({"handler": "x", "port": -1}, OverflowError),
    ],
)
def test_wrong_arguments_raise_at_once(change, error):
    log = Log()
    arguments = {"handler": RecordingHandler(log), "host_name": "127.0.0.1", "port": 1, **change}
    with pytest.raises(error):
        ClientConnection.connect(**arguments)
    assert log.entries == []


@pytest.mark.parametrize(
    "attribute, value, error",
    [("connect_timeout_ms", "x", TypeError), ("connect_timeout_ms", -1, OverflowError), ("keep_alive", None, None)],
)
def test_socket_options_are_checked_at_once(serve, attribute, value, error):
    options = SocketOptions()
    setattr(options, attribute, value)
    server = serve(idle)
    if error is None:
        closed(connect(server, socket_options=options))
        return
    with pytest.raises(error):
        connect(server, socket_options=options)


def test_unix_sockets(serve, tmp_path):
    path = str(tmp_path / "s")
    server = serve(wait_accepted, path=path)
    options = SocketOptions()
    options.domain = SocketDomain.Local
    handler = accepted(server, host_name=path, port=0, socket_options=options)
    assert closed(handler).names()[-1] == "shutdown"
    with pytest.raises(RuntimeError, match="^44 "):
        connect(server, host_name=str(tmp_path / "missing"), socket_options=options)
    with pytest.raises(RuntimeError, match="^1055 "):
        connect(server, host_name=str(tmp_path / ("x" * 108)), socket_options=options)


def tls_options(tls_certs, server_name):
    context = TlsContextOptions()
    context.override_default_trust_store_from_path(None, tls_certs.ca_path)
    options = ClientTlsContext(context).new_connection_options()
    if server_name:
        options.set_server_name(server_name)
    return options


def server_context(tls_certs):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_certs.server.certificate, tls_certs.server.private_key)
    return context


def test_tls(serve, tls_certs):
    def echo(peer, message):
        peer.reply(message, message.payload * 3)

    server = serve(serve_operations({"echo": echo}), context=server_context(tls_certs))
    handler = accepted(server, tls_connection_options=tls_options(tls_certs, "localhost"))
    open_stream(handler, activate={"payload": b"x" * 100_000})
    handler.log.wait_count("message")
    assert handler.log.of("message")[0][3] == b"x" * 300_000
    assert closed(handler).of("shutdown") == [("shutdown", None)]


def test_tls_needs_a_server_name_to_verify(serve, tls_certs):
    server = serve(wait_accepted, context=server_context(tls_certs))
    for name in (None, "other.example"):
        handler = RecordingHandler()
        future = ClientConnection.connect(
            handler=handler,
            host_name="localhost",
            port=server.port,
            tls_connection_options=tls_options(tls_certs, name),
        )
        assert code_of(future) == 1029
        assert handler.log.names() == ["setup"]


def test_the_end_of_tls_is_an_orderly_end(serve, tls_certs):
    def script(peer):
        peer.accept()
        peer.receive()
        try:
            peer.peer.socket.unwrap()
        except OSError:
            pass

    server = serve(script, context=server_context(tls_certs))
    handler = accepted(server, tls_connection_options=tls_options(tls_certs, "localhost"))
    open_stream(handler)
    assert handler.connection.shutdown_future.result(PATIENCE) is None
    assert handler.log.entries[-1] == ("shutdown", None)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_peer_that_hangs_up_is_told(serve, how):
    def script(peer):
        peer.accept()
        peer.receive()
        getattr(peer, how)()

    handler = accepted(serve(script))
    open_stream(handler, "s")
    assert code_of(handler.connection.shutdown_future) == 1051
    assert handler.log.names()[-2:] == ["closed", "shutdown"]
    assert handler.log.entries[-1][1].code == 1051
    assert not handler.connection.is_open()


# ---- the handshake ----


def test_connect_goes_out_as_published(serve):
    seen = []
    server = serve(lambda peer: seen.append(peer.accept().raw))
    handler = connect(server)
    headers = [Header.from_string(":version", "0.1.0")]
    handler.connection.send_protocol_message(headers=headers, message_type=MessageType.CONNECT).result(PATIENCE)
    handler.log.wait_count("shutdown")
    assert seen[0].hex() == (
        "0000005800000048154692c1083a76657273696f6e070005302e312e300d3a6d6573736167652d7479706504000000040e3a6d657373"
        "6167652d666c61677304000000000a3a73747265616d2d69640400000000a7f5636c"
    )


def test_connect_ack_is_delivered_with_all_its_headers(serve):
    ack = bytes.fromhex(
        "0000004700000037374cfe3f0d3a6d6573736167652d7479706504000000050e3a6d6573736167652d666c61677304000000010a3a7374"
        "7265616d2d69640400000000e237e27d"
    )

    def script(peer):
        peer.receive()
        peer.send_raw(ack)
        peer.receive_rest()

    handler = accepted(serve(script))
    ((_, message_type, payload, flags, headers),) = handler.log.of("protocol")
    assert (message_type, payload, flags) == (MessageType.CONNECT_ACK, b"", 1)
    assert isinstance(message_type, MessageType)
    assert [(each.name, each.value) for each in headers] == [
        (":message-type", 5),
        (":message-flags", 1),
        (":stream-id", 0),
    ]
    closed(handler)


def test_every_type_of_header_goes_there_and_back(serve):
    def script(peer):
        connect = peer.receive()
        assert connect.raw == VECTOR_5
        peer.send(message_type=kit.CONNECT_ACK)
        peer.send(connect.payload, message_type=kit.PING, headers=connect.headers[:10])
        peer.receive_rest()

    handler = connect(serve(script))
    handler.connection.send_protocol_message(headers=ONE_OF_EVERY_TYPE, payload="P", message_type=MessageType.CONNECT)
    handler.log.wait_count("protocol", 2)
    _, _, payload, _, headers = handler.log.of("protocol")[1]
    assert payload == b"P"
    assert [(each.name, each.type, each.value) for each in headers[:10]] == [
        (each.name, each.type, each.value) for each in ONE_OF_EVERY_TYPE
    ]
    closed(handler)


@pytest.mark.parametrize("message_type", [kind for kind in MessageType if kind != MessageType.CONNECT] + [99])
def test_nothing_but_connect_may_be_sent_first(serve, message_type):
    received = Rest()
    handler = connect(serve(received.read))
    future = handler.connection.send_protocol_message(
        message_type=message_type, on_flush=lambda error, **kwargs: handler.log.add("flush", error.code)
    )
    assert code_of(future) == 4105
    assert ("flush", 4105) in handler.log.entries
    if message_type in (APPLICATION_MESSAGE, APPLICATION_ERROR):
        assert handler.connection.is_open()
        assert closed(handler).of("shutdown") == [("shutdown", None)]
    else:
        assert code_of(handler.connection.shutdown_future) == 4105
    assert received.messages == []


def test_nothing_may_be_sent_before_the_ack(serve):
    received = Rest()
    handler = connect(serve(received.read))
    connection = handler.connection
    send_connect(connection).result(PATIENCE)
    assert code_of(connection.send_protocol_message(message_type=APPLICATION_MESSAGE)) == 4105
    assert connection.is_open()
    stream = connection.new_stream(RecordingContinuation(handler.log))
    with pytest.raises(RuntimeError, match="^4104 "):
        stream.activate(operation="echo", message_type=APPLICATION_MESSAGE)
    assert code_of(send_connect(connection)) == 4105
    assert code_of(connection.shutdown_future) == 4105
    assert [message.message_type for message in received.messages] == [kit.CONNECT]


@pytest.mark.parametrize("message_type", [MessageType.CONNECT, MessageType.CONNECT_ACK])
def test_the_handshake_is_not_repeated(serve, message_type):
    handler = accepted(serve(wait_accepted))
    assert code_of(handler.connection.send_protocol_message(message_type=message_type)) == 4105
    assert code_of(handler.connection.shutdown_future) == 4105


def test_a_rejected_ack_leaves_the_rest_to_the_application(serve):
    def script(peer):
        peer.accept(flags=0)
        peer.reply(peer.receive(), b"works")
        peer.receive_rest()

    handler = accepted(serve(script))
    assert handler.log.of("protocol")[0][3] == 0
    open_stream(handler)
    handler.log.wait_count("message")
    closed(handler)


def test_whatever_type_goes_out_after_the_ack(serve):
    received = Rest()

    def script(peer):
        peer.accept()
        received.read(peer)

    handler = accepted(serve(script))
    sent = [(0, None), (1, 2), (2, 0), (3, -1), (6, 2**32 + 5), (7, 0), (99, 0), (-1, 0)]
    for message_type, flags in sent:
        future = handler.connection.send_protocol_message(message_type=message_type, flags=flags)
        assert future.result(PATIENCE) is None
    closed(handler)
    assert [(each.message_type, each.flags) for each in received.messages] == [
        (0, 0), (1, 2), (2, 0), (3, -1), (6, 5), (7, 0), (99, 0), (-1, 0)
    ]  # fmt: skip


def test_protocol_messages_of_the_server_change_nothing(serve):
    def script(peer):
        peer.accept()
        for message_type in (kit.CONNECT, kit.PROTOCOL_ERROR, kit.INTERNAL_ERROR, kit.PING, kit.PING_RESPONSE):
            peer.send(b"p", message_type=message_type, flags=-1)
        assert peer.receive_rest() == []

    handler = accepted(serve(script))
    handler.log.wait_count("protocol", 6)
    assert [entry[1] for entry in handler.log.of("protocol")[1:]] == [4, 6, 7, 2, 3]
    assert {entry[3] for entry in handler.log.of("protocol")[1:]} == {2**32 - 1}
    assert handler.connection.is_open()
    closed(handler)


def test_everything_works_inside_callbacks(serve):
    """The layer above connects, activates, answers and closes from within callbacks."""

    def echo(peer, message):
        peer.reply(message, message.payload)

    log = Log()
    stream = []

    def answer(payload):
        if payload == b"first":
            stream[0].send_message(message_type=APPLICATION_MESSAGE, payload=b"second")
        else:
            handler.connection.close()

    def begin(message_type):
        stream.append(open_stream(handler, "s", activate={"payload": b"first"}, message=answer))

    handler = RecordingHandler(
        log, on_connection_setup=lambda connection, error: send_connect(connection), on_protocol_message=begin
    )
    connect(serve(serve_operations({"echo": echo})), handler)
    assert handler.connection.shutdown_future.result(PATIENCE) is None
    assert log.names() == ["setup", "protocol", "message", "message", "closed", "shutdown"]


def test_a_connection_may_be_closed_in_its_setup_and_again_in_its_shutdown(serve):
    handler = RecordingHandler(
        on_connection_setup=lambda connection, error: connection.close(),
        on_connection_shutdown=lambda reason: handler.connection.close(),
    )
    connect(serve(idle), handler)
    assert not handler.connection.is_open()
    assert handler.connection.shutdown_future.result(PATIENCE) is None
    assert handler.log.entries == [("setup", None), ("shutdown", None)]


def test_waiting_in_a_callback_raises_instead_of_hanging(serve):
    errors = []

    def wait(message_type):
        try:
            handler.connection.close().result()
        except RuntimeError as error:
            errors.append(str(error))

    handler = RecordingHandler(on_protocol_message=wait)
    accepted(serve(wait_accepted), handler)
    assert handler.connection.shutdown_future.result(PATIENCE) is None
    assert len(errors) == 1 and "event-loop thread" in errors[0]


# ---- sending ----


@pytest.mark.parametrize(
    "change, error",
    [
        ({"headers": [1]}, AttributeError),
        ({"headers": 5}, TypeError),
        ({"payload": 5}, TypeError),
        ({"message_type": "PING"}, TypeError),
        ({"message_type": None}, TypeError),
        ({"flags": "1"}, TypeError),
        ({"payload": bytes(24 * 2**20)}, RuntimeError),
        ({"headers": [Header.from_string("", "x")]}, ValueError),
        ({"headers": [Header.from_string("s", "x" * 32768)]}, RuntimeError),
    ],
)
def test_bad_messages_raise_at_once_and_change_nothing(serve, change, error):
    def echo(peer, message):
        assert message.stream_id == 1
        peer.reply(message, message.payload)

    handler = accepted(serve(serve_operations({"echo": echo})))
    connection = handler.connection
    with pytest.raises(error):
        connection.send_protocol_message(**{"message_type": MessageType.PING, **change})
    receiver = RecordingContinuation(handler.log)
    stream = connection.new_stream(receiver)
    with pytest.raises(error):
        stream.activate(operation="echo", **{"message_type": APPLICATION_MESSAGE, **change})
    stream.activate(operation="echo", message_type=APPLICATION_MESSAGE).result(PATIENCE)
    with pytest.raises(error):
        stream.send_message(**{"message_type": APPLICATION_MESSAGE, **change})
    assert connection.is_open() and not stream.is_closed()
    closed(handler)


@pytest.mark.parametrize(
    "operation, error, text",
    [(None, TypeError, ""), (5, TypeError, ""), ("x" * 32768, RuntimeError, "^4101 "), ("\ud800", ValueError, "")],
)
def test_bad_operations(serve, operation, error, text):
    handler = accepted(serve(wait_accepted))
    stream = handler.connection.new_stream(RecordingContinuation(handler.log))
    with pytest.raises(error, match=text):
        stream.activate(operation=operation, message_type=APPLICATION_MESSAGE)
    closed(handler)


def test_headers_may_come_from_a_generator_and_duplicates_are_kept(serve):
    received = []

    def script(peer):
        peer.accept()
        received.append(peer.receive())

    handler = accepted(serve(script))
    headers = (Header.from_int32(name, 7) for name in ("a", ":stream-id", "a"))
    stream = handler.connection.new_stream(RecordingContinuation(handler.log))
    stream.activate(operation="", headers=headers, payload=bytearray(b"x"), message_type=APPLICATION_MESSAGE)
    handler.log.wait_count("shutdown")
    assert [name for name, _, _ in received[0].headers] == [
        "a", ":stream-id", "a", ":message-type", ":message-flags", ":stream-id", "operation"
    ]  # fmt: skip
    assert received[0].value("operation") == ""


def test_messages_keep_their_order(serve):
    received = Rest()

    def script(peer):
        peer.accept()
        received.read(peer)

    handler = accepted(serve(script))
    futures = [
        handler.connection.send_protocol_message(payload=str(number), message_type=MessageType.PING)
        for number in range(500)
    ]
    for future in futures:
        assert future.cancel() is False
        future.result(PATIENCE)
    closed(handler)
    assert [message.payload for message in received.messages] == [str(number).encode() for number in range(500)]


def test_on_flush_runs_on_the_loop_before_the_future(serve):
    handler = accepted(serve(wait_accepted))
    log = handler.log

    def on_flush(error, **kwargs):
        log.add("flush", error, threading.get_ident() == handler.thread)

    future = handler.connection.send_protocol_message(message_type=MessageType.PING, on_flush=on_flush)
    future.add_done_callback(lambda _: log.add("flushed"))
    assert future.result(PATIENCE) is None
    log.wait_count("flushed")
    assert log.entries[-2:] == [("flush", None, True), ("flushed",)]
    closed(handler)


def test_sending_on_a_closed_connection(serve):
    handler = accepted(serve(wait_accepted))
    connection = handler.connection
    stream = open_stream(handler)
    fresh = connection.new_stream(RecordingContinuation(handler.log))
    closed(handler)
    flushes = []
    for message_type in (MessageType.PING, MessageType.CONNECT, APPLICATION_MESSAGE):
        future = connection.send_protocol_message(
            message_type=message_type, on_flush=lambda error, **kwargs: flushes.append(error.code)
        )
        assert code_of(future) == 4104
    assert flushes == [4104] * 3
    with pytest.raises(RuntimeError, match="^4104 "):
        fresh.activate(operation="x", message_type=APPLICATION_MESSAGE)
    with pytest.raises(RuntimeError, match="^4106 "):
        stream.send_message(message_type=APPLICATION_MESSAGE)
    with pytest.raises(RuntimeError, match="^38 "):
        stream.activate(operation="x", message_type=APPLICATION_MESSAGE)
    with pytest.raises(TypeError):
        stream.activate(operation=None, message_type=APPLICATION_MESSAGE)
    assert connection.new_stream(RecordingContinuation(handler.log)).is_closed() is False


def test_pending_messages_fail_when_the_connection_is_closed(serve):
    release = threading.Event()

    def script(peer):
        peer.accept()
        assert release.wait(PATIENCE)

    handler = accepted(serve(script))
    futures = [
        handler.connection.send_protocol_message(payload=bytes(8 * 2**20), message_type=MessageType.PING)
        for _ in range(4)
    ]
    assert handler.connection.close().result(PATIENCE) is None
    release.set()
    assert code_of(futures[-1]) in (1051, 4104)
    assert all(future.exception(PATIENCE) is None or code_of(future) in (1051, 4104) for future in futures)


def test_24_mib_pass_in_both_directions(serve):
    most = 24 * 2**20
    there = most - len(kit.frame(kit.route(0, 0, 1) + kit.header("operation", 7, "echo")))
    back = most - len(kit.frame(kit.route(0, 0, 1)))

    def script(peer):
        peer.accept()
        request = peer.receive()
        assert (len(request.raw), len(request.payload), request.payload[-1:]) == (most, there, b"!")
        peer.send(bytes(back), stream_id=1)
        peer.send_raw(kit.frame(total=most + 1)[:12])
        peer.receive_rest()

    handler = accepted(serve(script))
    stream = handler.connection.new_stream(RecordingContinuation(handler.log))
    payload = bytes(there - 1) + b"!"
    with pytest.raises(RuntimeError, match="^4098 "):
        stream.activate(operation="echo", payload=payload + b"!", message_type=APPLICATION_MESSAGE)
    stream.activate(operation="echo", payload=payload, message_type=APPLICATION_MESSAGE)
    assert code_of(handler.connection.shutdown_future) == 4098
    ((_, _, _, received, _, _, _),) = handler.log.of("message")
    assert len(received) == back


# ---- receiving ----


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_the_peers_pieces_make_no_difference(serve, piece):
    payloads = [bytes([number]) * (number * 13 % 40) for number in range(50)]

    def script(peer):
        peer.accept()
        peer.receive()
        wire = b"".join(kit.frame(kit.route(0, 0, 1), payload) for payload in payloads)
        for at in range(0, len(wire), piece):
            peer.send_raw(wire[at : at + piece])
        peer.receive_rest()

    handler = accepted(serve(script))
    open_stream(handler)
    handler.log.wait_count("message", 50)
    assert [entry[3] for entry in handler.log.of("message")] == payloads
    closed(handler)


FRAMING = {
    "prelude CRC": (kit.frame(spoil_prelude=True)[:12], 4099),
    "message CRC": (kit.frame(kit.route(2), b"x", spoil_message=True), 4100),
    "too large": (kit.frame(total=24 * 2**20 + 1)[:12], 4098),
    "too short": (kit.frame(total=15)[:12], 4096),
    "headers length": (kit.frame(kit.route(2), headers_len=1000), 4101),
}


@pytest.mark.parametrize("violation", sorted(FRAMING))
@pytest.mark.parametrize("acknowledged", [True, False])
def test_framing_violations_end_the_connection(serve, violation, acknowledged):
    data, code = FRAMING[violation]
    received = Rest()

    def script(peer):
        if acknowledged:
            peer.accept()
            peer.send(b"before", message_type=kit.PING)
        else:
            peer.receive()
        peer.send_raw(data)
        received.read(peer)

    handler = connect(serve(script))
    send_connect(handler.connection)
    assert code_of(handler.connection.shutdown_future) == code
    assert handler.log.entries[-1][0] == "shutdown" and handler.log.entries[-1][1].code == code
    assert len(handler.log.of("protocol")) == (2 if acknowledged else 0)
    assert received.messages == []


def rpc_frame(block, payload=b""):
    return kit.frame(block, payload)


MISSING = {
    "no headers": b"",
    "no type": kit.header(":message-flags", 4, 0) + kit.header(":stream-id", 4, 0),
    "no flags": kit.header(":message-type", 4, 2) + kit.header(":stream-id", 4, 0),
    "no stream": kit.header(":message-type", 4, 2) + kit.header(":message-flags", 4, 0),
    "type is no INT32": kit.header(":message-type", 5, 2) + kit.route(2)[19:],
}
UNPARSABLE = {
    "truncated": kit.route(2) + b"\x05x",
    "1025 headers": kit.route(2) + kit.header("n", 0) * 1022,
    "string too long": kit.route(2) + kit.header("n", 7, "x" * 32768),
    "bytes too long": kit.route(2) + kit.header("n", 6, b"x" * 32768),
    "unknown type": kit.route(2) + kit.header("n", 10),
    "name is no UTF-8": kit.route(2) + b"\x01\xff\x00",
    "string is no UTF-8": kit.route(2) + kit.header("n", 7, b"\xff"),
}
OUT_OF_PLACE = {
    "second ack": kit.route(kit.CONNECT_ACK),
    "stream 0, type 0": kit.route(0),
    "stream 0, type 1": kit.route(1),
    "stream 0, type 8": kit.route(8),
    "stream 0, type -1": kit.route(-1),
    "stream 1, type 2": kit.route(2, 0, 1),
    "stream 1, type 5": kit.route(5, 0, 1),
    "stream 1, type -1": kit.route(-1, 0, 1),
    "stream -1": kit.route(0, 0, -1),
    "stream never opened": kit.route(0, 0, 2),
}
ANSWERED = [
    *((f"PROTOCOL_ERROR: {name}", block, kit.PROTOCOL_ERROR) for name, block in {**MISSING, **OUT_OF_PLACE}.items()),
    *((f"INTERNAL_ERROR: {name}", block, kit.INTERNAL_ERROR) for name, block in UNPARSABLE.items()),
]


@pytest.mark.parametrize("block, answer", [case[1:] for case in ANSWERED], ids=[case[0] for case in ANSWERED])
def test_protocol_violations_are_answered_and_end_the_connection(serve, block, answer):
    received = Rest()

    def script(peer):
        peer.accept()
        peer.receive()
        peer.send_raw(kit.frame(block) + kit.frame(kit.route(0, 0, 1)))
        received.read(peer)

    handler = accepted(serve(script))
    open_stream(handler)
    assert code_of(handler.connection.shutdown_future) == 4105
    assert handler.log.names() == ["setup", "protocol", "closed", "shutdown"]
    (message,) = received.messages
    assert (message.message_type, message.flags, message.stream_id) == (answer, 0, 0)
    assert message.headers[0] == (":content-type", 7, "application/json")
    assert list(json.loads(message.payload)) == ["message"]


def test_violations_are_answered_over_tls_too(serve, tls_certs):
    received = Rest()

    def script(peer):
        peer.accept()
        peer.send(message_type=kit.CONNECT_ACK)
        received.read(peer)

    server = serve(script, context=server_context(tls_certs))
    handler = accepted(server, tls_connection_options=tls_options(tls_certs, "localhost"))
    assert code_of(handler.connection.shutdown_future) == 4105
    assert [message.message_type for message in received.messages] == [kit.PROTOCOL_ERROR]


@pytest.mark.parametrize(
    "block",
    [kit.route(kit.PING), kit.route(0, 0, 1), kit.route(kit.CONNECT), b"", kit.route(2) + b"\x05x", kit.route(5, 0, 1)],
    ids=["PING", "stream", "CONNECT", "no headers", "unparsable", "ack on a stream"],
)
def test_nothing_but_the_ack_may_come_first(serve, block):
    received = Rest()

    def script(peer):
        peer.receive()
        peer.send_raw(kit.frame(block))
        received.read(peer)

    handler = connect(serve(script))
    send_connect(handler.connection)
    assert code_of(handler.connection.shutdown_future) == 4105
    assert received.messages == []
    assert handler.log.names() == ["setup", "shutdown"]


def test_an_ack_may_not_come_unasked(serve):
    def script(peer):
        peer.send(message_type=kit.CONNECT_ACK, flags=kit.CONNECTION_ACCEPTED)
        assert peer.receive_rest() == []

    handler = connect(serve(script))
    assert code_of(handler.connection.shutdown_future) == 4105
    assert handler.log.names() == ["setup", "shutdown"]


def test_reserved_names_are_matched_without_case_and_limits_are_inclusive(serve):
    def script(peer):
        peer.accept()
        block = kit.header(":Message-TYPE", 4, 2) + kit.header(":MESSAGE-flags", 4, 8) + kit.header(":stream-ID", 4, 0)
        peer.send_raw(kit.frame(block + kit.header("", 0) + kit.header("n" * 255, 7, "x" * 32767)))
        peer.send_raw(kit.frame(kit.route(2) + kit.header("n", 0) * 1021))
        peer.receive_rest()

    handler = accepted(serve(script))
    handler.log.wait_count("protocol", 3)
    first, second = handler.log.of("protocol")[1:]
    assert first[3] == 8
    assert [each.name for each in first[4]][3:] == ["", "n" * 255]
    assert len(second[4]) == 1024
    closed(handler)


# ---- continuations ----


def test_streams_are_numbered_by_activation(serve):
    received = Rest()

    def script(peer):
        peer.accept()
        received.read(peer)

    handler = accepted(serve(script))
    unused = handler.connection.new_stream(RecordingContinuation(handler.log))
    for operation in ("a", "b"):
        open_stream(handler, operation=operation)
    unused.activate(operation="c", message_type=APPLICATION_MESSAGE).result(PATIENCE)
    with pytest.raises(RuntimeError, match="activated already"):
        unused.activate(operation="c", message_type=APPLICATION_MESSAGE)
    closed(handler)
    activations = [(each.stream_id, each.value("operation")) for each in received.messages]
    assert activations == [(1, "a"), (2, "b"), (3, "c")]


def test_send_message_needs_an_active_stream(serve):
    handler = accepted(serve(wait_accepted))
    stream = handler.connection.new_stream(RecordingContinuation(handler.log))
    assert stream.connection is handler.connection
    with pytest.raises(RuntimeError, match="^4107 "):
        stream.send_message(message_type=APPLICATION_MESSAGE)
    closed(handler)
    assert not stream.is_closed() and not stream.closed_future.done()
    assert handler.log.of("closed") == []


def test_the_peer_terminates_a_stream(serve):
    def script(peer):
        peer.accept()
        request = peer.receive()
        peer.reply(request, b"one")
        peer.reply(request, b"two", message_type=kit.APPLICATION_ERROR)
        peer.reply(request, b"three", flags=TERMINATE | 8)
        peer.reply(request, b"too late")
        peer.send(message_type=kit.PING)
        peer.receive_rest()

    handler = accepted(serve(script))
    log = handler.log
    stream = open_stream(handler, "s")
    stream.closed_future.add_done_callback(lambda _: log.add("closed future"))
    assert stream.closed_future.cancel() is False
    assert stream.closed_future.result(PATIENCE) is None
    log.wait_count("protocol", 2)
    assert [entry[:6] for entry in log.entries[2:6]] == [
        ("message", "s", APPLICATION_MESSAGE, b"one", 0, False),
        ("message", "s", APPLICATION_ERROR, b"two", 0, False),
        ("message", "s", APPLICATION_MESSAGE, b"three", TERMINATE | 8, True),
        ("closed", "s"),
    ]
    assert log.names()[6:8] == ["closed future", "protocol"]
    with pytest.raises(RuntimeError, match="^4106 "):
        stream.send_message(message_type=APPLICATION_MESSAGE)
    with pytest.raises(RuntimeError, match="activated already"):
        stream.activate(operation="x", message_type=APPLICATION_MESSAGE)
    closed(handler)
    assert len(log.of("closed")) == 1


def test_a_message_that_the_end_of_its_stream_overtakes_is_not_sent(serve):
    received = Rest()

    def script(peer):
        peer.accept()
        peer.receive()
        peer.send_raw(kit.frame(kit.route(0, 0, 1), b"first") + kit.frame(kit.route(0, TERMINATE, 1), b"last"))
        received.read(peer)

    handler = accepted(serve(script))
    futures = []

    def answer(payload):
        if payload == b"first":  # the last one has come with it, and is delivered before this leaves
            futures.append(stream.send_message(message_type=APPLICATION_MESSAGE, payload=b"too late"))

    receiver = RecordingContinuation(handler.log, message=answer)
    stream = handler.connection.new_stream(receiver)
    stream.activate(operation="echo", message_type=APPLICATION_MESSAGE)
    handler.log.wait_count("closed")
    assert code_of(futures[0]) == 4106
    closed(handler)
    assert received.messages == []


@pytest.mark.parametrize("in_activation", [True, False])
def test_the_client_terminates_a_stream(serve, in_activation):
    received = Rest()

    def script(peer):
        peer.accept()
        received.read(peer)

    handler = accepted(serve(script))
    log = handler.log
    stream = handler.connection.new_stream(RecordingContinuation(log, "s"))
    stream.closed_future.add_done_callback(lambda _: log.add("closed future"))
    last = {
        "message_type": APPLICATION_MESSAGE,
        "flags": TERMINATE,
        "on_flush": lambda error, **kwargs: log.add("flush", error),
    }
    if in_activation:
        future = stream.activate(operation="echo", **last)
    else:
        stream.activate(operation="echo", message_type=APPLICATION_MESSAGE)
        future = stream.send_message(**last)
    future.add_done_callback(lambda _: log.add("flushed"))
    future.result(PATIENCE)
    log.wait_count("flushed")
    assert log.entries[2:] == [("closed", "s"), ("closed future",), ("flush", None), ("flushed",)]
    assert stream.is_closed()
    closed(handler)
    assert received.messages[-1].flags == TERMINATE
    assert len(log.of("closed")) == 1


def test_a_closing_connection_closes_its_streams_first(serve):
    handler = accepted(serve(wait_accepted))
    log = handler.log
    streams = [open_stream(handler, number) for number in range(3)]
    for stream in streams:
        stream.closed_future.add_done_callback(lambda _: log.add("closed future"))
    closed(handler)
    assert log.names()[2:] == ["closed", "closed future"] * 3 + ["shutdown"]
    assert all(stream.is_closed() and stream.closed_future.result(0) is None for stream in streams)


def test_a_thousand_streams_close_once_each_before_the_shutdown(serve):
    def script(peer):
        peer.accept()
        for _ in range(1000):
            request = peer.receive()
            if request.stream_id % 2:
                peer.reply(request, flags=TERMINATE)
        peer.receive_rest()

    handler = accepted(serve(script))
    futures = [open_stream(handler, number).closed_future for number in range(1000)]
    handler.log.wait_count("closed", 500)
    closed(handler)
    assert all(future.result(0) is None for future in futures)
    numbers = [entry[1] for entry in handler.log.of("closed")]
    assert sorted(numbers) == list(range(1000))
    assert numbers[:500] == list(range(0, 1000, 2))
    assert handler.log.names()[-1] == "shutdown"


def test_streams_of_many_threads_do_not_mix(serve):
    def echo(peer, message):
        peer.reply(message, message.payload, flags=TERMINATE)

    handler = accepted(serve(serve_operations({"echo": echo})))

    def work(thread):
        for number in range(50):
            open_stream(handler, (thread, number), activate={"payload": f"{thread}-{number}"})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handler.log.wait_count("closed", 200)
    for _, (thread, number), _, payload, _, _, _ in handler.log.of("message"):
        assert payload == f"{thread}-{number}".encode()
    assert len(handler.log.of("message")) == 200
    closed(handler)


def test_a_close_ends_the_delivery(serve):
    def script(peer):
        peer.accept()
        peer.receive()
        peer.send_raw(kit.frame(kit.route(0, 0, 1)) * 1000)
        peer.receive_rest()

    handler = accepted(serve(script))
    open_stream(handler, message=lambda payload: handler.connection.close())
    handler.connection.shutdown_future.result(PATIENCE)
    assert len(handler.log.of("message")) == 1


def test_a_slow_handler_holds_the_peer_back(serve):
    """What is read ahead of a busy handler is bounded: the peer's socket fills up."""
    sent = []
    go_on = threading.Event()
    stuck = threading.Event()
    size = 1 << 20

    def script(peer):
        peer.accept()
        peer.receive()
        peer.send(b"first", stream_id=1)
        peer.peer.socket.settimeout(0.3)
        try:
            for _ in range(200):
                peer.send_raw(kit.frame(kit.route(0, 0, 1), bytes(size)))
                sent.append(size)
        except OSError:
            stuck.set()
        go_on.set()
        peer.peer.socket.settimeout(PATIENCE)

    handler = accepted(serve(script))
    open_stream(handler, message=lambda payload: payload == b"first" and go_on.wait(PATIENCE))
    assert stuck.wait(PATIENCE)
    assert len(sent) < 100
    handler.connection.shutdown_future.exception(PATIENCE)


# ---- handlers that raise ----


def raising(**arguments):
    raise KeyError("handler")


def test_a_setup_handler_that_raises_closes_the_connection(serve):
    handler = RecordingHandler(on_connection_setup=raising)
    connect(serve(idle), handler)
    error = handler.connection.shutdown_future.exception(PATIENCE)
    assert error.code == 10240
    assert isinstance(error.__cause__, KeyError)
    assert handler.log.entries[-1] == ("shutdown", error)


def test_other_handlers_that_raise_are_reported_only(serve, monkeypatch):
    unraisable = watch_unraisable(monkeypatch)

    def script(peer):
        peer.accept()
        request = peer.receive()
        peer.reply(request, b"1")
        peer.reply(request, b"2", flags=TERMINATE)
        peer.send(message_type=kit.PING)
        peer.receive_rest()

    handler = RecordingHandler(on_protocol_message=raising, on_connection_shutdown=raising)
    handler = accepted(serve(script), handler)
    stream = open_stream(handler, message=lambda payload: raising(), closed=raising)
    assert stream.closed_future.result(PATIENCE) is None
    handler.log.wait_count("protocol", 2)
    future = handler.connection.send_protocol_message(message_type=MessageType.PING, on_flush=raising)
    assert future.result(PATIENCE) is None
    assert handler.connection.is_open()
    assert handler.connection.close().result(PATIENCE) is None
    assert handler.log.names() == ["setup", "protocol", "message", "message", "closed", "protocol", "shutdown"]
    assert unraisable == [(KeyError, "'handler'")] * 7


def test_objects_that_are_no_handlers_are_reported(serve, monkeypatch):
    unraisable = watch_unraisable(monkeypatch)
    handler = accepted(serve(serve_operations({"echo": lambda peer, message: peer.reply(message, flags=TERMINATE)})))
    stream = handler.connection.new_stream("no handler")
    stream.activate(operation="echo", message_type=APPLICATION_MESSAGE, on_flush=5)
    assert stream.closed_future.result(PATIENCE) is None
    closed(handler)
    assert {kind for kind, _ in unraisable} == {AttributeError, TypeError}


# ---- lifetimes ----


def new_bootstrap():
    group = EventLoopGroup(1)
    return ClientBootstrap(group, DefaultHostResolver(group))


def set_after_collections(event):
    for _ in range(PATIENCE * 20):
        gc.collect()
        if event.wait(0.05):
            return True
    return False


def test_a_connection_lives_without_references_and_then_is_free(serve):
    bootstrap = new_bootstrap()
    release = threading.Event()

    def script(peer):
        peer.accept()
        peer.receive()
        assert release.wait(PATIENCE)

    server = serve(script)
    log = Log()
    handler = accepted(server, RecordingHandler(log), bootstrap=bootstrap)
    closed_future = open_stream(handler, "s").closed_future
    connection = weakref.ref(handler.connection)
    event = bootstrap.shutdown_event
    del handler, bootstrap
    gc.collect()
    assert connection() is not None and not event.is_set()
    release.set()
    log.wait_count("shutdown")
    assert log.names()[-2:] == ["closed", "shutdown"]
    assert closed_future.result(PATIENCE) is None

    assert set_after_collections(event)
    assert connection() is None


def test_the_bootstrap_waits_for_the_connection_object(serve):
    bootstrap = new_bootstrap()
    handler = accepted(serve(wait_accepted), bootstrap=bootstrap)
    event = bootstrap.shutdown_event
    del bootstrap
    closed(handler)
    gc.collect()
    assert not event.is_set()
    del handler
    assert set_after_collections(event)


def test_a_stream_that_was_never_activated_can_go(serve):
    handler = accepted(serve(wait_accepted))
    stream = handler.connection.new_stream(RecordingContinuation(handler.log))
    gone = weakref.ref(stream)
    del stream
    gc.collect()
    assert gone() is None
    closed(handler)


LEAK_PROGRAM = """
import gc, sys
sys.path.insert(0, sys.argv[1])
from awscrt import NativeResource
NativeResource._track_lifetime = True
from awscrt._test import check_for_leaks
from awscrt.eventstream.rpc import ClientConnection, MessageFlag, MessageType
from awscrt.testing.eventstream import EventStreamServer, TERMINATE_STREAM, serve_operations
from eventstream_client import *

def echo(peer, message):
    peer.reply(message, message.payload, flags=message.flags)

def run():
    with EventStreamServer(serve_operations({"echo": echo})) as server:
        handler = accepted(server)
        for number in range(20):
            open_stream(handler, number, activate={"payload": bytes(10000), "flags": TERMINATE_STREAM * (number % 2)})
        handler.log.wait_count("message", 10)
        closed(handler)
        port = server.port
    refused = ClientConnection.connect(handler=RecordingHandler(), host_name="127.0.0.1", port=port)
    assert refused.exception(20) is not None
    try:
        ClientConnection.connect(handler=RecordingHandler(), host_name="127.0.0.1", port=-1)
    except OverflowError:
        pass

run()
check_for_leaks()
print("clean")
"""


def test_nothing_leaks(run_python):
    here = os.path.dirname(os.path.abspath(__file__))
    done = run_python(LEAK_PROGRAM, here, timeout=60, AWS_CRT_MEMORY_TRACING="2")
    assert done.stdout.strip() == "clean", done.stdout + done.stderr


EXIT_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from awscrt.testing.eventstream import EventStreamServer
from eventstream_client import *

def flood(peer):
    peer.accept()
    request = peer.receive()
    try:
        while True:
            peer.reply(request, b"tick")
    except OSError:
        pass

server = EventStreamServer(flood).__enter__()
handler = accepted(server)
stream = open_stream(handler)
handler.log.wait_count("message", 100)
print("leaving", flush=True)
"""


def test_the_interpreter_may_exit_in_the_midst(run_python):
    here = os.path.dirname(os.path.abspath(__file__))
    done = run_python(EXIT_PROGRAM, here)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "leaving", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_a_connection_stays_in_the_process_that_made_it(run_python):
    here = os.path.dirname(os.path.abspath(__file__))
    done = run_python(FORK_PROGRAM, here)
    assert (done.returncode, done.stdout.split()) == (0, ["refused", "parent"]), done.stdout + done.stderr


FORK_PROGRAM = """
import gc, os, sys
sys.path.insert(0, sys.argv[1])
from awscrt.eventstream.rpc import MessageType
from awscrt.testing.eventstream import EventStreamServer
from eventstream_client import *

with EventStreamServer(lambda peer: (peer.accept(), peer.receive_rest())) as server:
    handler = accepted(server)
    child = os.fork()
    if child == 0:
        try:
            handler.connection.send_protocol_message(message_type=MessageType.PING)
        except RuntimeError:
            print("refused", flush=True)
        del handler
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    handler.connection.send_protocol_message(message_type=MessageType.PING).result(20)
    closed(handler)
    print("parent")
"""
