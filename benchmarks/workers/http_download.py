"""One large object over one HTTP/1.1 connection, read and dropped.

Params: ``style`` (futures, asyncio, readinto), ``port``, ``ca`` (path or null), ``path``, ``size``.
"""

from __future__ import annotations

import asyncio
from typing import Any, Dict, Tuple

from common import measure, tls_options


def request_for(params: Dict[str, Any]) -> Any:
    from awscrt.http import HttpHeaders, HttpRequest

    return HttpRequest("GET", params["path"], HttpHeaders([("Host", f"localhost:{params['port']}")]))


def with_futures(params: Dict[str, Any]) -> int:
    from awscrt.http import HttpClientConnection

    tls = tls_options(params["ca"], "localhost") if params["ca"] else None
    connection = HttpClientConnection.new("localhost", params["port"], tls_connection_options=tls).result(30)
    params["start"]()
    size = 0

    def on_body(chunk: bytes, **kwargs: Any) -> None:
        nonlocal size
        size += len(chunk)

    stream = connection.request(request_for(params), on_body=on_body)
    stream.activate()
    assert stream.completion_future.result(300) == 200
    return size


def with_readinto(params: Dict[str, Any]) -> int:
    from awscrt.http import HttpClientConnection

    tls = tls_options(params["ca"], "localhost") if params["ca"] else None
    connection = HttpClientConnection.new("localhost", params["port"], tls_connection_options=tls).result(30)
    target = bytearray(params["size"])
    params["start"]()
    stream = connection.request(request_for(params), readinto=target)
    stream.activate()
    assert stream.completion_future.result(300) == 200
    return int(stream.bytes_received)


async def with_asyncio(params: Dict[str, Any]) -> int:
    from awscrt.aio.http import AIOHttpClientConnection

    tls = tls_options(params["ca"], "localhost") if params["ca"] else None
    connection = await AIOHttpClientConnection.new("localhost", params["port"], tls_connection_options=tls)
    params["start"]()
    size = 0
    stream = connection.request(request_for(params))
    while True:
        chunk = await stream.get_next_response_chunk()
        if not chunk:
            break
        size += len(chunk)
    assert await stream.wait_for_completion() == 200
    return size


def with_pycurl(params: Dict[str, Any]) -> int:
    import pycurl

    size = 0

    def on_body(chunk: bytes) -> None:
        nonlocal size
        size += len(chunk)

    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, f"{'https' if params['ca'] else 'http'}://localhost:{params['port']}{params['path']}")
    curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    curl.setopt(pycurl.BUFFERSIZE, 512 * 1024)
    curl.setopt(pycurl.WRITEFUNCTION, on_body)
    if params["ca"]:
        curl.setopt(pycurl.CAINFO, params["ca"])
    params["start"]()
    curl.perform()
    return size


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    if params["api"] == "pycurl":
        size = with_pycurl(params)
    elif params["style"] == "asyncio":
        size = asyncio.run(with_asyncio(params))
    elif params["style"] == "readinto":
        size = with_readinto(params)
    else:
        size = with_futures(params)
    assert size == params["size"], size
    return size / 1e6, "MB"


measure(work)
