"""WebSocket messages: round trips, sending and receiving.

Params: ``work`` (echo, send, recv), ``style`` (callbacks, asyncio), ``size`` of a message in bytes, ``count``, ``port``
of raw/websocket.c. ``api``: awscrt, websockets or picows.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Dict, Tuple

from common import measure


def path_of(params: Dict[str, Any]) -> str:
    work = params["work"]
    return f"/flood/{params['size']}/{params['count']}" if work == "recv" else "/sink" if work == "send" else "/echo"


class Callbacks:
    """``awscrt.websocket``: the API that the reference has as well."""

    def __init__(self, params: Dict[str, Any]) -> None:
        self.work = params["work"]
        self.count = params["count"]
        self.payload = b"x" * params["size"]
        self.port = params["port"]
        self.path = path_of(params)
        self.start = params["start"]
        self.received = 0
        self.websocket: Any = None
        self.done = threading.Event()

    def on_setup(self, data: Any) -> None:
        from awscrt.websocket import Opcode

        if data.exception is not None:
            raise data.exception
        self.websocket = data.websocket
        self.binary = Opcode.BINARY
        self.start()
        if self.work == "echo":
            self.websocket.send_frame(self.binary, self.payload)

    def on_complete(self, data: Any) -> None:
        self.received += 1
        if self.work == "send" or self.received == self.count:
            self.done.set()
        elif self.work == "echo":
            self.websocket.send_frame(self.binary, self.payload)

    def run(self) -> None:
        from awscrt import websocket as api

        ready = threading.Event()

        def on_setup(data: Any) -> None:
            self.on_setup(data)
            ready.set()

        api.connect(
            host="127.0.0.1",
            port=self.port,
            handshake_request=api.create_handshake_request(host="127.0.0.1", path=self.path),
            on_connection_setup=on_setup,
            on_incoming_frame_payload=lambda data: None,
            on_incoming_frame_complete=self.on_complete,
        )
        assert ready.wait(30)
        if self.work == "send":
            for _ in range(self.count):
                self.websocket.send_frame(api.Opcode.BINARY, self.payload)
            self.websocket.send_frame(api.Opcode.TEXT, "end")
        assert self.done.wait(300)
        self.websocket.close()


async def asyncio_style(params: Dict[str, Any]) -> None:
    url = f"ws://127.0.0.1:{params['port']}{path_of(params)}"
    if params["api"] == "awscrt":
        from awscrt.aio.websocket import connect

        options: Dict[str, Any] = {"compression": None, "ping_interval": None}
    else:
        from websockets.asyncio.client import connect  # type: ignore[no-redef, unused-ignore]

        options = {"compression": None, "ping_interval": None, "max_size": None}
    payload = b"x" * params["size"]
    count = params["count"]
    async with connect(url, **options) as websocket:
        receive = websocket.receive if params["api"] == "awscrt" else websocket.recv  # type: ignore[attr-defined, unused-ignore]
        params["start"]()
        if params["work"] == "echo":
            for _ in range(count):
                await websocket.send(payload)
                await receive()
        elif params["work"] == "send":
            for _ in range(count):
                await websocket.send(payload)
            await websocket.send("end")
            await receive()
        else:
            async for _message in websocket:
                count -= 1
                if count == 0:
                    break


async def picows_style(params: Dict[str, Any]) -> None:
    from picows import WSListener, WSMsgType, ws_connect

    payload = b"x" * params["size"]
    done = asyncio.get_running_loop().create_future()

    class Listener(WSListener):  # type: ignore[misc, unused-ignore]
        left = params["count"]

        def on_ws_connected(self, transport: Any) -> None:
            params["start"]()
            if params["work"] == "echo":
                transport.send(WSMsgType.BINARY, payload)

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            self.left -= 1
            if self.left == 0 or params["work"] == "send":
                done.set_result(None)
            elif params["work"] == "echo":
                transport.send(WSMsgType.BINARY, payload)

    transport, _ = await ws_connect(Listener, f"ws://127.0.0.1:{params['port']}{path_of(params)}")
    if params["work"] == "send":
        for i in range(params["count"]):
            transport.send(WSMsgType.BINARY, payload)
            if i % 64 == 63:
                await asyncio.sleep(0)
        transport.send(WSMsgType.TEXT, b"end")
    await done
    transport.disconnect()


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    if params["api"] == "picows":
        asyncio.run(picows_style(params))
    elif params["style"] == "asyncio":
        asyncio.run(asyncio_style(params))
    else:
        Callbacks(params).run()
    return params["count"], "msg"


measure(work)
