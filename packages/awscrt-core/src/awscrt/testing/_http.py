"""The HTTP/1.1 server under the test endpoint: bodies are received into their final place and sent by sendfile."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Coroutine, Dict, List, Optional, Tuple, Union
from urllib.parse import unquote

from awscrt.testing._faults import Fault
from awscrt.testing._sigv4 import SignedRequest, parse_query
from awscrt.testing._storage import Arena, Blob, Body, Segment

_HEAD_LIMIT = 64 * 1024
_INLINE = 64 * 1024  # responses up to this size are written at once
_SLICE = 256 * 1024  # of a body that cannot be sent by sendfile
_LARGE = 1024 * 1024  # request bodies from this size are digested on a worker thread


@dataclass
class Request:
    """One request; ``body`` holds the bytes on the wire without HTTP chunking."""

    method: str
    target: str
    version: str
    fields: List[Tuple[str, str]]  # as received
    connection: int
    started: float
    body: Body = field(default_factory=Body)
    fault: Optional[Fault] = None
    prepared: Any = None  # what the application's ``prepare`` left for its ``respond``

    def __post_init__(self) -> None:
        self.headers: Dict[str, str] = {}
        for name, value in self.fields:
            name = name.lower()
            self.headers[name] = f"{self.headers[name]},{value}" if name in self.headers else value
        target = self.target
        if target.startswith(("http://", "https://")):  # absolute form, as proxies get it
            target = "/" + target.split("/", 3)[3] if target.count("/") > 2 else "/"
        self.raw_path, _, self.raw_query = target.partition("?")
        self.path = unquote(self.raw_path)
        self.query: Dict[str, str] = dict(parse_query(self.raw_query))

    def signed(self) -> SignedRequest:
        return SignedRequest(self.method, self.raw_path, self.raw_query, self.headers)


@dataclass
class Response:
    """A response. ``length`` overrides the Content-Length (answers to HEAD)."""

    status: int = 200
    headers: List[Tuple[str, str]] = field(default_factory=list)
    body: Body = field(default_factory=Body)
    length: Optional[int] = None

    def head(self) -> bytes:
        try:
            reason = HTTPStatus(self.status).phrase
        except ValueError:
            reason = "Unknown"
        lines = [f"HTTP/1.1 {self.status} {reason}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.status not in (204, 304):
            lines.append(f"Content-Length: {self.body.length if self.length is None else self.length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Application:
    """What the server asks of the service behind it."""

    arena: Arena

    def connection_opened(self, connection: HttpConnection) -> int:
        """Returns the number of the connection."""
        raise NotImplementedError

    def connection_closed(self, number: int) -> None:
        raise NotImplementedError

    def head_received(self, request: Request) -> None:
        """The headers are there, the body is not; may set ``request.fault``."""
        raise NotImplementedError

    def prepare(self, request: Request) -> None:
        """Called on a worker thread, before ``respond``, when the body is large. Must not raise."""
        raise NotImplementedError

    def respond(self, request: Request) -> Response:
        """The request is complete. Must not raise."""
        raise NotImplementedError

    def begun(self, request: Request, status: int) -> None:
        """A response with this status is about to go out."""
        raise NotImplementedError

    def finished(self, request: Request, sent: int) -> None:
        """No more of the response will go out; ``sent`` bytes of body did. Always called, last."""
        raise NotImplementedError


class _ChunkedBody:
    """Decodes Transfer-Encoding: chunked (RFC 9112 section 7.1)."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self.payload = bytearray()

    def feed(self, data: Union[bytes, memoryview]) -> bool:
        """True once the last chunk and its trailers have been seen; the rest is in ``leftover``."""
        self._raw += data
        while True:
            end = self._raw.find(b"\r\n")
            if end < 0:
                return False
            size = int(self._raw[:end].partition(b";")[0], 16)
            if size == 0:
                final = self._raw.find(b"\r\n\r\n", end)
                if final < 0:
                    return False
                del self._raw[: final + 4]
                return True
            if len(self._raw) < end + 2 + size + 2:
                return False
            self.payload += self._raw[end + 2 : end + 2 + size]
            del self._raw[: end + 2 + size + 2]

    @property
    def leftover(self) -> bytes:
        return bytes(self._raw)


class HttpConnection(asyncio.BufferedProtocol):
    """One client connection. Requests are answered in turn; reading pauses while a response is on its way."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._head = bytearray(_HEAD_LIMIT)
        self._head_view = memoryview(self._head)
        self._filled = 0
        self._request: Optional[Request] = None
        self._blob: Optional[Blob] = None
        self._received = 0
        self._chunked: Optional[_ChunkedBody] = None
        self._busy = False
        self._sent = 0
        self._sender: Optional[asyncio.Task[None]] = None
        self._writable: Optional[asyncio.Future[None]] = None
        self._paused = False

    # ---- the transport's side ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_event_loop()
        self.number = self._application.connection_opened(self)
        self._tls = transport.get_extra_info("ssl_object") is not None

    def connection_lost(self, exc: Optional[Exception]) -> None:
        if self._sender is not None:
            self._sender.cancel()
        elif self._request is not None:
            self._application.finished(self._request, 0)
        self.resume_writing()
        self._application.connection_closed(self.number)

    def abort(self) -> None:
        self._transport.abort()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._blob is not None:
            return self._blob.view[self._received :]
        return self._head_view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._blob is not None:
            self._received += nbytes
        else:
            self._filled += nbytes
        self._advance()

    # ---- requests ----

    def _advance(self) -> None:
        while not self._busy and not self._transport.is_closing():
            if self._request is None and not self._read_head():
                return
            if not self._read_body():
                return
            self._complete()

    def _read_head(self) -> bool:
        end = self._head.find(b"\r\n\r\n", 0, self._filled)
        if end < 0:
            if self._filled == _HEAD_LIMIT:
                self._refuse(431)
            return False
        text = self._head[:end].decode("latin-1")
        self._drop_head(end + 4)
        try:
            first, *lines = text.lstrip("\r\n").split("\r\n")
            method, target, version = first.split(" ")
            fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
            request = Request(method, target, version, fields, self.number, time.monotonic())
            length = int(request.headers.get("content-length", "0"))
            if length < 0:
                raise ValueError("negative Content-Length")
        except ValueError:
            self._refuse(400)
            return False
        self._request = request
        self._received = 0
        self._application.head_received(request)
        if request.headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in request.headers.get("transfer-encoding", "").lower():
            self._chunked = _ChunkedBody()
        elif length:
            self._blob = self._application.arena.allocate(length)
            early = min(self._filled, length)
            self._blob.view[:early] = self._head_view[:early]
            self._drop_head(early)
            self._received = early
        return True

    def _drop_head(self, count: int) -> None:
        rest = self._filled - count
        self._head[:rest] = self._head[count : self._filled]
        self._filled = rest

    def _refuse(self, status: int) -> None:
        self._transport.write(Response(status, [("Connection", "close")]).head())
        self._transport.close()

    def _read_body(self) -> bool:
        """True once the body is complete."""
        request = self._request
        assert request is not None
        if self._chunked is not None:
            return self._read_chunked(self._chunked, request)
        limit = None if request.fault is None else request.fault.close_in_request
        if limit is not None and self._received >= limit:
            self._transport.abort()
            return False
        if self._blob is None:
            return True
        if self._received < len(self._blob.view):
            return False
        request.body = Body([Segment(self._blob, 0, self._received)])
        self._blob = None
        return True

    def _read_chunked(self, chunked: _ChunkedBody, request: Request) -> bool:
        try:
            done = chunked.feed(self._head_view[: self._filled])
        except ValueError:
            self._refuse(400)
            return False
        self._filled = 0
        if not done:
            return False
        rest = chunked.leftover
        self._head[: len(rest)] = rest
        self._filled = len(rest)
        request.body = Body.of(bytes(chunked.payload))
        self._chunked = None
        return True

    def _complete(self) -> None:
        request = self._request
        assert request is not None
        if request.body.length >= _LARGE:
            self._begin_sending(request, self._prepare_and_send(request))
            return
        response = self._application.respond(request)
        if request.fault is None and response.body.length <= _INLINE:
            self._application.begun(request, response.status)
            self._transport.write(b"".join((response.head(), *response.body.views())))
            self._end(request, response.body.length)
            return
        self._begin_sending(request, self._send(request, response))

    def _end(self, request: Request, sent: int) -> None:
        self._request = None
        self._application.finished(request, sent)
        if request.headers.get("connection", "").lower() == "close" or request.version == "HTTP/1.0":
            self._transport.close()

    # ---- responses that take their time ----

    def _begin_sending(self, request: Request, sender: Coroutine[Any, Any, None]) -> None:
        self._busy = True
        self._sent = 0
        self._transport.pause_reading()
        self._sender = self._loop.create_task(sender)
        self._sender.add_done_callback(lambda task: self._sender_ended(request, task))

    def _sender_ended(self, request: Request, task: asyncio.Task[None]) -> None:
        self._sender = None
        self._end(request, self._sent)
        self._busy = False
        if not self._transport.is_closing():
            self._transport.resume_reading()
            self._advance()
        if not task.cancelled():
            task.result()  # a bug of the endpoint reaches the loop's exception handler

    async def _prepare_and_send(self, request: Request) -> None:
        await self._loop.run_in_executor(None, self._application.prepare, request)
        await self._send(request, self._application.respond(request))

    async def _send(self, request: Request, response: Response) -> None:
        fault = request.fault
        with contextlib.suppress(ConnectionError, RuntimeError):  # the client hung up
            if fault is not None and fault.delay:
                await asyncio.sleep(fault.delay)
            if fault is not None and fault.stall:
                await self._wait_for_the_end()
            if fault is not None and fault.close:
                self._transport.abort()
                return
            self._application.begun(request, response.status)
            self._transport.write(response.head())
            cut = None if fault is None else fault.cut
            body = response.body if cut is None else response.body.slice(0, cut)
            pace = None if fault is None else fault.bytes_per_second
            for segment in body.segments:
                await self._send_segment(segment, pace)
                self._sent += segment.length
            if fault is not None and fault.stall_after is not None:
                await self._wait_for_the_end()
            if cut is not None and cut < response.body.length:
                await self._drained()
                self._transport.close()

    async def _send_segment(self, segment: Segment, bytes_per_second: Optional[float]) -> None:
        arena = self._application.arena
        if bytes_per_second is None and segment.blob.offset is not None and arena.file is not None and not self._tls:
            offset = segment.blob.offset + segment.start
            await self._loop.sendfile(self._transport, arena.file, offset, segment.length, fallback=False)
            return
        step = _SLICE if bytes_per_second is None else max(1, min(_SLICE, int(bytes_per_second / 20)))
        view = segment.view
        for start in range(0, segment.length, step):
            piece = view[start : start + step]
            self._transport.write(piece)
            await self._drained()
            if bytes_per_second is not None:
                await asyncio.sleep(len(piece) / bytes_per_second)

    async def _drained(self) -> None:
        if self._paused:
            self._writable = self._loop.create_future()
            await self._writable
        if self._transport.is_closing():
            raise ConnectionResetError("the client hung up")

    async def _wait_for_the_end(self) -> None:
        """Waits until the connection is lost, which cancels the sender; reading notices that the client left."""
        self._transport.resume_reading()
        await self._loop.create_future()
