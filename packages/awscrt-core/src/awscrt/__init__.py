"""awscrt: native network runtime for Python.

This module belongs to awscrt-core. Features (awscrt-http, awscrt-mqtt, awscrt-s3) install their modules next
to it, or in another site directory.
"""

from __future__ import annotations

import sys
from weakref import WeakSet

from awscrt._portions import installed, portions
from awscrt._version import __version__ as __version__

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    from typing import Any, ClassVar

__path__ += portions((entry for entry in sys.path if isinstance(entry, str)), __name__, __path__)

# What `from awscrt import *` gives when everything is installed, and the distribution that brings it.
_PUBLIC = {
    "aio": "awscrt-core",
    "auth": "awscrt-http",
    "aws_iot_metrics": "awscrt-mqtt",
    "crypto": "awscrt-core",
    "http": "awscrt-http",
    "io": "awscrt-core",
    "logging": "awscrt-core",
    "mqtt": "awscrt-mqtt",
    "mqtt5": "awscrt-mqtt",
    "mqtt_request_response": "awscrt-mqtt",
    "s3": "awscrt-s3",
    "websocket": "awscrt-http",
}

if not TYPE_CHECKING:  # a checker would take it for "any name exists"

    def __getattr__(name: str) -> list[str]:
        if name == "__all__":
            return installed(__name__, __path__, _PUBLIC)
        if name in _PUBLIC:
            raise AttributeError(
                f"module {__name__!r} has no attribute {name!r}: write 'import {__name__}.{name}', "
                f"and install it with 'pip install {_PUBLIC[name]}' if that is missing"
            )
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class NativeResource:
    """Base of every object that owns a native one.

    ``_binding`` is an opaque handle. Natively, an object holds what it depends on, never the other way round, so
    objects may be dropped in any order; destruction is asynchronous and never blocks.
    """

    __slots__ = ("_binding", "__weakref__")

    _binding: Any

    # For leak tests: while on, every new resource is kept (weakly) in `_living`.
    _track_lifetime: ClassVar[bool] = False
    _living: ClassVar[WeakSet[NativeResource]] = WeakSet()

    def __init__(self) -> None:
        if NativeResource._track_lifetime:
            NativeResource._living.add(self)
