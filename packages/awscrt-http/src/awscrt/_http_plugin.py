"""awscrt-http as a plugin: what it is, and the transports it lends to other protocols."""

from __future__ import annotations

from typing import Any

from awscrt import _http
from awscrt._version import __version__
from awscrt.plugins import FeatureInfo, hookimpl


@hookimpl
def awscrt_feature() -> FeatureInfo:
    return FeatureInfo(
        name="http",
        version=__version__,
        abi=f"http {_http.ABI_MAJOR}.{_http.ABI_MINOR}",
        modules=("awscrt.http", "awscrt.aio.http", "awscrt.auth"),
        summary="HTTP/1.1 client, proxies, request signing",
    )


@hookimpl
def awscrt_transport(name: str) -> Any:
    return _http.transport(name)
