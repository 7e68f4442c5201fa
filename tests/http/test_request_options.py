"""What a request may have beyond its message: bodies from anywhere, places for responses, 100 (Continue), trailers."""

import asyncio
import io
import threading

import pytest

from awscrt.aio.http import AIOHttpClientConnection
from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpHeaders, HttpRequest, HttpTimeouts
from awscrt.io import InputStream

CHUNKED = ("Transfer-Encoding", "chunked")
TIMEOUT = 20
BODY = b"0123456789" * 3000


def put(*headers, body_stream=None):
    return HttpRequest("PUT", "/", HttpHeaders([("Host", "test"), *headers]), body_stream)


def dechunk(data):
    """The body that chunks stand for, and their number without the last."""
    body, count = b"", 0
    while True:
        size, _, data = data.partition(b"\r\n")
        n = int(size, 16)
        if n == 0:
            assert data == b"\r\n"
            return body, count
        assert data[n : n + 2] == b"\r\n"
        body, data, count = body + data[:n], data[n + 2 :], count + 1


@pytest.fixture
def receiving(scripted_server, response):
    """A server that answers one chunked request; what it got is in ``.got``."""

    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        server.got = peer.receive_until(b"\r\n0\r\n\r\n")
        assert server.may_answer.wait(TIMEOUT)
        peer.send(response(b"thanks"))
        peer.receive_all()

    server = scripted_server(script)
    server.may_answer = threading.Event()
    server.may_answer.set()
    return server


def pieces():
    yield b"01234"
    yield b""
    yield bytearray(b"56789")
    yield memoryview(BODY)[10:]


@pytest.mark.parametrize(
    "make",
    [lambda: BODY, lambda: bytearray(BODY), lambda: io.BytesIO(BODY), lambda: InputStream(io.BytesIO(BODY)), pieces],
    ids=["bytes", "bytearray", "stream", "InputStream", "iterable"],
)
def test_bodies_from_anywhere(connect, receiving, make):
    stream = connect(receiving.port).request(put(CHUNKED), body=make())
    stream.activate()
    assert stream.completion_future.result(TIMEOUT) == 200
    assert dechunk(receiving.got)[0] == BODY


def test_a_body_from_a_file(connect, scripted_server, response, tmp_path):
    (tmp_path / "body").write_bytes(BODY)
    got = []

    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        got.append(peer.receive_exactly(len(BODY)))
        peer.send(response())

    with open(tmp_path / "body", "rb") as file:
        stream = connect(scripted_server(script).port).request(put(("Content-Length", str(len(BODY)))), body=file)
        stream.activate()
        assert stream.completion_future.result(TIMEOUT) == 200
    assert got == [BODY]


def test_bodies_that_are_none(connect, answering):
    connection = connect(answering.port)
    for body in ("text", 7, {"a": b"b"}):
        with pytest.raises(TypeError):
            connection.request(put(CHUNKED), body=body)
    with pytest.raises(ValueError, match="exclude each other"):
        connection.request(put(CHUNKED), body=b"x", manual_write=True)
    with pytest.raises(RuntimeError, match="AWS_ERROR_HTTP_INVALID_HEADER_FIELD"):
        connection.request(put(), body=b"nobody knows where it ends")


def test_an_iterable_that_fails(connect, scripted_server, capfd):
    def broken():
        yield b"first"
        raise ValueError("no more")

    stream = connect(scripted_server(lambda peer: peer.receive_all()).port).request(put(CHUNKED), body=broken())
    stream.activate()
    assert isinstance(stream.completion_future.exception(TIMEOUT), ValueError)
    assert "no more" in capfd.readouterr().err


def test_writes_by_hand(connect, receiving):
    receiving.may_answer.clear()
    stream = connect(receiving.port).request(put(CHUNKED), manual_write=True)
    with pytest.raises(RuntimeError, match="AWS_ERROR_HTTP_STREAM_NOT_ACTIVATED"):
        stream.write_data(io.BytesIO(b"early"))
    stream.activate()
    for piece in (b"one", b"two", b"three"):
        assert stream.write_data(io.BytesIO(piece)).result(TIMEOUT) is None
    assert stream.write_data(None, end_stream=True).result(TIMEOUT) is None
    with pytest.raises(RuntimeError, match="AWS_ERROR_HTTP_MANUAL_WRITE_HAS_COMPLETED"):
        stream.write_data(None)
    receiving.may_answer.set()
    assert stream.completion_future.result(TIMEOUT) == 200
    with pytest.raises(RuntimeError, match="AWS_ERROR_HTTP_STREAM_HAS_COMPLETED"):
        stream.write_data(None)
    assert dechunk(receiving.got) == (b"onetwothree", 3)


def test_writes_need_to_be_asked_for(connect, answering):
    stream = connect(answering.port).request(put(CHUNKED))
    with pytest.raises(RuntimeError, match="AWS_ERROR_HTTP_MANUAL_WRITE_NOT_ENABLED"):
        stream.write_data(io.BytesIO(b"x"))


# ---- where the response goes ----


@pytest.fixture
def sending(scripted_server, response):
    """A server that answers every request with BODY, and says that it is that long."""

    def script(peer):
        try:
            while True:
                peer.receive_until(b"\r\n\r\n")
                peer.send(response(BODY))
        except EOFError:
            pass

    return scripted_server(script)


@pytest.mark.parametrize("spare", [0, 100])
def test_readinto_a_buffer(connect, sending, spare):
    target = bytearray(len(BODY) + spare)
    stream = connect(sending.port).request(HttpRequest(), readinto=target)
    with pytest.raises(BufferError):
        target.extend(b"moves the memory")
    stream.activate()
    assert stream.completion_future.result(TIMEOUT) == 200
    assert stream.bytes_received == len(BODY)
    assert target == BODY + bytes(spare)
    target.extend(b"may move again")


def test_readinto_a_buffer_that_is_too_small(connect, sending):
    target = bytearray(1000)
    stream = connect(sending.port).request(HttpRequest(), readinto=target)
    stream.activate()
    error = stream.completion_future.exception(TIMEOUT)
    assert isinstance(error, AwsCrtError) and error.name == "AWS_ERROR_SHORT_BUFFER"
    assert stream.bytes_received == 1000 and target == BODY[:1000]


def test_readinto_a_file(connect, sending, tmp_path):
    with open(tmp_path / "out", "wb") as file:
        file.write(b"before ")
        stream = connect(sending.port).request(HttpRequest(), readinto=file)
        stream.activate()
        assert stream.completion_future.result(TIMEOUT) == 200
        file.write(b" behind")
    assert (tmp_path / "out").read_bytes() == b"before " + BODY + b" behind"


def test_readinto_a_file_that_takes_nothing(connect, sending):
    with open("/dev/full", "wb", buffering=0) as file:
        stream = connect(sending.port).request(HttpRequest(), readinto=file)
        stream.activate()
        assert stream.completion_future.exception(TIMEOUT).name == "AWS_ERROR_FILE_WRITE_FAILURE"


def test_what_nothing_can_be_read_into(connect, answering, tmp_path):
    connection = connect(answering.port)
    for target in (b"read-only", 7, "text", object()):
        with pytest.raises((TypeError, BufferError)):
            connection.request(HttpRequest(), readinto=target)
    with open(tmp_path / "text", "w") as file, pytest.raises(TypeError):
        connection.request(HttpRequest(), readinto=file)
    with pytest.raises(ValueError, match="exclude each other"):
        connection.request(HttpRequest(), on_body=print, readinto=bytearray(5))


def test_a_stream_that_is_never_activated_gives_the_buffer_back(connect, answering):
    target = bytearray(10)
    stream = connect(answering.port).request(HttpRequest(), readinto=target)
    del stream
    target.extend(b"free")


# ---- informational responses, trailers, 100 (Continue) ----

EXTRAS = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nDigest: x\r\n\r\n"
)


@pytest.fixture
def generous(scripted_server):
    """A server whose responses have everything."""

    def script(peer):
        try:
            while True:
                peer.receive_until(b"\r\n\r\n")
                peer.send(EXTRAS)
        except EOFError:
            pass

    return scripted_server(script)


def test_informational_responses_and_trailers(connect, generous):
    events = []
    connection = connect(generous.port)
    stream = connection.request(
        HttpRequest(),
        on_response=lambda http_stream, status_code, headers: events.append((status_code, headers)),
        on_body=lambda http_stream, chunk: events.append(chunk),
        on_interim=lambda http_stream, status_code, headers: events.append((status_code, headers)),
        on_trailers=lambda http_stream, headers: events.append(headers),
    )
    stream.activate()
    assert stream.completion_future.result(TIMEOUT) == 200
    assert events == [
        (103, [("Link", "</style.css>")]),
        (200, [("Transfer-Encoding", "chunked")]),
        b"hi",
        [("Digest", "x")],
    ]


def test_a_callback_of_either_that_raises(connect, generous, capfd):
    def on_trailers(**kwargs):
        raise ValueError("unwelcome")

    stream = connect(generous.port).request(HttpRequest(), on_trailers=on_trailers)
    stream.activate()
    assert isinstance(stream.completion_future.exception(TIMEOUT), ValueError)
    assert "unwelcome" in capfd.readouterr().err


def test_nobody_has_to_ask(connect, exchange, generous):
    got = exchange(connect(generous.port))
    assert got.status() == 200 and got.body == b"hi" and got.kinds == ["response", "body", "done"]


@pytest.mark.parametrize("answer, sent", [(b"HTTP/1.1 100 Continue\r\n\r\n", True), (b"", False)])
def test_the_body_waits_for_100(connect, scripted_server, response, answer, sent):
    got = []

    def script(peer):
        assert b"hello" not in peer.receive_until(b"\r\n\r\n")
        peer.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.socket.recv(1)
        peer.socket.settimeout(TIMEOUT)
        if sent:
            peer.send(answer)
            got.append(peer.receive_exactly(5))
        peer.send(response())
        got.append(peer.receive_all())

    request = put(("Content-Length", "5"), ("Expect", "100-continue"), body_stream=io.BytesIO(b"hello"))
    server = scripted_server(script)
    connection = connect(server.port)
    stream = connection.request(request, expect_continue=TIMEOUT)
    stream.activate()
    assert stream.completion_future.result(TIMEOUT) == 200
    assert connection.is_open() is sent
    connection.close().result(TIMEOUT)
    server.close()
    assert got == ([b"hello", b""] if sent else [b""])


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_patience_is_a_positive_number(connect, answering, seconds):
    with pytest.raises(ValueError):
        connect(answering.port).request(HttpRequest(), expect_continue=seconds)


def test_cancel_reaches_the_socket(connect, scripted_server):
    closed = []

    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        closed.append(peer.receive_all())

    server = scripted_server(script)
    connection = connect(server.port)
    stream = connection.request(HttpRequest(), on_response=lambda http_stream, **kwargs: http_stream.cancel())
    stream.activate()
    assert stream.completion_future.exception(TIMEOUT).name == "AWS_ERROR_HTTP_STREAM_CANCELLED"
    assert connection.shutdown_future.exception(TIMEOUT).name == "AWS_ERROR_HTTP_STREAM_CANCELLED"
    assert not connection.is_open()
    server.close()
    assert closed == [b""]


# ---- HttpTimeouts ----


def test_timeouts_are_checked(connect, answering):
    assert repr(HttpTimeouts(idle=2, total=0.5)) == "HttpTimeouts(idle=2, total=0.5)"
    connection = connect(answering.port, timeouts=HttpTimeouts(connect=5, tls=5, first_byte=5, idle=5, total=5))
    for timeouts in (HttpTimeouts(idle=0), HttpTimeouts(total=-1), HttpTimeouts(total=float("nan"))):
        with pytest.raises(ValueError, match="more than 0"):
            connection.request(HttpRequest(), timeouts=timeouts)
    for timeouts in (5, "5", HttpTimeouts(idle="5")):
        with pytest.raises(TypeError):
            connection.request(HttpRequest(), timeouts=timeouts)
    stream = connection.request(HttpRequest())
    stream.activate()
    assert stream.completion_future.result(TIMEOUT) == 200


# ---- asyncio ----


def run(server, use):
    async def main():
        connection = await AIOHttpClientConnection.new("127.0.0.1", server.port)
        try:
            return await asyncio.wait_for(use(connection), TIMEOUT)
        finally:
            await asyncio.wait([asyncio.ensure_future(connection.close())])

    return asyncio.run(main())


async def async_pieces():
    for piece in pieces():
        await asyncio.sleep(0)
        yield piece


@pytest.mark.parametrize("make", [lambda: BODY, pieces, async_pieces], ids=["bytes", "iterable", "async iterable"])
def test_asyncio_bodies(receiving, make):
    async def use(connection):
        return await connection.request(put(CHUNKED), body=make()).wait_for_completion()

    assert run(receiving, use) == 200
    assert dechunk(receiving.got)[0] == BODY


def test_asyncio_generator(receiving):
    async def use(connection):
        return await connection.request(put(CHUNKED), async_pieces()).wait_for_completion()

    assert run(receiving, use) == 200
    assert dechunk(receiving.got)[0] == BODY


def test_asyncio_readinto(sending):
    target = bytearray(len(BODY))

    async def use(connection):
        stream = connection.request(HttpRequest(), readinto=target)
        assert await stream.get_next_response_chunk() == b""
        assert await stream.wait_for_completion() == 200
        return stream.bytes_received

    assert run(sending, use) == len(BODY) and target == BODY


def test_asyncio_extras(generous):
    async def use(connection):
        stream = connection.request(HttpRequest())
        assert await stream.get_response_trailers() == [("Digest", "x")]
        return stream.get_informational_responses()

    assert run(generous, use) == [(103, [("Link", "</style.css>")])]


def test_asyncio_cancel(scripted_server):
    async def use(connection):
        stream = connection.request(HttpRequest())
        stream.cancel()
        with pytest.raises(AwsCrtError, match="AWS_ERROR_HTTP_STREAM_CANCELLED"):
            await stream.wait_for_completion()
        return connection.is_open()

    assert run(scripted_server(lambda peer: peer.receive_all()), use) is False
