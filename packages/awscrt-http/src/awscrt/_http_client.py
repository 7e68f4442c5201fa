"""The convenient HTTP client: :class:`awscrt.http.HttpClient`, and what it shares with that of asyncio."""

from __future__ import annotations

from awscrt import _http
from awscrt._http import HttpHeaders, HttpRequest

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Set, Tuple, Union

    from awscrt.http import HttpProxyOptions, HttpTimeouts, HttpVersion
    from awscrt.io import ClientBootstrap, ClientTlsContext, SocketOptions, TlsConnectionOptions

    Headers = Union[HttpHeaders, Mapping[str, str], Iterable[Tuple[str, str]]]
    Timeout = Union[float, HttpTimeouts]

__all__ = ["HttpClient", "HttpResponse", "PoolStats"]

_PIECE = 256 * 1024
_MOST = 2**32 - 1


class PoolStats:
    """What a client's connections do.

    Numbers of now: ``origins``, ``connections``, ``connecting``, ``idle``, ``waiting`` and ``active`` requests.
    Numbers since the beginning: ``requests``, ``opened`` connections, ``connect_failures``, ``reused`` (requests on
    connections that had served before), ``retried`` requests, ``culled`` (connections closed for idleness or age).
    """

    __slots__ = (
        "origins",
        "connections",
        "connecting",
        "idle",
        "waiting",
        "active",
        "requests",
        "opened",
        "connect_failures",
        "reused",
        "retried",
        "culled",
    )

    def __init__(self, numbers: Tuple[int, ...]) -> None:
        for name, number in zip(self.__slots__, numbers):
            setattr(self, name, number)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> int: ...

    def __repr__(self) -> str:
        return f"PoolStats({', '.join(f'{name}={getattr(self, name)}' for name in self.__slots__)})"


# ---- URLs ----


class Url:
    """An http or https URL, taken apart (RFC 9110, section 4.2).

    :raises ValueError: another scheme, no host, user information, a bad port, spaces or control characters
    """

    __slots__ = ("text", "tls", "host", "port", "target")

    def __init__(self, text: str) -> None:
        from urllib.parse import quote, urlsplit

        if not isinstance(text, str):
            raise TypeError(f"url must be a str, not {type(text).__name__}")
        if any(character <= " " or character == "\x7f" for character in text):
            raise ValueError(f"{text!r} contains spaces or control characters")
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https"):
            raise ValueError(f"{text!r} is not an http or https URL")
        if "@" in parts.netloc:
            raise ValueError("a URL with user and password is not accepted; send an Authorization header instead")
        if not parts.hostname or "\\" in parts.netloc:
            raise ValueError(f"{text!r} names no host")
        port = parts.port  # ValueError when it is no number up to 65535
        if port == 0:
            raise ValueError(f"{text!r}: port 0 cannot be connected to")
        self.text = text
        self.tls = parts.scheme == "https"
        self.host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
        self.port = port or (443 if self.tls else 80)
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=-._~[]|^`{}\"<>\\")
        self.target = f"{path}?{quote(parts.query, safe=_QUERY_SAFE)}" if parts.query else path

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def origin(self) -> Tuple[bool, str, int]:
        return self.tls, self.host, self.port

    def join(self, location: str) -> Url:
        from urllib.parse import urljoin

        return Url(urljoin(self.text, location))


_QUERY_SAFE = "/%:@!$&'()*+,;=-._~?[]|^`{}\"<>\\"


# ---- requests ----


def _pairs(headers: Optional[Headers]) -> List[Tuple[str, str]]:
    if headers is None:
        return []
    items: Any = headers.items() if hasattr(headers, "items") else headers
    return [(name, value) for name, value in items]


def _size_of(body: Any) -> Optional[int]:
    """Bytes from the present position to the end; None when nobody can tell."""
    try:
        return memoryview(body).nbytes
    except TypeError:
        pass
    if not hasattr(body, "seek") or not hasattr(body, "tell"):
        return None
    try:
        start = body.tell()
        end = body.seek(0, 2)
        body.seek(start)
    except (OSError, ValueError):
        return None
    return max(0, int(end) - int(start))


def _is_buffer(body: Any) -> bool:
    return isinstance(body, (bytes, bytearray, memoryview))


class Call:
    """What was asked for; the same again after a redirection."""

    __slots__ = ("method", "url", "headers", "body", "timeout", "retry", "redirects", "decode")

    def __init__(
        self,
        method: str,
        url: str,
        headers: Optional[Headers],
        body: Any,
        timeout: Optional[Timeout],
        retry: bool,
        redirects: int,
        decode: bool,
    ) -> None:
        if isinstance(body, str):
            raise TypeError("body must be bytes; encode the str first")
        self.method = method
        self.url = Url(url)
        self.headers = _pairs(headers)
        self.body = body
        self.timeout = _timeouts(timeout)
        self.retry = retry
        self.redirects = redirects
        self.decode = decode

    def message(self) -> HttpRequest:
        """The request to send, without its body."""
        headers = list(self.headers)
        names = {name.lower() for name, _ in headers}
        if "host" not in names:
            headers.insert(0, ("Host", self.url.authority))
        if self.decode and "accept-encoding" not in names:
            headers.append(("Accept-Encoding", "gzip, deflate"))
        if self.body is not None and not names & {"content-length", "transfer-encoding"}:
            size = _size_of(self.body)
            headers.append(("Transfer-Encoding", "chunked") if size is None else ("Content-Length", str(size)))
        elif self.body is None and self.method in ("POST", "PUT", "PATCH") and "content-length" not in names:
            headers.append(("Content-Length", "0"))
        return HttpRequest(self.method, self.url.target, HttpHeaders(headers))

    def follow(self, status: int, headers: HttpHeaders) -> bool:
        """Turns into the request that a redirection asks for (RFC 9110, section 15.4); False: it is none to follow.

        :raises ValueError: it leads to something that is no http or https URL
        """
        location = headers.get("location")
        if self.redirects <= 0 or location is None or status not in (301, 302, 303, 307, 308):
            return False
        drops_body = status == 303 and self.method != "HEAD" or status in (301, 302) and self.method == "POST"
        if not drops_body and not (self.body is None or _is_buffer(self.body)):
            return False  # it was sent, and cannot be sent again
        url = self.url.join(location)
        if drops_body:
            self.method, self.body = "GET", None
            gone = ("content-length", "content-type", "content-encoding", "transfer-encoding")
            self.headers = [(name, value) for name, value in self.headers if name.lower() not in gone]
        if url.origin != self.url.origin:  # what was meant for one server is not for another
            gone = ("authorization", "cookie", "host", "proxy-authorization")
            self.headers = [(name, value) for name, value in self.headers if name.lower() not in gone]
        self.url = url
        self.redirects -= 1
        return True


def _timeouts(timeout: Optional[Timeout]) -> Optional[HttpTimeouts]:
    from awscrt.http import HttpTimeouts

    if timeout is None or isinstance(timeout, HttpTimeouts):
        return timeout
    return HttpTimeouts(total=timeout)


def _milliseconds(seconds: Optional[float], name: str) -> int:
    if seconds is None:
        return 0
    if not seconds > 0:
        raise ValueError(f"{name} must be a positive number of seconds or None, not {seconds!r}")
    return min(_MOST, max(1, round(seconds * 1000)))


def _count(number: int, name: str) -> int:
    if not isinstance(number, int) or not 0 < number <= _MOST:
        raise ValueError(f"{name} must be a positive number, not {number!r}")
    return number


# ---- decoding ----


class Decoder:
    """Undoes gzip and deflate (RFC 9110, section 8.4.1), in pieces of bounded size."""

    __slots__ = ("_stream", "_first", "_left")

    def __init__(self, coding: str) -> None:
        import zlib

        self._stream: Any = zlib.decompressobj(31 if coding.endswith("gzip") else 15)
        self._first = coding == "deflate"
        self._left = b""

    @staticmethod
    def of(headers: HttpHeaders) -> Optional[Decoder]:
        coding = (headers.get("content-encoding") or "").strip().lower()
        return Decoder(coding) if coding in ("gzip", "x-gzip", "deflate") else None

    def put(self, data: bytes) -> None:
        self._left += data

    def take(self) -> bytes:
        """The next piece; ``b""`` when more must be put.

        :raises ValueError: the data is not what Content-Encoding says
        """
        import zlib

        if not self._left:
            return b""
        try:
            piece: bytes = self._stream.decompress(self._left, _PIECE)
        except zlib.error as error:
            if not self._first:
                raise ValueError(f"the response body cannot be decoded: {error}") from error
            self._stream = zlib.decompressobj(-15)  # many servers mean the bare format by "deflate"
            self._first = False
            return self.take()
        self._first = False
        self._left = self._stream.unconsumed_tail
        if self._stream.eof and self._stream.unused_data:
            self._left, self._stream = self._stream.unused_data, zlib.decompressobj(31)  # members may follow
        return piece if piece or not self._left else self.take()

    def check_end(self) -> None:
        if not self._stream.eof and not self._first:
            raise ValueError("the response body ends before its compressed data does")


def charset_of(headers: HttpHeaders) -> str:
    """That of the Content-Type; UTF-8 when it names none."""
    for part in (headers.get("content-type") or "").split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name.lower() == "charset":
            return value.strip("\"' ") or "utf-8"
    return "utf-8"


def proxy_options(url: str) -> HttpProxyOptions:
    """Options for ``http://[user:password@]host[:port]`` or ``https://...``; without a scheme ``http`` is meant.

    :raises ValueError: another scheme, no host, a bad port
    """
    from urllib.parse import unquote, urlsplit

    from awscrt.http import HttpProxyAuthenticationType, HttpProxyOptions

    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a proxy must be http://[user:password@]host[:port] or https://...")
    tls = None
    if parts.scheme == "https":
        from awscrt.io import ClientTlsContext, TlsContextOptions

        tls = ClientTlsContext(TlsContextOptions()).new_connection_options()
    basic = parts.username is not None
    return HttpProxyOptions(
        parts.hostname,
        parts.port or (443 if tls else 80),
        tls,
        HttpProxyAuthenticationType.Basic if basic else HttpProxyAuthenticationType.Nothing,
        unquote(parts.username or "") if basic else None,
        unquote(parts.password or "") if basic else None,
    )


# ---- both clients ----


class ClientBase:
    """The options and the pool of a client."""

    _pool: Any

    def __init__(
        self,
        *,
        bootstrap: Optional[ClientBootstrap] = None,
        tls: Optional[ClientTlsContext] = None,
        socket_options: Optional[SocketOptions] = None,
        proxy: Union[str, HttpProxyOptions, None] = None,
        trust_env: bool = True,
        http2: bool = True,
        prior_knowledge: bool = False,
        timeout: Optional[Timeout] = None,
        max_connections: Optional[int] = None,
        max_connections_per_origin: int = 10,
        max_streams: int = 100,
        max_waiting: int = 10000,
        acquire_timeout: Optional[float] = None,
        idle_timeout: float = 60.0,
        max_age: Optional[float] = None,
    ) -> None:
        self._tls = tls
        self._tls_options: Optional[TlsConnectionOptions] = None
        self._socket_options = socket_options
        self._proxy = proxy_options(proxy) if isinstance(proxy, str) else proxy
        self._env_proxies: Dict[str, HttpProxyOptions] = {}
        self._trust_env = trust_env
        self._http2 = http2
        self._prior_knowledge = prior_knowledge
        self._open: Set[Any] = set()
        self._pool = _http.Pool()
        self._pool._open(
            bootstrap,
            _timeouts(timeout),
            0 if max_connections is None else _count(max_connections, "max_connections"),
            _count(max_connections_per_origin, "max_connections_per_origin"),
            _count(max_streams, "max_streams"),
            _count(max_waiting, "max_waiting"),
            _milliseconds(acquire_timeout, "acquire_timeout"),
            _milliseconds(idle_timeout, "idle_timeout"),
            _milliseconds(max_age, "max_age"),
        )

    @property
    def stats(self) -> PoolStats:
        """What the connections do.

        :raises RuntimeError: the client is closed
        """
        return PoolStats(self._pool._stats())

    def _tls_for(self, url: Url) -> Optional[TlsConnectionOptions]:
        if not url.tls:
            return None
        if self._tls_options is None:
            from awscrt.io import ClientTlsContext, TlsContextOptions

            context = self._tls if self._tls is not None else ClientTlsContext(TlsContextOptions())
            options = context.new_connection_options()
            options.set_alpn_list(["h2", "http/1.1"] if self._http2 else ["http/1.1"])
            self._tls_options = options
        return self._tls_options

    def _proxy_for(self, url: Url) -> Optional[HttpProxyOptions]:
        if self._proxy is not None or not self._trust_env:
            return self._proxy
        from awscrt._proxy_env import proxy_for

        found = proxy_for("https" if url.tls else "http", url.host, url.port)
        if found is None:
            return None
        if found not in self._env_proxies:
            self._env_proxies[found] = proxy_options(found)
        return self._env_proxies[found]

    def _send(self, exchange: Any, call: Call, body: Any, loop: Any) -> None:
        self._pool._send(
            exchange,
            call.message(),
            body,
            call.url.host,
            call.url.port,
            self._socket_options,
            self._tls_for(call.url),
            self._proxy_for(call.url),
            0,
            self._prior_knowledge,
            call.timeout,
            not call.retry,
            loop,
        )


class ResponseBase:
    """The head of a response, and its trailers."""

    def __init__(self, exchange: Any, call: Call, head: Tuple[int, List[Tuple[str, str]], int]) -> None:
        self._exchange = exchange
        self.status: int = head[0]
        self.headers = HttpHeaders(head[1])
        self._version = head[2]
        self.url: str = call.url.text
        self._decoder = Decoder.of(self.headers) if call.decode else None

    @property
    def version(self) -> HttpVersion:
        """The :class:`awscrt.http.HttpVersion` it came by."""
        from awscrt.http import HttpVersion

        return HttpVersion(self._version)

    @property
    def trailers(self) -> List[Tuple[str, str]]:
        """Headers behind the body, once it was read (RFC 9110, section 6.5)."""
        trailers: List[Tuple[str, str]] = self._exchange._trailers()
        return trailers

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {self.url}>"

    def __del__(self) -> None:
        exchange = getattr(self, "_exchange", None)
        if exchange is not None and not exchange._over():
            exchange._cancel()

    def _next_here(self) -> Optional[bytes]:
        """The next piece of what has come; ``b""`` at the end, None when it must be waited for.

        :raises AwsCrtError: the response ended before its body was complete
        :raises ValueError: the body cannot be decoded
        """
        while True:
            if self._decoder is not None:
                piece = self._decoder.take()
                if piece:
                    return piece
            over = self._exchange._over()  # looked at first: what comes before the end is there then
            data: bytes = self._exchange._take(_PIECE)
            if not data:
                break
            if self._decoder is None:
                return data
            self._decoder.put(data)
        if not over:
            return None
        failure = self._exchange._failure()
        if failure is not None:
            raise failure
        if self._decoder is not None:
            self._decoder.check_end()
        return b""


# ---- the client for threads ----


class _Exchange(_http.PoolRequest):
    """Tells the head once, and wakes who waits for the body. Its news comes on an event-loop thread."""

    __slots__ = ("_on_head", "_waiter", "_client")

    def __init__(self, client: HttpClient, on_head: Callable[[_Exchange], None]) -> None:
        self._on_head: Optional[Callable[[_Exchange], None]] = on_head
        self._waiter: Optional[Future[None]] = None
        self._client = client

    def _news(self) -> None:
        if self._over():
            self._client._open.discard(self)
        on_head = self._on_head
        if on_head is not None and (self._over() or self._head() is not None):
            self._on_head = None
            on_head(self)
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.set_result(None)


class HttpResponse(ResponseBase):
    """A response; its body is read as it comes. Closing it early ends the request.

    :ivar status: the status code
    :ivar headers: :class:`awscrt.http.HttpHeaders`
    :ivar url: where it came from, after redirections
    """

    def _next(self) -> bytes:
        from awscrt._futures import Future

        while True:
            waiter: Future[None] = Future()
            self._exchange._waiter = waiter
            piece = self._next_here()
            if piece is not None:
                self._exchange._waiter = None
                return piece
            waiter.result()

    def __iter__(self) -> Iterator[bytes]:
        """Pieces of the body, in the sizes they come in.

        :raises AwsCrtError: it ended before it was complete
        """
        piece = self._left_over() or self._next()
        while piece:
            yield piece
            piece = self._next()

    _left = b""

    def _left_over(self) -> bytes:
        left, self._left = self._left, b""
        return left

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes of the body, fewer only at its end; all that is left when negative.

        :raises AwsCrtError: it ended before it was complete
        """
        pieces, length = [self._left_over()], 0
        length = len(pieces[0])
        while size < 0 or length < size:
            piece = self._next()
            if not piece:
                break
            pieces.append(piece)
            length += len(piece)
        data = b"".join(pieces)
        if 0 <= size < length:
            data, self._left = data[:size], data[size:]
        return data

    def readinto(self, buffer: Any) -> int:
        """Fills a writable buffer; less than its size comes at the end of the body only.

        :return: bytes written
        """
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def text(self) -> str:
        """The rest of the body in the charset of its Content-Type, UTF-8 without one."""
        return self.read().decode(charset_of(self.headers))

    def json(self) -> Any:
        """The rest of the body as JSON.

        :raises ValueError: it is none
        """
        import json

        return json.loads(self.read())

    def close(self) -> None:
        """End the request unless it is complete; its connection is kept only then (or with HTTP/2)."""
        if not self._exchange._over():
            self._exchange._cancel()

    def __enter__(self) -> HttpResponse:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class HttpClient(ClientBase):
    """Sends requests to any server over connections that it keeps, for any number of threads.

    HTTP/2 is used where the server offers it. A request whose kept connection turns out dead is sent once more when
    that is harmless: an idempotent method, and a body that can be sent again.

    :param bootstrap: event loops and resolver; None: the default ones of the process
    :param tls: None: a context that trusts what the system trusts
    :param socket_options: None: the defaults
    :param proxy: ``http://[user:password@]host[:port]``, or options; None: what the environment says
    :param trust_env: look for HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY
    :param http2: offer HTTP/2
    :param prior_knowledge: speak HTTP/2 without TLS
    :param timeout: seconds for a request in total, or :class:`awscrt.http.HttpTimeouts`; None: no limit
    :param max_connections: to all servers; None: no limit
    :param max_connections_per_origin: to one scheme, host and port
    :param max_streams: requests at a time on a connection with HTTP/2
    :param max_waiting: requests that may wait for a connection to one origin; more fail with
        AWS_ERROR_HTTP_CONNECTION_MANAGER_MAX_PENDING_ACQUISITIONS_EXCEEDED
    :param acquire_timeout: seconds to wait for a connection; then
        AWS_ERROR_HTTP_CONNECTION_MANAGER_ACQUISITION_TIMEOUT
    :param idle_timeout: seconds after which unused connections are closed
    :param max_age: seconds after which connections take no new requests; None: no limit
    :raises ValueError: a number out of range, or a proxy that is no http or https URL
    """

    def submit(
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
    ) -> Future[HttpResponse]:
        """Send a request.

        :param url: an http or https URL, without user and password
        :param headers: added to Host and what the body needs, or instead of it
        :param body: bytes, a binary file, or an iterable of bytes; the last two are read on an event-loop thread
        :param timeout: instead of the client's
        :param retry: whether it may be sent once more
        :param redirects: redirections to follow at most; Authorization and Cookie go to the same origin only
        :param decode: ask for gzip or deflate, and undo it
        :return: future of the response, complete with its head. Cancelling it ends the request
        :raises ValueError: the URL or a header is not usable
        :raises AwsCrtError: too many requests wait
        :raises RuntimeError: the client is closed
        """
        from awscrt._futures import Future

        call = Call(method, url, headers, body, timeout, retry, redirects, decode)
        future: Future[HttpResponse] = Future()
        self._start(call, future)
        return future

    def _start(self, call: Call, future: Future[HttpResponse]) -> None:
        exchange = _Exchange(self, lambda exchange: self._take_head(exchange, call, future))
        self._open.add(exchange)
        try:
            self._send(exchange, call, call.body, None)
        except BaseException:
            self._open.discard(exchange)
            raise
        future.add_done_callback(lambda done: exchange._cancel() if done.cancelled() else None)

    def _take_head(self, exchange: _Exchange, call: Call, future: Future[HttpResponse]) -> None:
        try:
            head = exchange._head()
            if head is None:
                raise exchange._failure()
            if call.follow(head[0], HttpHeaders(head[1])):
                exchange._cancel()
                self._start(call, future)
                return
            response = HttpResponse(exchange, call, head)
        except BaseException as error:  # whatever it is, it belongs to who waits
            _complete(future, None, error)
            return
        _complete(future, response, None)

    def request(self, method: str, url: str, **options: Any) -> HttpResponse:
        """Send a request and wait for the head of the response; see :meth:`submit`.

        :raises AwsCrtError: what kept it from coming
        """
        future = self.submit(method, url, **options)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # KeyboardInterrupt: nobody waits any more
            raise

    def close(self) -> None:
        """End what is under way, and close the connections."""
        self._pool._close()
        for exchange in list(self._open):
            exchange._cancel()

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _complete(future: Future[HttpResponse], response: Optional[HttpResponse], error: Optional[BaseException]) -> None:
    """Unless it was cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    elif response is not None:
        future.set_result(response)
