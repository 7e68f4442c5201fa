"""awscrt.aio.http: coroutines on the engine of awscrt.http."""

import asyncio
import gc
import io
import random
import threading
import weakref

import pytest

from awscrt.aio.http import (
    AIOHttpClientConnection,
    AIOHttpClientConnectionUnified,
    AIOHttpClientStream,
    AIOHttpClientStreamUnified,
)
from awscrt.exceptions import AwsCrtError
from awscrt.http import (
    HttpClientConnectionBase,
    HttpClientStreamBase,
    HttpHeaders,
    HttpRequest,
    HttpVersion,
)

REQUEST = HttpRequest("GET", "/", HttpHeaders([("Host", "test")]))
TIMEOUT = 20


def run(coroutine):
    """Runs a coroutine; fails when asyncio had to report something that nobody handled."""
    problems = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
        result = await asyncio.wait_for(coroutine, TIMEOUT)
        gc.collect()
        await asyncio.sleep(0)
        return result

    result = asyncio.run(main())
    assert problems == []
    return result


async def connected(server, **options):
    return await AIOHttpClientConnection.new("127.0.0.1", server.port, **options)


async def whole_body(stream):
    chunks = []
    while True:
        chunk = await stream.get_next_response_chunk()
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


# ---- requests ----


def test_exchange(answering):
    async def main():
        connection = await connected(answering)
        assert connection.is_open() and connection.version is HttpVersion.Http1_1
        assert (connection.host_name, connection.port) == ("127.0.0.1", answering.port)
        assert isinstance(connection, HttpClientConnectionBase)
        stream = connection.request(REQUEST)
        assert type(stream) is AIOHttpClientStream and isinstance(stream, HttpClientStreamBase)
        assert await stream.get_response_status_code() == 200
        assert stream.response_status_code == 200
        headers = await stream.get_response_headers()
        assert headers == [("Content-Length", "5")]
        assert await stream.get_response_headers() is not headers
        assert await whole_body(stream) == b"hello"
        assert await stream.get_next_response_chunk() == b""
        assert await stream.wait_for_completion() == 200
        assert await stream.wait_for_completion() == 200
        assert await stream.get_response_status_code() == 200
        assert stream.completion_future.result(TIMEOUT) == 200
        assert stream.connection is connection
        await connection.close()
        await connection.close()
        assert not connection.is_open()
        assert connection.shutdown_future.result(0) is None

    run(main())


def test_unified_gives_the_class_of_the_protocol(answering):
    async def main():
        connection = await AIOHttpClientConnectionUnified.new("127.0.0.1", answering.port)
        assert type(connection) is AIOHttpClientConnection
        stream = connection.request(REQUEST)
        assert isinstance(stream, AIOHttpClientStreamUnified)
        assert await stream.wait_for_completion() == 200

    run(main())


def test_large_body(nginx):
    data = b"0123456789abcdef" * 500_000
    nginx.add_file("aio-large", data)

    async def main():
        connection = await connected(nginx)
        stream = connection.request(HttpRequest("GET", "/aio-large", HttpHeaders([("Host", "localhost")])))
        assert await whole_body(stream) == data

    run(main())


def test_body_stream_is_sent_and_generator_ignored(scripted_server, response):
    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        assert peer.receive_exactly(5) == b"12345"
        peer.send(response())
        peer.receive_all()

    async def never():
        raise AssertionError
        yield b""

    async def main():
        connection = await connected(scripted_server(script))
        request = HttpRequest("PUT", "/", HttpHeaders([("Content-Length", "5")]), io.BytesIO(b"12345"))
        generator = never()
        stream = connection.request(request, generator)
        assert await stream.wait_for_completion() == 200
        await generator.aclose()

    run(main())


def test_many_in_flight(nginx):
    nginx.add_file("aio-small", b"small")
    request = HttpRequest("GET", "/aio-small", HttpHeaders([("Host", "localhost")]))

    async def one(connection):
        for _ in range(20):
            stream = connection.request(request)
            assert await stream.get_response_status_code() == 200
            assert await whole_body(stream) == b"small"
            assert await stream.wait_for_completion() == 200

    async def main():
        connections = [await connected(nginx) for _ in range(8)]
        await asyncio.gather(*(one(connection) for connection in connections for _ in range(4)))

    run(main())


def test_busy_loop_holds_the_peer_up(scripted_server, eventually):
    """What is on its way to an asyncio loop that does not get round to it is bounded."""
    piece = b"x" * 65536
    pieces = 1024  # 64 MiB, far more than the sockets' buffers
    sent = []

    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(piece) * pieces))
        for _ in range(pieces):
            peer.send(piece)
            sent.append(1)
        peer.receive_all()

    def stalled():
        before = len(sent)
        threading.Event().wait(0.2)
        return before and len(sent) == before

    async def main():
        connection = await connected(scripted_server(script))
        stream = connection.request(REQUEST)
        eventually(stalled)  # blocks the asyncio loop
        assert len(sent) < pieces // 2
        assert len(await whole_body(stream)) == len(piece) * pieces
        await connection.close()

    run(main())


# ---- waiters ----


@pytest.fixture
def held(scripted_server):
    """A server that sends each part of a response when the test says so: ``held(*parts)`` gives (server, go)."""

    def start(*parts):
        gates = [threading.Semaphore(0) for _ in parts]

        def script(peer):
            peer.receive_until(b"\r\n\r\n")
            for gate, part in zip(gates, parts):
                assert gate.acquire(timeout=TIMEOUT)
                peer.send(part)
            peer.receive_all()

        return scripted_server(script), [gate.release for gate in gates]

    return start


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"


def test_waiters_are_served_in_order(held):
    server, go = held(HEAD + b"aa", b"bb", b"cc")

    async def main():
        connection = await connected(server)
        stream = connection.request(REQUEST)
        tasks = [asyncio.ensure_future(stream.get_next_response_chunk()) for _ in range(5)]
        await asyncio.sleep(0)
        for i, chunk in enumerate([b"aa", b"bb", b"cc"]):
            go[i]()
            assert await tasks[i] == chunk
        assert [await task for task in tasks[3:]] == [b"", b""]

    run(main())


def test_cancelled_waits_lose_nothing(held):
    server, go = held(HEAD + b"aa", b"bb", b"cc")

    async def cancelled(awaitable):
        task = asyncio.ensure_future(awaitable)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def main():
        connection = await connected(server)
        stream = connection.request(REQUEST)
        for method in (
            stream.get_response_status_code,
            stream.get_response_headers,
            stream.get_next_response_chunk,
            stream.wait_for_completion,
        ):
            await cancelled(method())
        for step in go:
            step()
        assert await stream.get_response_status_code() == 200
        assert await stream.get_response_headers() == [("Content-Length", "6")]
        assert await whole_body(stream) == b"aabbcc"
        assert await stream.wait_for_completion() == 200
        await connection.close()

    run(main())


def test_cancelled_after_the_chunk_was_handed_over(held):
    server, go = held(HEAD + b"aabbcc")

    async def main():
        connection = await connected(server)
        stream = connection.request(REQUEST)
        task = asyncio.ensure_future(stream.get_next_response_chunk())
        await asyncio.sleep(0)
        # Cancels in the very turn that hands the chunk over: the task has been woken and not run yet.
        stream.completion_future.add_done_callback(lambda future: task.cancel())
        go[0]()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await whole_body(stream) == b"aabbcc"

    run(main())


def test_cancellation_storm(nginx, no_native_leak):
    """Any number of cancelled waits: no chunk is lost, no InvalidStateError, nothing leaks."""
    data = b"storm" * 100_000
    nginx.add_file("aio-storm", data)
    request = HttpRequest("GET", "/aio-storm", HttpHeaders([("Host", "localhost")]))
    chance = random.Random(7)

    async def stubborn(make):
        while True:
            task = asyncio.ensure_future(make())
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                task.cancel()
            try:
                return await task
            except asyncio.CancelledError:
                pass

    async def one(connection):
        stream = connection.request(request)
        assert await stubborn(stream.get_response_status_code) == 200
        chunks = []
        while True:
            chunk = await stubborn(stream.get_next_response_chunk)
            if not chunk:
                break
            chunks.append(chunk)
        assert b"".join(chunks) == data
        assert await stubborn(stream.wait_for_completion) == 200

    async def main():
        connection = await connected(nginx)
        await asyncio.gather(*(one(connection) for _ in range(20)))
        await connection.close()

    run(main())


# ---- failures ----


@pytest.mark.parametrize("sent", [b"", HEAD + b"aa"])
def test_stream_failure(scripted_server, sent):
    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        peer.send(sent)

    async def main():
        connection = await connected(scripted_server(script))
        stream = connection.request(REQUEST)
        waiting = [
            asyncio.ensure_future(method()) for method in (stream.get_response_status_code, stream.get_response_headers)
        ]
        body = await whole_body(stream)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        if sent:
            assert results == [200, [("Content-Length", "6")]] and body == b"aa"
        else:
            assert [error.name for error in results] == ["AWS_IO_SOCKET_CLOSED"] * 2 and body == b""
        for _ in range(2):
            with pytest.raises(AwsCrtError) as caught:
                await stream.wait_for_completion()
            assert caught.value.name == "AWS_IO_SOCKET_CLOSED"
        assert await stream.get_next_response_chunk() == b""
        with pytest.raises(AwsCrtError):
            await connection.close()

    run(main())


def test_header_that_is_not_utf8(scripted_server, response):
    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        peer.send(response(b"x", b"Name: \xff"))
        peer.receive_all()

    async def main():
        connection = await connected(scripted_server(script))
        with pytest.raises(AwsCrtError, match="AWS_ERROR_UNKNOWN"):
            await connection.request(REQUEST).get_response_status_code()

    run(main())


def test_connect_failure():
    async def main():
        with pytest.raises(AwsCrtError, match="AWS_IO_SOCKET_CONNECTION_REFUSED"):
            await AIOHttpClientConnection.new("127.0.0.1", 1)
        with pytest.raises(AssertionError):
            await AIOHttpClientConnection.new("127.0.0.1", "80")

    run(main())


def test_cancelling_new_drops_the_connection(scripted_server, eventually):
    closed = threading.Event()

    def script(peer):
        peer.receive_all()
        closed.set()

    async def main(server):
        task = asyncio.ensure_future(connected(server))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    server = scripted_server(script)
    run(main(server))
    # Cancelled before it began, or closed as soon as it was open.
    eventually(lambda: server.connections == 0 or closed.is_set())


def test_request_rules_are_checked_at_once(answering):
    async def main():
        connection = await connected(answering)
        with pytest.raises(RuntimeError, match="^2054 "):
            connection.request(HttpRequest("GET", "bad path"))
        with pytest.raises(AssertionError):
            connection.request("GET")
        with pytest.raises(TypeError, match="^loop must be an instance of asyncio.AbstractEventLoop$"):
            connection.request(REQUEST, None, "loop")
        await connection.close()
        with pytest.raises(RuntimeError, match="^2058 "):
            connection.request(REQUEST)

    run(main())


# ---- loops ----


def test_connection_shared_by_loops(answering):
    connection = run(connected(answering))

    async def use():
        stream = connection.request(REQUEST)
        assert await whole_body(stream) == b"hello"

    threads = [threading.Thread(target=run, args=(use(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run(use())


def test_loop_can_be_given(answering):
    loop = asyncio.new_event_loop()
    try:
        connection = loop.run_until_complete(connected(answering))
        stream = connection.request(REQUEST, loop=loop)
        assert loop.run_until_complete(stream.wait_for_completion()) == 200
    finally:
        loop.close()


def test_waiting_on_another_loop_is_refused(held):
    server, go = held(HEAD + b"aabbcc")
    home = asyncio.new_event_loop()
    try:
        connection = home.run_until_complete(connected(server))
        stream = connection.request(REQUEST, loop=home)
        with pytest.raises(RuntimeError, match="different loop"):
            asyncio.run(stream.wait_for_completion())
        go[0]()
        assert home.run_until_complete(stream.wait_for_completion()) == 200
    finally:
        home.close()


def test_loop_closed_with_a_stream_in_flight(held, no_native_leak):
    server, go = held(HEAD + b"aa", b"bbcc")

    async def main():
        connection = await connected(server)
        stream = connection.request(REQUEST)
        task = asyncio.ensure_future(stream.wait_for_completion())
        await asyncio.sleep(0)
        task.cancel()
        return connection.shutdown_future, weakref.ref(stream), stream.completion_future

    shutdown, stream, completion = run(main())
    for step in go:
        step()
    assert completion.result(TIMEOUT) == 200
    gc.collect()
    assert shutdown.result(TIMEOUT) is None
    assert stream() is None


def test_streams_are_weakly_referenceable_and_collected(answering):
    async def main():
        connection = await connected(answering)
        stream = connection.request(REQUEST)
        reference = weakref.ref(stream)
        await stream.wait_for_completion()
        stream.cycle = stream
        del stream
        gc.collect()
        assert reference() is None

    run(main())


def test_manual_window(held):
    server, go = held(HEAD + b"aabbcc")

    async def main():
        connection = await connected(server, manual_window_management=True, initial_window_size=2)
        stream = connection.request(REQUEST)
        go[0]()
        assert await stream.get_next_response_chunk() == b"aa"
        pending = asyncio.ensure_future(stream.get_next_response_chunk())
        stream.update_window(100)
        assert await pending + await whole_body(stream) == b"bbcc"

    run(main())


def test_nothing_leaks(answering, no_native_leak):
    async def main():
        for _ in range(5):
            connection = await connected(answering)
            for _ in range(5):
                assert await whole_body(connection.request(REQUEST)) == b"hello"
            await connection.close()

    run(main())
