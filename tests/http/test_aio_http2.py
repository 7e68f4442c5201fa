"""awscrt.aio.http over HTTP/2."""

import asyncio
import gc
import io
import threading
import weakref

import pytest

from awscrt.aio.http import (
    AIOHttp2ClientConnection,
    AIOHttp2ClientStream,
    AIOHttpClientConnection,
    AIOHttpClientConnectionUnified,
    AIOHttpClientStreamUnified,
)
from awscrt.exceptions import AwsCrtError
from awscrt.http import Http2Setting, Http2SettingID, HttpHeaders, HttpRequest, HttpVersion
from awscrt.io import ClientTlsContext, TlsContextOptions
from awscrt.testing import http2 as http2_peer
from awscrt.testing.http2 import Http2Peer

TIMEOUT = 20


def run(coroutine, expected_problems=0):
    """Runs a coroutine; fails when asyncio had to report something else than expected. Returns (result, problems)."""
    problems = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
        result = await asyncio.wait_for(coroutine, TIMEOUT)
        for _ in range(3):
            await asyncio.sleep(0)
            gc.collect()
        return result

    result = asyncio.run(main())
    assert len(problems) == expected_problems, problems
    return result, problems


def request_for(path="/", method="GET", body=None):
    return HttpRequest(method, path, HttpHeaders([("Host", "localhost")]), body)


def tls(certs, *alpn):
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(None, certs.ca_path)
    connection_options = ClientTlsContext(options).new_connection_options()
    connection_options.set_server_name("localhost")
    connection_options.set_alpn_list(list(alpn))
    return connection_options


async def connected(server, **options):
    return await AIOHttp2ClientConnection.new("localhost", server.port, prior_knowledge=True, **options)


async def whole_body(stream):
    chunks = []
    while True:
        chunk = await stream.get_next_response_chunk()
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


async def pieces(*items):
    for item in items:
        yield item


# ---- connecting ----


def test_alpn_decides(nginx, tls_certs):
    async def main():
        both, h1, h2 = (tls(tls_certs, *alpn) for alpn in (("h2", "http/1.1"), ("http/1.1",), ("h2",)))
        unified = await AIOHttpClientConnectionUnified.new("localhost", nginx.tls_port, tls_connection_options=both)
        assert type(unified) is AIOHttp2ClientConnection and unified.version is HttpVersion.Http2
        await unified.close()
        unified = await AIOHttpClientConnectionUnified.new("localhost", nginx.tls_port, tls_connection_options=h1)
        assert type(unified) is AIOHttpClientConnection
        await unified.close()
        for cls, options in ((AIOHttpClientConnection, h2), (AIOHttp2ClientConnection, h1)):
            with pytest.raises(AwsCrtError) as caught:
                await cls.new("localhost", nginx.tls_port, tls_connection_options=options)
            assert caught.value.name == "AWS_ERROR_HTTP_UNSUPPORTED_PROTOCOL"

    run(main())


def test_settings_and_ping(scripted_server):
    settings = []

    def script(peer):
        http2 = Http2Peer(peer, ((3, 7),))
        settings.extend(http2.client_settings)
        ping = http2.until(http2_peer.PING)
        http2.send(http2_peer.PING, http2_peer.ACK, 0, ping.payload)
        http2.drain()

    async def main():
        told = []
        connection = await connected(
            scripted_server(script),
            initial_settings=[Http2Setting(Http2SettingID.ENABLE_PUSH, 0)],
            on_remote_settings_changed=lambda settings: told.extend(settings),
        )
        assert 0 < await connection.ping() < TIMEOUT
        assert [str(setting) for setting in told] == ["Http2Setting(MAX_CONCURRENT_STREAMS=7)"]
        connection.update_window(5)
        await connection.close()
        with pytest.raises(RuntimeError):
            await connection.ping()

    run(main())
    assert settings == [(2, 0)]


# ---- exchanges ----


def test_nginx(nginx, tls_certs):
    data = b"0123456789" * 200_000
    nginx.add_file("aio-http2", data)

    async def main():
        options = tls(tls_certs, "h2")
        connection = await AIOHttp2ClientConnection.new("localhost", nginx.tls_port, tls_connection_options=options)

        async def one():
            stream = connection.request(request_for("/aio-http2"))
            assert type(stream) is AIOHttp2ClientStream and isinstance(stream, AIOHttpClientStreamUnified)
            assert await stream.get_response_status_code() == 200
            assert (await stream.get_response_headers())[0] == (":status", "200")
            assert await whole_body(stream) == data
            assert await stream.get_next_response_chunk() == b""
            assert await stream.wait_for_completion() == 200 == stream.response_status_code
            assert stream.completion_future.result(0) == 200

        await asyncio.gather(*(one() for _ in range(10)))
        await connection.close()
        await connection.close()

    run(main())


def test_uvloop_or_any_other_loop(nghttpd):
    nghttpd.add_file("aio-other", b"fine")
    new_loop = asyncio.new_event_loop
    try:
        import uvloop
    except ImportError:
        pass
    else:
        new_loop = uvloop.new_event_loop

    async def main():
        connection = await connected(nghttpd)
        stream = connection.request(request_for("/aio-other"), loop=asyncio.get_running_loop())
        assert await whole_body(stream) == b"fine"
        echoed = connection.request(request_for("/", "POST"), pieces(b"a" * 100_000, b"b"))
        assert await whole_body(echoed) == b"a" * 100_000 + b"b"
        await connection.close()

    loop = new_loop()
    try:
        loop.run_until_complete(asyncio.wait_for(main(), TIMEOUT))
    finally:
        loop.close()


def test_a_loop_that_is_none(nghttpd):
    async def main():
        connection = await connected(nghttpd)
        with pytest.raises(TypeError, match="loop must be an instance of asyncio.AbstractEventLoop"):
            connection.request(request_for(), loop=5)
        with pytest.raises(TypeError):
            connection.request(request_for(), [b"not asynchronous"])
        await connection.close()

    run(main())


# ---- request body generators ----


def test_generator(nghttpd):
    async def main():
        connection = await connected(nghttpd)
        generator = pieces(b"bytes ", bytearray(b"bytearray "), memoryview(b"memoryview "), b"", b"z" * 300_000)
        stream = connection.request(request_for("/", "POST", io.BytesIO(b"body_stream ")), generator)
        assert await whole_body(stream) == b"body_stream bytes bytearray memoryview " + b"z" * 300_000
        assert await stream.wait_for_completion() == 200
        await connection.close()

    run(main())


def test_generator_is_asked_when_the_peer_takes_more(scripted_server):
    def script(peer):
        http2 = Http2Peer(peer)
        http2.until(http2_peer.HEADERS)
        http2.until(http2_peer.PING)
        http2.send(http2_peer.WINDOW_UPDATE, 0, 0, (100_000).to_bytes(4, "big"))
        http2.send(http2_peer.WINDOW_UPDATE, 0, 1, (100_000).to_bytes(4, "big"))
        while not http2.until(http2_peer.DATA).flags & http2_peer.END_STREAM:
            pass
        http2.respond(1)
        http2.drain()

    async def main():
        asked = []

        async def generator():
            for i in range(3):
                asked.append(i)
                yield b"x" * 40_000

        connection = await connected(scripted_server(script))
        stream = connection.request(request_for(method="PUT"), generator())
        while len(asked) < 2:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert asked == [0, 1]  # the window is 65,535 bytes
        waiting = asyncio.ensure_future(connection.ping())
        assert await stream.wait_for_completion() == 200
        assert asked == [0, 1, 2]
        await connection.close()
        with pytest.raises(AwsCrtError):
            await waiting  # the script does not answer it

    run(main())


@pytest.mark.parametrize("item", [None, "text"], ids=["raises", "wrong type"])
def test_generator_that_fails_ends_the_body(nghttpd, item):
    async def generator():
        yield b"so far"
        if item is None:
            raise KeyError("mine")
        yield item

    async def main():
        connection = await connected(nghttpd)
        stream = connection.request(request_for("/", "POST"), generator())
        assert await whole_body(stream) == b"so far"
        assert await stream.wait_for_completion() == 200
        await connection.close()

    _, problems = run(main(), expected_problems=1)
    assert type(problems[0]["exception"]) is (KeyError if item is None else TypeError)


def test_generator_of_a_stream_that_ends_early(scripted_server):
    def script(peer):
        http2 = Http2Peer(peer)
        http2.until(http2_peer.HEADERS)
        http2.until(http2_peer.DATA)
        http2.reset(1, http2_peer.CANCEL)
        http2.drain()

    async def main():
        async def generator():
            while True:
                yield b"x" * 10_000

        connection = await connected(scripted_server(script))
        stream = connection.request(request_for(method="PUT"), generator())
        with pytest.raises(AwsCrtError) as caught:
            await stream.wait_for_completion()
        assert caught.value.name == "AWS_ERROR_HTTP_RST_STREAM_RECEIVED"
        assert await stream.get_next_response_chunk() == b""
        with pytest.raises(AwsCrtError):
            await stream.get_response_headers()
        await connection.close()

    run(main())


# ---- ends ----


def test_remote_end_ends_the_chunks(scripted_server):
    def script(peer):
        http2 = Http2Peer(peer)
        http2.until(http2_peer.HEADERS)
        http2.respond(1, b"early")
        http2.until(http2_peer.DATA)
        http2.drain()

    async def main():
        go_on = asyncio.Event()

        async def generator():
            await go_on.wait()
            yield b"late"

        connection = await connected(scripted_server(script))
        stream = connection.request(request_for(method="PUT"), generator())
        waiting = [asyncio.ensure_future(stream.get_next_response_chunk()) for _ in range(2)]
        assert [await waiter for waiter in waiting] == [b"early", b""]
        assert await stream.get_next_response_chunk() == b""
        assert not stream.completion_future.done()
        go_on.set()
        assert await stream.wait_for_completion() == 200
        await connection.close()

    run(main())


def test_cancelling_waits_does_no_harm(scripted_server):
    go = threading.Event()

    def script(peer):
        http2 = Http2Peer(peer)
        http2.until(http2_peer.HEADERS)
        assert go.wait(TIMEOUT)
        http2.respond(1, b"fine")
        http2.drain()

    async def main():
        connection = await connected(scripted_server(script))
        stream = connection.request(request_for())
        waits = (
            stream.get_response_status_code,
            stream.get_response_headers,
            stream.get_next_response_chunk,
            stream.wait_for_completion,
        )
        for wait in waits:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(wait(), 0.01)
        go.set()
        assert await stream.get_response_status_code() == 200
        assert await whole_body(stream) == b"fine"
        assert await stream.wait_for_completion() == 200
        await connection.close()

    run(main())


def test_cancel(scripted_server):
    codes = []

    def script(peer):
        http2 = Http2Peer(peer)
        http2.until(http2_peer.HEADERS)
        http2.head(1, (":status", "200"))
        codes.append(http2.until(http2_peer.RST_STREAM).number)
        http2.drain()

    async def main():
        connection = await connected(scripted_server(script))
        stream = connection.request(request_for())
        assert await stream.get_response_status_code() == 200
        stream.cancel()
        with pytest.raises(AwsCrtError) as caught:
            await stream.wait_for_completion()
        assert caught.value.name == "AWS_ERROR_HTTP_STREAM_CANCELLED"
        assert connection.is_open()
        await connection.close()

    run(main())
    assert codes == [http2_peer.CANCEL]


def test_close_raises_what_ended_the_connection(scripted_server):
    def script(peer):
        http2 = Http2Peer(peer)
        http2.until(http2_peer.HEADERS)
        http2.send(http2_peer.DATA, 0, 99, b"on an idle stream")
        http2.drain()

    async def main():
        connection = await connected(scripted_server(script))
        stream = connection.request(request_for())
        with pytest.raises(AwsCrtError) as caught:
            await stream.wait_for_completion()
        assert caught.value.name == "AWS_ERROR_HTTP_CONNECTION_CLOSED"
        with pytest.raises(AwsCrtError) as caught:
            await connection.close()
        assert caught.value.name == "AWS_ERROR_HTTP_PROTOCOL_ERROR"

    run(main())


def test_streams_and_connections_are_collected(nghttpd):
    async def main():
        connection = await connected(nghttpd)
        stream = connection.request(request_for("/", "POST"), pieces(b"x"))
        assert await whole_body(stream) == b"x"
        await stream.wait_for_completion()
        gone = [weakref.ref(stream), weakref.ref(connection)]
        shutdown = connection.shutdown_future
        del stream, connection
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()
        assert [reference() for reference in gone] == [None, None]
        await asyncio.wrap_future(shutdown)

    run(main())
