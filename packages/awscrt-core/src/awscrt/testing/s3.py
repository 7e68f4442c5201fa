"""An embedded S3 server on the loopback interface, strict about what real S3 is strict about.

    with S3Endpoint(buckets=["photos"]) as endpoint:          # on a thread of this process
        endpoint.fail_next(operation="UploadPart", status=503, code="SlowDown")
        ...                                                   # clients talk to endpoint.host, endpoint.port
        assert [r.operation for r in endpoint.requests()] == [...]

    endpoint = S3Endpoint.start_process(buckets=["photos"])   # the same in a process of its own
    ...
    endpoint.close()

It verifies signatures and checksums, serves ranges and conditional requests, and keeps a log of every
request. Bodies are received and sent without copies, so it keeps up with a fast client on one processor.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import IO, Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from awscrt.testing import _checksums, _sigv4
from awscrt.testing._errors import S3Error
from awscrt.testing._faults import Fault, FaultPlan
from awscrt.testing._http import Application, HttpConnection, Request, Response
from awscrt.testing._objects import StoredObject, md5
from awscrt.testing._service import Call, Service, error_response
from awscrt.testing._sigv4 import Credentials
from awscrt.testing._storage import Arena, Body

__all__ = ["S3Endpoint", "S3EndpointOptions", "RecordedRequest", "Statistics", "Fault", "Credentials"]

ACCESS_KEY_ID = "AKIDEXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@dataclass(frozen=True)
class RecordedRequest:
    """One request as the endpoint saw it, logged when its response begins or its connection broke."""

    operation: str
    method: str
    target: str  #: path and query as sent
    bucket: str
    key: str
    headers: List[Tuple[str, str]]  #: as sent, in order
    body_length: int  #: bytes on the wire, without HTTP chunking
    body: Optional[bytes]  #: bodies up to 64 KiB
    status: int  #: 0: no response began
    error_code: str  #: S3's error code, or ""
    bytes_sent: int  #: of the response body; 0 while it is going out
    connection: int  #: number of the connection
    started: float  #: seconds, time.monotonic() of the endpoint's process
    ended: float  #: equals ``started`` while the response is going out

    def header(self, name: str, default: Optional[str] = None) -> Optional[str]:
        """The first value of a header, by name without case."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), default)

    @property
    def query(self) -> Dict[str, str]:
        """Decoded query parameters."""
        return dict(_sigv4.parse_query(self.target.partition("?")[2]))


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


class _Server(Application):
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


class _Thread:
    """Runs a server on a thread."""

    def __init__(self, options: S3EndpointOptions) -> None:
        self._loop = asyncio.new_event_loop()
        self._server = _Server(options)
        started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="s3-endpoint", daemon=True)
        self._thread.start()
        self.port = started.result()

    def _run(self, started: Future[int]) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(started))
        self._loop.close()
        self._server.arena.close()

    async def _serve(self, started: Future[int]) -> None:
        self._stopped = asyncio.get_event_loop().create_future()
        try:
            listener, port = await self._server.listen()
        except Exception as error:
            started.set_exception(error)
            return
        started.set_result(port)
        await self._stopped
        # Connections being accepted and responses under way are tasks; each ends when its connection does. The
        # listener is closed after them: asyncio cannot finish accepting for a closed one.
        for sock in listener.sockets:
            self._loop.remove_reader(sock.fileno())
        while self._server.abort_connections() or len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.001)
        listener.close()

    def call(self, command: str, arguments: Dict[str, Any]) -> Any:
        result: Future[Any] = Future()

        def run() -> None:
            try:
                result.set_result(self._server.control(command, arguments))
            except BaseException as error:
                result.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return result.result()

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set_result, None)
            self._thread.join()


def to_json(value: Any) -> str:
    """One line of JSON; bytes become ``{"base64": ...}``."""

    def default(item: Any) -> Any:
        if isinstance(item, (bytes, bytearray, memoryview)):
            return {"base64": base64.b64encode(item).decode()}
        raise TypeError(f"cannot send {type(item).__name__} to the endpoint's process")

    return json.dumps(value, default=default)


def from_json(line: Union[str, bytes]) -> Any:
    """The inverse of to_json."""
    return json.loads(line, object_hook=lambda o: base64.b64decode(o["base64"]) if set(o) == {"base64"} else o)


class _Process:
    """Runs a server in a process of its own, told what to do over its standard input."""

    def __init__(self, options: S3EndpointOptions) -> None:
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "awscrt.testing._s3_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._lock = threading.Lock()
        self.pid = self._process.pid
        try:
            self.port = int(self._exchange(dataclasses.asdict(options)))
        except BaseException:
            self.close()
            raise

    def _exchange(self, message: Any) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        with self._lock:
            stdin.write(to_json(message).encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
        if not line:
            raise RuntimeError(f"the endpoint's process {self.pid} has ended with status {self._process.wait()}")
        answer = from_json(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def call(self, command: str, arguments: Dict[str, Any]) -> Any:
        return self._exchange({"command": command, "arguments": arguments})

    def close(self) -> None:
        """Ends the process by closing its standard input; kills it when it does not listen."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve_process(commands: IO[bytes], answers: IO[bytes]) -> None:
    """The main loop of the endpoint's process: options, then commands, until the input ends."""
    options = S3EndpointOptions(**from_json(commands.readline()))

    def answer(function: Callable[[], Any]) -> None:
        try:
            message = {"result": function()}
        except Exception as error:
            message = {"error": f"{type(error).__name__}: {error}"}
        answers.write(to_json(message).encode() + b"\n")
        answers.flush()

    try:
        server = _Thread(options)
    except Exception as error:
        answers.write(to_json({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        answers.flush()
        return
    answer(lambda: server.port)
    for line in commands:
        message = from_json(line)
        answer(lambda m=message: server.call(m["command"], m["arguments"]))  # type: ignore[misc]
    server.close()


class S3Endpoint:
    """A running endpoint; see the module's text. Keyword arguments are those of S3EndpointOptions.

    As a context manager it runs on a thread of this process; ``start_process`` gives it its own.
    """

    def __init__(self, **options: Any) -> None:
        self.options = S3EndpointOptions(**options)
        self._runner: Optional[Union[_Thread, _Process]] = None

    @classmethod
    def start_process(cls, **options: Any) -> S3Endpoint:
        """Starts an endpoint in a process of its own; it ends with ``close()`` or with this process."""
        endpoint = cls(**options)
        endpoint._runner = _Process(endpoint.options)
        return endpoint

    def start(self) -> S3Endpoint:
        """Starts the endpoint on a thread."""
        if self._runner is None:
            self._runner = _Thread(self.options)
        return self

    def close(self) -> None:
        """Stops listening and breaks open connections. May be called more than once."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    def __enter__(self) -> S3Endpoint:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _running(self) -> Union[_Thread, _Process]:
        if self._runner is None:
            raise RuntimeError("the endpoint is not running")
        return self._runner

    def _call(self, command: str, **arguments: Any) -> Any:
        return self._running().call(command, arguments)

    @property
    def host(self) -> str:
        return self.options.host

    @property
    def port(self) -> int:
        return self._running().port

    @property
    def authority(self) -> str:
        """``host:port``, for a Host header in path style."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        scheme = "http" if self.options.certificate is None else "https"
        return f"{scheme}://{self.authority}"

    @property
    def pid(self) -> int:
        """The process that serves."""
        runner = self._running()
        return runner.pid if isinstance(runner, _Process) else os.getpid()

    def fail_next(self, count: Optional[int] = 1, **fault: Any) -> None:
        """Disturbs the next ``count`` matching requests (None: all); the keywords are the fields of Fault."""
        Fault(count=count, **fault)  # reports unknown keywords here, not in the other process
        self._call("fail", count=count, **fault)

    def requests(self, operation: Optional[str] = None) -> List[RecordedRequest]:
        """The log so far, in the order the responses began; optionally of one operation."""
        entries = [RecordedRequest(**e) for e in self._call("requests")]
        entries = [dataclasses.replace(e, headers=[(n, v) for n, v in e.headers]) for e in entries]
        return [e for e in entries if operation is None or e.operation == operation]

    def statistics(self) -> Statistics:
        """Counters since the start or the last reset."""
        return Statistics(**self._call("statistics"))

    def reset(self) -> None:
        """Forgets the log, the counters and all faults; keeps the objects."""
        self._call("reset")

    def put_object(
        self,
        bucket: str,
        key: str,
        data: Union[bytes, bytearray, memoryview],
        *,
        headers: Optional[Mapping[str, str]] = None,
        checksums: Sequence[str] = (),
    ) -> None:
        """Stores an object without a request. ``checksums`` names algorithms to keep values of, e.g. ``["CRC32"]``."""
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        self._call("put", bucket=bucket, key=key, data=data, headers=lowered, checksums=list(checksums))

    def get_object(self, bucket: str, key: str) -> Optional[bytes]:
        """The bytes of an object, or None."""
        data: Optional[bytes] = self._call("get", bucket=bucket, key=key)
        return data

    def keys(self, bucket: str) -> List[str]:
        """Sorted keys of a bucket."""
        return list(self._call("keys", bucket=bucket))

    def open_uploads(self) -> List[str]:
        """Ids of multipart uploads neither completed nor aborted."""
        return list(self._call("uploads"))
