"""HTTP/1.1 and HTTP/2, small requests and large bodies; signing; WebSockets."""

from __future__ import annotations

from functools import partial
from typing import List, Sequence

from rows import Competitor, Context, Row, run_wrk

from awscrt.testing.servers import Server

BOTOCORE = Competitor("botocore", ["botocore"])
PYCURL = Competitor("pycurl", ["pycurl"])
PYREQWEST = Competitor("pyreqwest", ["pyreqwest"])
MULTIDICT = Competitor("multidict", ["multidict"])


def signing_rows() -> List[Row]:
    """With a configuration for each request, with one for all, and presigned URLs by the hundred."""
    goals = {
        ("headers", "fresh"): "2x",
        ("headers", "reuse"): "2x",
        ("query", "fresh"): "2.5x",
        ("query", "reuse"): "2.5x",
        ("query", "batch"): "5x",
    }
    return [
        Row(f"sigv4 {place}, {style}", "signing.py", {"place": place, "style": style}, goal, competitors=[BOTOCORE])
        for (place, style), goal in goals.items()
    ]


class WebSocketServer(Server):
    """raw/websocket.c, built by the benchmark."""

    package = "gcc"

    def __init__(self, program: str) -> None:
        super().__init__()
        self.program = program
        self.port = 0

    def configure(self) -> List[str]:
        self.port = self._port(self.port)
        return [str(self.port)]

    def ports(self) -> Sequence[int]:
        return [self.port]


WEBSOCKETS = [Competitor("picows", ["picows"]), Competitor("websockets", ["websockets"])]


def websocket_rows(context: Context) -> List[Row]:
    """Through the reference's callbacks, and through awscrt.aio.websocket, which the reference does not have."""
    server = WebSocketServer(context.program("websocket"))
    context.start(server)
    goals = {
        ("echo", 64, 5000): "2.9x, level with picows",
        ("send", 64, 100000): "4.6x",
        ("send", 65536, 5000): "5x",
        ("recv", 64, 100000): "10x; 1.5 million/s with asyncio",
        ("recv", 65536, 10000): "5x",
    }
    return [
        Row(
            f"websocket {work} {size} B, {style}",
            "websocket_messages.py",
            {"work": work, "style": style, "size": size, "count": count, "port": server.port},
            goal,
            competitors=WEBSOCKETS if style == "asyncio" else (),
            in_reference=style == "callbacks",
        )
        for (work, size, count), goal in goals.items()
        for style in ("callbacks", "asyncio")
    ]


def http1_rows(context: Context) -> List[Row]:
    """One connection: small requests one after the other, and a large body; plain and with TLS."""
    size = context.gib << 30
    context.object("object", size)
    nginx = context.servers.nginx
    places = {"plain": (nginx.port, None), "TLS": (nginx.tls_port, context.servers.ca)}
    goals = {
        ("seq", "futures", "plain"): "1.5x, level with pycurl",
        ("seq", "futures", "TLS"): "1.5x, level with pyreqwest",
        ("seq", "asyncio", "plain"): "2x",
        ("seq", "asyncio", "TLS"): "2x",
        ("get", "futures", "plain"): "4x",
        ("get", "futures", "TLS"): "1.5x",
        ("get", "asyncio", "plain"): "8x",
        ("get", "asyncio", "TLS"): "2.7x",
        ("get", "readinto", "plain"): "4x",
    }
    result: List[Row] = []
    for (work, style, place), goal in goals.items():
        port, ca = places[place]
        shared = {"style": style, "port": port, "ca": ca}
        if work == "seq":
            params = {**shared, "path": "/small", "count": 10000}
            competitors = [PYCURL, PYREQWEST] if style == "futures" else []
            result.append(
                Row(f"http1 one by one, {place}, {style}", "http_seq.py", params, goal, competitors=competitors)
            )
            continue
        params = {**shared, "path": "/object", "size": size}
        competitors = [PYCURL] if style == "futures" else []
        name = f"http1 GET of {context.gib} GiB, {place}, {style}"
        result.append(
            Row(name, "http_download.py", params, goal, competitors=competitors, in_reference=style != "readinto")
        )
    result.append(Row("headers", "headers.py", {}, "4x, level with multidict", competitors=[MULTIDICT]))
    return result


def http2_rows(context: Context) -> List[Row]:
    """One connection with TLS: many small requests at once, and a large body."""
    size = context.gib << 30
    context.object("object", size)
    shared = {"port": context.servers.nginx.tls_port, "ca": context.servers.ca, "style": "futures"}
    result: List[Row] = []
    for api, goal in (("futures", "3.2x"), ("asyncio", "5x")):
        params = {**shared, "style": api, "path": "/small", "count": 40000, "in_flight": 100}
        result.append(Row(f"http2 100 streams, {api}", "http2.py", params, goal))
    for name, window in (("default window", None), ("window of 16 MiB", 16 << 20)):
        params = {**shared, "path": "/object", "size": size, "window": window}
        result.append(Row(f"http2 GET of {context.gib} GiB, {name}", "http2.py", params, "3.5x"))
    return result


def rows(context: Context) -> List[Row]:
    context.object("small", 1024)
    port = context.servers.nginx.port
    result: List[Row] = []
    for api, goal in (("futures", "2.5x"), ("asyncio", "3.5x")):
        params = {"style": api, "port": port, "ca": None, "count": 40000, "in_flight": 32, "path": "/small"}
        raw = partial(run_wrk, port, "/small", 32, False)
        result.append(Row(f"http1 32 in flight, {api}", "http_get.py", params, goal, raw=raw))
    return [*result, *http1_rows(context), *http2_rows(context), *signing_rows(), *websocket_rows(context)]
