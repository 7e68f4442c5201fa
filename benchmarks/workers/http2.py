"""GETs over one HTTP/2 connection: many small ones on a fixed number of streams, or a large body.

Params: ``style`` (futures, asyncio), ``port``, ``ca``, ``path``, and ``count`` with ``in_flight`` for small ones, or
``size`` for one body; ``window`` (bytes or null): INITIAL_WINDOW_SIZE of the client.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Dict, List, Tuple

from common import measure, tls_options

from awscrt.http import Http2ClientConnection, Http2Setting, Http2SettingID, HttpHeaders, HttpRequest


def request_for(params: Dict[str, Any]) -> HttpRequest:
    return HttpRequest("GET", params["path"], HttpHeaders([("Host", f"localhost:{params['port']}")]))


def options_for(params: Dict[str, Any]) -> Dict[str, Any]:
    tls = tls_options(params["ca"], "localhost")
    tls.set_alpn_list(["h2"])
    settings: List[Http2Setting] = []
    if params.get("window"):
        settings.append(Http2Setting(Http2SettingID.INITIAL_WINDOW_SIZE, params["window"]))
    return {"tls_connection_options": tls, "initial_settings": settings}


def with_futures(params: Dict[str, Any]) -> Tuple[float, str]:
    connection = Http2ClientConnection.new("localhost", params["port"], **options_for(params)).result(30)
    left = params["count"]
    running = params["in_flight"]
    finished = threading.Event()
    lock = threading.Lock()

    def on_body(chunk: bytes, **kwargs: Any) -> None:
        pass

    def next_stream() -> None:
        nonlocal left, running
        with lock:
            if left == 0:
                running -= 1
                if running == 0:
                    finished.set()
                return
            left -= 1
        stream = connection.request(request_for(params), on_body=on_body)
        stream.completion_future.add_done_callback(lambda future: (future.result(), next_stream()))
        stream.activate()

    params["start"]()
    for _ in range(params["in_flight"]):
        next_stream()
    assert finished.wait(300)
    return params["count"], "req"


async def with_asyncio(params: Dict[str, Any]) -> Tuple[float, str]:
    from awscrt.aio.http import AIOHttp2ClientConnection

    connection = await AIOHttp2ClientConnection.new("localhost", params["port"], **options_for(params))
    left = params["count"]

    async def one() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            stream = connection.request(request_for(params))
            assert await stream.get_response_status_code() == 200
            while await stream.get_next_response_chunk():
                pass
            await stream.wait_for_completion()

    params["start"]()
    await asyncio.gather(*(one() for _ in range(params["in_flight"])))
    return params["count"], "req"


def one_body(params: Dict[str, Any]) -> Tuple[float, str]:
    connection = Http2ClientConnection.new("localhost", params["port"], **options_for(params)).result(30)
    received = 0

    def on_body(chunk: bytes, **kwargs: Any) -> None:
        nonlocal received
        received += len(chunk)

    params["start"]()
    stream = connection.request(request_for(params), on_body=on_body)
    stream.activate()
    assert stream.completion_future.result(300) == 200
    assert received == params["size"]
    return received / 1e6, "MB"


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    if "size" in params:
        return one_body(params)
    return asyncio.run(with_asyncio(params)) if params["style"] == "asyncio" else with_futures(params)


measure(work)
