"""HTTP client for asyncio: the engine of :mod:`awscrt.http` with coroutines instead of futures and callbacks.

Events reach the asyncio loop in batches, without the runtime's threads ever taking the GIL.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from awscrt import _http
from awscrt.http import (
    HttpClientConnectionBase,
    HttpClientStreamBase,
    HttpProxyOptions,
    HttpRequest,
    HttpVersion,
    _check_connect_arguments,
)
from awscrt.io import ClientBootstrap, InputStream, SocketOptions, TlsConnectionOptions

if TYPE_CHECKING:
    from typing import AsyncIterator, List, Optional, Tuple, Type, TypeVar

    _Connection = TypeVar("_Connection", bound="AIOHttpClientConnectionUnified")

__all__ = [
    "AIOHttpClientConnection",
    "AIOHttpClientConnectionUnified",
    "AIOHttpClientStream",
    "AIOHttpClientStreamUnified",
    "ClientBootstrap",
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
    cls: Type[_Connection],
    host_name: str,
    port: int,
    bootstrap: Optional[ClientBootstrap],
    socket_options: Optional[SocketOptions],
    tls_connection_options: Optional[TlsConnectionOptions],
    proxy_options: Optional[HttpProxyOptions],
    manual_window_management: bool,
    initial_window_size: Optional[int],
    read_buffer_capacity: Optional[int],
) -> _Connection:
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

        :return: an :class:`AIOHttpClientConnection`
        """
        return await _connect(
            cls if cls is not AIOHttpClientConnectionUnified else AIOHttpClientConnection,
            host_name,
            port,
            bootstrap,
            socket_options,
            tls_connection_options,
            proxy_options,
            manual_window_management,
            initial_window_size,
            None,
        )

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
        :param request_body_generator: of no effect with HTTP/1.1
        :param loop: asyncio loop that awaits the stream; None: the current one
        :raises RuntimeError: the request breaks a rule of RFC 9112, or the connection is closed
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
        """Connect to a server; see :meth:`awscrt.http.HttpClientConnection.new`."""
        return await _connect(
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

    def request(
        self,
        request: HttpRequest,
        request_body_generator: Optional[AsyncIterator[bytes]] = None,
        loop: Optional[asyncio.AbstractEventLoop] = None,
    ) -> AIOHttpClientStream:
        """Send a request; see :meth:`AIOHttpClientConnectionUnified.request`."""
        return AIOHttpClientStream(self, request, loop)


class AIOHttpClientStreamUnified(_http.AsyncStream):
    """One request with its response. Its coroutines run on the loop the request was made for.

    Cancelling one of them does the stream no harm: they may be called again.
    """

    __slots__ = ()

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
        self._start(connection, request, loop)

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
