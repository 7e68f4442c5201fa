"""Small GETs over HTTP/1.1, a fixed number in flight, one connection each.

Params: ``style`` (futures, asyncio), ``port``, ``ca`` (path or null), ``count``, ``in_flight``, ``path``.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Dict, Tuple

from common import measure, tls_options

from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest


def request_for(params: Dict[str, Any]) -> HttpRequest:
    return HttpRequest("GET", params["path"], HttpHeaders([("Host", f"localhost:{params['port']}")]))


def with_futures(params: Dict[str, Any]) -> Tuple[float, str]:
    tls = tls_options(params["ca"], "localhost") if params["ca"] else None
    connections = [
        HttpClientConnection.new("localhost", params["port"], tls_connection_options=tls).result(30)
        for _ in range(params["in_flight"])
    ]
    left = params["count"]
    running = len(connections)
    finished = threading.Event()
    lock = threading.Lock()

    def on_body(chunk: bytes, **kwargs: Any) -> None:
        pass

    def next_on(connection: Any) -> None:
        nonlocal left, running
        with lock:
            if left == 0:
                running -= 1
                if running == 0:
                    finished.set()
                return
            left -= 1
        stream = connection.request(request_for(params), on_body=on_body)
        stream.completion_future.add_done_callback(lambda future: (future.result(), next_on(connection)))
        stream.activate()

    params["start"]()
    for connection in connections:
        next_on(connection)
    assert finished.wait(300)
    return params["count"], "req"


async def with_asyncio(params: Dict[str, Any]) -> Tuple[float, str]:
    from awscrt.aio.http import AIOHttpClientConnection

    tls = tls_options(params["ca"], "localhost") if params["ca"] else None
    connections = [
        await AIOHttpClientConnection.new("localhost", params["port"], tls_connection_options=tls)
        for _ in range(params["in_flight"])
    ]
    left = params["count"]

    async def one(connection: Any) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            stream = connection.request(request_for(params))
            assert await stream.get_response_status_code() == 200
            while await stream.get_next_response_chunk():
                pass
            await stream.wait_for_completion()

    params["start"]()
    await asyncio.gather(*(one(connection) for connection in connections))
    return params["count"], "req"


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    return asyncio.run(with_asyncio(params)) if params["style"] == "asyncio" else with_futures(params)


measure(work)
