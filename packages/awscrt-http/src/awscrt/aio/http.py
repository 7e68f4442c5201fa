"""HTTP client for asyncio: the engine of :mod:`awscrt.http` with coroutines instead of futures and callbacks.

Events reach the asyncio loop in batches, without the runtime's threads ever taking the GIL.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from awscrt import _http
from awscrt.aio._http_client import HttpClient, HttpResponse
from awscrt.http import (
    Http2Setting,
    HttpClientConnectionBase,
    HttpClientStreamBase,
    HttpProxyOptions,
    HttpRequest,
    HttpTimeouts,
    HttpVersion,
    _check_connect_arguments,
    _http2_options,
)
from awscrt.io import ClientBootstrap, InputStream, SocketOptions, TlsConnectionOptions

if TYPE_CHECKING:
    from typing import Any, AsyncIterable, AsyncIterator, Callable, Iterable, List, Optional, Tuple, Type, Union

    from awscrt._http_body import Buffer

    Body = Union[Buffer, InputStream, Iterable[Buffer], AsyncIterable[Buffer], Any]  # Any: with a read() method

__all__ = [
    "AIOHttp2ClientConnection",
    "AIOHttp2ClientStream",
    "AIOHttpClientConnection",
    "AIOHttpClientConnectionUnified",
    "AIOHttpClientStream",
    "AIOHttpClientStreamUnified",
    "ClientBootstrap",
    "Http2Setting",
    "HttpClient",
    "HttpClientConnectionBase",
    "HttpClientStreamBase",
    "HttpProxyOptions",
    "HttpRequest",
    "HttpResponse",
    "HttpTimeouts",
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
    timeouts: Optional[HttpTimeouts] = None,
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
        timeouts,
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
        *,
        timeouts: Optional[HttpTimeouts] = None,
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
            timeouts=timeouts,
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
        *,
        body: Optional[Body] = None,
        readinto: Any = None,
        expect_continue: Optional[float] = None,
        timeouts: Optional[HttpTimeouts] = None,
    ) -> AIOHttpClientStreamUnified:
        """Send a request.

        :param request: what to send; its ``body_stream`` is the body
        :param request_body_generator: iterates over bytes-like pieces of the body, which follow those of
            ``body_stream``; the next one is asked for when the one before was sent. HTTP/1.1 ignores it unless the
            request has ``Transfer-Encoding: chunked`` or a ``Content-Length``, and no ``body_stream``
        :param loop: asyncio loop that awaits the stream; None: the current one
        :param body: the body as a buffer, an object with a ``read`` method, or a plain or asynchronous iterable of
            buffers
        :param readinto: a writable buffer or a binary file that the response body goes to, instead of
            ``get_next_response_chunk``. A file is written on the event-loop thread
        :param expect_continue: seconds that the body of a request with ``Expect: 100-continue`` waits for the server's
            word (HTTP/1.1); None: it follows at once. A final response before that ends the connection
        :param timeouts: None: those of the connection
        :raises RuntimeError: the request breaks a rule of HTTP, or the connection is closed
        :raises TypeError: a generator that cannot be iterated over asynchronously, or a loop that is none
        """
        return AIOHttpClientStreamUnified(
            self,
            request,
            request_body_generator,
            loop,
            body=body,
            readinto=readinto,
            expect_continue=expect_continue,
            timeouts=timeouts,
        )


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
        *,
        timeouts: Optional[HttpTimeouts] = None,
    ) -> AIOHttpClientConnection:
        """Connect to a server; see :meth:`awscrt.http.HttpClientConnection.new`.

        :raises AwsCrtError: AWS_ERROR_HTTP_UNSUPPORTED_PROTOCOL when the server chooses HTTP/2, and what else went
            wrong
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
            timeouts=timeouts,
        )
        return connection

    def request(
        self,
        request: HttpRequest,
        request_body_generator: Optional[AsyncIterator[bytes]] = None,
        loop: Optional[asyncio.AbstractEventLoop] = None,
        *,
        body: Optional[Body] = None,
        readinto: Any = None,
        expect_continue: Optional[float] = None,
        timeouts: Optional[HttpTimeouts] = None,
    ) -> AIOHttpClientStream:
        """Send a request; see :meth:`AIOHttpClientConnectionUnified.request`."""
        return AIOHttpClientStream(
            self,
            request,
            loop,
            request_body_generator=request_body_generator,
            body=body,
            readinto=readinto,
            expect_continue=expect_continue,
            timeouts=timeouts,
        )


class AIOHttp2ClientConnection(AIOHttpClientConnectionUnified):
    """An HTTP/2 connection."""

    @classmethod
    async def new(  # type: ignore[override]  # the order of the reference
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
            timeouts,
        )
        return connection

    def request(
        self,
        request: HttpRequest,
        request_body_generator: Optional[AsyncIterator[bytes]] = None,
        loop: Optional[asyncio.AbstractEventLoop] = None,
        *,
        body: Optional[Body] = None,
        readinto: Any = None,
        expect_continue: Optional[float] = None,
        timeouts: Optional[HttpTimeouts] = None,
    ) -> AIOHttp2ClientStream:
        """Send a request; see :meth:`AIOHttpClientConnectionUnified.request`."""
        return AIOHttp2ClientStream(
            self,
            request,
            request_body_generator,
            loop,
            body=body,
            readinto=readinto,
            expect_continue=expect_continue,
            timeouts=timeouts,
        )

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


def _is_framed(request: HttpRequest) -> bool:
    """Whether HTTP/1.1 can tell the server where the generator's body ends (RFC 9112, section 6), and has no other."""
    headers = request.headers
    if request.body_stream is not None:
        return False
    return headers.get("Transfer-Encoding") is not None or headers.get("Content-Length", "0") != "0"


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
        *,
        body: Optional[Body] = None,
        readinto: Any = None,
        expect_continue: Optional[float] = None,
        timeouts: Optional[HttpTimeouts] = None,
    ) -> None:
        if loop is None:
            loop = asyncio.get_event_loop()
        elif not isinstance(loop, asyncio.AbstractEventLoop):
            raise TypeError("loop must be an instance of asyncio.AbstractEventLoop")
        if hasattr(body, "__aiter__"):
            if request_body_generator is not None:
                raise ValueError("body and request_body_generator exclude each other")
            request_body_generator, body = cast("AsyncIterator[bytes]", body), None
        elif request_body_generator and connection.version is not HttpVersion.Http2 and not _is_framed(request):
            request_body_generator = None
        extras = (body, readinto, expect_continue, timeouts)
        if request_body_generator is None:
            self._start(connection, request, loop, False, *extras)
            return
        if not hasattr(request_body_generator, "__aiter__"):
            raise TypeError("request_body_generator must be asynchronously iterable")
        self._start(connection, request, loop, True, *extras)
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

    def get_informational_responses(self) -> List[Tuple[int, List[Tuple[str, str]]]]:
        """Status and headers of each informational response so far, 101 excluded (RFC 9110, section 15.2)."""
        return self._interim()

    async def get_response_trailers(self) -> List[Tuple[str, str]]:
        """Wait for the end of the stream; the fields behind its body (RFC 9110, section 6.5), if there are any.

        :raises Exception: what ended the stream
        """
        await self.wait_for_completion()
        return self._trailers()

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
        *,
        request_body_generator: Optional[AsyncIterator[bytes]] = None,
        body: Optional[Body] = None,
        readinto: Any = None,
        expect_continue: Optional[float] = None,
        timeouts: Optional[HttpTimeouts] = None,
    ) -> None:
        super().__init__(
            connection,
            request,
            request_body_generator,
            loop,
            body=body,
            readinto=readinto,
            expect_continue=expect_continue,
            timeouts=timeouts,
        )

    def cancel(self) -> None:
        """End the stream, and its connection with it: a response cannot be left out of their order.

        Unless the stream is complete, :meth:`wait_for_completion` then raises AWS_ERROR_HTTP_STREAM_CANCELLED.
        """
        self._cancel()


class AIOHttp2ClientStream(AIOHttpClientStreamUnified):
    """One HTTP/2 request with its response."""

    def __init__(
        self,
        connection: AIOHttp2ClientConnection,
        request: HttpRequest,
        request_body_generator: Optional[AsyncIterator[bytes]] = None,
        loop: Optional[asyncio.AbstractEventLoop] = None,
        *,
        body: Optional[Body] = None,
        readinto: Any = None,
        expect_continue: Optional[float] = None,
        timeouts: Optional[HttpTimeouts] = None,
    ) -> None:
        super().__init__(
            connection,
            request,
            request_body_generator,
            loop,
            body=body,
            readinto=readinto,
            expect_continue=expect_continue,
            timeouts=timeouts,
        )

    def cancel(self) -> None:
        """End the stream with RST_STREAM(CANCEL). The connection stays open.

        Unless the stream is complete, :meth:`wait_for_completion` then raises AWS_ERROR_HTTP_STREAM_CANCELLED.
        """
        self._cancel()
