"""Connecting, and the life of a connection."""

import gc
import socket
import threading
import time
import weakref
from concurrent.futures import CancelledError

import pytest

from awscrt import NativeResource
from awscrt.exceptions import AwsCrtError
from awscrt.http import (
    HttpClientConnection,
    HttpClientConnectionBase,
    HttpConnectionBase,
    HttpHeaders,
    HttpProxyOptions,
    HttpRequest,
    HttpVersion,
)
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup, SocketDomain, SocketOptions

REQUEST = HttpRequest("GET", "/", HttpHeaders([("Host", "test")]))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def failure(*arguments, **options):
    return HttpClientConnection.new(*arguments, **options).exception(20)


# ---- arguments ----


@pytest.mark.parametrize(
    "options",
    [
        {"host_name": b"bytes"},
        {"host_name": None},
        {"port": "80"},
        {"port": 80.0},
        {"bootstrap": 1},
        {"socket_options": 1},
        {"tls_connection_options": 1},
        {"proxy_options": 1},
        {"manual_window_management": True},
    ],
)
def test_wrong_types_raise_at_once(options):
    with pytest.raises(AssertionError):
        HttpClientConnection.new(**{"host_name": "127.0.0.1", "port": 80, **options})


@pytest.mark.parametrize("port", [0, -1, 65536, 2**70])
def test_port_out_of_range(port):
    error = failure("127.0.0.1", port)
    assert isinstance(error, AwsCrtError) and error.name == "AWS_IO_SOCKET_INVALID_ADDRESS"


def test_empty_host():
    error = failure("", 80)
    assert type(error) is RuntimeError and str(error).startswith("34 (AWS_ERROR_INVALID_ARGUMENT): ")


@pytest.mark.parametrize("option", ["initial_window_size", "read_buffer_capacity"])
def test_negative_sizes(option):
    assert type(failure("127.0.0.1", 80, **{option: -1})) is OverflowError


def test_socket_options_are_checked_in_the_future():
    options = SocketOptions()
    options.connect_timeout_ms = "soon"
    assert isinstance(failure("127.0.0.1", 80, socket_options=options), TypeError)


# ---- failing to connect ----


def test_refused_names_host_and_port():
    port = free_port()
    error = failure("127.0.0.1", port)
    assert error.name == "AWS_IO_SOCKET_CONNECTION_REFUSED"
    assert f"127.0.0.1:{port}" in error.message


def test_unknown_name():
    error = failure("no-such-host.invalid", 80)
    assert error.name == "AWS_IO_DNS_INVALID_NAME" and "no-such-host.invalid" in error.message


def test_connect_timeout():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        port = silent.getsockname()[1]
        fillers = []
        for _ in range(8):  # until the backlog is full, connecting does not even begin
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        options = SocketOptions()
        options.connect_timeout_ms = 100
        error = failure("127.0.0.1", port, socket_options=options)
        assert error.name == "AWS_IO_SOCKET_TIMEOUT"
        for filler in fillers:
            filler.close()


def test_cancelled_future_drops_the_connection(scripted_server):
    closed = threading.Event()

    def script(peer):
        peer.receive_all()
        closed.set()

    server = scripted_server(script)
    # A loop that is busy with a callback of ours connects only after it.
    group = EventLoopGroup(1)
    bootstrap = ClientBootstrap(group, DefaultHostResolver(group))
    for _ in range(20):
        future = HttpClientConnection.new("127.0.0.1", server.port, bootstrap)
        if future.cancel():
            with pytest.raises(CancelledError):
                future.result(0)
        else:
            future.result(20).close()
    del future
    assert closed.wait(20)


# ---- an open connection ----


def test_attributes(answering, connect):
    connection = connect(answering.port)
    assert (connection.host_name, connection.port) == ("127.0.0.1", answering.port)
    assert connection.version is HttpVersion.Http1_1
    assert connection.is_open() is True
    assert type(connection) is HttpClientConnection
    assert isinstance(connection, (HttpClientConnectionBase, HttpConnectionBase, NativeResource))
    connection.note = "instances have a dict"


def test_local_socket(tmp_path, response, exchange):
    path = str(tmp_path / "server.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        options = SocketOptions()
        options.domain = SocketDomain.Local
        connection = HttpClientConnection.new(path, 0, socket_options=options).result(20)
        peer, _ = listener.accept()
        with peer:
            got = exchange(connection)
            peer.recv(4096)
            peer.sendall(response(b"local"))
            assert got.status() == 200 and got.body == b"local"
            connection.close().result(20)


def test_close_is_orderly_and_repeatable(answering, connect):
    connection = connect(answering.port)
    future = connection.close()
    assert future is connection.close() is connection.shutdown_future
    assert future.result(20) is None
    assert connection.is_open() is False
    with pytest.raises(RuntimeError, match="^2058 "):
        connection.request(REQUEST)


def test_close_ends_what_is_in_flight(scripted_server, connect, exchange):
    connection = connect(scripted_server(lambda peer: peer.receive_all()).port)
    first, second = exchange(connection), exchange(connection)
    assert connection.close().result(20) is None
    for got in (first, second):
        assert got.failure().name == "AWS_ERROR_HTTP_CONNECTION_CLOSED"
        assert got.kinds == ["done"]


def test_activate_after_close(answering, connect):
    connection = connect(answering.port)
    stream = connection.request(REQUEST)
    connection.close().result(20)
    with pytest.raises(RuntimeError, match="^2058 "):
        stream.activate()
    assert not stream.completion_future.done()


def test_peer_hangs_up(scripted_server, connect, eventually):
    server = scripted_server(lambda peer: peer.receive_until(b"bye"))
    connection = connect(server.port)
    server.close()
    assert connection.shutdown_future.exception(20).name == "AWS_IO_SOCKET_CLOSED"
    assert connection.is_open() is False


def test_dropping_the_last_reference_closes(scripted_server):
    closed = threading.Event()

    def script(peer):
        peer.receive_all()
        closed.set()

    connection = HttpClientConnection.new("127.0.0.1", scripted_server(script).port).result(20)
    shutdown = connection.shutdown_future
    reference = weakref.ref(connection)
    del connection
    assert reference() is None
    assert closed.wait(20)
    assert shutdown.result(20) is None


def test_active_stream_keeps_itself_and_the_connection(scripted_server, response, connect):
    go_on = threading.Event()

    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        assert go_on.wait(20)
        peer.send(response(b"late"))
        peer.receive_all()

    connection = HttpClientConnection.new("127.0.0.1", scripted_server(script).port).result(20)
    chunks = []
    stream = connection.request(REQUEST, on_body=lambda chunk, **_: chunks.append(chunk))
    future = stream.completion_future
    stream.activate()
    shutdown = connection.shutdown_future
    del stream, connection
    gc.collect()
    go_on.set()
    assert future.result(20) == 200 and chunks == [b"late"]
    assert shutdown.result(20) is None


def test_stream_that_is_never_activated_keeps_the_connection(answering, eventually):
    connection = HttpClientConnection.new("127.0.0.1", answering.port).result(20)
    shutdown = connection.shutdown_future
    stream = connection.request(REQUEST)
    assert stream.connection is connection
    del connection
    assert stream.connection.is_open()
    assert not stream.completion_future.done()
    del stream
    assert shutdown.result(20) is None


def test_bootstrap_ends_after_its_connections(answering):
    group = EventLoopGroup(1)
    bootstrap = ClientBootstrap(group, DefaultHostResolver(group))
    gone = group.shutdown_event
    connection = HttpClientConnection.new("127.0.0.1", answering.port, bootstrap).result(20)
    del group, bootstrap
    assert connection.is_open() and not gone.is_set()
    stream = connection.request(REQUEST)
    stream.activate()
    assert stream.completion_future.result(20) == 200
    del connection, stream
    assert gone.wait(20)


def test_subclass_is_instantiated(answering):
    class Mine(HttpClientConnection):
        closed = 0

        def close(self):
            Mine.closed += 1
            return super().close()

        def __del__(self):
            Mine.closed += 10

    connection = Mine.new("127.0.0.1", answering.port).result(20)
    assert type(connection) is Mine
    connection.close().result(20)
    del connection
    assert Mine.closed == 11


def test_connections_are_made_by_new_only():
    connection = HttpClientConnection()
    for use in (connection.is_open, connection.close, lambda: connection.version, lambda: connection.request(REQUEST)):
        with pytest.raises(RuntimeError):
            use()
    assert isinstance(HttpConnectionBase(), NativeResource)


def test_request_arguments(answering, connect):
    connection = connect(answering.port)
    for arguments in ((None,), ("GET",), (REQUEST, 1), (REQUEST, None, "x")):
        with pytest.raises(AssertionError):
            connection.request(*arguments)
    with pytest.raises(TypeError):
        connection.request()
    assert connection.request(request=REQUEST, on_response=None, on_body=None).response_status_code is None


def test_options_of_a_proxy_must_be_the_class(answering):
    class Alike(HttpProxyOptions):
        pass

    future = HttpClientConnection.new("127.0.0.1", 1, proxy_options=Alike("127.0.0.1", free_port()))
    assert future.exception(20).name == "AWS_IO_SOCKET_CONNECTION_REFUSED"


def test_nothing_leaks(answering, no_native_leak, exchange):
    for _ in range(20):
        connection = HttpClientConnection.new("127.0.0.1", answering.port).result(20)
        assert exchange(connection).status() == 200
        connection.close().result(20)
    refused = [HttpClientConnection.new("127.0.0.1", free_port()) for _ in range(5)]
    for future in refused:
        assert future.exception(20) is not None


def test_waiting_in_a_callback_raises_instead_of_hanging(answering, connect):
    connection = connect(answering.port)
    seen = []

    def on_response(**_):
        try:
            connection.close().result()
        except RuntimeError as error:
            seen.append(str(error))

    stream = connection.request(REQUEST, on_response)
    stream.activate()
    started = time.monotonic()
    stream.completion_future.exception(20)
    assert "event-loop thread" in seen[0]
    assert time.monotonic() - started < 20
