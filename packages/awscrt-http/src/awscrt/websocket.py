"""WebSocket client (RFC 6455): connections that send and receive frames, with callbacks.

:func:`connect` reports through callbacks, which run on the connection's event-loop thread, one at a time. For asyncio,
whole messages and compression see :mod:`awscrt.aio.websocket`.
"""

from __future__ import annotations

import base64
import os
import sys
from dataclasses import dataclass
from enum import IntEnum

import awscrt.exceptions  # noqa: F401  (users reach it through this module)
from awscrt import NativeResource, _http
from awscrt.http import HttpProxyOptions, HttpRequest
from awscrt.io import ClientBootstrap, SocketOptions, TlsConnectionOptions

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    from typing import Callable, Optional, Sequence, Tuple, Union

__all__ = [
    "MAX_PAYLOAD_LENGTH",
    "IncomingFrame",
    "OnConnectionSetupData",
    "OnConnectionShutdownData",
    "OnIncomingFrameBeginData",
    "OnIncomingFrameCompleteData",
    "OnIncomingFramePayloadData",
    "OnSendFrameCompleteData",
    "Opcode",
    "WebSocket",
    "connect",
    "create_handshake_request",
    "ClientBootstrap",
    "HttpProxyOptions",
    "HttpRequest",
    "NativeResource",
    "SocketOptions",
    "TlsConnectionOptions",
]

MAX_PAYLOAD_LENGTH = 0x7FFFFFFFFFFFFFFF
"""The longest payload a frame can have, in bytes (RFC 6455, section 5.2)."""


class Opcode(IntEnum):
    """What a frame is (RFC 6455, section 5.2)."""

    CONTINUATION = 0x0
    """The next fragment of a message."""
    TEXT = 0x1
    """A message of UTF-8 text, or its first fragment."""
    BINARY = 0x2
    """A message of bytes, or its first fragment."""
    CLOSE = 0x8
    """The closing handshake."""
    PING = 0x9
    """Asks for a PONG."""
    PONG = 0xA
    """The answer to a PING."""

    def is_data_frame(self) -> bool:
        """True for TEXT, BINARY and CONTINUATION; the others control the connection."""
        return self < Opcode.CLOSE


@dataclass
class OnConnectionSetupData:
    """The outcome of :func:`connect`.

    :ivar exception: why there is no connection; None when there is
    :ivar websocket: the connection; it closes when the last reference is dropped
    :ivar handshake_response_status: status of the server's response; None when there was no complete head
    :ivar handshake_response_headers: its headers as (name, value), in the order received
    :ivar handshake_response_body: body of a response that refuses; None when there is none or it is not complete
    """

    exception: Optional[Exception] = None
    websocket: Optional[WebSocket] = None
    handshake_response_status: Optional[int] = None
    handshake_response_headers: Optional[Sequence[Tuple[str, str]]] = None
    handshake_response_body: bytes = None  # type: ignore[assignment]


@dataclass
class OnConnectionShutdownData:
    """The end of a connection.

    :ivar exception: None after :meth:`WebSocket.close`, else the cause
    """

    exception: Optional[Exception] = None


@dataclass
class IncomingFrame:
    """A frame that is being received. The callbacks of one frame are given the same object.

    :ivar opcode: what it is
    :ivar payload_length: bytes of payload
    :ivar fin: True for the last (or only) frame of a message
    """

    opcode: Opcode
    payload_length: int
    fin: bool

    def is_data_frame(self) -> bool:
        """True for TEXT, BINARY and CONTINUATION; the others control the connection."""
        return self.opcode.is_data_frame()


@dataclass
class OnIncomingFrameBeginData:
    """A frame begins."""

    frame: IncomingFrame


@dataclass
class OnIncomingFramePayloadData:
    """A piece of a frame's payload.

    :ivar data: the bytes; pieces may be of any length but 0
    """

    frame: IncomingFrame
    data: bytes


@dataclass
class OnIncomingFrameCompleteData:
    """A frame ends.

    :ivar exception: None when all of it was received
    """

    frame: IncomingFrame
    exception: Optional[Exception] = None


@dataclass
class OnSendFrameCompleteData:
    """A frame of :meth:`WebSocket.send_frame` left.

    :ivar exception: None when it was handed to the operating system
    """

    exception: Optional[Exception] = None


class WebSocket(NativeResource):
    """A connection, as :func:`connect` hands it to ``on_connection_setup``. Its methods may be called on any thread.

    It closes when the last reference is dropped; registered callbacks are none.
    """

    __slots__ = ("__dict__",)

    def __init__(self, binding: _http.WebSocketBinding) -> None:
        super().__init__()
        self._binding = binding

    def close(self) -> None:
        """Close: a CLOSE frame without payload goes out unless one was sent, then the connection ends.

        Returns at once, and may be called again. The peer's CLOSE is not waited for.
        """
        self._binding.close()

    def send_frame(
        self,
        opcode: Opcode,
        payload: Optional[Union[str, bytes, bytearray, memoryview]] = None,
        *,
        fin: bool = True,
        on_complete: Optional[Callable[[OnSendFrameCompleteData], None]] = None,
    ) -> None:
        """Send a frame. Frames go out in the order of the calls.

        :param opcode: what it is; fragments after the first are CONTINUATION
        :param payload: None: empty; str is sent as UTF-8. Must not change before the frame is complete.
        :param fin: False when more fragments of the message follow
        :param on_complete: called once when the frame was written or failed, unless this method raises
        :raises ValueError: not an opcode
        :raises TypeError: a payload of another type
        :raises RuntimeError: the connection is closed, or a CLOSE frame was sent
        """
        self._binding.send(opcode if type(opcode) is Opcode else Opcode(opcode), payload, fin, on_complete)

    def increment_read_window(self, size: int) -> None:
        """Let more payload of data frames in; of effect with ``manage_read_window`` alone.

        :param size: bytes, added to what is left of the window
        :raises ValueError: negative
        :raises OverflowError: 2**63 or more
        """
        if size < 0:
            raise ValueError("Increment size cannot be negative")
        self._binding.credit(_checked_size(size))


def _checked_size(size: int) -> int:
    if size > MAX_PAYLOAD_LENGTH:
        raise OverflowError(f"{size} does not fit into 63 bits")
    return size


def _report(name: Optional[str], exception: BaseException) -> None:
    """A user's callback raised: say so on stderr, through sys.excepthook."""
    callback = f"WebSocket {name} callback" if name else "WebSocket.send_frame on_complete callback"
    print(f"Exception in {callback}", file=sys.stderr)
    sys.excepthook(type(exception), exception, exception.__traceback__)


class _Connection:
    """What the native part tells of a connection's beginning and end."""

    __slots__ = ("on_setup", "on_shutdown")

    def __init__(
        self,
        on_setup: Callable[[OnConnectionSetupData], None],
        on_shutdown: Optional[Callable[[OnConnectionShutdownData], None]],
    ) -> None:
        self.on_setup = on_setup
        self.on_shutdown = on_shutdown

    def _on_setup(
        self,
        binding: Optional[_http.WebSocketBinding],
        answer: Tuple[Optional[Exception], Optional[int], Optional[Sequence[Tuple[str, str]]], Optional[bytes]],
    ) -> None:
        exception, status, headers, body = answer
        websocket = None if binding is None else WebSocket(binding)
        data = OnConnectionSetupData(exception, websocket, status, headers, body)  # type: ignore[arg-type]
        try:
            self.on_setup(data)
        except BaseException as error:
            _report("on_connection_setup", error)
            if websocket is not None:
                websocket.close()

    def _on_shutdown(self, exception: Optional[Exception]) -> None:
        if self.on_shutdown is None:
            return
        try:
            self.on_shutdown(OnConnectionShutdownData(exception))
        except BaseException as error:
            _report("on_connection_shutdown", error)


def connect(
    *,
    host: str,
    port: Optional[int] = None,
    handshake_request: HttpRequest,
    bootstrap: Optional[ClientBootstrap] = None,
    socket_options: Optional[SocketOptions] = None,
    tls_connection_options: Optional[TlsConnectionOptions] = None,
    proxy_options: Optional[HttpProxyOptions] = None,
    manage_read_window: bool = False,
    initial_read_window: Optional[int] = None,
    on_connection_setup: Callable[[OnConnectionSetupData], None],
    on_connection_shutdown: Optional[Callable[[OnConnectionShutdownData], None]] = None,
    on_incoming_frame_begin: Optional[Callable[[OnIncomingFrameBeginData], None]] = None,
    on_incoming_frame_payload: Optional[Callable[[OnIncomingFramePayloadData], None]] = None,
    on_incoming_frame_complete: Optional[Callable[[OnIncomingFrameCompleteData], None]] = None,
) -> None:
    """Begin to connect; ``on_connection_setup`` tells the outcome, unless this function raises.

    :param host: name or address to connect to; the Host header is the request's
    :param port: None: 443 with TLS, 80 without
    :param handshake_request: see :func:`create_handshake_request`; further headers may be added
    :param bootstrap: event loops and resolver; None: the default ones of the process
    :param socket_options: None: the defaults
    :param tls_connection_options: None: clear text. Do not offer ``h2`` by ALPN.
    :param proxy_options: None: directly
    :param manage_read_window: payload of data frames is held back until ``increment_read_window`` asks for it
    :param initial_read_window: bytes that may be received at first; needed with ``manage_read_window``
    :param on_connection_setup: called once
    :param on_connection_shutdown: called once after a successful setup, last of all
    :param on_incoming_frame_begin: a frame begins
    :param on_incoming_frame_payload: a piece of its payload
    :param on_incoming_frame_complete: it ends
    :raises ValueError: the window is missing or negative
    :raises RuntimeError: the request is no handshake: its method is not GET, it has no path or no Sec-WebSocket-Key,
        or it asks for extensions
    """
    window = None
    if manage_read_window:
        if initial_read_window is None:
            raise ValueError("'initial_read_window' must be set if 'manage_read_window' is enabled")
        if initial_read_window < 0:
            raise ValueError("'initial_read_window' cannot be negative")
        window = _checked_size(initial_read_window)
    elif initial_read_window is not None:
        _checked_size(initial_read_window)
    _http.websocket_connect(
        host,
        port,
        handshake_request,
        bootstrap,
        socket_options,
        tls_connection_options,
        proxy_options,
        _Connection(on_connection_setup, on_connection_shutdown),
        window,
        on_incoming_frame_begin,
        on_incoming_frame_payload,
        on_incoming_frame_complete,
    )


def create_handshake_request(*, host: str, path: str = "/") -> HttpRequest:
    """The request that opens a WebSocket connection (RFC 6455, section 4.1), with a fresh random key.

    :param host: value of the Host header
    :param path: target of the request, with query
    :raises TypeError: an argument is not a str
    """
    if not isinstance(host, str) or not isinstance(path, str):
        raise TypeError("host and path must be str")
    request = HttpRequest("GET", path)
    request.headers.add_pairs(
        [
            ("Host", host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode("ascii")),
            ("Sec-WebSocket-Version", "13"),
        ]
    )
    return request


_http.use_websocket_types(
    # What cannot come (the decoder refuses it) has no entry.
    tuple({int(opcode): opcode for opcode in Opcode}.get(value) for value in range(16)),
    IncomingFrame,
    OnIncomingFrameBeginData,
    OnIncomingFramePayloadData,
    OnIncomingFrameCompleteData,
    OnSendFrameCompleteData,
    _report,
)
