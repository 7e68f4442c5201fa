"""asyncio clients. Each feature brings its own module: ``awscrt.aio.http``, ``awscrt.aio.mqtt5``, ``awscrt.aio.s3``."""

from __future__ import annotations

import awscrt
from awscrt._portions import installed, portions

TYPE_CHECKING = False

__path__ += portions(awscrt.__path__, "aio", __path__)

_PUBLIC = ("http", "mqtt5", "s3", "websocket")

if not TYPE_CHECKING:  # a checker would take it for "any name exists"

    def __getattr__(name: str) -> list[str]:
        if name == "__all__":
            return installed(__name__, __path__, _PUBLIC)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
