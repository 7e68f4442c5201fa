"""HTTP client: connections, and streams that carry one request with its response each.

Connections speak HTTP/1.1 (RFC 9112) or HTTP/2 (RFC 9113), as agreed with the server by ALPN. Asynchronous failures
arrive in futures as :class:`awscrt.exceptions.AwsCrtError`; calls that fail at once raise RuntimeError.
"""

from __future__ import annotations

from enum import IntEnum
from functools import partial

import awscrt.exceptions  # noqa: F401  (users reach it through this module)
from awscrt import NativeResource, _http
from awscrt._http import (
    HttpClientConnectionBase,
    HttpClientStreamBase,
    HttpConnectionBase,
    HttpHeaders,
    HttpMessageBase,
    HttpRequest,
    HttpStreamBase,
)
from awscrt.io import ClientBootstrap, InputStream, SocketOptions, TlsConnectionOptions

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Any, Callable, ClassVar, Dict, List, Optional, Sequence, Tuple

__all__ = [
    "Http2ClientConnection",
    "Http2ClientStream",
    "Http2Setting",
    "Http2SettingID",
    "HttpClient",
    "HttpClientConnection",
    "HttpClientConnectionBase",
    "HttpClientStream",
    "HttpClientStreamBase",
    "HttpConnectionBase",
    "HttpHeaders",
    "HttpMessageBase",
    "HttpProxyAuthenticationType",
    "HttpProxyConnectionType",
    "HttpProxyOptions",
    "HttpRequest",
    "HttpResponse",
    "HttpStreamBase",
    "HttpTimeouts",
    "HttpVersion",
    "ClientBootstrap",
    "InputStream",
    "NativeResource",
    "SocketOptions",
    "TlsConnectionOptions",
]


class HttpVersion(IntEnum):
    """Protocol version of a connection."""

    Unknown = 0
    Http1_0 = 1
    Http1_1 = 2
    Http2 = 3


class Http2SettingID(IntEnum):
    """Parameters of an HTTP/2 connection (RFC 9113, section 6.5.2)."""

    HEADER_TABLE_SIZE = 1
    """Bytes of the table that header compression may use."""
    ENABLE_PUSH = 2
    """1 when the server may send what was not asked for. This client refuses it in any case."""
    MAX_CONCURRENT_STREAMS = 3
    """Streams that the other side may have open at once."""
    INITIAL_WINDOW_SIZE = 4
    """Bytes of body that each new stream may receive before it is given more credit."""
    MAX_FRAME_SIZE = 5
    """Largest payload of a frame, in bytes."""
    MAX_HEADER_LIST_SIZE = 6
    """Names and values of the headers of a message, in bytes, plus 32 for each header."""


class Http2Setting:
    """A parameter of an HTTP/2 connection and its value.

    :param id: which one
    :param value: its value, in the range of :attr:`VALID_RANGES`
    :raises ValueError: the value is out of range
    :raises AssertionError: an argument of a wrong type
    """

    VALID_RANGES: ClassVar[Dict[Http2SettingID, Tuple[int, int]]] = {
        Http2SettingID.HEADER_TABLE_SIZE: (0, 2**32 - 1),
        Http2SettingID.ENABLE_PUSH: (0, 1),
        Http2SettingID.MAX_CONCURRENT_STREAMS: (0, 2**32 - 1),
        Http2SettingID.INITIAL_WINDOW_SIZE: (0, 2**31 - 1),
        Http2SettingID.MAX_FRAME_SIZE: (2**14, 2**24 - 1),
        Http2SettingID.MAX_HEADER_LIST_SIZE: (0, 2**32 - 1),
    }

    def __init__(self, id: Http2SettingID, value: int) -> None:
        assert isinstance(id, Http2SettingID)
        assert isinstance(value, int)
        lowest, highest = self.VALID_RANGES[id]
        if not lowest <= value <= highest:
            raise ValueError(f"{id.name} must be between {lowest} and {highest}, got {value}")
        self.id = id
        self.value = value

    def __str__(self) -> str:
        return f"Http2Setting({self.id.name}={self.value})"


class HttpProxyConnectionType(IntEnum):
    """What is asked of a proxy (RFC 9110, sections 7.4 and 9.3.6)."""

    Legacy = 0
    """Forwarding without TLS to the origin, tunneling with TLS."""
    Forwarding = 1
    """The proxy reads and forwards requests. Impossible with TLS to the origin."""
    Tunneling = 2
    """The proxy connects to the origin and passes bytes through (CONNECT)."""


class HttpProxyAuthenticationType(IntEnum):
    """How to authenticate with a proxy."""

    Nothing = 0
    Basic = 1
    """User name and password in clear (RFC 7617)."""


class HttpProxyOptions:
    """An HTTP proxy on the way to the server. Environment variables such as HTTP_PROXY are never read.

    :param host_name: name or address of the proxy
    :param port: TCP port of the proxy
    :param tls_connection_options: TLS to the proxy itself; None: clear text
    :param auth_type: kind of authentication
    :param auth_username: for Basic; None counts as empty
    :param auth_password: for Basic; None counts as empty
    :param connection_type: what is asked of the proxy
    """

    def __init__(
        self,
        host_name: str,
        port: int,
        tls_connection_options: Optional[TlsConnectionOptions] = None,
        auth_type: HttpProxyAuthenticationType = HttpProxyAuthenticationType.Nothing,
        auth_username: Optional[str] = None,
        auth_password: Optional[str] = None,
        connection_type: HttpProxyConnectionType = HttpProxyConnectionType.Legacy,
    ) -> None:
        self.host_name = host_name
        self.port = port
        self.tls_connection_options = tls_connection_options
        self.auth_type = auth_type
        self.auth_username = auth_username
        self.auth_password = auth_password
        self.connection_type = connection_type


def _check_connect_arguments(
    host_name: str,
    port: int,
    bootstrap: Optional[ClientBootstrap],
    socket_options: Optional[SocketOptions],
    tls_connection_options: Optional[TlsConnectionOptions],
    proxy_options: Optional[HttpProxyOptions],
    manual_window_management: bool,
    initial_window_size: Optional[int],
) -> None:
    assert isinstance(host_name, str)
    assert isinstance(port, int)
    assert isinstance(bootstrap, ClientBootstrap) or bootstrap is None
    assert isinstance(socket_options, SocketOptions) or socket_options is None
    assert isinstance(tls_connection_options, TlsConnectionOptions) or tls_connection_options is None
    assert isinstance(proxy_options, HttpProxyOptions) or proxy_options is None
    assert initial_window_size is not None or not manual_window_management


def _tell_settings(callback: Callable[..., None], entries: List[Tuple[int, int]]) -> None:
    callback(settings=[Http2Setting(Http2SettingID(id), value) for id, value in entries])


class HttpTimeouts:
    """How long the steps of connecting and of an exchange may take. What is late fails, and the error names the step.

    :param connect: seconds from the name to an open connection, proxy and TLS included: AWS_IO_SOCKET_TIMEOUT
    :param tls: seconds of each TLS handshake, instead of the TLS options' own: AWS_IO_TLS_NEGOTIATION_TIMEOUT
    :param first_byte: seconds from the last byte of the request to the first of the response:
        AWS_ERROR_HTTP_RESPONSE_FIRST_BYTE_TIMEOUT
    :param idle: seconds without a byte either way, while the server is waited for: AWS_IO_SOCKET_TIMEOUT
    :param total: seconds from activation to completion: AWS_IO_SOCKET_TIMEOUT

    None means no limit.
    """

    __slots__ = ("connect", "tls", "first_byte", "idle", "total")

    def __init__(
        self,
        *,
        connect: Optional[float] = None,
        tls: Optional[float] = None,
        first_byte: Optional[float] = None,
        idle: Optional[float] = None,
        total: Optional[float] = None,
    ) -> None:
        self.connect = connect
        self.tls = tls
        self.first_byte = first_byte
        self.idle = idle
        self.total = total

    def __repr__(self) -> str:
        given = ((name, getattr(self, name)) for name in self.__slots__)
        return f"HttpTimeouts({', '.join(f'{name}={value!r}' for name, value in given if value is not None)})"

    def _milliseconds(self) -> Tuple[int, ...]:
        return tuple(_milliseconds(name, getattr(self, name)) for name in self.__slots__)


def _milliseconds(name: str, seconds: Optional[float]) -> int:
    """0 stands for no limit; part of a millisecond counts as a whole one."""
    if seconds is None:
        return 0
    if not isinstance(seconds, (int, float)):
        raise TypeError(f"HttpTimeouts.{name} is a number of seconds or None, not {seconds!r}")
    if not 0 < seconds < 4_000_000:
        raise ValueError(f"HttpTimeouts.{name} must be more than 0 and less than 4,000,000 seconds, got {seconds}")
    return max(1, int(seconds * 1000 + 0.5))


def _http2_options(
    initial_settings: Optional[Sequence[Http2Setting]],
    on_remote_settings_changed: Optional[Callable[..., None]],
    conn_manual_window_management: bool,
    conn_window_size_threshold: Optional[int],
    stream_window_size_threshold: Optional[int],
    prior_knowledge: bool = False,
) -> Tuple[Any, ...]:
    """The last argument of ``_http.connect``."""
    assert initial_settings is None or isinstance(initial_settings, (list, tuple))
    assert on_remote_settings_changed is None or callable(on_remote_settings_changed)
    return (
        initial_settings,
        partial(_tell_settings, on_remote_settings_changed) if on_remote_settings_changed else None,
        conn_manual_window_management,
        conn_window_size_threshold,
        stream_window_size_threshold,
        prior_knowledge,
    )


class HttpClientConnection(_http.ClientConnection):
    """An HTTP/1.1 connection to a server. Dropping the last reference closes it.

    Requests may be made while earlier ones are under way: they are sent back to back, and the responses come in the
    same order (RFC 9112, section 9.3.2).
    """

    @classmethod
    def new(
        cls,
        host_name: str,
        port: int,
        bootstrap: Optional[ClientBootstrap] = None,
        socket_options: Optional[SocketOptions] = None,
        tls_connection_options: Optional[TlsConnectionOptions] = None,
        proxy_options: Optional[HttpProxyOptions] = None,
        manual_window_management: bool = False,
        initial_window_size: Optional[int] = None,
        read_buffer_capacity: Optional[int] = None,
        *,
        timeouts: Optional[HttpTimeouts] = None,
    ) -> Future[HttpClientConnection]:
        """Connect to a server. It becomes an :class:`Http2ClientConnection` when ALPN chooses ``h2``.

        :param host_name: name or address; a path with ``SocketDomain.Local``
        :param port: TCP port, 1 to 65535
        :param bootstrap: event loops and resolver; None: the default ones of the process
        :param socket_options: None: the defaults
        :param tls_connection_options: None: clear text
        :param proxy_options: None: directly
        :param manual_window_management: body bytes are held back until ``update_window`` asks for them
        :param initial_window_size: bytes of body each stream may receive at first; needed for a manual window
        :param read_buffer_capacity: accepted and checked; the buffer adapts to the flow by itself
        :param timeouts: of connecting, and of each request that brings none of its own; None: no limits but those of
            ``socket_options`` and ``tls_connection_options``
        :return: future of the connection; it fails with what went wrong, host and port in its message
        :raises AssertionError: an argument of a wrong type
        """
        _check_connect_arguments(
            host_name,
            port,
            bootstrap,
            socket_options,
            tls_connection_options,
            proxy_options,
            manual_window_management,
            initial_window_size,
        )
        return _http.connect(
            cls,
            Http2ClientConnection,
            host_name,
            port,
            bootstrap,
            socket_options,
            tls_connection_options,
            proxy_options,
            manual_window_management,
            initial_window_size,
            read_buffer_capacity,
            None,
            timeouts,
        )


class Http2ClientConnection(_http.Http2Connection):
    """An HTTP/2 connection to a server (RFC 9113). Dropping the last reference closes it.

    Its streams run at the same time and fail one by one. The server may limit their number; streams beyond it fail with
    AWS_ERROR_HTTP_MAX_CONCURRENT_STREAMS_EXCEEDED.
    """

    @classmethod
    def new(
        cls,
        host_name: str,
        port: int,
        bootstrap: Optional[ClientBootstrap] = None,
        socket_options: Optional[SocketOptions] = None,
        tls_connection_options: Optional[TlsConnectionOptions] = None,
        proxy_options: Optional[HttpProxyOptions] = None,
        initial_settings: Optional[List[Http2Setting]] = None,
        on_remote_settings_changed: Optional[Callable[[List[Http2Setting]], None]] = None,
        manual_window_management: bool = False,
        initial_window_size: Optional[int] = None,
        conn_manual_window_management: bool = False,
        conn_window_size_threshold: Optional[int] = None,
        stream_window_size_threshold: Optional[int] = None,
        *,
        prior_knowledge: bool = False,
        timeouts: Optional[HttpTimeouts] = None,
    ) -> Future[Http2ClientConnection]:
        """Connect to a server that speaks HTTP/2. The TLS options must offer ``h2`` through ALPN.

        :param host_name: name or address; a path with ``SocketDomain.Local``
        :param port: TCP port, 1 to 65535
        :param bootstrap: event loops and resolver; None: the default ones of the process
        :param socket_options: None: the defaults
        :param tls_connection_options: None: clear text, which needs ``prior_knowledge``
        :param proxy_options: None: directly
        :param initial_settings: sent in the first SETTINGS frame, in this order
        :param on_remote_settings_changed: called as ``on_remote_settings_changed(settings=[Http2Setting, ...])`` on the
            event-loop thread for each SETTINGS frame of the server, with what it changed
        :param manual_window_management: body bytes are held back by the server until ``update_window`` of a stream
            asks for them
        :param initial_window_size: bytes of body each stream may receive at first; needed for a manual window
        :param conn_manual_window_management: the same for the connection as a whole and its ``update_window``
        :param conn_window_size_threshold: bytes; credit for the connection goes out when its window is smaller.
            None: 32,767, or half of the largest window when it is not managed by hand
        :param stream_window_size_threshold: bytes; None: half of the initial window in force when the stream is
            activated. Streams that are not managed by hand then start from there and grow with the flow
        :param prior_knowledge: the server is known to speak HTTP/2, also in clear text (RFC 9113, section 3.3)
        :param timeouts: of connecting, and of each request that brings none of its own
        :return: future of the connection; it fails with what went wrong, host and port in its message, and with
            AWS_ERROR_HTTP_UNSUPPORTED_PROTOCOL when the server does not choose HTTP/2
        :raises AssertionError: an argument of a wrong type
        """
        _check_connect_arguments(
            host_name,
            port,
            bootstrap,
            socket_options,
            tls_connection_options,
            proxy_options,
            manual_window_management,
            initial_window_size,
        )
        return _http.connect(
            None,
            cls,
            host_name,
            port,
            bootstrap,
            socket_options,
            tls_connection_options,
            proxy_options,
            manual_window_management,
            initial_window_size,
            None,
            _http2_options(
                initial_settings,
                on_remote_settings_changed,
                conn_manual_window_management,
                conn_window_size_threshold,
                stream_window_size_threshold,
                prior_knowledge,
            ),
            timeouts,
        )


class HttpClientStream(_http.ClientStream):
    """One request with its response; :meth:`HttpClientConnection.request` makes it.

    Callbacks run on the connection's event-loop thread, in order: ``on_response`` once, ``on_body`` zero or more
    times, then ``completion_future``. One that raises ends the connection; ``completion_future`` then fails, and
    the exception is the cause of its exception.
    """


class Http2ClientStream(_http.Http2Stream):
    """One request with its response; :meth:`Http2ClientConnection.request` makes it.

    Callbacks run on the connection's event-loop thread, in order: ``on_response`` once, ``on_body`` zero or more
    times, then ``completion_future``. One that raises ends the stream with RST_STREAM(INTERNAL_ERROR);
    ``completion_future`` then fails, and the exception is the cause of its exception.
    """


_http.use_stream_types(HttpClientStream, Http2ClientStream)

from awscrt._http_client import HttpClient, HttpResponse  # noqa: E402  (they use the above)
