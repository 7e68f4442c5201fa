"""awscrt-http as a plugin: what it is, its commands, and the transports it lends to other protocols."""

from __future__ import annotations

from typing import Any, List

from awscrt import _http
from awscrt._version import __version__
from awscrt.plugins import Command, FeatureInfo, hookimpl


@hookimpl
def awscrt_feature() -> FeatureInfo:
    return FeatureInfo(
        name="http",
        version=__version__,
        abi=f"http {_http.ABI_MAJOR}.{_http.ABI_MINOR}",
        modules=("awscrt.http", "awscrt.aio.http", "awscrt.websocket", "awscrt.aio.websocket", "awscrt.auth"),
        summary="HTTP/1.1 client, proxies, request signing",
    )


@hookimpl
def awscrt_transport(name: str) -> Any:
    return _http.transport(name)


@hookimpl
def awscrt_commands() -> List[Command]:
    from awscrt import _curl_command, _websocket_command

    return [_curl_command.COMMAND, _websocket_command.COMMAND]
