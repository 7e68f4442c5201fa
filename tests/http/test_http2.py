"""awscrt.http over HTTP/2: against real servers, and against peers that play a script."""

import gc
import io
import sys
import threading
import weakref
from concurrent.futures import wait

import pytest

from awscrt.exceptions import AwsCrtError
from awscrt.http import (
    Http2ClientConnection,
    Http2ClientStream,
    Http2Setting,
    Http2SettingID,
    HttpClientConnection,
    HttpClientConnectionBase,
    HttpClientStreamBase,
    HttpHeaders,
    HttpRequest,
    HttpVersion,
)
from awscrt.io import ClientTlsContext, TlsContextOptions
from awscrt.testing import http2 as http2_peer
from awscrt.testing.http2 import Http2Peer
from awscrt.testing.servers import Server

TIMEOUT = 20


def tls(certs, *alpn):
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(None, certs.ca_path)
    connection_options = ClientTlsContext(options).new_connection_options()
    connection_options.set_server_name("localhost")
    if alpn:
        connection_options.set_alpn_list(list(alpn))
    return connection_options


@pytest.fixture
def connect2():
    """``connect2(port, ...)``: an open HTTP/2 connection in clear text, closed when the test ends."""
    made = []

    def connect_to(port, **options):
        options.setdefault("prior_knowledge", "tls_connection_options" not in options)
        connection = Http2ClientConnection.new("localhost", port, **options).result(TIMEOUT)
        made.append(connection)
        return connection

    yield connect_to
    for connection in made:
        connection.close()
    made.clear()


def request_for(path="/", method="GET", body=None):
    return HttpRequest(method, path, HttpHeaders([("Host", "localhost")]), body)


def error_name(future):
    error = future.exception(TIMEOUT)
    assert type(error) is AwsCrtError
    return error.name


# ---- settings ----


def test_setting_checks():
    assert str(Http2Setting(Http2SettingID.MAX_FRAME_SIZE, 16384)) == "Http2Setting(MAX_FRAME_SIZE=16384)"
    assert Http2Setting(Http2SettingID.ENABLE_PUSH, True).value == 1
    for id, value in ((2, 1), (Http2SettingID.ENABLE_PUSH, "1"), (Http2SettingID.ENABLE_PUSH, None)):
        with pytest.raises(AssertionError):
            Http2Setting(id, value)
    for id, (lowest, highest) in Http2Setting.VALID_RANGES.items():
        for value in (lowest, highest):
            setting = Http2Setting(id, value)
            assert (setting.id, setting.value) == (id, value)
        for value in (lowest - 1, highest + 1):
            message = f"{id.name} must be between {lowest} and {highest}, got {value}"
            with pytest.raises(ValueError) as caught:
                Http2Setting(id, value)
            assert str(caught.value) == message


def test_settings_of_both_sides(scripted_server, connect2):
    seen, told = [], threading.Semaphore(0)

    def script(peer):
        http2 = Http2Peer(peer, ((3, 100), (4, 65535), (0x99, 5)))
        seen.append(http2.client_settings)
        http2.settings()
        http2.settings((3, 100), (5, 20000))
        http2.drain()

    remote = []

    def changed(settings):
        remote.append([(setting.id, setting.value) for setting in settings])
        told.release()

    settings = [Http2Setting(Http2SettingID.MAX_FRAME_SIZE, 20000), Http2Setting(Http2SettingID.ENABLE_PUSH, 0)]
    connection = connect2(
        scripted_server(script).port,
        initial_settings=settings,
        on_remote_settings_changed=changed,
        manual_window_management=True,
        initial_window_size=1000,
    )
    for _ in range(3):
        assert told.acquire(timeout=TIMEOUT)
    assert remote == [[(Http2SettingID.MAX_CONCURRENT_STREAMS, 100)], [], [(Http2SettingID.MAX_FRAME_SIZE, 20000)]]
    assert seen == [[(4, 1000), (5, 20000), (2, 0)]]
    assert connection.close().result(TIMEOUT) is None


def test_exception_in_the_settings_callback_is_reported(nghttpd, connect2, monkeypatch):
    reported = []
    monkeypatch.setattr("sys.unraisablehook", lambda args: reported.append(args.exc_value))

    def changed(settings):
        raise KeyError("mine")

    connection = connect2(nghttpd.port, on_remote_settings_changed=changed)
    stream = connection.request(request_for("/none"))
    stream.activate()
    assert stream.completion_future.result(TIMEOUT) == 404
    assert [str(error) for error in reported] == ["'mine'"]


# ---- connecting ----


@pytest.mark.parametrize(
    "options",
    [
        {"host_name": b"localhost"},
        {"port": "1"},
        {"initial_settings": 5},
        {"on_remote_settings_changed": 5},
        {"manual_window_management": True},
        {"bootstrap": 1},
    ],
)
def test_wrong_types_are_refused_at_once(options):
    with pytest.raises(AssertionError):
        Http2ClientConnection.new(**{"host_name": "localhost", "port": 1, **options})


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"initial_settings": [5]}, AttributeError),
        ({"conn_window_size_threshold": -1}, OverflowError),
        ({"stream_window_size_threshold": -1}, OverflowError),
        ({"stream_window_size_threshold": 2**40}, OverflowError),
        ({"manual_window_management": True, "initial_window_size": -1}, OverflowError),
        ({"manual_window_management": True, "initial_window_size": 2**31}, ValueError),
    ],
)
def test_wrong_values_fail_the_future(nghttpd, options, error):
    failure = Http2ClientConnection.new("localhost", nghttpd.port, prior_knowledge=True, **options).exception(TIMEOUT)
    assert type(failure) is error
    if error is AttributeError:
        assert str(failure) == "'Http2Setting.id' attribute not found"


def test_alpn_decides(nginx, tls_certs, connect2):
    both = tls(tls_certs, "h2", "http/1.1")
    connection = HttpClientConnection.new("localhost", nginx.tls_port, tls_connection_options=both).result(TIMEOUT)
    assert type(connection) is Http2ClientConnection and connection.version is HttpVersion.Http2
    assert isinstance(connection, HttpClientConnectionBase) and not isinstance(connection, HttpClientConnection)
    assert (connection.host_name, connection.port) == ("localhost", nginx.tls_port)
    assert connection.close().result(TIMEOUT) is None
    assert connect2(nginx.tls_port, tls_connection_options=tls(tls_certs, "h2")).version is HttpVersion.Http2
    for options in (
        {},
        {"tls_connection_options": tls(tls_certs)},
        {"tls_connection_options": tls(tls_certs, "http/1.1")},
    ):
        port = nginx.tls_port if options else nginx.port
        assert error_name(Http2ClientConnection.new("localhost", port, **options)) == (
            "AWS_ERROR_HTTP_UNSUPPORTED_PROTOCOL"
        )


# ---- exchanges with real servers ----


def test_nginx(nginx, tls_certs, connect2, exchange):
    data = b"0123456789" * 300_000
    nginx.add_file("http2-nginx", data)
    connection = connect2(nginx.tls_port, tls_connection_options=tls(tls_certs, "h2"))
    for _ in range(3):
        got = exchange(connection, path="/http2-nginx", headers=[("Host", "localhost")])
        assert type(got.stream) is Http2ClientStream and isinstance(got.stream, HttpClientStreamBase)
        assert got.status() == 200 and got.body == data
        assert got.headers[0] == (":status", "200") and ("content-length", "3000000") in got.headers
        assert got.stream.response_status_code == 200 and got.stream.connection is connection
        assert got.stream.remote_end_stream_future.result(TIMEOUT) is None
        assert got.kinds == ["response", "body", "done"]
    assert connection.is_open()


def test_nghttpd_many_streams(nghttpd, connect2, exchange):
    nghttpd.add_file("http2-small", b"x" * 5000)
    connection = connect2(nghttpd.port)
    running = [exchange(connection, path="/http2-small") for _ in range(50)]
    for got in running:
        assert got.status() == 200 and got.body == b"x" * 5000


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 3_000_000])
def test_uploads_come_back(nghttpd, connect2, exchange, size):
    data = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    got = exchange(connect2(nghttpd.port), method="POST", body_stream=io.BytesIO(data))
    assert got.status() == 200 and got.body == data


APP = """
async def app(scope, receive, send):
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    names = b",".join(name for name, value in scope["headers"])
    await send({"type": "http.response.start", "status": 201, "headers": [(b"names", names)]})
    await send({"type": "http.response.body", "body": scope["http_version"].encode() + body[::-1]})
"""


@pytest.fixture(scope="module")
def hypercorn(tmp_path_factory):
    class Hypercorn(Server):
        program, package = sys.executable, "hypercorn"
        port = 0

        def configure(self):
            self.port = self._port(self.port)
            self._write("app.py", APP)
            return ["-m", "hypercorn", "--bind", f"127.0.0.1:{self.port}", "app:app"]

        def ports(self):
            return [self.port]

        def start(self):
            self.directory = str(tmp_path_factory.mktemp("hypercorn"))
            if not self._try_start(self.program, False):
                assert self._try_start(self.program, True)
            return self

    with Hypercorn() as server:
        yield server


def test_hypercorn(hypercorn, connect2, exchange):
    headers = [("Host", "localhost"), ("X-Mine", "1"), ("Connection", "close")]
    got = exchange(connect2(hypercorn.port), "PUT", "/", headers, io.BytesIO(b"abc" * 100_000))
    assert got.status() == 201
    assert got.body == b"2" + b"cba" * 100_000
    assert ("names", "x-mine") in got.headers or any("x-mine" in value for _, value in got.headers)
    assert not any("connection" in value for name, value in got.headers if name == "names")


# ---- what is particular to HTTP/2 ----


def test_ping(nghttpd, connect2):
    connection = connect2(nghttpd.port)
    assert 0 < connection.ping().result(TIMEOUT) < TIMEOUT
    connection.close().result(TIMEOUT)
    with pytest.raises(RuntimeError, match="2058"):
        connection.ping()


def test_goaway(scripted_server, connect2):
    def script(peer):
        http2 = Http2Peer(peer)
        http2.until(http2_peer.HEADERS)
        http2.until(http2_peer.HEADERS)
        http2.goaway(1)
        http2.until(http2_peer.PING)
        http2.respond(1)
        http2.drain()

    connection = connect2(scripted_server(script).port)
    streams = [connection.request(request_for()) for _ in range(3)]
    streams[0].activate()
    streams[1].activate()
    assert error_name(streams[1].completion_future) == "AWS_ERROR_HTTP_GOAWAY_RECEIVED"
    with pytest.raises(RuntimeError, match="2076"):
        streams[2].activate()
    with pytest.raises(RuntimeError, match="2076"):
        connection.request(request_for())
    assert connection.is_open()
    connection.ping()
    assert streams[0].completion_future.result(TIMEOUT) == 200


def test_reset_by_the_peer_and_remote_end(scripted_server, connect2):
    def script(peer):
        http2 = Http2Peer(peer)
        http2.until(http2_peer.HEADERS)
        http2.reset(1, http2_peer.CANCEL)
        http2.until(http2_peer.HEADERS)
        http2.head(3, (":status", "403"), flags=http2_peer.END_STREAM)
        http2.until(http2_peer.PING)
        http2.reset(3, http2_peer.NO_ERROR)
        http2.drain()

    connection = connect2(scripted_server(script).port)
    reset = connection.request(request_for())
    ended = reset.remote_end_stream_future
    reset.activate()
    assert error_name(reset.completion_future) == "AWS_ERROR_HTTP_RST_STREAM_RECEIVED"
    failure = ended.exception(TIMEOUT)
    assert type(failure) is RuntimeError
    assert str(failure) == "Stream completed without receiving remote END_STREAM"
    assert reset.remote_end_stream_future is ended

    early = connection.request(request_for(method="PUT"), manual_write=True)
    early.activate()
    assert early.remote_end_stream_future.result(TIMEOUT) is None
    assert not early.completion_future.done()
    connection.ping()
    assert early.completion_future.result(TIMEOUT) == 403


@pytest.mark.parametrize(("which", "error"), [("on_response", ValueError), ("on_body", AwsCrtError)])
def test_callback_that_raises_ends_its_stream_only(scripted_server, connect2, exchange, which, error, capfd):
    codes = []

    def script(peer):
        http2 = Http2Peer(peer)
        http2.until(http2_peer.HEADERS)
        http2.head(1, (":status", "200"))
        http2.send(http2_peer.DATA, 0, 1, b"body")
        codes.append(http2.until(http2_peer.RST_STREAM).number)
        http2.until(http2_peer.HEADERS)
        http2.respond(3, b"fine")
        http2.drain()

    def callback(**kwargs):
        raise ValueError("mine") if which == "on_response" else KeyError("mine")

    connection = connect2(scripted_server(script).port)
    stream = connection.request(request_for(), **{which: callback})
    stream.activate()
    failure = stream.completion_future.exception(TIMEOUT)
    assert type(failure) is error and "mine" in str(failure.__cause__)
    assert exchange(connection).status() == 200
    assert codes == [http2_peer.INTERNAL_ERROR] and connection.is_open()


def test_body_stream_that_raises_ends_its_stream_only(nghttpd, connect2, exchange, capfd):
    class Broken:
        def read(self, count):
            raise OverflowError("mine")

    connection = connect2(nghttpd.port)
    assert type(exchange(connection, method="PUT", body_stream=Broken()).failure()) is OverflowError
    nghttpd.add_file("http2-after", b"fine")
    assert exchange(connection, path="/http2-after").status() == 200


def test_cancel(scripted_server, connect2):
    codes = []

    def script(peer):
        http2 = Http2Peer(peer)
        http2.until(http2_peer.HEADERS)
        http2.head(1, (":status", "200"))
        codes.append(http2.until(http2_peer.RST_STREAM).number)
        http2.drain()

    headed = threading.Event()
    connection = connect2(scripted_server(script).port)
    stream = connection.request(request_for(), on_response=lambda **kwargs: headed.set())
    stream.activate()
    assert headed.wait(TIMEOUT)
    stream.cancel()
    stream.cancel()
    assert error_name(stream.completion_future) == "AWS_ERROR_HTTP_STREAM_CANCELLED"
    assert connection.is_open()
    connection.close().result(TIMEOUT)
    assert codes == [http2_peer.CANCEL]


def test_peer_that_hangs_up(scripted_server, connect2):
    def script(peer):
        Http2Peer(peer).until(http2_peer.HEADERS)

    connection = connect2(scripted_server(script).port)
    stream = connection.request(request_for())
    stream.activate()
    assert error_name(stream.completion_future) == "AWS_ERROR_HTTP_CONNECTION_CLOSED"
    assert error_name(connection.shutdown_future) == "AWS_IO_SOCKET_CLOSED"
    assert not connection.is_open()
    with pytest.raises(RuntimeError, match="2058"):
        connection.request(request_for())


def test_close_ends_streams(scripted_server, connect2):
    last = []

    def script(peer):
        http2 = Http2Peer(peer)
        http2.until(http2_peer.HEADERS)
        last.append(http2.until(http2_peer.GOAWAY).payload[4:8])

    connection = connect2(scripted_server(script).port)
    stream = connection.request(request_for())
    stream.activate()
    assert connection.close().result(TIMEOUT) is None
    assert error_name(stream.completion_future) == "AWS_ERROR_HTTP_CONNECTION_CLOSED"


def test_too_many_streams(scripted_server, connect2):
    told = threading.Event()

    def script(peer):
        http2 = Http2Peer(peer, ((3, 1),))
        http2.until(http2_peer.PING)
        http2.respond(1)
        http2.drain()

    connection = connect2(scripted_server(script).port, on_remote_settings_changed=lambda settings: told.set())
    assert told.wait(TIMEOUT)
    first, second = connection.request(request_for()), connection.request(request_for())
    first.activate()
    second.activate()
    assert error_name(second.completion_future) == "AWS_ERROR_HTTP_MAX_CONCURRENT_STREAMS_EXCEEDED"
    connection.ping()
    assert first.completion_future.result(TIMEOUT) == 200


# ---- windows ----


def test_manual_windows(scripted_server, connect2):
    given = []

    def script(peer):
        http2 = Http2Peer(peer)
        http2.until(http2_peer.HEADERS)
        http2.head(1, (":status", "200"))
        http2.send(http2_peer.DATA, 0, 1, b"x" * 10)
        frames = [http2.until(http2_peer.WINDOW_UPDATE) for _ in range(2)]
        given.extend((frame.stream, frame.number) for frame in frames)
        http2.send(http2_peer.DATA, http2_peer.END_STREAM, 1, b"y" * 5)
        http2.drain()

    connection = connect2(
        scripted_server(script).port,
        manual_window_management=True,
        initial_window_size=10,
        stream_window_size_threshold=100,
        conn_manual_window_management=True,
        conn_window_size_threshold=1_000_000,
    )
    got = threading.Semaphore(0)
    stream = connection.request(request_for(), on_body=lambda chunk, **kwargs: got.release())
    stream.update_window(1000)  # before activation: nothing to credit yet
    stream.activate()
    assert got.acquire(timeout=TIMEOUT)
    stream.update_window(5)
    connection.update_window(7)
    assert stream.completion_future.result(TIMEOUT) == 200
    assert sorted(given) == [(0, 7), (1, 5)]
    for wrong in ("5", None, 1.5):
        with pytest.raises(TypeError):
            connection.update_window(wrong)


# ---- writes ----


def test_writes_echo(nghttpd, connect2):
    body = []
    stream = connect2(nghttpd.port).request(
        request_for("/echo", "POST", io.BytesIO(b"first ")),
        on_body=lambda chunk, **kwargs: body.append(chunk),
        manual_write=True,
    )
    with pytest.raises(RuntimeError, match="2079"):
        stream.write_data(io.BytesIO(b"x"))
    stream.activate()
    futures = [
        stream.write_data(io.BytesIO(b"second ")),
        stream.write_data(None),
        stream.write_data(data_stream=io.BytesIO(b""), end_stream=False),
        stream.write_data(io.BytesIO(b"third" * 100_000), True),
    ]
    wait(futures, TIMEOUT)
    assert [future.result(0) for future in futures] == [None] * 4
    with pytest.raises(RuntimeError, match="2091|2080"):
        stream.write_data(None)
    assert stream.completion_future.result(TIMEOUT) == 200
    assert b"".join(body) == b"first second " + b"third" * 100_000
    with pytest.raises(RuntimeError, match="2080"):
        stream.write_data(None)


def test_writes_need_manual_write(nghttpd, connect2):
    stream = connect2(nghttpd.port).request(request_for())
    for _ in range(2):
        with pytest.raises(RuntimeError, match="2090"):
            stream.write_data(io.BytesIO(b"x"))
        stream.activate()
        stream.completion_future.result(TIMEOUT)


@pytest.mark.parametrize("wrong", [5, "text", b"bytes"])
def test_write_of_a_wrong_type(nghttpd, connect2, wrong):
    stream = connect2(nghttpd.port).request(request_for(method="POST"), manual_write=True)
    stream.activate()
    with pytest.raises(TypeError, match="I/O stream type expected"):
        stream.write_data(wrong)
    stream.write_data(None, True).result(TIMEOUT)
    assert stream.completion_future.result(TIMEOUT) == 200


def test_write_that_fails(nghttpd, connect2, capfd):
    class Broken:
        def read(self, count):
            raise ValueError("mine")

    stream = connect2(nghttpd.port).request(request_for(method="POST"), manual_write=True)
    stream.activate()
    failed = stream.write_data(Broken())
    assert type(failed.exception(TIMEOUT)) is ValueError
    assert type(stream.completion_future.exception(TIMEOUT)) is ValueError


def test_queued_writes_end_with_the_stream(scripted_server, connect2):
    def script(peer):
        http2 = Http2Peer(peer)
        http2.until(http2_peer.HEADERS)
        http2.until(http2_peer.PING)
        http2.reset(1, http2_peer.CANCEL)
        http2.drain()

    connection = connect2(scripted_server(script).port)
    stream = connection.request(request_for(method="PUT"), manual_write=True)
    stream.activate()
    futures = [stream.write_data(io.BytesIO(b"x" * 100_000)), stream.write_data(None, True)]
    connection.ping()
    assert error_name(stream.completion_future) == "AWS_ERROR_HTTP_RST_STREAM_RECEIVED"
    assert {error_name(future) for future in futures} == {"AWS_ERROR_HTTP_STREAM_HAS_COMPLETED"}


# ---- lives ----


def test_a_callback_that_holds_the_connection_does_not_keep_it_open(nghttpd):
    class Client:
        def __init__(self):
            self.connection = Http2ClientConnection.new(
                "localhost", nghttpd.port, prior_knowledge=True, on_remote_settings_changed=self.changed
            ).result(TIMEOUT)

        def changed(self, settings):
            pass

    client = Client()
    gone, shutdown = weakref.ref(client.connection), client.connection.shutdown_future
    del client
    gc.collect()
    assert gone() is None and shutdown.result(TIMEOUT) is None


def test_dropped_stream_completes(nghttpd, connect2):
    nghttpd.add_file("http2-dropped", b"fine")
    connection = connect2(nghttpd.port)
    stream = connection.request(request_for("/http2-dropped"))
    future = stream.completion_future
    stream.activate()
    del stream, connection
    assert future.result(TIMEOUT) == 200


@pytest.mark.parametrize(
    "arguments", [(5,), (HttpRequest(), 5), (HttpRequest(), None, 5)], ids=["request", "on_response", "on_body"]
)
def test_request_of_wrong_types(nghttpd, connect2, arguments):
    with pytest.raises(AssertionError):
        connect2(nghttpd.port).request(*arguments)
