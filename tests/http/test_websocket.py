"""awscrt.websocket: handshakes, frames both ways, ends, windows, callbacks that raise."""

import dataclasses
import gc
import os
import socket
import sys
import threading

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from websocket_peer import CLOSE, TIMEOUT, Client, Frame, Side, accept_of, frame, serve, wait_until  # noqa: E402

from awscrt import websocket  # noqa: E402
from awscrt.http import HttpProxyConnectionType, HttpProxyOptions, HttpRequest  # noqa: E402
from awscrt.testing.scripted import ScriptedServer  # noqa: E402
from awscrt.websocket import Opcode  # noqa: E402

UPGRADE_FAILURE = "AWS_ERROR_HTTP_WEBSOCKET_UPGRADE_FAILURE"
PROTOCOL_ERROR = "AWS_ERROR_HTTP_WEBSOCKET_PROTOCOL_ERROR"
CONNECTION_CLOSED = "AWS_ERROR_HTTP_CONNECTION_CLOSED"
CALLBACK_FAILURE = "AWS_ERROR_HTTP_CALLBACK_FAILURE"


def stay(side):
    """Reads until the client goes."""
    side.frames = side.read_to_end()


# ---- names ----


def test_opcodes_and_data_classes():
    assert [(o.name, o.value, o.is_data_frame()) for o in Opcode] == [
        ("CONTINUATION", 0, True),
        ("TEXT", 1, True),
        ("BINARY", 2, True),
        ("CLOSE", 8, False),
        ("PING", 9, False),
        ("PONG", 10, False),
    ]
    assert websocket.MAX_PAYLOAD_LENGTH == 2**63 - 1
    assert websocket.IncomingFrame(Opcode.PING, 0, True).is_data_frame() is False
    assert websocket.IncomingFrame(Opcode.TEXT, 0, True).is_data_frame() is True
    assert [f.default for f in dataclasses.fields(websocket.OnConnectionSetupData)] == [None] * 5


def test_handshake_request():
    request = websocket.create_handshake_request(host="example.com", path="/a?b")
    names = [name for name, _ in request.headers]
    assert (request.method, request.path) == ("GET", "/a?b")
    assert names == ["Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"]
    assert len(request.headers.get("Sec-WebSocket-Key")) == 24
    keys = {websocket.create_handshake_request(host="x").headers.get("sec-websocket-key") for _ in range(20)}
    assert len(keys) == 20


@pytest.mark.parametrize("arguments", [{"host": 1}, {"host": None}, {"host": "x", "path": b"/"}])
def test_handshake_request_of_wrong_types(arguments):
    with pytest.raises(TypeError):
        websocket.create_handshake_request(**arguments)


# ---- connect() itself ----


def call(**changes):
    arguments = {
        "host": "127.0.0.1",
        "port": 1,
        "handshake_request": websocket.create_handshake_request(host="x"),
        "on_connection_setup": lambda data: None,
    }
    arguments.update(changes)
    websocket.connect(**arguments)


def changed_request(change):
    request = websocket.create_handshake_request(host="x")
    change(request)
    return request


@pytest.mark.parametrize(
    "changes, error, words",
    [
        ({"manage_read_window": True}, ValueError, "'initial_read_window' must be set"),
        ({"manage_read_window": True, "initial_read_window": -1}, ValueError, "cannot be negative"),
        ({"manage_read_window": True, "initial_read_window": 2**63}, OverflowError, ""),
        ({"initial_read_window": 2**63}, OverflowError, ""),
        ({"host": ""}, RuntimeError, "AWS_ERROR_INVALID_ARGUMENT"),
        ({"host": None}, TypeError, "host"),
        ({"host": "a\0b"}, RuntimeError, "AWS_ERROR_INVALID_ARGUMENT"),
        ({"port": "80"}, TypeError, ""),
        ({"port": 2**40}, OverflowError, "port"),
        ({"handshake_request": "GET /"}, TypeError, ""),
        ({"handshake_request": HttpRequest()}, RuntimeError, "AWS_ERROR_INVALID_ARGUMENT"),
        ({"bootstrap": 5}, TypeError, ""),
        ({"socket_options": 5}, Exception, ""),
        ({"tls_connection_options": 5}, TypeError, ""),
        ({"proxy_options": 5}, Exception, ""),
    ],
)
def test_connect_refuses(changes, error, words):
    with pytest.raises(error, match=words):
        call(**changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda request: setattr(request, "method", "POST"),
        lambda request: setattr(request, "path", ""),
        lambda request: request.headers.remove("Sec-WebSocket-Key"),
        lambda request: request.headers.add("Sec-WebSocket-Extensions", "permessage-deflate"),
    ],
)
def test_connect_refuses_requests_that_are_no_handshake(change):
    with pytest.raises(RuntimeError, match="34 .AWS_ERROR_INVALID_ARGUMENT"):
        call(handshake_request=changed_request(change))


def test_connection_refused():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = Client(unused.getsockname()[1])
        assert client.setup.exception.name == "AWS_IO_SOCKET_CONNECTION_REFUSED"
    assert dataclasses.astuple(client.setup)[1:] == (None, None, None, None)


@pytest.mark.parametrize("port", [0, 70000])
def test_bad_port(port):
    assert Client(port).setup.exception.name == "AWS_IO_SOCKET_INVALID_ADDRESS"


# ---- the handshake ----


def test_handshake_goes_out_as_it_is_and_the_answer_is_told():
    heads = []

    def script(side):
        heads.append(side.head)
        side.read_to_end()

    with serve(script, "X-Extra: 1", "X-Extra: 2") as server:
        client = Client(server.port, headers=[("X-Mine", "yes")])
        client.open().close()
        assert client.shutdown() is None
    key = heads[0].split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
    assert heads[0] == (
        "GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nX-Mine: yes\r\n\r\n"
    )
    assert client.setup.handshake_response_status == 101
    assert client.setup.handshake_response_headers[-2:] == [("X-Extra", "1"), ("X-Extra", "2")]
    assert client.setup.handshake_response_body is None


def answer(*lines, body=b"", close=True):
    def script(peer):
        side = Side(peer)
        side.read_head()
        text = "\r\n".join(lines).replace("ACCEPT", accept_of(side.headers["sec-websocket-key"]))
        peer.send(text.encode("latin-1") + b"\r\n\r\n" + body)
        if not close:
            side.read_to_end()

    return ScriptedServer(script)


GOOD = ["HTTP/1.1 101 S", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: ACCEPT"]


@pytest.mark.parametrize(
    "lines",
    [
        [GOOD[0], *GOOD[2:]],
        [GOOD[0], "Upgrade: h2c", *GOOD[2:]],
        [*GOOD[:2], GOOD[3]],
        [*GOOD[:2], "Connection: keep-alive, Upgrade", GOOD[3]],
        GOOD[:3],
        [*GOOD[:3], "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="],
        [*GOOD, "Sec-WebSocket-Extensions: permessage-deflate"],
        [*GOOD, "Sec-WebSocket-Protocol: chat"],
    ],
)
def test_101_that_does_not_fit(lines):
    with answer(*lines, close=False) as server:
        client = Client(server.port)
        assert client.setup.exception.name == UPGRADE_FAILURE
    assert client.setup.websocket is None
    assert client.setup.handshake_response_status == 101
    assert len(client.setup.handshake_response_headers) == len(lines) - 1
    assert client.setup.handshake_response_body is None
    assert client.told == [client.setup]


@pytest.mark.parametrize("lines", [GOOD, ["HTTP/1.0 101 S", "upgrade: WebSocket", "connection: UPGRADE", GOOD[3]]])
def test_101_that_fits(lines):
    with answer("HTTP/1.1 103 Early Hints", "", *lines, close=False) as server:
        client = Client(server.port)
        client.open().close()
        assert client.shutdown() is None


@pytest.mark.parametrize(
    "offers, chosen, good",
    [
        (["a, b"], "b", True),
        (["a", "b"], "b", True),
        (["a, b"], None, False),
        (["a, b"], "A", False),
        (["a, b"], "c", False),
    ],
)
def test_subprotocols(offers, chosen, good):
    lines = [*GOOD, *([f"Sec-WebSocket-Protocol: {chosen}"] if chosen else [])]
    with answer(*lines, close=False) as server:
        client = Client(server.port, headers=[("Sec-WebSocket-Protocol", offer) for offer in offers])
        assert (client.setup.exception is None) is good
        if good:
            client.open().close()
            assert client.shutdown() is None


@pytest.mark.parametrize(
    "head, sent, body",
    [
        (["Content-Length: 5"], b"hello", b"hello"),
        (["Content-Length: 0"], b"", b""),
        (["Transfer-Encoding: chunked"], b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
        (["Connection: close"], b"until the end", b"until the end"),
        (["Content-Length: 50"], b"hello", None),
    ],
)
def test_refusal_with_body(head, sent, body):
    with answer("HTTP/1.1 404 Not Found", *head, body=sent) as server:
        client = Client(server.port)
        setup = client.setup
    assert setup.exception.name == UPGRADE_FAILURE
    assert setup.handshake_response_status == 404
    assert setup.handshake_response_body == body
    assert client.told == [setup]


@pytest.mark.parametrize(
    "sent, name",
    [
        (b"", "AWS_IO_SOCKET_CLOSED"),
        (b"HTTP/1.1 101", "AWS_IO_SOCKET_CLOSED"),
        (b"hello\r\n\r\n", "AWS_ERROR_HTTP_PROTOCOL_ERROR"),
    ],
)
def test_no_complete_head(sent, name):
    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        peer.send(sent)

    with ScriptedServer(script) as server:
        setup = Client(server.port).setup
    assert setup.exception.name == name
    assert dataclasses.astuple(setup)[1:] == (None, None, None, None)


def test_header_of_the_request_that_http_refuses_is_told_by_setup():
    request = websocket.create_handshake_request(host="x")
    request.headers.add("Bad Name", "x")
    with ScriptedServer(lambda peer: None) as server:
        setup = Client(server.port, handshake_request=request).setup
    assert setup.exception.name == "AWS_ERROR_HTTP_INVALID_HEADER_NAME"


def test_headers_that_are_not_utf8_are_read_leniently():
    with answer(*GOOD, "X-Odd: caf\xe9", close=False) as server:
        client = Client(server.port)
        client.open().close()
        assert client.setup.handshake_response_headers[-1] == ("X-Odd", "caf\ufffd")
        assert client.shutdown() is None


@pytest.mark.parametrize("kind", [HttpProxyConnectionType.Legacy, HttpProxyConnectionType.Tunneling])
def test_proxy(kind):
    heads = []

    def script(peer):
        if kind == HttpProxyConnectionType.Tunneling:
            heads.append(peer.receive_until(b"\r\n\r\n").decode())
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        side = Side(peer).handshake()
        heads.append(side.head)
        side.read_to_end()

    with ScriptedServer(script) as server:
        proxy = HttpProxyOptions("127.0.0.1", server.port, connection_type=kind)
        client = Client(80, host="origin.test", proxy_options=proxy)
        client.open().close()
        assert client.shutdown() is None
    if kind == HttpProxyConnectionType.Tunneling:
        assert heads[0].startswith("CONNECT origin.test:80 HTTP/1.1\r\n")
        assert heads[1].startswith("GET /chat HTTP/1.1\r\n")
    else:
        assert heads[0].startswith("GET http://origin.test:80/chat HTTP/1.1\r\n")


# ---- sending ----


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 300000, 3000000])
@pytest.mark.parametrize("kind", [str, bytes, bytearray, memoryview])
def test_payloads_come_through_both_ways(size, kind):
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    payload = data.decode() if kind is str else kind(data)
    opcode = Opcode.TEXT if kind is str else Opcode.BINARY

    def script(side):
        got = side.read()
        side.send(got.opcode, got.payload)
        assert got == Frame(opcode, True, 0, data)
        side.read_to_end()

    with serve(script) as server:
        client = Client(server.port)
        client.open().send_frame(opcode, payload, on_complete=client.on_sent)
        wait_until(lambda: client.frames)
        client.open().close()
        assert client.shutdown() is None
    assert client.frames == [(opcode, True, data)]
    assert [data.exception for data in client.of(websocket.OnSendFrameCompleteData)] == [None]
    if size == 0:
        assert client.of(websocket.OnIncomingFramePayloadData) == []


def test_order_masks_and_fragments():
    got = []

    def script(side):
        got.extend(side.read_to_end())

    with serve(script) as server:
        client = Client(server.port)
        ws = client.open()
        ws.send_frame(Opcode.TEXT, "a", fin=False)
        ws.send_frame(Opcode.PING, "p")
        ws.send_frame(Opcode.CONTINUATION, "b", fin=False)
        ws.send_frame(Opcode.CONTINUATION)
        ws.send_frame(2, b"\xff")
        ws.send_frame(Opcode.PING, b"x" * 126)
        ws.send_frame(Opcode.TEXT, b"\xff\xfe")
        for i in range(500):
            ws.send_frame(Opcode.BINARY, b"%d" % i)
        ws.close()
        assert client.shutdown() is None
    assert got[:7] == [
        Frame(1, False, 0, b"a"),
        Frame(9, True, 0, b"p"),
        Frame(0, False, 0, b"b"),
        Frame(0, True, 0, b""),
        Frame(2, True, 0, b"\xff"),
        Frame(9, True, 0, b"x" * 126),
        Frame(1, True, 0, b"\xff\xfe"),
    ]
    assert [f.payload for f in got[7:-1]] == [b"%d" % i for i in range(500)]
    assert got[-1] == Frame(CLOSE, True, 0, b"")


def test_masks_are_fresh():
    raw = []
    with serve(lambda side: raw.append(side.peer.receive_exactly(6 * 50))) as server:
        client = Client(server.port)
        for _ in range(50):
            client.open().send_frame(Opcode.PING)
        wait_until(lambda: raw)
    assert len({raw[0][i * 6 + 2 : i * 6 + 6] for i in range(50)}) > 45


@pytest.mark.parametrize(
    "arguments, error",
    [
        ((7,), ValueError),
        (("text",), ValueError),
        ((Opcode.TEXT, 5), TypeError),
        ((Opcode.TEXT, ["a"]), TypeError),
        ((Opcode.TEXT, "\ud800"), UnicodeEncodeError),
    ],
)
def test_send_frame_refuses(arguments, error):
    with serve(stay) as server:
        client = Client(server.port)
        with pytest.raises(error):
            client.open().send_frame(*arguments, on_complete=client.on_sent)
        client.open().close()
        assert client.shutdown() is None
    assert client.of(websocket.OnSendFrameCompleteData) == []


def test_after_a_close_frame_of_the_user_nothing_is_sent_but_frames_still_come():
    def script(side):
        assert side.read() == Frame(CLOSE, True, 0, b"\x03\xe8bye")
        side.send(1, b"still here")
        assert side.read_to_end() == []

    with serve(script) as server:
        client = Client(server.port)
        ws = client.open()
        ws.send_frame(Opcode.CLOSE, b"\x03\xe8bye")
        with pytest.raises(RuntimeError, match="2066 .AWS_ERROR_HTTP_WEBSOCKET_CLOSE_FRAME_SENT"):
            ws.send_frame(Opcode.TEXT, "late")
        wait_until(lambda: client.frames)
        ws.close()
        assert client.shutdown() is None


def test_sending_after_the_end():
    with serve(stay) as server:
        client = Client(server.port)
        client.open().close()
        client.open().send_frame(Opcode.TEXT, "late", on_complete=client.on_sent)
        assert client.shutdown() is None
        with pytest.raises(RuntimeError, match="2066"):
            client.open().send_frame(Opcode.TEXT, "later")
        client.open().close()
    (sent,) = client.of(websocket.OnSendFrameCompleteData)
    assert sent.exception.name == CONNECTION_CLOSED
    assert type(client.told[-1]) is websocket.OnConnectionShutdownData


def test_sending_after_the_peer_went():
    with serve(lambda side: None) as server:
        client = Client(server.port)
        ws = client.open()
        assert client.shutdown().name == "AWS_IO_SOCKET_CLOSED"
        with pytest.raises(RuntimeError, match="2058 .AWS_ERROR_HTTP_CONNECTION_CLOSED"):
            ws.send_frame(Opcode.TEXT, "x")


@pytest.mark.parametrize(
    "frames, kind, name",
    [
        ([(Opcode.CONTINUATION, True)], None, "AWS_ERROR_INVALID_STATE"),
        ([(Opcode.TEXT, False), (Opcode.TEXT, True)], None, "AWS_ERROR_INVALID_STATE"),
        ([(Opcode.PING, False)], ValueError, None),
    ],
)
def test_frames_that_do_not_fit_end_the_connection(frames, kind, name):
    with serve(stay) as server:
        client = Client(server.port)
        for opcode, fin in [*frames, (Opcode.PING, True)]:
            client.open().send_frame(opcode, b"x", fin=fin, on_complete=client.on_sent)
        cause = client.shutdown()
    for error in (cause, client.of(websocket.OnSendFrameCompleteData)[len(frames) - 1].exception):
        assert isinstance(error, ValueError) if kind else error.name == name
    assert client.of(websocket.OnSendFrameCompleteData)[-1].exception.name == CONNECTION_CLOSED


def test_many_threads_send():
    got = []
    with serve(lambda side: got.extend(side.read_to_end())) as server:
        client = Client(server.port)
        ws = client.open()

        def send(number):
            for i in range(200):
                ws.send_frame(Opcode.BINARY, b"%d %d" % (number, i))

        threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        ws.close()
        assert client.shutdown() is None
    for n in range(4):
        mine = [f.payload for f in got[:-1] if f.payload.startswith(b"%d " % n)]
        assert mine == [b"%d %d" % (n, i) for i in range(200)]


# ---- the end ----


def test_dropping_the_websocket_closes():
    got = []
    with serve(lambda side: got.extend(side.read_to_end())) as server:
        client = Client(server.port)
        client.open()
        client.told.clear()
        client.websocket = None
        gc.collect()
        assert client.shutdown() is None
    assert got == [Frame(CLOSE, True, 0, b"")]


def test_close_of_the_peer_is_told_and_neither_answered_nor_an_end():
    release = threading.Event()
    got = []

    def script(side):
        side.send(CLOSE, b"\x03\xe9away")
        side.send(1, b"ignored")
        assert release.wait(TIMEOUT)
        got.extend(side.read_to_end())

    with serve(script) as server:
        client = Client(server.port)
        wait_until(lambda: client.frames)
        client.open().send_frame(Opcode.TEXT, "still open")
        assert not client.down.is_set()
        release.set()
        client.open().close()
        assert client.shutdown() is None
    assert client.frames == [(CLOSE, True, b"\x03\xe9away")]
    assert got == [Frame(1, True, 0, b"still open"), Frame(CLOSE, True, 0, b"")]


def test_peer_hangs_up_inside_a_frame():
    with serve(lambda side: side.peer.send(b"\x82\x0ahalf")) as server:
        client = Client(server.port)
        assert client.shutdown().name == "AWS_IO_SOCKET_CLOSED"
    assert client.failed_frames == [CONNECTION_CLOSED]
    assert [type(data).__name__ for data in client.told] == [
        "OnConnectionSetupData",
        "OnIncomingFrameBeginData",
        "OnIncomingFramePayloadData",
        "OnIncomingFrameCompleteData",
        "OnConnectionShutdownData",
    ]
    assert client.told[1].frame is client.told[2].frame is client.told[3].frame


@pytest.mark.parametrize("reset", [False, True])
def test_peer_hangs_up(reset):
    with serve(lambda side: side.peer.reset() if reset else None) as server:
        client = Client(server.port)
        assert client.shutdown().name == "AWS_IO_SOCKET_CLOSED"


def test_peer_that_reads_nothing_does_not_keep_close_waiting():
    release = threading.Event()
    with serve(lambda side: release.wait(TIMEOUT)) as server:
        client = Client(server.port)
        for _ in range(200):
            client.open().send_frame(Opcode.BINARY, bytes(100000), on_complete=client.on_sent)
        client.open().close()
        assert client.shutdown() is None
        release.set()
    assert len(client.of(websocket.OnSendFrameCompleteData)) == 200
    assert client.of(websocket.OnSendFrameCompleteData)[-1].exception.name == CONNECTION_CLOSED


def test_frames_that_came_with_the_101():
    with serve(stay, then=frame(1, b"early") + frame(9, b"ping")) as server:
        client = Client(server.port)
        wait_until(lambda: len(client.frames) == 2)
        client.open().close()
        assert client.shutdown() is None
    assert client.frames == [(1, True, b"early"), (9, True, b"ping")]


def test_callbacks_that_are_absent_are_skipped():
    none = dict.fromkeys(("on_incoming_frame_begin", "on_incoming_frame_payload", "on_incoming_frame_complete"))

    def script(side):
        side.send(2, bytes(100000))
        side.send(9, b"ping")
        assert side.read() == Frame(10, True, 0, b"ping")
        side.read_to_end()

    with serve(script) as server:
        client = Client(server.port, on_connection_shutdown=None, **none)
        client.open()
        wait_until(lambda: server.connections == 1)
        client.open().close()
    assert [type(data) for data in client.told] == [websocket.OnConnectionSetupData]


# ---- callbacks that raise ----


@pytest.mark.parametrize("name", ["on_incoming_frame_begin", "on_incoming_frame_payload", "on_incoming_frame_complete"])
def test_frame_callback_that_raises(name, capfd):
    with serve(stay, then=frame(1, b"one") + frame(1, b"two")) as server:
        client = Client(server.port, raises=[name])
        assert client.shutdown().name == CALLBACK_FAILURE
    expected = [] if name == "on_incoming_frame_complete" else [CALLBACK_FAILURE]
    assert client.failed_frames == expected
    assert len(client.of(websocket.OnIncomingFrameBeginData)) == 1
    shown = capfd.readouterr().err
    assert f"Exception in WebSocket {name} callback" in shown and f"KeyError: '{name}'" in shown


def test_setup_callback_that_raises(capfd):
    with serve(stay) as server:
        client = Client(server.port, raises=["on_connection_setup"])
        assert client.shutdown() is None
    assert "Exception in WebSocket on_connection_setup callback" in capfd.readouterr().err


def test_setup_callback_that_raises_after_a_failure(capfd):
    with answer("HTTP/1.1 404 N", "Content-Length: 0") as server:
        client = Client(server.port, raises=["on_connection_setup"])
        assert client.setup.handshake_response_status == 404
        shown = []
        wait_until(lambda: shown.append(capfd.readouterr().err) or "on_connection_setup" in "".join(shown))


def test_shutdown_callback_that_raises(capfd):
    with serve(stay) as server:
        client = Client(server.port, raises=["on_connection_shutdown"])
        client.open().close()
        assert client.shutdown() is None
        shown = []
        wait_until(lambda: shown.append(capfd.readouterr().err) or "KeyError" in "".join(shown))
    assert "Exception in WebSocket on_connection_shutdown callback" in "".join(shown)


@pytest.mark.parametrize("callback", [5, lambda data: 1 / 0])
def test_on_complete_that_raises(callback, capfd):
    with serve(stay) as server:
        client = Client(server.port)
        client.open().send_frame(Opcode.TEXT, "x", on_complete=callback)
        assert client.shutdown() is None
    assert "Exception in WebSocket.send_frame on_complete callback" in capfd.readouterr().err


# ---- the read window ----


def test_window_of_nothing_holds_back_everything():
    answered = threading.Event()

    def script(side):
        side.send(1, b"0123456789")
        side.send(9, b"ping")
        assert side.read() == Frame(10, True, 0, b"ping")
        answered.set()
        side.read_to_end()

    with serve(script) as server:
        client = Client(server.port, manage_read_window=True, initial_read_window=4)
        ws = client.open()
        wait_until(lambda: client.of(websocket.OnIncomingFramePayloadData))
        pieces = client.of(websocket.OnIncomingFramePayloadData)
        assert b"".join(piece.data for piece in pieces) == b"0123"
        ws.increment_read_window(0)
        ws.increment_read_window(3)
        wait_until(lambda: len(client.of(websocket.OnIncomingFramePayloadData)) > len(pieces))
        assert b"".join(p.data for p in client.of(websocket.OnIncomingFramePayloadData)) == b"0123456"
        assert not answered.is_set() and client.frames == []
        ws.increment_read_window(100)
        assert answered.wait(TIMEOUT)
        ws.close()
        assert client.shutdown() is None
    assert client.frames == [(1, True, b"0123456789"), (9, True, b"ping")]


def test_window_of_0_lets_the_handshake_finish():
    with serve(stay, then=frame(9)) as server:
        client = Client(server.port, manage_read_window=True, initial_read_window=0)
        client.open().increment_read_window(1)
        wait_until(lambda: client.frames)
        client.open().close()
        assert client.shutdown() is None


@pytest.mark.parametrize("size, error", [(-1, ValueError), (2**63, OverflowError), ("1", TypeError), (1.5, TypeError)])
def test_increment_refuses(size, error):
    with serve(stay) as server:
        client = Client(server.port)
        with pytest.raises(error):
            client.open().increment_read_window(size)
        client.open().increment_read_window(5)
        client.open().close()
        assert client.shutdown() is None
