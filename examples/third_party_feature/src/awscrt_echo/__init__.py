"""Asks a line server over TCP or TLS: send a line, get a line."""

from __future__ import annotations

import asyncio
from typing import Optional

from awscrt.io import ClientBootstrap, TlsConnectionOptions
from awscrt_echo import _echo

__all__ = ["ask"]


async def ask(
    host: str,
    port: int,
    line: bytes,
    *,
    timeout: float = 10.0,
    tls_connection_options: Optional[TlsConnectionOptions] = None,
    bootstrap: Optional[ClientBootstrap] = None,
) -> bytes:
    """Sends ``line`` and a newline; returns the line that comes back, with its newline.

    :param timeout: seconds to wait for the answer once connected
    :raises ValueError: ``line`` contains a newline
    :raises awscrt.exceptions.AwsCrtError: the connection failed or ended early, or the time is over
    """
    if b"\n" in line:
        raise ValueError("one line at a time")
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def done(error: Optional[Exception], reply: Optional[bytes]) -> None:
        if answer.cancelled():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(reply or b"")

    options = bootstrap or ClientBootstrap.get_or_create_static_default()
    _echo.exchange(host, port, line + b"\n", int(timeout * 1000), tls_connection_options, options, loop, done)
    return await answer
