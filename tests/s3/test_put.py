"""Uploads: in one request, in parts, from memory, streams and files."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from awscrt.http import HttpHeaders, HttpRequest
from awscrt.s3 import S3RequestType, S3ResponseError

from .support import BUCKET, MIB, Store, content, eventually

PART = 5 * MIB


def parts(store: Store) -> Dict[int, int]:
    """Lengths of the parts the endpoint got, by number."""
    return {int(r.query["partNumber"]): r.body_length for r in store.endpoint.requests("UploadPart")}


def test_small_body_goes_in_one_request(store: Store) -> None:
    transfer = store.put("k", b"hello", [("Content-Type", "text/x"), ("x-amz-meta-a", "b")]).result()
    (request,) = store.endpoint.requests()
    assert (request.operation, request.body) == ("PutObject", b"hello")
    assert request.header("Content-Type") == "text/x"
    assert request.header("x-amz-meta-a") == "b"
    assert transfer.status == 200
    assert transfer.progress == [5]
    assert transfer.calls == ["headers", "progress", "done"]
    assert store.endpoint.get_object(BUCKET, "k") == b"hello"


def test_empty_body(store: Store) -> None:
    transfer = store.put("k", b"").result()
    assert store.endpoint.get_object(BUCKET, "k") == b""
    assert store.operations() == ["PutObject"]
    assert transfer.progress == []


def test_surplus_of_the_source_is_ignored(store: Store) -> None:
    store.start(
        S3RequestType.PUT_OBJECT, store.message("PUT", "k", [("Content-Length", "3")], io.BytesIO(b"abcdef"))
    ).result()
    assert store.endpoint.get_object(BUCKET, "k") == b"abc"


def test_large_body_goes_in_parts(store: Store) -> None:
    data = content(18 * MIB + 5)
    headers = [
        ("Content-Type", "text/x"),
        ("x-amz-meta-a", "b"),
        ("x-amz-acl", "private"),
        ("x-amz-request-payer", "requester"),
    ]
    transfer = store.put("k", data, headers).result()
    assert store.endpoint.get_object(BUCKET, "k") == data
    assert parts(store) == {1: 8 * MIB, 2: 8 * MIB, 3: 2 * MIB + 5}
    assert sum(transfer.progress) == len(data)
    assert transfer.calls.count("headers") == 1
    assert transfer.status == 200
    assert "etag" in transfer.headers
    create, *middle, complete = store.endpoint.requests()
    assert (create.operation, complete.operation) == ("CreateMultipartUpload", "CompleteMultipartUpload")
    assert create.target == f"/{BUCKET}/k?uploads"
    assert create.header("Content-Length") == "0"
    assert create.header("Content-Type") == "text/x"
    assert create.header("x-amz-meta-a") == "b"
    assert complete.header("x-amz-mp-object-size") == str(len(data))
    for request in [*middle, complete]:
        assert request.header("Content-Type") is None
        assert request.header("x-amz-meta-a") is None
        assert request.header("x-amz-acl") is None
        assert request.header("x-amz-request-payer") == "requester"
    assert re.fullmatch(
        rb'<\?xml version="1\.0" encoding="UTF-8"\?>\n'
        rb'<CompleteMultipartUpload xmlns="http://s3\.amazonaws\.com/doc/2006-03-01/">\n'
        rb"(    <Part>\n        <ETag>\w+</ETag>\n         <PartNumber>[123]</PartNumber>\n    </Part>\n){3}"
        rb"</CompleteMultipartUpload>",
        complete.body or b"",
    )


def test_body_as_long_as_the_threshold_goes_in_one_request(store_with: Callable[..., Store]) -> None:
    store = store_with(part_size=PART)
    store.put("a", content(PART)).result()
    assert store.operations() == ["PutObject"]
    store.endpoint.reset()
    store.put("b", content(PART + 1)).result()
    assert parts(store) == {1: PART, 2: 1}


def test_threshold_of_the_request(store: Store) -> None:
    store.put("k", content(2 * MIB), multipart_upload_threshold=MIB).result()
    assert parts(store) == {1: 2 * MIB}


def test_parts_of_an_upload_are_at_least_five_mib(store_with: Callable[..., Store]) -> None:
    store = store_with(part_size=MIB)
    store.put("a", content(3 * MIB)).result()
    assert store.operations() == ["PutObject"]
    store.put("b", content(6 * MIB)).result()
    assert parts(store) == {1: PART, 2: MIB}


@pytest.mark.parametrize("size", [0, 5, PART, 2 * PART + 3])
def test_unknown_length(store_with: Callable[..., Store], size: int) -> None:
    store = store_with(part_size=PART)
    data = content(size)
    store.put("k", data, length=False).result()
    assert store.endpoint.get_object(BUCKET, "k") == data
    assert sum(parts(store).values()) == size
    assert len(parts(store)) == max(1, -(-size // PART))
    (complete,) = store.endpoint.requests("CompleteMultipartUpload")
    assert complete.header("x-amz-mp-object-size") is None


class Trickle(io.RawIOBase):
    """A stream that gives a little at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._source = io.BytesIO(data)
        self._step = step

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._source.readinto(memoryview(buffer)[: self._step])


def test_parts_are_filled_from_short_reads(store_with: Callable[..., Store]) -> None:
    store = store_with(part_size=PART)
    data = content(PART + 1000)
    message = store.message("PUT", "k", [], Trickle(data, 700_001))
    store.start(S3RequestType.PUT_OBJECT, message).result()
    assert store.endpoint.get_object(BUCKET, "k") == data
    assert parts(store) == {1: PART, 2: 1000}


@pytest.mark.parametrize("size", [100, 12 * MIB])
def test_source_that_ends_early(store: Store, size: int) -> None:
    message = store.message("PUT", "k", [("Content-Length", str(size))], io.BytesIO(content(size - 1)))
    error = store.start(S3RequestType.PUT_OBJECT, message).wait().error
    assert error.name == "AWS_ERROR_S3_INCORRECT_CONTENT_LENGTH"
    assert store.endpoint.get_object(BUCKET, "k") is None
    assert store.endpoint.open_uploads() == []


class Broken(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raise RuntimeError("no more")


@pytest.mark.parametrize("size", [100, 12 * MIB])
def test_source_that_raises(store: Store, size: int, capfd: Any) -> None:
    message = store.message("PUT", "k", [("Content-Length", str(size))], Broken())
    error = store.start(S3RequestType.PUT_OBJECT, message).wait().error
    assert error.name == "AWS_ERROR_UNKNOWN"
    assert "RuntimeError: no more" in capfd.readouterr().err
    assert store.endpoint.open_uploads() == []


@pytest.mark.parametrize("size", [0, 1000, 8 * MIB, 20 * MIB + 3])
def test_file(store: Store, tmp_path: Path, size: int) -> None:
    data = content(size)
    path = tmp_path / "in"
    path.write_bytes(data)
    transfer = store.put_file("k", path).result()
    assert store.endpoint.get_object(BUCKET, "k") == data
    assert sum(transfer.progress) == size
    path.unlink()  # nothing holds it open


def test_file_with_content_length_sends_so_much(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(content(10 * MIB))
    store.put_file("k", path, [("Content-Length", str(9 * MIB))]).result()
    assert store.endpoint.get_object(BUCKET, "k") == content(9 * MIB)
    (complete,) = store.endpoint.requests("CompleteMultipartUpload")
    assert complete.header("x-amz-mp-object-size") == str(9 * MIB)


@pytest.mark.parametrize("size", [100, 12 * MIB])
def test_file_that_is_too_short(store: Store, tmp_path: Path, size: int) -> None:
    path = tmp_path / "in"
    path.write_bytes(content(size - 1))
    error = store.put_file("k", path, [("Content-Length", str(size))]).wait().error
    assert error.name == "AWS_ERROR_S3_INCORRECT_CONTENT_LENGTH"
    assert store.endpoint.open_uploads() == []


def test_file_that_is_missing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="44 .AWS_ERROR_FILE_INVALID_PATH") as caught:
        store.put_file("k", tmp_path / "nothing")
    assert str(tmp_path / "nothing") in str(caught.value)


def test_upload_needs_exactly_one_source(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"x")
    with pytest.raises(RuntimeError, match="34 .AWS_ERROR_INVALID_ARGUMENT"):
        store.start(S3RequestType.PUT_OBJECT, store.message("PUT", "k"))
    with pytest.raises(RuntimeError, match="34 .AWS_ERROR_INVALID_ARGUMENT"):
        store.start(S3RequestType.PUT_OBJECT, store.message("PUT", "k", [], io.BytesIO(b"y")), send_filepath=str(path))


def test_content_length_must_be_a_number(store: Store) -> None:
    message = store.message("PUT", "k", [("Content-Length", "ten")], io.BytesIO(b"x"))
    with pytest.raises(RuntimeError, match="14339"):
        store.start(S3RequestType.PUT_OBJECT, message)


def test_host_is_required(store: Store) -> None:
    message = HttpRequest("PUT", "/k", HttpHeaders([("Content-Length", "1")]), io.BytesIO(b"x"))
    with pytest.raises(RuntimeError, match="34 .AWS_ERROR_INVALID_ARGUMENT.*Host"):
        store.start(S3RequestType.PUT_OBJECT, message)


def test_query_of_the_caller_is_kept(store: Store) -> None:
    store.put("k?x-id=PutObject", content(9 * MIB)).result()
    targets = [request.target.partition("uploadId=")[0] for request in store.endpoint.requests()]
    assert targets[0] == f"/{BUCKET}/k?x-id=PutObject&uploads"
    assert set(targets[1:]) == {f"/{BUCKET}/k?x-id=PutObject&partNumber={n}&" for n in (1, 2)} | {
        f"/{BUCKET}/k?x-id=PutObject&"
    }


def test_content_md5_is_computed_for_each_part(store: Store, tmp_path: Path) -> None:
    import base64
    import hashlib

    data = content(12 * MIB)
    path = tmp_path / "in"
    path.write_bytes(data)
    whole = base64.b64encode(hashlib.md5(data).digest()).decode()
    expected = [base64.b64encode(hashlib.md5(part).digest()).decode() for part in (data[: 8 * MIB], data[8 * MIB :])]
    for start in (
        lambda: store.put("k", data, [("Content-MD5", whole)]),
        lambda: store.put_file("k", path, [("Content-MD5", whole)]),
    ):
        store.endpoint.reset()
        start().result()
        uploaded = sorted(store.endpoint.requests("UploadPart"), key=lambda request: request.query["partNumber"])
        assert [request.header("Content-MD5") for request in uploaded] == expected
        others = [request for request in store.endpoint.requests() if request.operation != "UploadPart"]
        assert [request.header("Content-MD5") for request in others] == [None, None]


# ---- when it fails ----


def test_failed_part_aborts_the_upload(store: Store) -> None:
    store.endpoint.fail_next(operation="UploadPart", part_number=2, status=403, code="AccessDenied")
    error = store.put("k", content(30 * MIB)).wait().error
    assert isinstance(error, S3ResponseError)
    assert (error.status_code, error.operation_name) == (403, "UploadPart")
    assert store.operations().count("AbortMultipartUpload") == 1
    assert store.endpoint.open_uploads() == []


def test_failed_complete_aborts_the_upload(store: Store) -> None:
    store.endpoint.fail_next(operation="CompleteMultipartUpload", status=400, code="InvalidPart")
    error = store.put("k", content(9 * MIB)).wait().error
    assert error.operation_name == "CompleteMultipartUpload"
    assert store.operations()[-1] == "AbortMultipartUpload"


def test_failed_create_has_nothing_to_abort(store: Store) -> None:
    store.endpoint.fail_next(operation="CreateMultipartUpload", status=403, code="AccessDenied")
    error = store.put("k", content(9 * MIB)).wait().error
    assert error.operation_name == "CreateMultipartUpload"
    assert store.operations() == ["CreateMultipartUpload"]


def test_failed_abort_does_not_hide_the_cause(store: Store) -> None:
    store.endpoint.fail_next(operation="UploadPart", count=None, status=403, code="AccessDenied")
    store.endpoint.fail_next(operation="AbortMultipartUpload", status=404, code="NoSuchUpload")
    assert store.put("k", content(9 * MIB)).wait().error.operation_name == "UploadPart"


def test_complete_that_fails_after_its_head_was_sent(store: Store) -> None:
    body = b"<?xml version='1.0'?>\n<Error><Code>Whatever</Code></Error>"
    store.endpoint.fail_next(operation="CompleteMultipartUpload", status=200, body=body)
    error = store.put("k", content(9 * MIB)).wait().error
    assert isinstance(error, S3ResponseError)
    assert error.name == "AWS_ERROR_S3_NON_RECOVERABLE_ASYNC_ERROR"
    assert (error.status_code, error.body) == (200, body)


def test_part_without_etag(store: Store) -> None:
    store.endpoint.fail_next(operation="UploadPart", part_number=1, drop_headers=["ETag"])
    assert store.put("k", content(9 * MIB)).wait().error.name == "AWS_ERROR_S3_MISSING_ETAG"
    assert store.operations().count("AbortMultipartUpload") == 1


def test_create_without_upload_id(store: Store) -> None:
    store.endpoint.fail_next(operation="CreateMultipartUpload", status=200, body=b"<InitiateMultipartUploadResult/>")
    assert store.put("k", content(9 * MIB)).wait().error.name == "AWS_ERROR_S3_MISSING_UPLOAD_ID"


def test_part_too_large_for_the_memory(store: Store) -> None:
    with pytest.raises(RuntimeError, match="14371"):
        store.put("k", b"x", length=False, part_size=3 * 1024 * MIB)


def test_source_is_read_only_as_fast_as_parts_go_out(store_with: Callable[..., Store]) -> None:
    store = store_with(part_size=PART, max_active_connections_override=2)
    store.endpoint.fail_next(operation="UploadPart", count=None, stall=True)
    read: List[int] = []

    class Counting(Trickle):
        def readinto(self, buffer: Any) -> int:
            read.append(len(buffer))
            return super().readinto(buffer)

    transfer = store.start(S3RequestType.PUT_OBJECT, store.message("PUT", "k", [], Counting(content(30 * MIB), PART)))
    eventually(lambda: store.endpoint.statistics().max_in_flight == 2)
    transfer.request.cancel()
    transfer.wait()
    assert read == [PART, PART]
