"""``awscrt ws URL``: talks to a WebSocket server; a line of standard input is a message, a message is a line."""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from typing import Optional, Tuple

from awscrt.plugins import Command

_EXIT_FAILED = 1
_EXIT_INTERRUPTED = 130


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", help="ws://host[:port]/path or wss://...")
    parser.add_argument("-H", "--header", action="append", default=[], metavar="NAME:VALUE", help="of the handshake")
    parser.add_argument("-s", "--subprotocol", action="append", default=[], metavar="NAME", help="to offer")
    parser.add_argument("--origin", help="value of the Origin header")
    parser.add_argument("--proxy", metavar="URL", help="http://[user:password@]host:port")
    parser.add_argument("--ca", metavar="FILE", help="PEM certificates to trust instead of the system's")
    parser.add_argument("--no-compression", action="store_true", help="do not offer permessage-deflate")
    parser.add_argument("--timeout", type=float, default=10, metavar="SECONDS", help="to connect (default: 10)")
    parser.add_argument(
        "--wait",
        type=float,
        default=1,
        metavar="SECONDS",
        help="how long to listen after the end of piped input (default: 1)",
    )


def _header(text: str) -> Tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ValueError(f"{text!r} is not NAME:VALUE")
    return name.strip(), value.strip()


def _read_lines(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[Optional[str]]) -> None:
    """Standard input, on a thread of its own; None at the end."""
    try:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\r\n"))
        loop.call_soon_threadsafe(lines.put_nowait, None)
    except RuntimeError:
        pass  # the loop has ended


async def _talk(arguments: argparse.Namespace) -> int:
    from awscrt.aio.websocket import Compression, connect
    from awscrt.io import ClientTlsContext, TlsContextOptions

    tls = None
    if arguments.ca:
        options = TlsContextOptions()
        options.override_default_trust_store_from_path(None, arguments.ca)
        tls = ClientTlsContext(options)
    connection = connect(
        arguments.url,
        headers=[_header(text) for text in arguments.header],
        subprotocols=arguments.subprotocol,
        origin=arguments.origin,
        proxy=arguments.proxy,
        tls=tls,
        compression=None if arguments.no_compression else Compression(),
        open_timeout=arguments.timeout,
        close_timeout=arguments.timeout,
        max_size=None,
    )
    interactive = sys.stdin.isatty()
    async with connection as ws:
        if interactive:
            chosen = f", subprotocol {ws.subprotocol}" if ws.subprotocol else ""
            compressed = ", compressed" if ws.compression else ""
            print(f"connected{chosen}{compressed}; Ctrl-D closes", file=sys.stderr)
        lines: asyncio.Queue[Optional[str]] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        threading.Thread(target=_read_lines, args=(loop, lines), daemon=True).start()

        async def send() -> None:
            while True:
                line = await lines.get()
                if line is None:
                    return
                await ws.send(line)

        async def show() -> None:
            async for message in ws:
                if isinstance(message, bytes):
                    sys.stdout.buffer.write(message + b"\n")
                    sys.stdout.buffer.flush()
                else:
                    print(("< " if interactive else "") + message, flush=True)

        sending, showing = asyncio.ensure_future(send()), asyncio.ensure_future(show())
        await asyncio.wait([sending, showing], return_when=asyncio.FIRST_COMPLETED)
        if not showing.done() and not interactive:
            await asyncio.wait([showing], timeout=arguments.wait)  # answers may be under way
        for task in (sending, showing):
            if task.done():
                task.result()
            else:
                task.cancel()
    if interactive or ws.close_code not in (1000, 1001, 1005):
        reason = f" ({ws.close_reason})" if ws.close_reason else ""
        print(f"closed: {ws.close_code}{reason}", file=sys.stderr)
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from awscrt.aio.websocket import ConnectionClosed, HandshakeError

    try:
        return asyncio.run(_talk(arguments))
    except asyncio.TimeoutError:
        print(f"awscrt ws: no answer within {arguments.timeout:g} s", file=sys.stderr)
    except (HandshakeError, ConnectionClosed, ValueError) as error:
        print(f"awscrt ws: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    return _EXIT_FAILED


COMMAND = Command("ws", "talk to a WebSocket server", _configure, _run)
