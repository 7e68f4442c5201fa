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

import dataclasses
import os
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from awscrt.testing import _sigv4
from awscrt.testing._faults import Fault
from awscrt.testing._runners import ProcessRunner, ThreadRunner
from awscrt.testing._server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3EndpointOptions, Statistics
from awscrt.testing._sigv4 import Credentials

__all__ = [
    "ACCESS_KEY_ID",
    "SECRET_ACCESS_KEY",
    "Credentials",
    "Fault",
    "RecordedRequest",
    "S3Endpoint",
    "S3EndpointOptions",
    "Statistics",
]


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


class S3Endpoint:
    """A running endpoint; see the module's text. Keyword arguments are those of S3EndpointOptions.

    As a context manager it runs on a thread of this process; ``start_process`` gives it its own.
    """

    def __init__(self, **options: Any) -> None:
        self.options = S3EndpointOptions(**options)
        self._runner: Optional[Union[ThreadRunner, ProcessRunner]] = None

    @classmethod
    def start_process(cls, **options: Any) -> S3Endpoint:
        """Starts an endpoint in a process of its own; it ends with ``close()`` or with this process."""
        endpoint = cls(**options)
        endpoint._runner = ProcessRunner(endpoint.options)
        return endpoint

    def start(self) -> S3Endpoint:
        """Starts the endpoint on a thread."""
        if self._runner is None:
            self._runner = ThreadRunner(self.options)
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

    def _running(self) -> Union[ThreadRunner, ProcessRunner]:
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
        return runner.pid if isinstance(runner, ProcessRunner) else os.getpid()

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
