"""For test suites: native memory and leaks."""

from __future__ import annotations

import gc
import os
import time

from awscrt import NativeResource, _core
from awscrt.common import join_all_native_threads
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup

__all__ = ["native_memory_usage", "dump_native_memory", "check_for_leaks"]


def native_memory_usage() -> int:
    """Bytes of native memory in use; 0 unless AWS_CRT_MEMORY_TRACING was 1 or 2 at import."""
    return _core.memory_usage()[1]


def dump_native_memory() -> None:
    """Log how much native memory is in use, at Trace level.

    With AWS_CRT_MEMORY_TRACING=2 also from where it was allocated: one entry for each place, the largest first.
    """
    _core.memory_dump()


def check_for_leaks(*, timeout_sec: float = 10.0) -> None:
    """Release the static defaults and wait until no resource and no traced native memory is left.

    :param timeout_sec: seconds
    :raises RuntimeError: something is left (a report goes to stdout), AWS_CRT_MEMORY_TRACING is not 2, or
        NativeResource._track_lifetime is off
    """
    ClientBootstrap.release_static_default()
    DefaultHostResolver.release_static_default()
    EventLoopGroup.release_static_default()
    if os.environ.get("AWS_CRT_MEMORY_TRACING") != "2":
        raise RuntimeError("check_for_leaks() needs the environment variable AWS_CRT_MEMORY_TRACING=2")
    if not NativeResource._track_lifetime:
        raise RuntimeError("check_for_leaks() needs NativeResource._track_lifetime = True")
    deadline = time.monotonic() + timeout_sec
    while True:
        gc.collect()
        join_all_native_threads(timeout_sec=0.1)
        if not NativeResource._living and native_memory_usage() == 0:
            return
        if time.monotonic() > deadline:
            break
    secrets = os.environ.get("AWS_CRT_MEMORY_PRINT_SECRETS_OK") == "1"
    for resource in list(NativeResource._living):
        print("still alive:", repr(resource) if secrets else type(resource).__name__)
    blocks, size = _core.memory_usage()
    print(f"native memory in use: {blocks} blocks, {size} bytes")
    dump_native_memory()
    raise RuntimeError("awscrt resources are still alive; see the report on stdout")
