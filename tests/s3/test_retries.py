"""Which failures are repeated, how often, and what is reported in the end."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Callable

import pytest

from awscrt.auth import AwsCredentialsProvider
from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import ExponentialBackoffJitterMode
from awscrt.s3 import S3RequestType, S3ResponseError, S3RetryConfig, S3RetryMode
from awscrt.testing.s3 import S3Endpoint
from awscrt.testing.scripted import Peer, ScriptedServer

from .support import BUCKET, MIB, QUICK, Store, Transfer, content, make_client


@pytest.mark.parametrize(
    ("status", "code", "name"),
    [
        (500, None, "AWS_ERROR_S3_INTERNAL_ERROR"),
        (502, None, "AWS_ERROR_S3_INTERNAL_ERROR"),
        (504, None, "AWS_ERROR_S3_INTERNAL_ERROR"),
        (503, None, "AWS_ERROR_S3_SLOW_DOWN"),
        (400, "SlowDown", "AWS_ERROR_S3_SLOW_DOWN"),
        (400, "InternalError", "AWS_ERROR_S3_INTERNAL_ERROR"),
        (403, "RequestTimeTooSkewed", "AWS_ERROR_S3_REQUEST_TIME_TOO_SKEWED"),
        (400, "RequestTimeout", "AWS_ERROR_S3_REQUEST_TIMEOUT"),
    ],
)
def test_worth_six_attempts(store: Store, status: int, code: Any, name: str) -> None:
    store.endpoint.fail_next(count=None, status=status, code=code)
    transfer = store.get("k").wait()
    assert len(store.endpoint.requests()) == 6
    assert transfer.error.name == name
    assert not isinstance(transfer.error, S3ResponseError)
    assert transfer.done["status_code"] is None
    assert transfer.done["error_headers"] is None
    assert transfer.done["error_body"] is None


@pytest.mark.parametrize("status", [301, 307, 400, 403, 404, 408, 409, 412, 416, 429, 501])
def test_final_at_once(store: Store, status: int) -> None:
    store.endpoint.fail_next(count=None, status=status, code="Whatever")
    transfer = store.get("k", [("If-Match", '"x"')]).wait()
    assert len(store.endpoint.requests()) == 1
    assert isinstance(transfer.error, S3ResponseError)
    assert transfer.done["status_code"] == status


def test_success_after_failures(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")
    store.endpoint.fail_next(count=5, status=500)
    transfer = store.get("k").result()
    assert transfer.body == b"hello"
    assert transfer.calls == ["headers", "body", "progress", "done"]


def test_only_the_part_that_failed_is_repeated(store_with: Callable[..., Store], tmp_path: Path) -> None:
    store = store_with(part_size=MIB)
    data = content(4 * MIB)
    store.endpoint.put_object(BUCKET, "k", data)
    store.endpoint.fail_next(range_start=2 * MIB, count=2, status=503, code="SlowDown")
    store.get("k", recv_filepath=str(tmp_path / "out")).result()
    assert (tmp_path / "out").read_bytes() == data
    asked = [request.header("Range") for request in store.endpoint.requests()]
    assert len(asked) == 6
    assert asked.count(f"bytes={2 * MIB}-{3 * MIB - 1}") == 3


@pytest.mark.parametrize("to_file", [False, True])
@pytest.mark.parametrize("start", [0, MIB])
def test_connection_that_breaks_within_a_body(
    store_with: Callable[..., Store], tmp_path: Path, to_file: bool, start: int
) -> None:
    store = store_with(part_size=MIB)
    data = content(3 * MIB)
    store.endpoint.put_object(BUCKET, "k", data)
    store.endpoint.fail_next(range_start=start, close_after=500_000)
    options = {"recv_filepath": str(tmp_path / "out")} if to_file else {}
    transfer = store.get("k", **options).result()
    assert ((tmp_path / "out").read_bytes() if to_file else transfer.body) == data
    assert transfer.calls.count("headers") == 1
    assert sum(transfer.progress) == len(data)


def test_connection_that_always_breaks(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", content(1000))
    store.endpoint.fail_next(count=None, close_after=500)
    error = store.get("k").wait().error
    assert isinstance(error, AwsCrtError)
    assert not isinstance(error, S3ResponseError)
    assert store.endpoint.authority in error.message
    assert len(store.endpoint.requests()) == 6


def test_connection_closed_without_an_answer(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")
    store.endpoint.fail_next(count=2, close=True)
    assert store.get("k").result().body == b"hello"


def test_part_of_an_upload_is_sent_again(store: Store, tmp_path: Path) -> None:
    data = content(17 * MIB)
    path = tmp_path / "in"
    path.write_bytes(data)
    for start in (lambda: store.put("k", data), lambda: store.put_file("k", path)):
        store.endpoint.reset()
        store.endpoint.fail_next(operation="UploadPart", part_number=2, count=2, status=500)
        store.endpoint.fail_next(operation="UploadPart", part_number=1, close_in_request=MIB)
        store.endpoint.fail_next(operation="CompleteMultipartUpload", status=503)
        start().result()
        assert store.endpoint.get_object(BUCKET, "k") == data


def test_small_upload_is_sent_again_without_reading_again(store: Store) -> None:
    store.endpoint.fail_next(operation="PutObject", count=2, status=500)
    store.put("k", b"hello").result()
    assert store.endpoint.get_object(BUCKET, "k") == b"hello"


def test_error_in_the_body_of_a_success_is_repeated(store: Store) -> None:
    body = b"<Error><Code>InternalError</Code></Error>"
    store.endpoint.fail_next(operation="CompleteMultipartUpload", status=200, body=body)
    data = content(9 * MIB)
    store.put("k", data).result()
    assert store.endpoint.get_object(BUCKET, "k") == data


def test_wrong_content_range_is_repeated(store_with: Callable[..., Store]) -> None:
    store = store_with(retry_config=S3RetryConfig(max_retries=1, backoff_scale_factor_ms=1))
    store.endpoint.put_object(BUCKET, "k", b"hello")
    store.endpoint.fail_next(count=None, set_headers={"Content-Range": "bytes 1-4/5"})
    store.get("k").wait()
    assert len(store.endpoint.requests()) == 2


def test_mode_none(store_with: Callable[..., Store]) -> None:
    store = store_with(retry_config=S3RetryConfig(retry_mode=S3RetryMode.NONE))
    store.endpoint.fail_next(count=None, status=500)
    assert store.get("k").wait().error.name == "AWS_ERROR_S3_INTERNAL_ERROR"
    assert len(store.endpoint.requests()) == 1


def test_mode_adaptive_says_that_it_is_not_there(store_with: Callable[..., Store]) -> None:
    with pytest.raises(RuntimeError, match="AWS_ERROR_UNIMPLEMENTED.*ADAPTIVE"):
        store_with(retry_config=S3RetryConfig(retry_mode=S3RetryMode.ADAPTIVE))


def bucket_of(capacity: int, mode: S3RetryMode = S3RetryMode.STANDARD) -> S3RetryConfig:
    return S3RetryConfig(
        backoff_scale_factor_ms=1,
        initial_bucket_capacity=capacity,
        retry_mode=mode,
        jitter_mode=ExponentialBackoffJitterMode.NONE,
    )


@pytest.mark.parametrize(
    ("fault", "mode", "attempts"),
    [
        ({"status": 500}, S3RetryMode.STANDARD, 4),
        ({"close": True}, S3RetryMode.STANDARD, 3),
        ({"status": 500}, S3RetryMode.EXPONENTIAL_BACKOFF, 6),
    ],
)
def test_token_bucket(store_with: Callable[..., Store], fault: Any, mode: S3RetryMode, attempts: int) -> None:
    """12 tokens pay for three retries at 5, 5 and the rest, or for two at 10 and the rest."""
    store = store_with(retry_config=bucket_of(12, mode))
    store.endpoint.fail_next(count=None, **fault)
    store.get("k").wait()
    assert len(store.endpoint.requests()) == attempts


def test_token_bucket_is_shared_by_transfers_to_a_host(store_with: Callable[..., Store]) -> None:
    store = store_with(retry_config=bucket_of(10))
    store.endpoint.fail_next(count=None, status=500)
    store.get("a").wait()
    store.get("b").wait()
    assert len(store.endpoint.requests()) == 3 + 1


def test_refused_connection(unused_port: int) -> None:
    client = make_client(retry_config=S3RetryConfig(max_retries=1, backoff_scale_factor_ms=1))
    transfer = Transfer()
    message = HttpRequest("GET", "/some/key", HttpHeaders([("Host", f"127.0.0.1:{unused_port}")]))
    transfer.request = client.make_request(type=S3RequestType.GET_OBJECT, request=message, on_done=transfer.on_done)
    error = transfer.wait().error
    assert error.name == "AWS_IO_SOCKET_CONNECTION_REFUSED"
    assert f"127.0.0.1:{unused_port}/some/key" in error.message
    assert transfer.done["status_code"] is None


def test_each_attempt_is_signed_anew(s3_endpoint: S3Endpoint) -> None:
    from awscrt.auth import AwsCredentials
    from awscrt.testing.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY

    asked = []

    def credentials() -> AwsCredentials:
        asked.append(threading.get_ident())
        return AwsCredentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY)

    store = Store(s3_endpoint, make_client(credential_provider=AwsCredentialsProvider.new_delegate(credentials)))
    store.endpoint.put_object(BUCKET, "k", b"hello")
    store.endpoint.fail_next(count=2, status=500)
    store.get("k").result()
    assert len(asked) == 3


def test_answer_that_is_no_http(scripted_server: Callable[..., ScriptedServer]) -> None:
    def script(peer: Peer) -> None:
        peer.receive_until(b"\r\n\r\n")
        peer.send(b"SMTP ready\r\n")

    server = scripted_server(script)
    client = make_client(retry_config=S3RetryConfig(max_retries=2, backoff_scale_factor_ms=1))
    message = HttpRequest("GET", "/k", HttpHeaders([("Host", f"127.0.0.1:{server.port}")]))
    request = client.make_request(type=S3RequestType.GET_OBJECT, request=message)
    error = request.finished_future.exception(30)
    assert isinstance(error, AwsCrtError)
    assert error.name == "AWS_ERROR_HTTP_PROTOCOL_ERROR"
    assert server.connections == 3


def test_body_longer_than_its_range(scripted_server: Callable[..., ScriptedServer]) -> None:
    def script(peer: Peer) -> None:
        while True:
            peer.receive_until(b"\r\n\r\n")
            peer.send(
                b'HTTP/1.1 206 Partial Content\r\nETag: "e"\r\nContent-Range: bytes 0-99999/100000\r\n'
                b"Transfer-Encoding: chunked\r\n\r\n30d40\r\n" + b"x" * 200_000 + b"\r\n0\r\n\r\n"
            )

    server = scripted_server(script)
    client = make_client(retry_config=S3RetryConfig(retry_mode=S3RetryMode.NONE))
    message = HttpRequest("GET", "/k", HttpHeaders([("Host", f"127.0.0.1:{server.port}")]))
    chunks: list = []
    request = client.make_request(
        type=S3RequestType.GET_OBJECT, request=message, on_body=lambda chunk, offset: chunks.append(chunk)
    )
    error = request.finished_future.exception(30)
    assert isinstance(error, AwsCrtError)
    assert error.name == "AWS_ERROR_HTTP_PROTOCOL_ERROR"
    assert chunks == []
    server.errors.clear()  # the client hung up on the script


assert QUICK.max_retries == 0  # the default number of retries is what these tests count
