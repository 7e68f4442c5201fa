"""The WebSocket handshake of a MQTT client: the user's transform is asked before each attempt."""

from __future__ import annotations

import base64
import os
import weakref
from concurrent.futures import Future
from typing import Any, Callable, Optional, Sequence, Tuple

from awscrt import _mqtt
from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpRequest
from awscrt.mqtt5 import Client, WebsocketHandshakeTransformArgs

_HTTP_CALLBACK_FAILURE = 2064


class Handshake:
    """Asks the user's transform before each attempt over WebSocket."""

    def __init__(self, client: Client, transform: Callable[..., None], host: str) -> None:
        self._client = weakref.ref(client)
        self._transform = transform
        self._host = host

    def __call__(self, attempt: Any) -> None:
        request = HttpRequest("GET", "/mqtt")
        for name, value in self._headers():
            request.headers.add(name, value)
        done: Future[None] = Future()
        done.add_done_callback(lambda future: _answer(attempt, request, future.exception()))
        arguments = WebsocketHandshakeTransformArgs(self._client(), request, done)  # type: ignore[arg-type]
        try:
            self._transform(transform_args=arguments)
        except Exception as error:
            if not done.done():
                arguments.set_done(error)

    def _headers(self) -> Sequence[Tuple[str, str]]:
        return (
            ("Host", self._host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode()),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Protocol", "mqtt"),
        )


def _answer(attempt: Any, request: HttpRequest, exception: Optional[BaseException]) -> None:
    if exception is None:
        _mqtt.handshake_done(attempt, 0, request.path, tuple(request.headers))
        return
    code = exception.code if isinstance(exception, AwsCrtError) else _HTTP_CALLBACK_FAILURE
    _mqtt.handshake_done(attempt, code, "", ())
