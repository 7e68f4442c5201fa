"""The convenient HTTP client for asyncio: :class:`awscrt.aio.http.HttpClient`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from awscrt import _http
from awscrt._http_client import Call, ClientBase, ResponseBase, charset_of

if TYPE_CHECKING:
    from typing import Any, AsyncIterator, List, Optional

    from awscrt._http_client import Headers, Timeout

__all__ = ["HttpClient", "HttpResponse"]


class _Exchange(_http.PoolRequest):
    """Its news comes on the thread of the asyncio loop, to the futures that wait for it."""

    __slots__ = ("_client", "_loop", "_waiters", "_feeder", "_feed_error")

    def __init__(self, client: HttpClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop
        self._waiters: List[asyncio.Future[None]] = []
        self._feeder: Optional[asyncio.Task[None]] = None
        self._feed_error: Optional[BaseException] = None

    def _news(self) -> None:
        if self._over():
            self._client._open.discard(self)
            if self._feeder is not None:
                self._feeder.cancel()
        waiters, self._waiters = self._waiters, []
        if self._loop.is_closed():
            return  # nobody is left to wait
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _wait(self) -> None:
        """Until there is news."""
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    async def _wait_over(self) -> None:
        while not self._over():
            await self._wait()

    async def _feed_body(self, body: Any) -> None:
        try:
            async for piece in body:
                while not self._wants():
                    await self._wait()
                if len(piece) > 0:
                    self._feed(piece)
            self._feed(None)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # of the caller's iterator: request() raises it
            self._feed_error = error
            self._cancel()
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()


class HttpResponse(ResponseBase):
    """A response; its body is read as it comes. Closing it early ends the request.

    :ivar status: the status code
    :ivar headers: :class:`awscrt.http.HttpHeaders`
    :ivar url: where it came from, after redirections
    """

    async def _next(self) -> bytes:
        while True:
            piece = self._next_here()
            if piece is not None:
                return piece
            await self._exchange._wait()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Pieces of the body, in the sizes they come in.

        :raises AwsCrtError: it ended before it was complete
        """
        piece = await self._next()
        while piece:
            yield piece
            piece = await self._next()

    async def read(self) -> bytes:
        """The rest of the body.

        :raises AwsCrtError: it ended before it was complete
        """
        return b"".join([piece async for piece in self])

    async def text(self) -> str:
        """The rest of the body in the charset of its Content-Type, UTF-8 without one."""
        return (await self.read()).decode(charset_of(self.headers))

    async def json(self) -> Any:
        """The rest of the body as JSON.

        :raises ValueError: it is none
        """
        import json

        return json.loads(await self.read())

    async def close(self) -> None:
        """End the request unless it is complete; its connection is kept only then (or with HTTP/2)."""
        if not self._exchange._over():
            self._exchange._cancel()
            await self._exchange._wait_over()

    async def __aenter__(self) -> HttpResponse:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()


class HttpClient(ClientBase):
    """Sends requests to any server over connections that it keeps; the options are those of
    :class:`awscrt.http.HttpClient`. Each request belongs to the asyncio loop it was made on.

    Cancelling the coroutine that waits for a response ends the request on its connection.
    """

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Optional[Headers] = None,
        body: Any = None,
        timeout: Optional[Timeout] = None,
        retry: bool = True,
        redirects: int = 0,
        decode: bool = False,
    ) -> HttpResponse:
        """Send a request and wait for the head of the response.

        :param url: an http or https URL, without user and password
        :param headers: added to Host and what the body needs, or instead of it
        :param body: bytes, a binary file, an iterable of bytes (both read on an event-loop thread), or an asynchronous
            iterable of bytes
        :param timeout: seconds in total, or :class:`awscrt.http.HttpTimeouts`; None: the client's
        :param retry: whether it may be sent once more
        :param redirects: redirections to follow at most; Authorization and Cookie go to the same origin only
        :param decode: ask for gzip or deflate, and undo it
        :raises ValueError: the URL or a header is not usable
        :raises AwsCrtError: what kept the response from coming
        :raises RuntimeError: the client is closed
        """
        call = Call(method, url, headers, body, timeout, retry, redirects, decode)
        while True:
            exchange = await self._exchange(call)
            head = exchange._head()
            if not call.follow(head[0], _http.HttpHeaders(head[1])):
                return HttpResponse(exchange, call, head)
            exchange._cancel()

    async def _exchange(self, call: Call) -> _Exchange:
        """One that has its head."""
        loop = asyncio.get_running_loop()
        exchange = _Exchange(self, loop)
        fed = hasattr(call.body, "__aiter__")
        self._open.add(exchange)
        try:
            self._send(exchange, call, True if fed else call.body, loop)
        except BaseException:
            self._open.discard(exchange)
            raise
        if fed:
            exchange._feeder = loop.create_task(exchange._feed_body(call.body))
        try:
            while exchange._head() is None:
                if exchange._over():
                    raise exchange._feed_error or exchange._failure()
                await exchange._wait()
        except BaseException:
            exchange._cancel()
            raise
        return exchange

    async def close(self) -> None:
        """End what is under way, wait for its end, and close the connections."""
        self._pool._close()
        under_way = [exchange for exchange in self._open if exchange._loop is asyncio.get_running_loop()]
        for exchange in list(self._open):
            exchange._cancel()
        for exchange in under_way:
            await exchange._wait_over()

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()
