"""What a strict client makes of a server's frames: websocket_cases.json, by frame and by message, in one piece and
byte by byte."""

import asyncio
import json
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from websocket_peer import Client, Side, serve, wait_until  # noqa: E402

from awscrt.aio.websocket import ConnectionClosed, connect  # noqa: E402
from awscrt.websocket import OnConnectionShutdownData  # noqa: E402

with open(os.path.join(HERE, "websocket_cases.json"), encoding="utf-8") as file:
    CASES = json.load(file)["cases"]


def data_of(text):
    """Hexadecimal, or a list of it and of [hexadecimal, count]."""
    if isinstance(text, str):
        return bytes.fromhex(text)
    return b"".join(bytes.fromhex(t) if isinstance(t, str) else bytes.fromhex(t[0]) * t[1] for t in text)


def play(case, step, got, read):
    data = data_of(case["input"])
    case["heard"] = False

    def script(side):
        for at in range(0, len(data), step or len(data)):
            side.peer.send(data[at : at + (step or len(data))])
        case["heard"] = True  # else the client left before it had read all, and its CLOSE is lost
        if not case.get("error") and "answer" not in case:
            while len(got) < len(case.get("pongs", ())):
                got.append(side.read())
            side.send(2, b"end of the case")
        got.extend(read(side))

    return serve(script)


def steps_of(case):
    return (0, 1) if len(data_of(case["input"])) < 300 else (0, 1000)


PARAMETERS = [
    pytest.param(case, step, id=f"{case['name']}, {f'{step} at a time' if step else 'whole'}")
    for case in CASES
    for step in steps_of(case)
]


@pytest.mark.parametrize("case, step", PARAMETERS)
def test_by_frame(case, step):
    got = []
    expected = [(opcode, fin, data_of(payload)) for opcode, fin, payload in case["frames"]]
    with play(case, step, got, Side.read_to_end) as server:
        client = Client(server.port)
        if case.get("error"):
            assert client.shutdown().name == "AWS_ERROR_HTTP_WEBSOCKET_PROTOCOL_ERROR"
        else:
            if "answer" not in case:
                expected.append((2, True, b"end of the case"))
            wait_until(lambda: len(client.frames) == len(expected))
            client.open().close()
            assert client.shutdown() is None
    assert client.frames == expected
    assert len(client.of(OnConnectionShutdownData)) == 1
    pongs = [frame.payload for frame in got if frame.opcode == 10]
    assert pongs == [data_of(payload) for payload in case.get("pongs", ())]
    if case["heard"]:
        assert [frame.payload for frame in got if frame.opcode == 8] == [b""]


def messages_of(case):
    if "messages" in case:
        return [(opcode, data_of(payload)) for opcode, payload in case["messages"]]
    whole = [(opcode, data_of(payload)) for opcode, fin, payload in case["frames"] if opcode in (1, 2) and fin]
    return whole


@pytest.mark.parametrize("case, step", PARAMETERS)
def test_by_message(case, step):
    got, messages = [], []

    async def run(port):
        async with connect(f"ws://127.0.0.1:{port}/", compression=None, ping_interval=None) as ws:
            try:
                while True:
                    message = await ws.receive()
                    if message == b"end of the case":
                        return None
                    messages.append((1, message.encode()) if isinstance(message, str) else (2, message))
            except ConnectionClosed as error:
                return error

    with play(case, step, got, Side.read_to_close) as server:
        error = asyncio.run(run(server.port))
    assert messages == messages_of(case)
    closes = [frame.payload for frame in got if frame.opcode == 8]
    if case.get("error"):
        assert error.__cause__.name == "AWS_ERROR_HTTP_WEBSOCKET_PROTOCOL_ERROR"
        assert closes == [case["close"].to_bytes(2, "big")] or not case["heard"]
    elif "answer" in case:
        assert closes == [data_of(case["answer"])] and error.__cause__ is None
    else:
        assert closes == [b"\x03\xe8"] and error is None
    assert [frame.payload for frame in got if frame.opcode == 10] == [data_of(p) for p in case.get("pongs", ())]
