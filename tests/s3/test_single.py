"""DEFAULT requests: sent as they are."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from awscrt.s3 import S3RequestType, S3ResponseError

from .support import BUCKET, Store, content


def test_request_is_sent_as_it_is(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")
    transfer = store.do("DeleteObject", "DELETE", "k").result()
    assert transfer.done["status_code"] == 204
    assert store.endpoint.keys(BUCKET) == []
    (request,) = store.endpoint.requests()
    assert request.operation == "DeleteObject"


def test_body_comes_in_one_piece(store: Store) -> None:
    data = content(300_000)
    store.endpoint.put_object(BUCKET, "k", data)
    transfer = store.do("GetObject", "GET", "k").result()
    assert transfer.chunks == [(0, data)]
    assert sum(transfer.progress) == len(data)


def test_offset_is_that_of_the_range(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"0123456789")
    assert store.do("GetObject", "GET", "k", [("Range", "bytes=5-9")]).result().chunks == [(5, b"56789")]


@pytest.mark.parametrize("operation", ["GetObject", "Whatever"])
def test_body_to_a_file(store: Store, tmp_path: Path, operation: str) -> None:
    store.endpoint.put_object(BUCKET, "k", content(100_000))
    transfer = store.do(operation, "GET", "k", recv_filepath=str(tmp_path / "out")).result()
    assert (tmp_path / "out").read_bytes() == content(100_000)
    assert transfer.chunks == []


def test_body_is_sent(store: Store) -> None:
    store.do("PutObject", "PUT", "k", [("Content-Length", "3")], io.BytesIO(b"abc")).result()
    assert store.endpoint.get_object(BUCKET, "k") == b"abc"


def test_head(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")
    transfer = store.do("HeadObject", "HEAD", "k").result()
    assert transfer.headers["content-length"] == "5"
    assert transfer.chunks == []


def test_failure_names_the_operation_as_the_caller_spelled_it(store: Store) -> None:
    error = store.do("headobject", "HEAD", "nothing").wait().error
    assert isinstance(error, S3ResponseError)
    assert (error.status_code, error.operation_name, error.body) == (404, "headobject", None)


def test_error_in_a_success(store: Store) -> None:
    body = b"<Error><Code>Denied</Code></Error>"
    store.endpoint.fail_next(status=200, body=body)
    error = store.do("CopyObject", "PUT", "k", [("Content-Length", "0")]).wait().error
    assert (error.name, error.body) == ("AWS_ERROR_S3_NON_RECOVERABLE_ASYNC_ERROR", body)


def test_object_that_looks_like_an_error_is_an_object(store: Store) -> None:
    body = b"<Error><Code>InternalError</Code></Error>"
    store.endpoint.put_object(BUCKET, "k", body)
    assert store.do("GetObject", "GET", "k").result().body == body


@pytest.mark.parametrize("name", [None, ""])
def test_operation_needs_a_name(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="operation_name"):
        store.do(name, "GET", "k")


def test_other_types_are_refused(store: Store) -> None:
    with pytest.raises(RuntimeError, match="34 .AWS_ERROR_INVALID_ARGUMENT"):
        store.start(7, store.message("GET", "k"))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        store.start("GET_OBJECT", store.message("GET", "k"))  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [201, 202, 304])
def test_only_some_statuses_are_a_success(store: Store, status: int) -> None:
    store.endpoint.fail_next(status=status, body=b"")
    transfer = store.start(S3RequestType.DEFAULT, store.message("GET", "k"), operation_name="X").wait()
    assert transfer.error.status_code == status
