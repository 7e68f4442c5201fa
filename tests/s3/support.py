"""What the tests of awscrt.s3 share: a client with its endpoint, and transfers that record their callbacks."""

from __future__ import annotations

import io
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType, S3RetryConfig
from awscrt.testing.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Endpoint

MIB = 1024 * 1024
BUCKET = "test-bucket"
TIMEOUT = 30

# Retries without waiting.
QUICK = S3RetryConfig(backoff_scale_factor_ms=1)


def content(size: int) -> bytes:
    """Bytes in which every place is recognizable."""
    block = b"".join(i.to_bytes(4, "big") for i in range(16384))
    return (block * (size // len(block) + 1))[:size]


def eventually(condition: Callable[[], Any]) -> None:
    """Waits until the condition holds."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


class Transfer:
    """A transfer whose callbacks are recorded."""

    def __init__(self) -> None:
        self.calls: List[str] = []
        self.status: Optional[int] = None
        self.headers: Dict[str, str] = {}
        self.chunks: List[Tuple[int, bytes]] = []
        self.progress: List[int] = []
        self.done: Dict[str, Any] = {}
        self.over = threading.Event()
        self.request: Any = None

    def on_headers(self, status_code: int, headers: List[Tuple[str, str]]) -> None:
        self.calls.append("headers")
        self.status = status_code
        self.headers = {name.lower(): value for name, value in headers}

    def on_body(self, chunk: bytes, offset: int) -> None:
        self.calls.append("body")
        self.chunks.append((offset, chunk))

    def on_progress(self, progress: int) -> None:
        self.calls.append("progress")
        self.progress.append(progress)

    def on_done(self, **kwargs: Any) -> None:
        self.calls.append("done")
        self.done = kwargs
        self.over.set()

    @property
    def body(self) -> bytes:
        return b"".join(chunk for _, chunk in self.chunks)

    @property
    def error(self) -> Any:
        return self.done["error"]

    def wait(self) -> Transfer:
        """Until on_done has been called. The outcome is in ``done``."""
        self.request.finished_future.exception(TIMEOUT)
        assert self.over.wait(TIMEOUT), "on_done was not called"
        return self

    def result(self) -> Transfer:
        """As wait, but raises when the transfer failed."""
        self.wait()
        self.request.finished_future.result(0)
        return self


class Store:
    """A client and the endpoint it talks to."""

    def __init__(self, endpoint: S3Endpoint, client: S3Client) -> None:
        self.endpoint = endpoint
        self.client = client

    def message(self, method: str, key: str, headers: Any = (), body: Any = None) -> HttpRequest:
        fields = HttpHeaders([("Host", self.endpoint.authority), *headers])
        return HttpRequest(method, f"/{BUCKET}/{key}", fields, body)

    def start(
        self, type: S3RequestType, message: HttpRequest, *, skip: Tuple[str, ...] = (), **options: Any
    ) -> Transfer:
        """Starts a transfer with all callbacks but those named in ``skip``."""
        transfer = Transfer()
        for name in ("on_headers", "on_body", "on_progress", "on_done"):
            if name not in skip:
                options.setdefault(name, getattr(transfer, name))
        transfer.request = self.client.make_request(type=type, request=message, **options)
        return transfer

    def get(self, key: str, headers: Any = (), **options: Any) -> Transfer:
        return self.start(S3RequestType.GET_OBJECT, self.message("GET", key, headers), **options)

    def put(self, key: str, data: bytes, headers: Any = (), *, length: bool = True, **options: Any) -> Transfer:
        fields = [*headers, *([("Content-Length", str(len(data)))] if length else [])]
        message = self.message("PUT", key, fields, io.BytesIO(data))
        return self.start(S3RequestType.PUT_OBJECT, message, **options)

    def put_file(self, key: str, path: Any, headers: Any = (), **options: Any) -> Transfer:
        message = self.message("PUT", key, headers)
        return self.start(S3RequestType.PUT_OBJECT, message, send_filepath=str(path), **options)

    def do(
        self, operation: str, method: str, key: str, headers: Any = (), body: Any = None, **options: Any
    ) -> Transfer:
        message = self.message(method, key, headers, body)
        return self.start(S3RequestType.DEFAULT, message, operation_name=operation, **options)

    def operations(self) -> List[str]:
        return [request.operation for request in self.endpoint.requests()]


def make_client(**options: Any) -> S3Client:
    options.setdefault("credential_provider", AwsCredentialsProvider.new_static(ACCESS_KEY_ID, SECRET_ACCESS_KEY))
    options.setdefault("retry_config", QUICK)
    return S3Client(region="us-east-1", tls_mode=S3RequestTlsMode.DISABLED, **options)
