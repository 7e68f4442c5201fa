"""The endpoint's side that lives on its event loop: authenticates, performs, disturbs and records requests."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from awscrt.testing import _checksums, _sigv4
from awscrt.testing._errors import S3Error
from awscrt.testing._faults import Fault, FaultPlan
from awscrt.testing._http import Application, HttpConnection, Request, Response
from awscrt.testing._objects import StoredObject, md5
from awscrt.testing._service import Call, Service, error_response
from awscrt.testing._sigv4 import Credentials
from awscrt.testing._storage import Arena, Body

ACCESS_KEY_ID = "AKIDEXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@dataclass(frozen=True)
class Statistics:
    """What the endpoint has seen since it started or was reset."""

    connections: int  #: opened so far
    max_connections: int  #: open at the same time
    max_in_flight: int  #: requests being received or answered at the same time
    bytes_received: int  #: of request bodies
    bytes_sent: int  #: of response bodies


@dataclass(frozen=True)
class S3EndpointOptions:
    """How the endpoint behaves."""

    buckets: Sequence[str] = ("test-bucket",)
    credentials: Mapping[str, str] = dataclasses.field(default_factory=lambda: {ACCESS_KEY_ID: SECRET_ACCESS_KEY})
    region: Optional[str] = "us-east-1"  #: the only region signatures may name; None: any
    allow_anonymous: bool = False  #: accept requests without a signature
    max_clock_skew: Optional[float] = 900.0  #: seconds; None: signatures of any date
    min_part_size: int = 5 * 1024 * 1024  #: bytes; smaller parts may only come last
    domain: str = "localhost"  #: ``<bucket>.<domain>`` names a bucket in the Host header
    host: str = "127.0.0.1"
    port: int = 0  #: 0: a free one
    certificate: Optional[str] = None  #: PEM files for TLS
    private_key: Optional[str] = None
    spool_directory: Optional[str] = None  #: keep bodies in an unlinked file there instead of memory


@dataclass
class _InFlight:
    call: Call
    error_code: str = ""
    entry: Optional[Dict[str, Any]] = None


class EndpointServer(Application):
    """The endpoint's side that lives on its event loop."""

    def __init__(self, options: S3EndpointOptions) -> None:
        self.options = options
        self.arena = Arena(options.spool_directory)
        credentials = {key: Credentials(key, secret) for key, secret in options.credentials.items()}
        self.service = Service(options.buckets, credentials, options.min_part_size, options.domain)
        self.faults = FaultPlan()
        self._connections: Dict[int, HttpConnection] = {}
        self._calls: Dict[int, _InFlight] = {}  # by id of the request
        self._opened = 0
        self._open = 0
        self._forget()

    def _forget(self) -> None:
        self._log: List[Dict[str, Any]] = []  # the fields of RecordedRequest
        self._max_open = self._open
        self._max_in_flight = len(self._calls)
        self._first = self._opened
        self._received = 0
        self._sent = 0

    async def listen(self) -> Tuple[asyncio.base_events.Server, int]:
        context: Optional[ssl.SSLContext] = None
        if self.options.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.options.certificate, self.options.private_key)
        loop = asyncio.get_event_loop()
        server = await loop.create_server(
            lambda: HttpConnection(self), self.options.host, self.options.port, ssl=context, backlog=1024
        )
        return server, int(server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Drops everything that is stored; the log stays."""
        self.service.buckets.clear()
        self.service.uploads.clear()
        self.arena.close()

    def abort_connections(self) -> int:
        """Breaks what is open; returns how many connections there were."""
        open_now = list(self._connections.values())
        for connection in open_now:
            connection.abort()
        return len(open_now)

    # ---- Application ----

    def connection_opened(self, connection: HttpConnection) -> int:
        self._opened += 1
        self._connections[self._opened] = connection
        self._open += 1
        self._max_open = max(self._max_open, self._open)
        return self._opened

    def connection_closed(self, number: int) -> None:
        self._open -= 1
        del self._connections[number]

    def head_received(self, request: Request) -> None:
        call = self.service.understand(request)
        self._calls[id(request)] = _InFlight(call)
        self._max_in_flight = max(self._max_in_flight, len(self._calls))
        request.fault = self.faults.take(call.operation, request.method, call.key, call.part_number, call.range_start)

    def prepare(self, request: Request) -> None:
        self.service.prepare(self._calls[id(request)].call, request)

    def respond(self, request: Request) -> Response:
        state = self._calls[id(request)]
        fault = request.fault
        try:
            if fault is not None and fault.replaces_operation:
                response = _injected(fault, request)
            else:
                self._authenticate(request)
                response = self.service.perform(state.call, request)
        except S3Error as error:
            state.error_code = error.code
            response = error_response(error, request)
        except Exception as error:  # a bug of the endpoint must be visible to the test, not hang it
            state.error_code = "InternalError"
            response = error_response(S3Error(500, "InternalError", f"{type(error).__name__}: {error}"), request)
        response.headers.append(("x-amz-request-id", f"{len(self._log) + 1:016X}"))
        response.headers.append(("Server", "AmazonS3"))
        if fault is not None:
            _disturb(response, fault)
        return response

    def begun(self, request: Request, status: int) -> None:
        self._record(request)["status"] = status

    def finished(self, request: Request, sent: int) -> None:
        entry = self._record(request)
        del self._calls[id(request)]
        entry.update(bytes_sent=sent, ended=time.monotonic())
        self._received += request.body.length
        self._sent += sent

    def _record(self, request: Request) -> Dict[str, Any]:
        """The log entry of a request, made when its response begins so that its client finds it in the log."""
        state = self._calls[id(request)]
        if state.entry is None:
            length = request.body.length
            state.entry = {
                "operation": state.call.operation,
                "method": request.method,
                "target": request.target,
                "bucket": state.call.bucket,
                "key": state.call.key,
                "headers": request.fields,
                "body_length": length,
                "body": bytes(request.body) if length <= 64 * 1024 else None,
                "status": 0,
                "error_code": state.error_code,
                "bytes_sent": 0,
                "connection": request.connection,
                "started": request.started,
                "ended": request.started,
            }
            self._log.append(state.entry)
        return state.entry

    def _authenticate(self, request: Request) -> None:
        options = self.options
        credentials = self.service.credentials
        payload = _sigv4.verify(request.signed(), credentials, region=options.region, max_skew=options.max_clock_skew)
        if payload is None:
            if not options.allow_anonymous:
                raise S3Error(403, "AccessDenied", "Access Denied: the request is not signed")
        elif len(payload) == 64:
            _sigv4.check_payload(payload, _checksums.digest("SHA256", request.body))
        else:
            _sigv4.check_payload(payload, b"")

    # ---- control; each runs on the loop and takes and returns JSON-able values, with bytes ----

    def control(self, command: str, arguments: Dict[str, Any]) -> Any:
        method: Callable[..., Any] = getattr(self, "do_" + command)
        return method(**arguments)

    def do_requests(self) -> List[Dict[str, Any]]:
        return [dict(entry) for entry in self._log]

    def do_statistics(self) -> Dict[str, int]:
        return dataclasses.asdict(
            Statistics(self._opened - self._first, self._max_open, self._max_in_flight, self._received, self._sent)
        )

    def do_fail(self, **fault: Any) -> None:
        self.faults.add(Fault(**fault))

    def do_reset(self) -> None:
        self.faults.clear()
        self._forget()

    def do_put(self, bucket: str, key: str, data: bytes, headers: Dict[str, str], checksums: List[str]) -> None:
        body = Body.of(data)
        if len(data) >= 64 * 1024:
            blob = self.arena.allocate(len(data))
            blob.view[:] = data
            body.segments = [dataclasses.replace(body.segments[0], blob=blob)]
        values = {name: _checksums.encoded(_checksums.digest(name, body)) for name in checksums}
        stored = StoredObject(body, f'"{md5(body).hex()}"', headers, values)
        self.service.buckets.setdefault(bucket, {})[key] = stored

    def do_get(self, bucket: str, key: str) -> Optional[bytes]:
        stored = self.service.buckets.get(bucket, {}).get(key)
        return None if stored is None else bytes(stored.body)

    def do_keys(self, bucket: str) -> List[str]:
        return sorted(self.service.buckets.get(bucket, {}))

    def do_uploads(self) -> List[str]:
        return sorted(self.service.uploads)


def _injected(fault: Fault, request: Request) -> Response:
    status = 500 if fault.status is None else fault.status
    if fault.body is not None:
        return Response(status, [], Body.of(fault.body))
    if fault.code is not None:
        raise S3Error(status, fault.code, fault.message)
    return Response(status)


def _disturb(response: Response, fault: Fault) -> None:
    replaced = {name.lower() for name in fault.set_headers} | {name.lower() for name in fault.drop_headers}
    response.headers = [(n, v) for n, v in response.headers if n.lower() not in replaced]
    response.headers += list(fault.set_headers.items())
    if fault.body is not None:
        response.body = Body.of(fault.body)
    if fault.corrupt is not None:
        data = bytearray(bytes(response.body))
        data[fault.corrupt] ^= 0xFF
        response.body = Body.of(bytes(data))
