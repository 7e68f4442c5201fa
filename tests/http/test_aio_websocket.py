"""awscrt.aio.websocket: against websockets' server, and against peers that misbehave; and the `ws` command."""

import asyncio
import gc
import io
import os
import ssl
import subprocess
import sys
import weakref
import zlib

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from websocket_peer import TIMEOUT, Frame, Side, serve  # noqa: E402

from awscrt.aio.websocket import CloseCode, Compression, ConnectionClosed, HandshakeError, connect  # noqa: E402
from awscrt.io import ClientTlsContext, TlsContextOptions  # noqa: E402
from awscrt.testing.certs import Authority  # noqa: E402
from awscrt.testing.scripted import ScriptedServer  # noqa: E402

websockets = pytest.importorskip("websockets")
from websockets.asyncio.server import serve as websockets_serve  # noqa: E402

LOOPS = ["asyncio"]
try:
    import uvloop

    LOOPS.append("uvloop")
except ImportError:
    uvloop = None


@pytest.fixture(params=LOOPS)
def run(request):
    """Runs a coroutine on a fresh loop of either kind, for a limited time."""

    def run_on_loop(coroutine):
        loop = uvloop.new_event_loop() if request.param == "uvloop" else asyncio.new_event_loop()
        try:
            return loop.run_until_complete(asyncio.wait_for(coroutine, TIMEOUT))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    return run_on_loop


async def echo(ws):
    async for message in ws:
        await ws.send(message)


class Echo:
    """websockets' server, sending back what comes: ``async with Echo() as url``."""

    def __init__(self, handler=echo, **options):
        self._options = {"max_size": None, **options}
        self._handler = handler

    async def __aenter__(self):
        self._server = await websockets_serve(self._handler, "127.0.0.1", 0, **self._options)
        scheme = "wss" if "ssl" in self._options else "ws"
        return f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    async def __aexit__(self, *exc):
        self._server.close()
        await self._server.wait_closed()


def url_of(server):
    return f"ws://127.0.0.1:{server.port}/"


# ---- messages ----


@pytest.mark.parametrize("compression", [Compression(), None])
def test_messages_of_all_sizes(run, compression):
    async def main():
        async with Echo() as url, connect(url, compression=compression, max_size=None) as ws:
            assert ws.compression is (compression is not None)
            for size in (0, 1, 125, 126, 65535, 65536, 300000, 2000000):
                for message in (b"\x00\xffpayload!"[: size or 0] * (size // 9 + 1), "\u00e9\u20acx" * (size // 6)):
                    await ws.send(message)
                    assert await ws.receive() == message
                mutable = bytearray(size)
                await ws.send(memoryview(mutable))
                assert await ws.receive() == mutable
        assert ws.closed and ws.close_code == CloseCode.NORMAL

    run(main())


def test_iteration_in_order_and_many(run):
    async def flood(ws):
        for i in range(20000):
            await ws.send(b"%d" % i if i % 2 else str(i))

    async def main():
        async with Echo(flood) as url, connect(url) as ws:
            i = 0
            async for message in ws:
                assert message == (b"%d" % i if i % 2 else str(i))
                i += 1
            assert i == 20000 and ws.close_code == CloseCode.NORMAL
            with pytest.raises(ConnectionClosed):
                await ws.receive()

    run(main())


def test_fragments(run):
    async def pieces():
        for piece in ("one ", "two ", ""):
            await asyncio.sleep(0)
            yield piece

    async def main():
        async with Echo() as url, connect(url) as ws:
            await ws.send(pieces())
            assert await ws.receive() == "one two "
            await ws.send([b"a", bytearray(b"b"), memoryview(b"c")])
            assert await ws.receive() == b"abc"
            await ws.send(io.BytesIO(b"file" * 100000))
            assert await ws.receive() == b"file" * 100000
            await ws.send([])
            assert await ws.receive() == b""
            await asyncio.gather(ws.send(pieces()), ws.send("whole"), ws.send(["x", "y"]))
            assert sorted([await ws.receive() for _ in range(3)]) == ["one two ", "whole", "xy"]

    run(main())


@pytest.mark.parametrize("message", [5, None, [1], ["a", b"b"], object()])
def test_send_refuses(run, message):
    async def main():
        async with Echo() as url, connect(url) as ws:
            with pytest.raises(TypeError):
                await ws.send(message)

    run(main())


def test_back_pressure_of_a_peer_that_does_not_read(run):
    async def main():
        gate = asyncio.Event()
        received = []

        async def slow(ws):
            await gate.wait()
            async for message in ws:
                received.append(len(message))

        async with Echo(slow, max_queue=1) as url, connect(url, compression=None) as ws:

            async def send():
                for _ in range(300):
                    await ws.send(bytes(100000))

            sending = asyncio.ensure_future(send())
            done, _ = await asyncio.wait([sending], timeout=0.3)
            assert not done
            gate.set()
            await sending
            await ws.drain()
            await ws.close()
        assert received == [100000] * 300

    run(main())


def test_back_pressure_of_a_reader_that_does_not_take(run):
    sent = []

    def script(side):
        side.peer.socket.settimeout(1)
        try:
            for _ in range(2000):
                side.send(2, bytes(100000))
                sent.append(1)
        except OSError:
            pass

    async def main():
        with serve(script) as server:
            async with connect(url_of(server), max_size=None, compression=None) as ws:
                while not server.connections or ws.closed:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.3)
                count = len(sent)
                for _ in range(5):
                    assert len(await ws.receive()) == 100000
                ws._abort(0)
        assert count < 500  # 50 MB, of which socket buffers are the larger part

    run(main())


# ---- control frames ----


def test_ping(run):
    async def main():
        async with Echo() as url, connect(url) as ws:
            assert 0 < await ws.ping() < TIMEOUT
            assert await ws.ping(b"") >= 0
            assert all(seconds >= 0 for seconds in await asyncio.gather(*(ws.ping(b"%d" % i) for i in range(10))))
            for payload in (b"x" * 126,):
                with pytest.raises(ValueError):
                    await ws.ping(payload)
                with pytest.raises(ValueError):
                    await ws.pong(payload)
            await ws.pong(b"heartbeat")

    run(main())


def test_keepalive_gives_up_on_a_silent_peer(run):
    async def main():
        with serve(lambda side: side.read_to_end()) as server:
            async with connect(url_of(server), ping_interval=0.05, ping_timeout=0.05) as ws:
                with pytest.raises(ConnectionClosed) as caught:
                    await ws.receive()
        assert caught.value.__cause__.name == "AWS_IO_SOCKET_TIMEOUT"
        assert ws.close_code == CloseCode.ABNORMAL

    run(main())


def test_keepalive_goes_on_while_answers_come(run):
    pings = []

    def script(side):
        while True:
            got = side.read()
            if got.opcode == 9:
                pings.append(got)
                side.send(10, got.payload)
                if len(pings) == 3:
                    side.send(1, b"enough")
            if got.opcode == 8:
                return

    async def main():
        with serve(script) as server:
            async with connect(url_of(server), ping_interval=0.02, ping_timeout=5, close_timeout=1) as ws:
                assert await ws.receive() == "enough"

    run(main())


# ---- the end ----


@pytest.mark.parametrize("code, reason", [(1000, ""), (1001, "bye"), (3000, "\u00e9" * 61), (4999, "x" * 123)])
def test_close_with_code_and_reason(run, code, reason):
    async def main():
        seen = []

        async def handler(ws):
            with pytest.raises(websockets.ConnectionClosed):
                await ws.recv()
            seen.append((ws.protocol.close_code, ws.protocol.close_reason))

        async with Echo(handler) as url:
            ws = await connect(url)
            await ws.close(code, reason)
            await ws.close(code, reason)
            await ws.wait_closed()
            with pytest.raises(ConnectionClosed):
                await ws.send("late")
            with pytest.raises(ConnectionClosed):
                await ws.ping()
        assert seen == [(code, reason)] and ws.close_code == code

    run(main())


@pytest.mark.parametrize("code, reason", [(999, ""), (1005, ""), (1006, ""), (1015, ""), (5000, ""), (1000, "x" * 124)])
def test_close_refuses(run, code, reason):
    async def main():
        async with Echo() as url, connect(url) as ws:
            with pytest.raises(ValueError):
                await ws.close(code, reason)

    run(main())


def test_close_of_the_peer(run):
    async def main():
        async def handler(ws):
            await ws.send("last")
            await ws.close(4001, "done with you")

        async with Echo(handler) as url, connect(url) as ws:
            got = []
            with pytest.raises(ConnectionClosed) as caught:
                async for message in ws:
                    got.append(message)
        assert got == ["last"]
        assert (caught.value.code, caught.value.reason) == (4001, "done with you")
        assert "4001 (done with you)" in str(caught.value)

    run(main())


def test_peer_hangs_up(run):
    async def main():
        with serve(lambda side: side.send(1, b"last")) as server:
            async with connect(url_of(server)) as ws:
                assert await ws.receive() == "last"
                with pytest.raises(ConnectionClosed) as caught:
                    await ws.receive()
        assert caught.value.code == CloseCode.ABNORMAL
        assert caught.value.__cause__.name == "AWS_IO_SOCKET_CLOSED"

    run(main())


def test_close_of_a_silent_peer_takes_no_longer_than_close_timeout(run):
    async def main():
        with serve(lambda side: side.read_to_end()) as server:
            ws = await connect(url_of(server), close_timeout=0.05)
            await ws.close()
        assert ws.close_code == CloseCode.ABNORMAL

    run(main())


def test_error_in_the_block_is_told_to_the_peer(run):
    async def main():
        codes = []

        async def handler(ws):
            await ws.wait_closed()
            codes.append(ws.protocol.close_code)

        async with Echo(handler) as url:
            with pytest.raises(KeyError):
                async with connect(url):
                    raise KeyError
        assert codes == [1011]

    run(main())


@pytest.mark.parametrize("ping_interval", [None, 30])
def test_dropping_the_connection_closes_it(run, ping_interval):
    async def main():
        got = []
        with serve(lambda side: got.extend(side.read_to_close())) as server:
            ws = await connect(url_of(server), ping_interval=ping_interval)
            reference = weakref.ref(ws)
            del ws
            gc.collect()
            assert reference() is None
            while not got:
                await asyncio.sleep(0.005)
        assert got == [Frame(8, True, 0, b"")]

    run(main())


def test_cancelled_receive_loses_nothing(run):
    async def main():
        async with Echo() as url, connect(url) as ws:
            for i in range(20):
                waiting = asyncio.ensure_future(ws.receive())
                await asyncio.sleep(0)
                await ws.send(str(i))
                if i % 2:
                    waiting.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await waiting
                    assert await ws.receive() == str(i)
                else:
                    assert await waiting == str(i)

    run(main())


def test_cancelled_block_ends_at_once(run):
    async def main():
        with serve(lambda side: side.read_to_end()) as server:

            async def block():
                async with connect(url_of(server), close_timeout=60) as ws:
                    await ws.receive()

            task = asyncio.ensure_future(block())
            while not server.connections:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())


# ---- limits and compression ----


@pytest.mark.parametrize("compression", [None, Compression()])
def test_max_size(run, compression):
    async def main():
        codes = []

        async def handler(ws):
            await ws.send("x" * 1000)
            await ws.send("x" * 1001)
            await ws.wait_closed()
            codes.append(ws.protocol.close_code)

        async with Echo(handler) as url, connect(url, max_size=1000, compression=compression) as ws:
            assert len(await ws.receive()) == 1000
            with pytest.raises(ConnectionClosed) as caught:
                await ws.receive()
        assert "longer than allowed" in str(caught.value.__cause__)
        assert codes == [1009]

    run(main())


def deflate(data):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


EXTENSION = "Sec-WebSocket-Extensions: permessage-deflate"


def test_decompression_bomb_ends_at_the_limit(run):
    async def main():
        got = []

        def script(side):
            side.send(2, deflate(bytes(100_000_000)), rsv=4)
            got.extend(side.read_to_close())

        with serve(script, EXTENSION) as server:
            async with connect(url_of(server), max_size=1_000_000) as ws:
                with pytest.raises(ConnectionClosed):
                    await ws.receive()
        assert got == [Frame(8, True, 0, (1009).to_bytes(2, "big"))]

    run(main())


@pytest.mark.parametrize(
    "payload, opcode, code",
    [(b"\x07garbage", 2, 1007), (deflate(b"\xff\xfe"), 1, 1007), (deflate(b"\xe2\x82"), 1, 1007)],
)
def test_broken_compressed_messages(run, payload, opcode, code):
    async def main():
        got = []

        def script(side):
            side.send(opcode, payload, rsv=4)
            got.extend(side.read_to_close())

        with serve(script, EXTENSION) as server:
            async with connect(url_of(server)) as ws:
                with pytest.raises(ConnectionClosed):
                    await ws.receive()
        assert got == [Frame(8, True, 0, code.to_bytes(2, "big"))]

    run(main())


def test_compressed_fragments_with_control_frames_between(run):
    async def main():
        data = deflate(b"Hello " * 100)

        def script(side):
            side.send(1, data[:3], fin=False, rsv=4)
            side.send(9, b"ping")
            side.send(0, data[3:7], fin=False)
            side.send(0, data[7:])
            side.send(1, b"plain")
            side.send(1, deflate(b""), rsv=4)
            side.read_to_close()

        with serve(script, EXTENSION) as server:
            async with connect(url_of(server)) as ws:
                assert await ws.receive() == "Hello " * 100
                assert await ws.receive() == "plain"
                assert await ws.receive() == ""

    run(main())


@pytest.mark.parametrize(
    "frames", [[(9, b"", True, 4)], [(1, b"a", False, 4), (0, b"b", True, 4)], [(1, b"a", True, 2)]]
)
def test_reserved_bits_with_compression(run, frames):
    async def main():
        got = []

        def script(side):
            for opcode, payload, fin, rsv in frames:
                side.send(opcode, payload, fin=fin, rsv=rsv)
            got.extend(side.read_to_close())

        with serve(script, EXTENSION) as server:
            async with connect(url_of(server)) as ws:
                with pytest.raises(ConnectionClosed):
                    await ws.receive()
        assert got[-1] == Frame(8, True, 0, (1002).to_bytes(2, "big"))

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        "permessage-deflate; unknown",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=08",
        "permessage-deflate; client_no_context_takeover=1",
        "permessage-bzip2",
        "permessage-deflate, permessage-deflate",
    ],
)
def test_parameters_of_the_server_that_do_not_fit(run, answer):
    async def main():
        with serve(lambda side: side.read_to_end(), f"Sec-WebSocket-Extensions: {answer}") as server:
            with pytest.raises(HandshakeError) as caught:
                await connect(url_of(server))
        assert caught.value.status == 101
        assert caught.value.__cause__.name == "AWS_ERROR_HTTP_WEBSOCKET_UPGRADE_FAILURE"

    run(main())


@pytest.mark.parametrize(
    "options",
    [
        Compression(server_no_context_takeover=True, client_no_context_takeover=True),
        Compression(server_max_window_bits=9, client_max_window_bits=9, level=9, memory_level=1),
        Compression(client_no_context_takeover=True, level=1),
    ],
)
def test_compression_options(run, options):
    async def main():
        async with Echo() as url, connect(url, compression=options) as ws:
            assert ws.compression
            for i in range(50):
                message = f"message {i} " * (i * 20 + 1)
                await ws.send(message, compress=i % 3 != 0)
                assert await ws.receive() == message
            await ws.send(["fragment "] * 50)
            assert await ws.receive() == "fragment " * 50

    run(main())


@pytest.mark.parametrize("options", [Compression(server_max_window_bits=8), Compression(level=10)])
def test_compression_options_out_of_range(run, options):
    async def main():
        with pytest.raises(ValueError):
            await connect("ws://127.0.0.1:1/", compression=options)

    run(main())


# ---- connecting ----


def test_handshake(run):
    heads = []

    def script(peer):
        side = Side(peer).handshake("Sec-WebSocket-Protocol: two", "X-Server: yes")
        heads.append(side.headers)
        side.read_to_close()

    async def main():
        with ScriptedServer(script) as server:
            url = f"ws://us%40er:pa:ss@127.0.0.1:{server.port}/a/b?c=d"
            async with connect(
                url, headers={"X-Mine": "1"}, subprotocols=["one", "two"], origin="https://example.com"
            ) as ws:
                assert ws.subprotocol == "two" and ws.response_status == 101
                assert ("X-Server", "yes") in ws.response_headers
        (head,) = heads
        assert head["host"] == f"127.0.0.1:{server.port}"
        assert head["sec-websocket-protocol"] == "one, two"
        assert head["origin"] == "https://example.com" and head["x-mine"] == "1"
        assert head["authorization"] == "Basic dXNAZXI6cGE6c3M="
        assert head["sec-websocket-extensions"] == "permessage-deflate; client_max_window_bits"

    run(main())


def test_refusal(run):
    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")

    async def main():
        with ScriptedServer(script) as server:
            with pytest.raises(HandshakeError) as caught:
                await connect(url_of(server))
        assert (caught.value.status, caught.value.body) == (403, b"no")
        assert ("Content-Length", "2") in caught.value.headers

    run(main())


def test_open_timeout(run):
    async def main():
        with ScriptedServer(lambda peer: peer.receive_all()) as server:
            with pytest.raises(asyncio.TimeoutError):
                await connect(url_of(server), open_timeout=0.05)

    run(main())


@pytest.mark.parametrize("url", ["http://x/", "ws:///path", "ws://x/#fragment", "x", "ws://x:99999/"])
def test_urls_that_are_none(url):
    with pytest.raises(ValueError):
        connect(url)


@pytest.mark.parametrize(
    "options, error",
    [
        ({"subprotocols": "chat"}, TypeError),
        ({"open_timeout": 0}, ValueError),
        ({"close_timeout": -1}, ValueError),
        ({"ping_interval": 0}, ValueError),
        ({"proxy": "socks5://x"}, ValueError),
        ({"tls": ClientTlsContext(TlsContextOptions())}, ValueError),
    ],
)
def test_options_that_make_no_sense(options, error):
    with pytest.raises(error):
        connect("ws://127.0.0.1/", **options)


def test_tls(run, tmp_path):
    authority = Authority.create(str(tmp_path))
    certificate = authority.issue("server")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate.certificate, certificate.private_key)
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(None, authority.path)

    async def main():
        async with Echo(ssl=server_side) as url:
            url = url.replace("127.0.0.1", "localhost")
            async with connect(url, tls=ClientTlsContext(options)) as ws:
                await ws.send("secret" * 100000)
                assert await ws.receive() == "secret" * 100000
            with pytest.raises(HandshakeError):
                await connect(url)

    run(main())


# ---- the command ----


COMMAND = (
    "import argparse, sys; from awscrt._websocket_command import COMMAND as command;"
    "parser = argparse.ArgumentParser(); command.configure(parser); sys.exit(command.run(parser.parse_args()))"
)


def run_command(*arguments, text=""):
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=60,
        encoding="utf-8",
    )


def test_command_sends_lines_and_shows_messages():
    def echo_lines(side):
        while True:
            got = side.read()
            side.send(got.opcode, got.payload)
            if got.opcode == 8:
                return

    with serve(echo_lines) as server:
        done = run_command("--no-compression", url_of(server), text="one\ntwo \u00e9\n")
    assert (done.stdout, done.stderr, done.returncode) == ("one\ntwo \u00e9\n", "", 0)


@pytest.mark.parametrize("url, words", [("ws://127.0.0.1:1/", "127.0.0.1"), ("http://x/", "is not a WebSocket URL")])
def test_command_tells_what_went_wrong(url, words):
    done = run_command(url)
    assert done.returncode == 1 and words in done.stderr and len(done.stderr.splitlines()) == 1
