"""Small GETs over one HTTP/1.1 connection, each begun when the last one is complete.

Params: ``style`` (futures, asyncio), ``port``, ``ca`` (path or null), ``count``, ``path``.
"""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Dict, Tuple

from common import measure, tls_options


def url_of(params: Dict[str, Any]) -> str:
    return f"{'https' if params['ca'] else 'http'}://localhost:{params['port']}{params['path']}"


def warm_then_time(params: Dict[str, Any], get: Callable[[], None]) -> None:
    for _ in range(200):
        get()
    params["start"]()
    for _ in range(params["count"]):
        get()


def with_futures(params: Dict[str, Any]) -> None:
    from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest

    tls = tls_options(params["ca"], "localhost") if params["ca"] else None
    connection = HttpClientConnection.new("localhost", params["port"], tls_connection_options=tls).result(30)
    host = f"localhost:{params['port']}"

    def get() -> None:
        body = []
        request = HttpRequest("GET", params["path"], HttpHeaders([("Host", host)]))
        stream = connection.request(request, on_body=lambda chunk, **_: body.append(chunk))
        stream.activate()
        assert stream.completion_future.result(30) == 200 and body

    warm_then_time(params, get)


async def with_asyncio(params: Dict[str, Any]) -> None:
    from awscrt.aio.http import AIOHttpClientConnection
    from awscrt.http import HttpHeaders, HttpRequest

    tls = tls_options(params["ca"], "localhost") if params["ca"] else None
    connection = await AIOHttpClientConnection.new("localhost", params["port"], tls_connection_options=tls)
    host = f"localhost:{params['port']}"

    async def get() -> None:
        request = HttpRequest("GET", params["path"], HttpHeaders([("Host", host)]))
        stream = connection.request(request)
        assert await stream.get_response_status_code() == 200
        while await stream.get_next_response_chunk():
            pass
        await stream.wait_for_completion()

    for _ in range(200):
        await get()
    params["start"]()
    for _ in range(params["count"]):
        await get()


def with_pycurl(params: Dict[str, Any]) -> None:
    import pycurl

    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, url_of(params))
    curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    if params["ca"]:
        curl.setopt(pycurl.CAINFO, params["ca"])

    def get() -> None:
        body = []
        curl.setopt(pycurl.WRITEFUNCTION, body.append)
        curl.perform()
        assert curl.getinfo(pycurl.RESPONSE_CODE) == 200 and body

    warm_then_time(params, get)


def with_pyreqwest(params: Dict[str, Any]) -> None:
    from pyreqwest.client import SyncClientBuilder

    builder = SyncClientBuilder().http1_only()
    if params["ca"]:
        with open(params["ca"], "rb") as f:
            builder = builder.add_root_certificate_pem(f.read())
    with builder.build() as client:
        url = url_of(params)

        def get() -> None:
            response = client.get(url).build().send()
            assert response.status == 200 and response.bytes()

        warm_then_time(params, get)


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    api = params["api"]
    if api == "pycurl":
        with_pycurl(params)
    elif api == "pyreqwest":
        with_pyreqwest(params)
    elif params["style"] == "asyncio":
        asyncio.run(with_asyncio(params))
    else:
        with_futures(params)
    return params["count"], "req"


measure(work)
