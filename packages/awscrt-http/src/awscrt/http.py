"""HTTP client: connections, and streams that carry one request with its response each.

Connections speak HTTP/1.1 (RFC 9112). Asynchronous failures arrive in futures as
:class:`awscrt.exceptions.AwsCrtError`; calls that fail at once raise RuntimeError.
"""

from __future__ import annotations

from enum import IntEnum

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
    from typing import Optional

__all__ = [
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
    "HttpStreamBase",
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


class HttpClientConnection(_http.ClientConnection):
    """A connection to an HTTP server. Dropping the last reference closes it.

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
    ) -> Future[HttpClientConnection]:
        """Connect to a server.

        :param host_name: name or address; a path with ``SocketDomain.Local``
        :param port: TCP port, 1 to 65535
        :param bootstrap: event loops and resolver; None: the default ones of the process
        :param socket_options: None: the defaults
        :param tls_connection_options: None: clear text
        :param proxy_options: None: directly
        :param manual_window_management: body bytes are held back until ``update_window`` asks for them
        :param initial_window_size: bytes of body each stream may receive at first; needed for a manual window
        :param read_buffer_capacity: accepted and checked; the buffer adapts to the flow by itself
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
            host_name,
            port,
            bootstrap,
            socket_options,
            tls_connection_options,
            proxy_options,
            manual_window_management,
            initial_window_size,
            read_buffer_capacity,
        )


class HttpClientStream(_http.ClientStream):
    """One request with its response; :meth:`HttpClientConnection.request` makes it.

    Callbacks run on the connection's event-loop thread, in order: ``on_response`` once, ``on_body`` zero or more
    times, then ``completion_future``. One that raises ends the connection; ``completion_future`` then fails, and
    the exception is the cause of its exception.
    """


_http.use_stream_type(HttpClientStream)
