"""WebSocket client for asyncio (RFC 6455): whole messages, compression, back-pressure both ways.

::

    async with connect("wss://example.com/chat") as ws:
        await ws.send("hello")
        async for message in ws:
            print(message)

Frames are read, checked, unmasked and decompressed on the runtime's threads; messages reach the asyncio loop in
batches, without those threads ever taking the GIL.
"""

from __future__ import annotations

import asyncio
import base64
import math
import os
import time
import weakref
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from awscrt import _http
from awscrt.http import HttpProxyAuthenticationType, HttpProxyOptions, HttpRequest
from awscrt.io import ClientTlsContext, TlsConnectionOptions, TlsContextOptions
from awscrt.websocket import Opcode, create_handshake_request

if TYPE_CHECKING:
    from types import TracebackType
    from typing import (
        Any,
        AsyncIterable,
        AsyncIterator,
        BinaryIO,
        Deque,
        Generator,
        Iterable,
        List,
        Mapping,
        Optional,
        Sequence,
        Tuple,
        Type,
        Union,
    )

    from awscrt.io import ClientBootstrap, SocketOptions

    Piece = Union[str, bytes, bytearray, memoryview]
    Message = Union[Piece, Iterable[Piece], AsyncIterable[Piece], BinaryIO]

__all__ = [
    "CloseCode",
    "Compression",
    "ConnectionClosed",
    "HandshakeError",
    "WebSocket",
    "connect",
]

_HIGH_WATER = 1024 * 1024  # unsent bytes from which a sender waits
_LOW_WATER = 256 * 1024  # and goes on
_STREAM_PIECE = 64 * 1024
_GRACE_MS = 1000
_CONTROL_MAX = 125
_REASON_MAX = _CONTROL_MAX - 2


class CloseCode(IntEnum):
    """Why a connection ended (RFC 6455, section 7.4.1, and the registry it founded)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    """The peer's CLOSE frame gave no code. Never sent."""
    ABNORMAL = 1006
    """There was no CLOSE frame. Never sent."""
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014


_ORDERLY = (CloseCode.NORMAL, CloseCode.GOING_AWAY, CloseCode.NO_STATUS)


class ConnectionClosed(Exception):
    """The connection is closed. Its cause, where there is one, is the exception of the runtime.

    :ivar code: what the peer's CLOSE frame said; 1005: nothing, 1006: there was none
    :ivar reason: text of the peer's CLOSE frame
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the WebSocket is closed: {self.code}" + (f" ({self.reason})" if self.reason else "")


class HandshakeError(Exception):
    """There is no WebSocket connection. The cause is the exception of the runtime.

    :ivar status: status of the server's response; None when there was none
    :ivar headers: its headers as (name, value)
    :ivar body: its body; None when it is not complete
    """

    def __init__(
        self,
        message: str,
        status: Optional[int] = None,
        headers: Sequence[Tuple[str, str]] = (),
        body: Optional[bytes] = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = body


@dataclass(frozen=True)
class Compression:
    """What is offered of permessage-deflate (RFC 7692, section 7.1).

    Each direction that keeps its context between messages costs memory as long as the connection lives: about
    2**window_bits bytes to receive, 2**(window_bits + 2) + 2**(memory_level + 9) to send.

    :ivar server_no_context_takeover: the server compresses every message by itself
    :ivar client_no_context_takeover: so do we
    :ivar server_max_window_bits: base-2 logarithm of the server's window, 9 to 15
    :ivar client_max_window_bits: of ours, 9 to 15
    :ivar level: of zlib, 1 (fast) to 9 (small); 0: zlib's default
    :ivar memory_level: of zlib, 1 to 9; 0: 8
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15
    level: int = 0
    memory_level: int = 0

    def _native(self) -> Tuple[bool, bool, int, int, int, int]:
        return (
            self.server_no_context_takeover,
            self.client_no_context_takeover,
            self.server_max_window_bits,
            self.client_max_window_bits,
            self.level,
            self.memory_level,
        )


_COMPRESSION = Compression()


class _Ping:
    __slots__ = ("pong", "sent")

    def __init__(self, pong: asyncio.Future[float], sent: float) -> None:
        self.pong = pong
        self.sent = sent


def _milliseconds(seconds: Optional[float], name: str) -> int:
    """Of a timeout; None: as long as the native part can count, which is weeks."""
    if seconds is None:
        return 2**32 - 1
    if not seconds > 0:
        raise ValueError(f"{name} must be greater than 0 seconds, or None")
    return min(math.ceil(seconds * 1000), 2**32 - 1)


class WebSocket(_http.AsyncWebSocket):
    """A connection; :func:`connect` makes it. Its coroutines run on the asyncio loop it was made on. It closes, without
    waiting, when the last reference is dropped.

    Any number of tasks may send and receive at the same time; a message goes to one receiver. Cancelling a coroutine
    loses no message. What a cancelled :meth:`send` queued goes out all the same.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, subprotocols: Sequence[str]) -> None:
        self._loop = loop
        self._offered = subprotocols
        self._setup: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self._readers: Deque[asyncio.Future[None]] = deque()
        self._senders: Deque[asyncio.Future[None]] = deque()
        self._pings: dict[bytes, _Ping] = {}
        self._turn: Optional[asyncio.Lock] = None  # held while a message goes out in fragments
        self._fragmented = False
        self._compress = True
        self._closing = False
        self._failure: Optional[Exception] = None
        self._close_frame: Optional[bytes] = None
        self._keepalive: Optional[asyncio.TimerHandle] = None
        self._tended: Deque[Tuple[bytes, float]] = deque()  # PINGs of the keepalive, and when they were sent
        self._ping_interval = self._ping_timeout = self._next_ping = math.inf
        #: status of the handshake response
        self.response_status: Optional[int] = None
        #: headers of the handshake response, (name, value) in the order received
        self.response_headers: Sequence[Tuple[str, str]] = ()
        #: what the server chose of the subprotocols; None when none was offered
        self.subprotocol: Optional[str] = None

    # ---- what the native part tells; on the asyncio loop ----

    def _on_setup(
        self,
        answer: Tuple[Optional[Exception], Optional[int], Optional[Sequence[Tuple[str, str]]], Optional[bytes]],
    ) -> None:
        exception, self.response_status, headers, body = answer
        self.response_headers = headers or ()
        if self._setup.done():  # nobody waits any more
            if exception is None:
                self._closing = True
                self._abort(0)
            return
        if exception is None:
            for name, value in self.response_headers:
                if name.lower() == "sec-websocket-protocol":
                    self.subprotocol = value
            self._setup.set_result(None)
            return
        error = HandshakeError(str(exception), self.response_status, self.response_headers, body)
        error.__cause__ = exception
        self._setup.set_exception(error)

    def _on_messages(self, _: None) -> None:
        _wake(self._readers)

    def _on_room(self, _: None) -> None:
        _wake(self._senders)

    def _on_pong(self, payload: bytes) -> None:
        if payload not in self._pings:
            return
        now = time.perf_counter()
        # An answer to a PING answers those before it as well (RFC 6455, section 5.5.3).
        for sent in list(self._pings):
            ping = self._pings.pop(sent)
            if not ping.pong.done():
                ping.pong.set_result(now - ping.sent)
            if sent == payload:
                break

    def _on_close(self, payload: bytes) -> None:
        self._close_frame = payload
        self._closing = True

    def _on_shutdown(self, exception: Optional[Exception]) -> None:
        self._failure = exception
        self._closing = True
        if self._keepalive is not None:
            self._keepalive.cancel()
        for ping in self._pings.values():
            if not ping.pong.done():
                ping.pong.set_exception(self._closed())
                ping.pong.exception()  # it may be that nobody awaits it
        self._pings.clear()
        if not self._gone.done():
            self._gone.set_result(None)
        _wake(self._readers)
        _wake(self._senders)

    # ---- the end ----

    @property
    def closed(self) -> bool:
        """True when the connection has ended. Messages received before may still be waiting."""
        return self._gone.done()

    @property
    def close_code(self) -> Optional[int]:
        """What the peer's CLOSE frame said (1005: nothing, 1006: there was none); None while the connection is open."""
        if self._close_frame is not None:
            return int.from_bytes(self._close_frame[:2], "big") if self._close_frame else CloseCode.NO_STATUS
        return CloseCode.ABNORMAL if self.closed else None

    @property
    def close_reason(self) -> str:
        """Text of the peer's CLOSE frame."""
        return (self._close_frame or b"")[2:].decode("utf-8", "replace")

    @property
    def compression(self) -> bool:
        """Whether permessage-deflate was agreed on."""
        return self._compresses()

    def _closed(self) -> ConnectionClosed:
        error = ConnectionClosed(self.close_code or CloseCode.ABNORMAL, self.close_reason)
        error.__cause__ = self._failure
        return error

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close in order: send CLOSE, wait for the peer's and for the end of the transport, at most
        ``close_timeout`` seconds. Messages that nobody has taken are dropped. May be called again.

        :param code: 1000 to 1003, 1007 to 1014, or 3000 to 4999
        :param reason: for the peer's log; at most 123 bytes of UTF-8
        :raises ValueError: a code or reason that must not be sent
        """
        if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
            raise ValueError(f"close code {code} must not be sent (RFC 6455, section 7.4)")
        text = reason.encode("utf-8")
        if len(text) > _REASON_MAX:
            raise ValueError(f"the reason has {len(text)} bytes, at most {_REASON_MAX} fit into a CLOSE frame")
        if not self._closing:
            self._closing = True
            self._close(code.to_bytes(2, "big") + text)
        while not self._gone.done():
            while self._pop() is not None:
                pass
            await self._more()

    async def wait_closed(self) -> None:
        """Wait until the connection has ended."""
        await asyncio.shield(self._gone)

    async def __aenter__(self) -> WebSocket:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):  # cancelled: no time for a handshake
            self._closing = True
            self._abort(0)
            return
        await self.close(CloseCode.NORMAL if kind is None or issubclass(kind, ConnectionClosed) else 1011)

    # ---- receiving ----

    async def _more(self) -> None:
        """Until messages have come, or the end."""
        waiter = self._loop.create_future()
        self._readers.append(waiter)
        self._want_messages()
        try:
            await waiter
        finally:
            if not waiter.done() or waiter.cancelled():
                _forget(self._readers, waiter)

    async def receive(self) -> Union[str, bytes]:
        """Wait for the next message: str for text, bytes for binary.

        :raises ConnectionClosed: the connection ended, and all messages were received
        """
        while True:
            message = self._pop()
            if message is not None:
                return message
            if self._gone.done():
                raise self._closed()
            await self._more()

    async def _wait_next(self) -> Union[str, bytes]:
        """``__anext__`` when there is no message yet; the native part answers the other times."""
        try:
            return await self.receive()
        except ConnectionClosed as error:
            if error.code in _ORDERLY:
                raise StopAsyncIteration from None
            raise

    # ---- sending ----

    async def send(self, message: Message, *, compress: bool = True) -> None:
        """Send a message, and wait as long as too much is unsent.

        :param message: str: text; bytes-like: binary. An iterable or asynchronous iterable of such pieces, or a
            binary file, goes out in fragments as they come; the first piece decides between text and binary.
        :param compress: use compression, where it was agreed on
        :raises ConnectionClosed: the connection is closing or closed
        :raises TypeError: a message or piece of another type
        """
        kind = type(message)
        if kind is bytes or kind is str:
            opcode = 1 if kind is str else 2
        elif isinstance(message, (str, bytes, bytearray, memoryview)):
            opcode = 1 if isinstance(message, str) else 2
        else:
            await self._send_fragments(_pieces(message), compress)
            return
        if self._fragmented:
            async with self._lock():
                await self._put(opcode, message, True, compress)
            return
        if self._closing:
            raise self._closed()
        if self._send(opcode, message, True, compress) > _HIGH_WATER:
            await self.drain()

    def _lock(self) -> asyncio.Lock:
        if self._turn is None:
            self._turn = asyncio.Lock()
        return self._turn

    async def _put(self, opcode: int, payload: Any, fin: bool, compress: bool) -> None:
        if self._closing:
            raise self._closed()
        if self._send(opcode, payload, fin, compress) > _HIGH_WATER:
            await self.drain()

    async def _send_fragments(self, pieces: AsyncIterator[Piece], compress: bool) -> None:
        async with self._lock():
            self._fragmented = True
            opcode: int = Opcode.CONTINUATION
            is_text: Optional[bool] = None
            try:
                async for piece in pieces:
                    if is_text is None:
                        is_text = isinstance(piece, str)
                        opcode = Opcode.TEXT if is_text else Opcode.BINARY
                    if isinstance(piece, str) != is_text or not isinstance(piece, (str, bytes, bytearray, memoryview)):
                        raise TypeError("the pieces of a message must all be str, or all be bytes-like")
                    await self._put(opcode, piece, False, compress)
                    opcode = Opcode.CONTINUATION
                if is_text is None:
                    opcode = Opcode.BINARY
                await self._put(opcode, None, True, compress)
            except BaseException:
                # The peer has part of a message that will never be complete.
                if is_text is not None and not self._closing:
                    self._closing = True
                    self._abort(0)
                raise
            finally:
                self._fragmented = False

    async def drain(self) -> None:
        """Wait until little is unsent."""
        while not self._closing and not self._want_room(_LOW_WATER):
            waiter = self._loop.create_future()
            self._senders.append(waiter)
            try:
                await waiter
            finally:
                if not waiter.done() or waiter.cancelled():
                    _forget(self._senders, waiter)

    async def ping(self, payload: Optional[bytes] = None) -> float:
        """Send a PING and wait for its PONG.

        :param payload: at most 125 bytes; None: 4 random ones
        :return: seconds in between
        :raises ConnectionClosed: before it came
        :raises ValueError: too long, or under way already
        """
        data = os.urandom(4) if payload is None else bytes(payload)
        if len(data) > _CONTROL_MAX:
            raise ValueError(f"a PING carries at most {_CONTROL_MAX} bytes")
        if data in self._pings:
            raise ValueError("a PING with that payload is under way")
        if self._closing:
            raise self._closed()
        ping = _Ping(self._loop.create_future(), time.perf_counter())
        self._pings[data] = ping
        self._send(Opcode.PING, data, True, False)
        try:
            return await ping.pong
        finally:
            self._pings.pop(data, None)

    async def pong(self, payload: bytes = b"") -> None:
        """Send a PONG that nobody asked for, as a heartbeat. PINGs are answered without it."""
        if len(payload) > _CONTROL_MAX:
            raise ValueError(f"a PONG carries at most {_CONTROL_MAX} bytes")
        await self._put(Opcode.PONG, payload, True, False)

    # ---- keepalive ----

    def _keep_alive(self, interval: Optional[float], timeout: Optional[float]) -> None:
        if interval is None:
            return
        self._ping_interval = interval
        self._ping_timeout = math.inf if timeout is None else timeout
        self._next_ping = self._loop.time() + interval
        self._keepalive = self._loop.call_at(self._next_ping, _tend, weakref.ref(self))

    def _tend(self) -> None:
        """Sends the PING that is due, and ends the connection when the oldest one got no answer in time."""
        if self._closing:
            return
        now = self._loop.time()
        while self._tended and self._tended[0][0] not in self._pings:
            self._tended.popleft()
        if self._tended and now >= self._tended[0][1] + self._ping_timeout:
            self._abort(_SOCKET_TIMEOUT)
            return
        if now >= self._next_ping:
            data = os.urandom(4)
            self._pings[data] = _Ping(self._loop.create_future(), time.perf_counter())
            self._tended.append((data, now))
            self._send(Opcode.PING, data, True, False)
            self._next_ping = now + self._ping_interval
        due = min(self._next_ping, self._tended[0][1] + self._ping_timeout) if self._tended else self._next_ping
        self._keepalive = self._loop.call_at(due, _tend, weakref.ref(self))


_SOCKET_TIMEOUT = 1048  # AWS_IO_SOCKET_TIMEOUT


def _tend(reference: weakref.ref[WebSocket]) -> None:
    websocket = reference()
    if websocket is not None:
        websocket._tend()


def _wake(waiters: Deque[asyncio.Future[None]]) -> None:
    while waiters:
        waiter = waiters.popleft()
        if not waiter.done():
            waiter.set_result(None)


def _forget(waiters: Deque[asyncio.Future[None]], waiter: asyncio.Future[None]) -> None:
    if waiter in waiters:
        waiters.remove(waiter)


async def _pieces(message: Any) -> AsyncIterator[Piece]:
    """The pieces of a message that is not one."""
    if hasattr(message, "__aiter__"):
        async for piece in message:
            yield piece
    elif hasattr(message, "read"):
        loop = asyncio.get_running_loop()
        while True:
            piece = await loop.run_in_executor(None, message.read, _STREAM_PIECE)
            if not piece:
                return
            yield piece
    else:
        for piece in message:
            yield piece


# ---- connecting ----


@dataclass
class _Target:
    secure: bool
    host: str
    port: int
    authority: str
    path: str
    authorization: Optional[str]


def _parse(url: str) -> _Target:
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"{url!r} is not a WebSocket URL (ws://host[:port]/path or wss://...)")
    if parts.fragment:
        raise ValueError("a WebSocket URL has no fragment (RFC 6455, section 3)")
    secure = parts.scheme == "wss"
    default = 443 if secure else 80
    port = parts.port or default
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    authorization = None
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(user.encode()).decode("ascii")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Target(secure, parts.hostname, port, name if port == default else f"{name}:{port}", path, authorization)


def _request(
    target: _Target,
    headers: Optional[Union[Mapping[str, str], Iterable[Tuple[str, str]]]],
    subprotocols: Sequence[str],
    origin: Optional[str],
) -> HttpRequest:
    request = create_handshake_request(host=target.authority, path=target.path)
    pairs: List[Tuple[str, str]] = []
    if origin is not None:
        pairs.append(("Origin", origin))
    if subprotocols:
        pairs.append(("Sec-WebSocket-Protocol", ", ".join(subprotocols)))
    if target.authorization is not None:
        pairs.append(("Authorization", target.authorization))
    if headers is not None:
        pairs.extend(headers.items() if hasattr(headers, "items") else headers)
    for name, value in pairs:
        if name.lower() == "host":
            request.headers.set(name, value)
        else:
            request.headers.add(name, value)
    return request


def _tls(
    target: _Target, tls: Optional[Union[ClientTlsContext, TlsConnectionOptions]]
) -> Optional[TlsConnectionOptions]:
    if not target.secure:
        if tls is not None:
            raise ValueError("TLS options were given for a ws:// URL; use wss://")
        return None
    if isinstance(tls, TlsConnectionOptions):
        return tls
    options = (tls or ClientTlsContext(TlsContextOptions())).new_connection_options()
    options.set_server_name(target.host)
    return options


def _proxy(proxy: Optional[Union[str, HttpProxyOptions]]) -> Optional[HttpProxyOptions]:
    if not isinstance(proxy, str):
        return proxy
    parts = urlsplit(proxy)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a proxy's URL is http://[user:password@]host:port or https://...")
    tls = None
    if parts.scheme == "https":
        tls = ClientTlsContext(TlsContextOptions()).new_connection_options()
        tls.set_server_name(parts.hostname)
    options = HttpProxyOptions(parts.hostname, parts.port or (443 if tls else 80), tls)
    if parts.username is not None:
        options.auth_type = HttpProxyAuthenticationType.Basic
        options.auth_username = unquote(parts.username)
        options.auth_password = unquote(parts.password or "")
    return options


class connect:
    """Connect to a WebSocket server: ``async with connect(url) as ws`` or ``ws = await connect(url)``.

    :param url: ``ws://`` or ``wss://``; user and password become an Authorization header (Basic)
    :param headers: further headers of the handshake request
    :param subprotocols: names to offer, the favourite first; the server must then choose one
    :param origin: value of the Origin header
    :param compression: what is offered of permessage-deflate; None: nothing
    :param max_size: of a received message, in bytes after decompression; a longer one ends the connection with code
        1009. None: no limit
    :param tls: for ``wss://``; None: the system's trust store
    :param proxy: an HTTP proxy, or its URL; None: directly
    :param open_timeout: seconds for everything until the handshake is complete; None: no limit
    :param close_timeout: seconds that the peer may take for the closing handshake
    :param ping_interval: seconds between PINGs that keep the connection alive; None: none
    :param ping_timeout: seconds without PONG after which the connection is given up; None: never
    :param bootstrap: event loops and resolver; None: the default ones of the process
    :param socket_options: None: the defaults
    :raises ValueError: an argument makes no sense
    :raises HandshakeError: the server is not there, or refuses
    :raises asyncio.TimeoutError: ``open_timeout`` passed
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Optional[Union[Mapping[str, str], Iterable[Tuple[str, str]]]] = None,
        subprotocols: Sequence[str] = (),
        origin: Optional[str] = None,
        compression: Optional[Compression] = _COMPRESSION,
        max_size: Optional[int] = 1024 * 1024,
        tls: Optional[Union[ClientTlsContext, TlsConnectionOptions]] = None,
        proxy: Optional[Union[str, HttpProxyOptions]] = None,
        open_timeout: Optional[float] = 10,
        close_timeout: Optional[float] = 10,
        ping_interval: Optional[float] = 20,
        ping_timeout: Optional[float] = 20,
        bootstrap: Optional[ClientBootstrap] = None,
        socket_options: Optional[SocketOptions] = None,
    ) -> None:
        if isinstance(subprotocols, str):
            raise TypeError("subprotocols must be a sequence of str, not a str")
        for name, seconds in (("ping_interval", ping_interval), ("ping_timeout", ping_timeout)):
            _milliseconds(seconds, name)
        self._target = _parse(url)
        self._subprotocols = tuple(subprotocols)
        self._request = _request(self._target, headers, self._subprotocols, origin)
        self._open_timeout = open_timeout
        self._keepalive = (ping_interval, ping_timeout)
        self._native = (
            bootstrap,
            socket_options,
            _tls(self._target, tls),
            _proxy(proxy),
        )
        self._limits = (
            2**64 - 1 if max_size is None else max_size,
            # Ends what nobody waits for any more; those who wait give up first.
            min(_milliseconds(open_timeout, "open_timeout") + _GRACE_MS, 2**32 - 1),
            _milliseconds(close_timeout, "close_timeout"),
            None if compression is None else compression._native(),
        )
        self._websocket: Optional[WebSocket] = None

    async def _open(self) -> WebSocket:
        loop = asyncio.get_running_loop()
        websocket = WebSocket(loop, self._subprotocols)
        websocket._start(self._target.host, self._target.port, self._request, *self._native, loop, *self._limits)
        # Cancelling the wait cancels the future; a connection that nobody waits for is closed.
        await asyncio.wait_for(websocket._setup, self._open_timeout)
        websocket._keep_alive(*self._keepalive)
        return websocket

    def __await__(self) -> Generator[Any, None, WebSocket]:
        return self._open().__await__()

    async def __aenter__(self) -> WebSocket:
        self._websocket = await self._open()
        return self._websocket

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        assert self._websocket is not None
        await self._websocket.__aexit__(kind, error, trace)
