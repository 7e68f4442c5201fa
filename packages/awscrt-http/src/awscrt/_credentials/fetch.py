"""One HTTP exchange with deadlines, on a worker thread."""

from __future__ import annotations

import os
from concurrent.futures import TimeoutError
from typing import TYPE_CHECKING, Callable, List, NamedTuple, Optional, Tuple, TypeVar

from awscrt._credentials import clock
from awscrt._credentials.errors import (
    HTTP_STATUS_FAILURE,
    MAX_RETRIES_EXCEEDED,
    SHORT_BUFFER,
    SOCKET_TIMEOUT,
    failed,
)

if TYPE_CHECKING:
    from awscrt._credentials.endpoint import Endpoint
    from awscrt.http import HttpClientConnection, HttpProxyOptions, HttpRequest
    from awscrt.io import ClientBootstrap, ClientTlsContext

    _T = TypeVar("_T")

__all__ = ["Limits", "Permanent", "Response", "Route", "Unreachable", "fetch", "new_request", "retrying"]


class Limits(NamedTuple):
    """How long, in seconds, and how much."""

    connect: float  #: for TCP, and as much again for TLS
    first_byte: float = 5.0  #: from the request to the head of the response
    total: float = 15.0  #: from the request to the end of the response
    body: int = 65536  #: most bytes of body


class Route(NamedTuple):
    """What a connection needs besides host and port."""

    bootstrap: Optional[ClientBootstrap] = None
    tls_ctx: Optional[ClientTlsContext] = None  #: for https; None: the system's roots
    proxy: Optional[HttpProxyOptions] = None


class Response(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class Unreachable(Exception):
    """No connection came about; the cause says why."""


class Permanent(Exception):
    """Carries an error that another attempt would not mend."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


_tls_ctx: Optional[ClientTlsContext] = None


def _default_tls_ctx() -> ClientTlsContext:
    global _tls_ctx
    if _tls_ctx is None:
        from awscrt.io import ClientTlsContext, TlsContextOptions

        _tls_ctx = ClientTlsContext(TlsContextOptions())
    return _tls_ctx


def _forget_tls_ctx() -> None:
    global _tls_ctx
    _tls_ctx = None  # the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_tls_ctx)


def _connect(endpoint: Endpoint, limits: Limits, route: Route) -> HttpClientConnection:
    from awscrt.http import HttpClientConnection
    from awscrt.io import SocketOptions

    options = SocketOptions()
    options.connect_timeout_ms = int(limits.connect * 1000)
    tls_options = None
    patience = limits.connect * (4 if route.proxy is not None else 2)  # name resolution and several addresses
    if endpoint.tls:
        tls_options = (route.tls_ctx or _default_tls_ctx()).new_connection_options()
        tls_options.set_server_name(endpoint.host)
        tls_options.set_negotiation_timeout_ms(int(limits.connect * 1000))
        patience += limits.connect
    try:
        connecting = HttpClientConnection.new(
            endpoint.host, endpoint.port, route.bootstrap, options, tls_options, route.proxy
        )
    except (RuntimeError, ValueError) as error:
        raise Unreachable(f"{endpoint}: {error}") from error
    try:
        return connecting.result(patience)
    except TimeoutError as error:
        connecting.cancel()  # one that is there by now is closed by its last reference
        late = failed(SOCKET_TIMEOUT, f"{endpoint} did not take a connection within {patience:g} s.", error)
        raise Unreachable(str(late)) from late
    except Exception as error:
        raise Unreachable(f"{endpoint}: {error}") from error


class _Exchange:
    """Sends a request and gathers the response."""

    def __init__(self, endpoint: Endpoint, connection: HttpClientConnection, limits: Limits) -> None:
        self._endpoint = endpoint
        self._connection = connection
        self._limits = limits
        self._began = False
        self._body: List[bytes] = []
        self._size = 0

    def _on_response(self, **_: object) -> None:
        self._began = True

    def _on_body(self, *, chunk: bytes, **_: object) -> None:
        self._size += len(chunk)
        if self._size > self._limits.body:
            self._connection.close()
            return
        self._body.append(chunk)

    def run(self, request: HttpRequest) -> Response:
        limits = self._limits
        stream = self._connection.request(request, self._on_response, self._on_body)
        stream.activate()
        completion = stream.completion_future
        try:
            try:
                status = completion.result(limits.first_byte)
            except TimeoutError:
                if not self._began:
                    raise
                status = completion.result(limits.total - limits.first_byte)
        except TimeoutError as error:
            patience = limits.total if self._began else limits.first_byte
            what = "finish its answer" if self._began else "answer"
            raise failed(SOCKET_TIMEOUT, f"{self._endpoint} did not {what} within {patience:g} s.", error) from error
        except Exception:
            self._check_size()
            raise
        self._check_size()
        return Response(status, b"".join(self._body))

    def _check_size(self) -> None:
        if self._size > self._limits.body:
            raise failed(SHORT_BUFFER, f"{self._endpoint} answered with more than {self._limits.body} bytes.")


def new_request(method: str, path: str, headers: List[Tuple[str, str]], body: bytes = b"") -> HttpRequest:
    """A request, with its body if there is one."""
    from io import BytesIO

    from awscrt.http import HttpHeaders, HttpRequest

    return HttpRequest(method, path, HttpHeaders(headers), BytesIO(body) if body else None)


def fetch(endpoint: Endpoint, request: HttpRequest, limits: Limits, route: Route = Route()) -> Response:  # noqa: B008
    """Send a request over a connection of its own.

    :raises Unreachable: no connection
    :raises Exception: no response, an incomplete or an over-long one
    """
    connection = _connect(endpoint, limits, route)
    try:
        return _Exchange(endpoint, connection, limits).run(request)
    finally:
        connection.close()


def status_error(endpoint: Endpoint, response: Response) -> Exception:
    """What a response with another status than 200 means."""
    text = response.body[:200].decode("utf-8", "replace").strip()
    said = f": {text!r}" if text else ""
    return failed(HTTP_STATUS_FAILURE, f"{endpoint} answered with status {response.status}{said}.")


_ATTEMPTS = 4
_FIRST_PAUSE = 0.5  # seconds; doubled each time
_LONGEST_PAUSE = 20.0


def retrying(attempt: Callable[[], _T], what: str) -> _T:
    """Call ``attempt`` until it gives something, at most 4 times, with random pauses in between (full jitter).

    :raises Exception: what a :class:`Permanent` carries, or AWS_IO_MAX_RETRIES_EXCEEDED
    """
    last: Optional[Exception] = None
    for number in range(_ATTEMPTS):
        if number:
            clock.sleep(clock.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (number - 1))))
        try:
            return attempt()
        except Permanent as permanent:
            raise permanent.error from permanent.error.__cause__
        except Exception as error:
            last = error
    raise failed(MAX_RETRIES_EXCEEDED, f"{what}: {_ATTEMPTS} attempts failed, the last with: {last}", last) from last
