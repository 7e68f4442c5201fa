"""HTTP client for asyncio: the engine of :mod:`awscrt.http` with coroutines instead of futures and callbacks.

Events reach the asyncio loop in batches, without the runtime's threads ever taking the GIL.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from awscrt import _http
from awscrt.http import (
    Http2Setting,
    HttpClientConnectionBase,
    HttpClientStreamBase,
    HttpProxyOptions,
    HttpRequest,
    HttpVersion,
    _check_connect_arguments,
    _http2_options,
)
from awscrt.io import ClientBootstrap, InputStream, SocketOptions, TlsConnectionOptions

if TYPE_CHECKING:
    from typing import Any, AsyncIterator, Callable, List, Optional, Tuple, Type

__all__ = [
    "AIOHttp2ClientConnection",
    "AIOHttp2ClientStream",
    "AIOHttpClientConnection",
    "AIOHttpClientConnectionUnified",
    "AIOHttpClientStream",
    "AIOHttpClientStreamUnified",
    "ClientBootstrap",
    "Http2Setting",
    "HttpClientConnectionBase",
    "HttpClientStreamBase",
    "HttpProxyOptions",
    "HttpRequest",
    "HttpVersion",
    "InputStream",
    "SocketOptions",
    "TlsConnectionOptions",
]


async def _connect(
    types: Tuple[Optional[Type[AIOHttpClientConnectionUnified]], Optional[Type[AIOHttpClientConnectionUnified]]],
    host_name: str,
    port: int,
    bootstrap: Optional[ClientBootstrap],
    socket_options: Optional[SocketOptions],
    tls_connection_options: Optional[TlsConnectionOptions],
    proxy_options: Optional[HttpProxyOptions],
    manual_window_management: bool,
    initial_window_size: Optional[int],
    read_buffer_capacity: Optional[int] = None,
    http2_options: Optional[Tuple[Any, ...]] = None,
) -> Any:
    """A connection of the first class for HTTP/1.1, of the second for HTTP/2; None: not that version."""
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
    connecting = _http.connect(
        *types,
        host_name,
        port,
        bootstrap,
        socket_options,
        tls_connection_options,
        proxy_options,
        manual_window_management,
        initial_window_size,
        read_buffer_capacity,
        http2_options,
    )
    # Cancelling this coroutine cancels the future, and a connection that nobody takes is closed.
    return await asyncio.wrap_future(connecting)


class AIOHttpClientConnectionUnified(_http.AsyncConnection):
    """A connection to an HTTP server, whatever the protocol version. Dropping the last reference closes it.

    It may be shared by several asyncio loops: each request belongs to the loop it was made for.
    """

    @classmethod
    async def new(
        cls,
        host_name: str,
        port: int,
        bootstrap: Optional[ClientBootstrap] = None,
        socket_options: Optional[SocketOptions] = None,
        tls_connection_options: Optional[TlsConnectionOptions] = None,
        proxy_options: Optional[HttpProxyOptions] = None,
        manual_window_management: bool = False,
        initial_window_size: Optional[int] = None,
    ) -> AIOHttpClientConnectionUnified:
        """Connect to a server; see :meth:`awscrt.http.HttpClientConnection.new`.

        :return: an :class:`AIOHttp2ClientConnection` when ALPN chooses ``h2``, else an :class:`AIOHttpClientConnection`
        """
        own = cls is not AIOHttpClientConnectionUnified
        connection: AIOHttpClientConnectionUnified = await _connect(
            (cls, cls) if own else (AIOHttpClientConnection, AIOHttp2ClientConnection),
            host_name,
            port,
            bootstrap,
            socket_options,
            tls_connection_options,
            proxy_options,
            manual_window_management,
            initial_window_size,
        )
        return connection

    async def close(self) -> None:
        """Close the connection and wait until it is gone.

        :raises Exception: what ended the connection, when it did not end in order
        """
        # Shielded: a cancelled wait must not cancel the future that others look at.
        await asyncio.shield(asyncio.wrap_future(self._close()))

    def request(
        self,
        request: HttpRequest,
        request_body_generator: Optional[AsyncIterator[bytes]] = None,
        loop: Optional[asyncio.AbstractEventLoop] = None,
    ) -> AIOHttpClientStreamUnified:
        """Send a request.

        :param request: what to send; its ``body_stream`` is the body
        :param request_body_generator: HTTP/2: iterates over bytes-like pieces of the body, which follow those of
            ``body_stream``; the next one is asked for when the one before was sent. Of no effect with HTTP/1.1
        :param loop: asyncio loop that awaits the stream; None: the current one
        :raises RuntimeError: the request breaks a rule of HTTP, or the connection is closed
        :raises TypeError: a generator that cannot be iterated over asynchronously, or a loop that is none
        """
        return AIOHttpClientStreamUnified(self, request, request_body_generator, loop)


class AIOHttpClientConnection(AIOHttpClientConnectionUnified):
    """An HTTP/1.1 connection."""

    @classmethod
    async def new(
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
    ) -> AIOHttpClientConnection:
        """Connect to a server; see :meth:`awscrt.http.HttpClientConnection.new`.

        :raises AwsCrtError: AWS_ERROR_HTTP_UNSUPPORTED_PROTOCOL when the server chooses HTTP/2, and what else went wrong
        """
        connection: AIOHttpClientConnection = await _connect(
            (cls, None),
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
        return connection

    def request(
        self,
        request: HttpRequest,
        request_body_generator: Optional[AsyncIterator[bytes]] = None,
        loop: Optional[asyncio.AbstractEventLoop] = None,
    ) -> AIOHttpClientStream:
        """Send a request; see :meth:`AIOHttpClientConnectionUnified.request`."""
        return AIOHttpClientStream(self, request, loop)


class AIOHttp2ClientConnection(AIOHttpClientConnectionUnified):
    """An HTTP/2 connection."""

    @classmethod
    async def new(
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
    ) -> AIOHttp2ClientConnection:
        """Connect to a server that speaks HTTP/2; see :meth:`awscrt.http.Http2ClientConnection.new`.

        :raises AwsCrtError: AWS_ERROR_HTTP_UNSUPPORTED_PROTOCOL when the server does not choose HTTP/2, and what else
            went wrong
        """
        connection: AIOHttp2ClientConnection = await _connect(
            (None, cls),
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
        )
        return connection

    def request(
        self,
        request: HttpRequest,
        request_body_generator: Optional[AsyncIterator[bytes]] = None,
        loop: Optional[asyncio.AbstractEventLoop] = None,
    ) -> AIOHttp2ClientStream:
        """Send a request; see :meth:`AIOHttpClientConnectionUnified.request`."""
        return AIOHttp2ClientStream(self, request, request_body_generator, loop)

    def update_window(self, increment_size: int) -> None:
        """Let the server send that many more bytes of body on the whole connection.

        No effect unless the connection was made with ``conn_manual_window_management``.
        """
        self._update_window(increment_size)

    async def ping(self) -> float:
        """Ask the server for a sign of life (RFC 9113, section 6.7).

        :return: seconds until it came
        :raises AwsCrtError: the connection ended before
        """
        return await asyncio.wrap_future(self._ping())


class AIOHttpClientStreamUnified(_http.AsyncStream):
    """One request with its response. Its coroutines run on the loop the request was made for.

    Cancelling one of them does the stream no harm: they may be called again.
    """

    __slots__ = ("_writer",)

    def __init__(
        self,
        connection: AIOHttpClientConnectionUnified,
        request: HttpRequest,
        request_body_generator: Optional[AsyncIterator[bytes]] = None,
        loop: Optional[asyncio.AbstractEventLoop] = None,
    ) -> None:
        if loop is None:
            loop = asyncio.get_event_loop()
        elif not isinstance(loop, asyncio.AbstractEventLoop):
            raise TypeError("loop must be an instance of asyncio.AbstractEventLoop")
        if request_body_generator is None or connection.version is not HttpVersion.Http2:
            self._start(connection, request, loop, False)
            return
        if not hasattr(request_body_generator, "__aiter__"):
            raise TypeError("request_body_generator must be asynchronously iterable")
        self._start(connection, request, loop, True)
        # asyncio itself holds tasks weakly.
        self._writer = loop.create_task(self._write_body(request_body_generator))

    async def _write_body(self, generator: AsyncIterator[bytes]) -> None:
        try:
            async for piece in generator:
                sent = self._write(piece)
                if sent is False or not await sent:
                    return  # the stream is over; wait_for_completion() tells why
        finally:
            # Also when the generator raised: the server gets a complete, shorter body.
            self._end_writes()

    async def get_response_status_code(self) -> int:
        """Wait for the status of the response.

        :raises Exception: what ended the stream before the response began
        """
        waiter = self._wait_head()
        if waiter is not None:
            await waiter
        return self._status()

    async def get_response_headers(self) -> List[Tuple[str, str]]:
        """Wait for the headers of the response, in the order received.

        :raises Exception: what ended the stream before the response began
        """
        waiter = self._wait_head()
        if waiter is not None:
            await waiter
        return self._headers()

    async def get_next_response_chunk(self) -> bytes:
        """Wait for the next piece of the body; ``b""`` when no more will come.

        Waiters are served in order, each piece goes to one of them. A failed stream gives ``b""`` as well;
        :meth:`wait_for_completion` tells.
        """
        chunk = self._next_chunk()
        if isinstance(chunk, bytes):
            return chunk
        try:
            return await chunk
        except asyncio.CancelledError:
            # Handed over in the same turn of the loop: somebody else shall have it.
            if chunk.done() and not chunk.cancelled() and chunk.result():
                self._return_chunk(chunk.result())
            raise

    async def wait_for_completion(self) -> int:
        """Wait for the end of the stream.

        :return: status code of the response
        :raises Exception: what ended the stream
        """
        waiter = self._wait_completion()
        if waiter is not None:
            await waiter
        return self._result()


class AIOHttpClientStream(AIOHttpClientStreamUnified):
    """One HTTP/1.1 request with its response."""

    def __init__(
        self,
        connection: AIOHttpClientConnection,
        request: HttpRequest,
        loop: Optional[asyncio.AbstractEventLoop] = None,
    ) -> None:
        super().__init__(connection, request, None, loop)


class AIOHttp2ClientStream(AIOHttpClientStreamUnified):
    """One HTTP/2 request with its response."""

    def __init__(
        self,
        connection: AIOHttp2ClientConnection,
        request: HttpRequest,
        request_body_generator: Optional[AsyncIterator[bytes]] = None,
        loop: Optional[asyncio.AbstractEventLoop] = None,
    ) -> None:
        super().__init__(connection, request, request_body_generator, loop)

    def cancel(self) -> None:
        """End the stream with RST_STREAM(CANCEL). The connection stays open.

        Unless the stream is complete, :meth:`wait_for_completion` then raises AWS_ERROR_HTTP_STREAM_CANCELLED.
        """
        self._cancel()
