"""Streams: order of events, errors, bodies in both directions."""

import gc
import io
import threading
import weakref

import pytest

from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpClientStream, HttpClientStreamBase, HttpHeaders, HttpRequest, HttpStreamBase, HttpVersion

REQUEST = HttpRequest("GET", "/", HttpHeaders([("Host", "test")]))


@pytest.fixture
def replying(scripted_server, connect):
    """``replying(bytes)``: a connection to a server that sends these bytes after each request and stays."""

    def start(data):
        def script(peer):
            try:
                while True:
                    peer.receive_until(b"\r\n\r\n")
                    peer.send(data)
            except EOFError:
                pass

        return connect(scripted_server(script).port)

    return start


# ---- events ----


def test_order_and_keywords(replying, exchange, response):
    connection = replying(response(b"hello", b"X-One: 1", b"x-one: 2"))
    got = exchange(connection)
    assert got.status() == 200
    assert got.kinds == ["response", "body", "done"]
    assert got.events[0] == ("response", 200, [("Content-Length", "5"), ("X-One", "1"), ("x-one", "2")])
    assert got.body == b"hello"
    stream = got.stream
    assert type(stream) is HttpClientStream and isinstance(stream, (HttpClientStreamBase, HttpStreamBase))
    assert stream.connection is connection
    assert stream.version is HttpVersion.Http1_1
    assert stream.response_status_code == 200
    assert stream.completion_future is stream.completion_future


def test_status_is_known_in_on_response(replying, response):
    connection = replying(response())
    seen = []
    stream = connection.request(REQUEST, lambda http_stream, **_: seen.append(http_stream.response_status_code))
    assert stream.response_status_code is None
    stream.activate()
    assert stream.completion_future.result(20) == 200 and seen == [200]


def test_without_callbacks(replying, response):
    stream = replying(response(b"x" * 100_000)).request(REQUEST)
    stream.activate()
    stream.activate()
    assert stream.completion_future.result(20) == 200
    assert stream.response_status_code == 200
    stream.activate()


def test_future_asked_for_after_the_end(replying, response, eventually):
    done = threading.Event()
    connection = replying(response(b"x"))
    early = connection.request(REQUEST)
    late = connection.request(REQUEST, on_body=lambda **_: done.set())
    early.activate()
    late.activate()
    assert done.wait(20)
    assert early.completion_future.result(20) == 200
    assert late.completion_future.result(20) == 200


def test_pipelined_responses_come_in_order(scripted_server, connect, exchange, response):
    def script(peer):
        heads = [peer.receive_until(b"\r\n\r\n") for _ in range(20)]
        assert [head.split()[1] for head in heads] == [b"/%d" % i for i in range(20)]
        peer.send(b"".join(response(b"%d" % i) for i in range(20)))
        peer.receive_all()

    connection = connect(scripted_server(script).port)
    got = [exchange(connection, path=f"/{i}") for i in range(20)]
    assert [each.status() for each in got] == [200] * 20
    assert [each.body for each in got] == [b"%d" % i for i in range(20)]


def test_informational_responses_are_swallowed(replying, exchange, response):
    got = exchange(replying(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + response(b"final")))
    assert got.status() == 200 and got.body == b"final" and len(got.headers) == 1


def test_chunked_response(replying, exchange):
    body = b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: dropped\r\n\r\n"
    got = exchange(replying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
    assert got.status() == 200 and got.body == b"hello world"


@pytest.mark.parametrize("size", [1, 16 * 1024, 1_000_000, 20_000_000])
def test_large_bodies_are_complete(nginx, connect, exchange, size):
    data = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000 + 1)
    data = data[:size]
    nginx.add_file(f"http-large-{size}", data)
    got = exchange(connect(nginx.port), path=f"/http-large-{size}", headers=[("Host", "localhost")])
    assert got.status() == 200
    assert got.body == data


def test_many_in_flight(nginx, connect, exchange):
    nginx.add_file("http-small", b"small")
    connections = [connect(nginx.port) for _ in range(8)]
    for _ in range(20):
        got = [
            exchange(connection, path="/http-small", headers=[("Host", "localhost")])
            for connection in connections
            for _ in range(4)
        ]
        assert [each.status() for each in got] == [200] * 32
        assert {each.body for each in got} == {b"small"}


def test_callbacks_run_on_the_loop_thread_and_may_send(nginx, connect):
    nginx.add_file("http-chain", b"x")
    connection = connect(nginx.port)
    request = HttpRequest("GET", "/http-chain", HttpHeaders([("Host", "localhost")]))
    finished = threading.Event()
    threads = set()

    def send(left):
        stream = connection.request(request)
        stream.completion_future.add_done_callback(lambda future: ended(future, left))
        stream.activate()

    def ended(future, left):
        threads.add(threading.get_ident())
        assert future.result() == 200
        if left:
            send(left - 1)
        else:
            finished.set()

    send(100)
    assert finished.wait(20)
    assert len(threads) == 1 and threading.get_ident() not in threads


# ---- request bodies ----


class OnlyRead:
    def __init__(self, data, piece):
        self._data, self._piece = data, piece

    def read(self, size):
        piece, self._data = self._data[: min(size, self._piece)], self._data[min(size, self._piece) :]
        return piece


@pytest.mark.parametrize("make", [io.BytesIO, lambda data: OnlyRead(data, 1000)])
def test_body_with_content_length(scripted_server, connect, exchange, response, make):
    data = b"0123456789" * 30_000

    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        assert peer.receive_exactly(len(data)) == data
        peer.send(response())
        peer.receive_all()

    got = exchange(
        connect(scripted_server(script).port),
        "PUT",
        headers=[("Host", "test"), ("Content-Length", str(len(data)))],
        body_stream=make(data),
    )
    assert got.status() == 200


def test_chunked_body(scripted_server, connect, exchange, response):
    data = b"abc" * 10_000
    received = []

    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        while True:
            size = int(peer.receive_until(b"\r\n"), 16)
            received.append(peer.receive_exactly(size))
            assert peer.receive_exactly(2) == b"\r\n"
            if size == 0:
                break
        peer.send(response())
        peer.receive_all()

    got = exchange(
        connect(scripted_server(script).port),
        "PUT",
        headers=[("Host", "test"), ("Transfer-Encoding", "chunked")],
        body_stream=io.BytesIO(data),
    )
    assert got.status() == 200 and b"".join(received) == data


@pytest.mark.parametrize("length", [9, 11])
def test_body_of_another_length(scripted_server, connect, exchange, length):
    connection = connect(scripted_server(lambda peer: peer.receive_all()).port)
    got = exchange(connection, "PUT", headers=[("Content-Length", str(length))], body_stream=io.BytesIO(b"x" * 10))
    assert got.failure().name == "AWS_ERROR_HTTP_OUTGOING_STREAM_LENGTH_INCORRECT"
    assert connection.shutdown_future.exception(20) is not None


@pytest.mark.parametrize(
    "raised, expected",
    [
        (ValueError("no"), ValueError),
        (TypeError("no"), ValueError),
        (KeyError("no"), "AWS_ERROR_UNKNOWN"),
        (MemoryError(), MemoryError),
        (BrokenPipeError(), BrokenPipeError),
    ],
)
def test_body_that_raises(scripted_server, connect, exchange, capfd, raised, expected):
    class Bad:
        def read(self, size):
            raise raised

    connection = connect(scripted_server(lambda peer: peer.receive_all()).port)
    got = exchange(connection, "PUT", headers=[("Content-Length", "10")], body_stream=Bad())
    error = got.failure()
    assert getattr(error, "name", None) == expected or type(error) is expected
    assert "Treating" in capfd.readouterr().err


@pytest.mark.parametrize(
    "method, path, headers, code",
    [
        ("", "/", [], 2053),
        ("GE T", "/", [], 2053),
        ("GET", "", [], 2054),
        ("GET", "/a b", [], 2054),
        ("GET", "/\n", [], 2054),
        ("GET", "/", [("a b", "x")], 2051),
        ("GET", "/", [(":path", "x")], 2051),
        ("GET", "/", [("a", "x\ny")], 2052),
        ("GET", "/", [("Content-Length", "x")], 2052),
        ("GET", "/", [("Transfer-Encoding", "gzip")], 2052),
        ("GET", "/", [("Content-Length", "1"), ("Transfer-Encoding", "chunked")], 2050),
        ("GET", "/", [("Content-Length", "1")], 2056),
    ],
)
def test_requests_that_break_a_rule_are_refused_at_once(answering, connect, method, path, headers, code):
    with pytest.raises(RuntimeError, match=f"^{code} "):
        connect(answering.port).request(HttpRequest(method, path, HttpHeaders(headers)))


# ---- failures ----


def failed(error):
    return error.name if isinstance(error, AwsCrtError) else type(error)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_malformed_responses(replying, exchange, reply):
    connection = replying(reply)
    assert failed(exchange(connection).failure()) == "AWS_ERROR_HTTP_PROTOCOL_ERROR"
    assert failed(connection.shutdown_future.exception(20)) == "AWS_ERROR_HTTP_PROTOCOL_ERROR"


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_peer_goes_away(scripted_server, connect, exchange, part, how):
    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        peer.send(part)
        getattr(peer, how)()

    connection = connect(scripted_server(script).port)
    got = exchange(connection)
    assert failed(got.failure()) == "AWS_IO_SOCKET_CLOSED"
    assert failed(connection.shutdown_future.exception(20)) == "AWS_IO_SOCKET_CLOSED"
    assert got.body in (b"", b"half")


def test_errors_name_the_host(scripted_server, connect, exchange):
    server = scripted_server(lambda peer: peer.receive_until(b"\r\n\r\n"))
    got = exchange(connect(server.port))
    assert f"127.0.0.1:{server.port}" in got.failure().message


def test_header_that_is_not_utf8(replying, exchange, response):
    connection = replying(response(b"x", b"Name: caf\xe9"))
    error = exchange(connection).failure()
    assert failed(error) == "AWS_ERROR_UNKNOWN" and "UTF-8" in error.message


def test_utf8_headers_are_text(replying, exchange, response):
    got = exchange(replying(response(b"", "Name: café 😀".encode())))
    assert got.status() == 200 and got.headers[-1] == ("Name", "café 😀")


@pytest.mark.parametrize(
    "sequence",
    [b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xff", b"\xf0\x80\x80\x80", b"\xe0\x80\x80"],
)
def test_malformed_utf8_is_refused(replying, exchange, response, sequence):
    assert failed(exchange(replying(response(b"", b"Name: a" + sequence))).failure()) == "AWS_ERROR_UNKNOWN"


@pytest.mark.parametrize("callback", ["on_response", "on_body"])
@pytest.mark.parametrize(
    "raised, expected",
    [
        (ValueError("mine"), ValueError),
        (KeyError("mine"), "AWS_ERROR_UNKNOWN"),
        (SystemExit(3), "AWS_ERROR_UNKNOWN"),
        (NotImplementedError(), NotImplementedError),
    ],
)
def test_callback_that_raises_ends_the_connection(replying, response, capfd, callback, raised, expected):
    connection = replying(response(b"x"))

    def bad(**_):
        raise raised

    stream = connection.request(REQUEST, **{callback: bad})
    stream.activate()
    error = stream.completion_future.exception(20)
    assert failed(error) == expected
    assert error.__cause__ is raised
    assert failed(connection.shutdown_future.exception(20)) == expected
    assert "mine" in capfd.readouterr().err or not raised.args or raised.args == (3,)


def test_nothing_is_called_after_a_callback_raised(replying, response, capfd):
    calls = []

    def bad(**_):
        calls.append("response")
        raise ValueError

    stream = replying(response(b"body")).request(REQUEST, bad, lambda **_: calls.append("body"))
    stream.activate()
    assert type(stream.completion_future.exception(20)) is ValueError
    assert calls == ["response"]


def test_pipelined_streams_after_a_failed_one(scripted_server, connect, exchange, response, capfd):
    def script(peer):
        for _ in range(2):
            peer.receive_until(b"\r\n\r\n")
        peer.send(response(b"1"))
        peer.receive_all()

    connection = connect(scripted_server(script).port)

    def bad(**_):
        raise KeyError("first")

    first = connection.request(REQUEST, bad)
    first.activate()
    second = exchange(connection)
    assert failed(first.completion_future.exception(20)) == "AWS_ERROR_UNKNOWN"
    assert second.failure() is not None


def test_raising_done_callback_harms_nobody(replying, response, exchange, caplog):
    connection = replying(response(b"x"))
    stream = connection.request(REQUEST)
    stream.completion_future.add_done_callback(lambda future: 1 / 0)
    stream.activate()
    assert stream.completion_future.result(20) == 200
    assert exchange(connection).status() == 200


# ---- persistence ----


def test_connection_close_response(replying, exchange, response):
    connection = replying(response(b"last", b"Connection: close"))
    got = exchange(connection)
    assert got.status() == 200 and got.body == b"last"
    assert connection.is_open() is False
    assert connection.shutdown_future.result(20) is None


def test_final_request(scripted_server, connect, exchange, response):
    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        peer.send(response(b"last"))
        peer.receive_all()

    connection = connect(scripted_server(script).port)
    got = exchange(connection, headers=[("Host", "test"), ("Connection", "close")])
    assert got.status() == 200
    assert connection.shutdown_future.result(20) is None
    with pytest.raises(RuntimeError, match="^2058 "):
        connection.request(REQUEST)


# ---- window ----


def test_manual_window(scripted_server, connect, response, eventually):
    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        peer.send(response(b"0123456789"))
        peer.receive_all()

    connection = connect(scripted_server(script).port, manual_window_management=True, initial_window_size=3)
    chunks = []
    stream = connection.request(REQUEST, on_body=lambda chunk, **_: chunks.append(chunk))
    stream.activate()
    eventually(lambda: b"".join(chunks) == b"012")
    stream.update_window(4)
    eventually(lambda: b"".join(chunks) == b"0123456")
    assert not stream.completion_future.done()
    stream.update_window(increment_size=-1)  # cut to 32 bits
    assert stream.completion_future.result(20) == 200
    assert b"".join(chunks) == b"0123456789"
    stream.update_window(1)


def test_update_window_without_manual_mode(replying, response, exchange):
    got = exchange(replying(response(b"x")))
    got.stream.update_window(1)
    with pytest.raises(TypeError):
        got.stream.update_window("x")
    assert got.status() == 200


# ---- objects ----


def test_subclass_of_stream(replying, response):
    class Mine(HttpClientStream):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.note = 1

    stream = Mine(replying(response(b"x")), REQUEST)
    stream.activate()
    assert stream.completion_future.result(20) == 200 and stream.note == 1


def test_unfinished_stream_is_refused():
    stream = HttpClientStream.__new__(HttpClientStream)
    with pytest.raises(RuntimeError):
        stream.activate()
    with pytest.raises(RuntimeError):
        stream.update_window(1)
    assert stream.response_status_code is None
    assert stream.version is HttpVersion.Unknown


def test_second_init_is_refused(answering, connect):
    stream = connect(answering.port).request(REQUEST)
    with pytest.raises(AssertionError):
        stream.__init__(stream.connection, REQUEST)


def test_collected_when_complete(replying, response):
    connection = replying(response(b"x"))
    stream = connection.request(REQUEST, on_body=lambda **_: None)
    stream.cycle = stream
    stream.activate()
    assert stream.completion_future.result(20) == 200
    reference = weakref.ref(stream)
    del stream
    gc.collect()
    assert reference() is None


def test_nothing_leaks(no_native_leak, nginx, connect, exchange, capfd):
    nginx.add_file("http-leak", b"x" * 300_000)
    connection = connect(nginx.port)
    for _ in range(10):
        assert exchange(connection, path="/http-leak", headers=[("Host", "localhost")]).status() == 200
    connection.request(REQUEST)
    stream = connection.request(REQUEST, on_response=lambda **_: 1 / 0)
    stream.activate()
    assert stream.completion_future.exception(20) is not None
    assert connection.shutdown_future.exception(20) is not None
    capfd.readouterr()
