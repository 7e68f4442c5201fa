"""Downloads: which requests are made, and where the bytes go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, List

import pytest

from awscrt.s3 import S3ResponseError

from .support import BUCKET, MIB, Store, content


def ranges(store: Store) -> List[Any]:
    return [request.header("Range") for request in store.endpoint.requests()]


def test_small_object_takes_one_request(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello", headers={"content-type": "text/x"})
    transfer = store.get("k").result()
    assert transfer.body == b"hello"
    assert transfer.chunks == [(0, b"hello")]
    assert transfer.status == 200
    assert transfer.headers["content-length"] == "5"
    assert "content-range" not in transfer.headers
    assert transfer.progress == [5]
    assert transfer.calls == ["headers", "body", "progress", "done"]
    assert transfer.done["error"] is None
    assert transfer.done["status_code"] == 200
    assert ranges(store) == [f"bytes=0-{8 * MIB - 1}"]


def test_large_object_is_fetched_in_parts_that_name_its_version(store_with: Callable[..., Store]) -> None:
    store = store_with(part_size=MIB)
    data = content(4 * MIB + 1000)
    store.endpoint.put_object(BUCKET, "k", data)
    transfer = store.get("k").result()
    assert transfer.body == data
    assert [offset for offset, _ in transfer.chunks] == [i * MIB for i in range(5)]
    assert sum(transfer.progress) == len(data)
    requests = store.endpoint.requests()
    assert sorted(ranges(store)) == sorted(f"bytes={i * MIB}-{min((i + 1) * MIB, len(data)) - 1}" for i in range(5))
    assert requests[0].header("If-Match") is None
    assert {request.header("If-Match") for request in requests[1:]} == {transfer.headers["etag"]}


def test_headers_of_the_caller_go_on_every_request(store_with: Callable[..., Store]) -> None:
    store = store_with(part_size=MIB)
    store.endpoint.put_object(BUCKET, "k", content(2 * MIB))
    store.get("k", [("x-amz-request-payer", "requester"), ("User-Agent", "Me/1")]).result()
    for request in store.endpoint.requests():
        assert request.header("x-amz-request-payer") == "requester"
        assert str(request.header("User-Agent")).startswith("Me/1 ")


def test_if_match_of_the_caller_is_kept(store_with: Callable[..., Store]) -> None:
    store = store_with(part_size=MIB)
    store.endpoint.put_object(BUCKET, "k", content(2 * MIB))
    etag = store.get("k").result().headers["etag"]
    store.endpoint.reset()
    store.get("k", [("If-Match", etag)]).result()
    assert [request.header("If-Match") for request in store.endpoint.requests()] == [etag, etag]


def test_part_size_without_a_wish_grows_with_the_object(store: Store) -> None:
    data = content(20 * MIB)
    store.endpoint.put_object(BUCKET, "k", data)  # stored in one piece: parts up to 32 MiB
    assert store.get("k").result().body == data
    assert sorted(ranges(store)) == [f"bytes=0-{8 * MIB - 1}", f"bytes={8 * MIB}-{20 * MIB - 1}"]


def test_part_size_of_the_request_wins(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", content(2 * MIB))
    store.get("k", part_size=MIB).result()
    assert len(store.endpoint.requests()) == 2


def test_parts_may_be_tiny(store_with: Callable[..., Store]) -> None:
    store = store_with(part_size=1000)
    data = content(10500)
    store.endpoint.put_object(BUCKET, "k", data)
    transfer = store.get("k").result()
    assert transfer.body == data
    assert len(transfer.chunks) == 11


def test_empty_object_is_told_from_a_bad_range(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"")
    transfer = store.get("k").result()
    assert transfer.status == 200
    assert transfer.headers["content-length"] == "0"
    assert transfer.calls == ["headers", "done"]
    requests = store.endpoint.requests()
    assert [request.status for request in requests] == [416, 200]
    assert requests[1].query == {"partNumber": "1"}
    assert requests[1].header("Range") is None


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=5-9", 5, 9),
        ("bytes=5-99999999", 5, 2 * MIB - 1),
        (f"bytes={MIB - 3}-", MIB - 3, 2 * MIB - 1),
        ("bytes=-7", 2 * MIB - 7, 2 * MIB - 1),
        ("bytes=-99999999", 0, 2 * MIB - 1),
    ],
)
def test_range_of_the_caller(store_with: Callable[..., Store], wanted: str, first: int, last: int) -> None:
    store = store_with(part_size=MIB // 2)
    data = content(2 * MIB)
    store.endpoint.put_object(BUCKET, "k", data)
    transfer = store.get("k", [("Range", wanted)]).result()
    assert transfer.body == data[first : last + 1]
    assert transfer.chunks[0][0] == first
    assert transfer.status == 206
    assert transfer.done["status_code"] == 206
    assert transfer.headers["content-length"] == str(last - first + 1)
    assert transfer.headers["content-range"] == f"bytes {first}-{last}/{len(data)}"


def test_suffix_range_begins_with_head(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"0123456789")
    assert store.get("k", [("Range", "bytes=-3")]).result().body == b"789"
    assert store.operations() == ["HeadObject", "GetObject"]
    assert ranges(store) == ["bytes=-3", "bytes=7-9"]


def test_range_past_the_end_fails(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"0123456789")
    transfer = store.get("k", [("Range", "bytes=10-20")]).wait()
    assert transfer.error.status_code == 416
    assert len(store.endpoint.requests()) == 1


def test_part_number_takes_one_request_as_it_is(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")
    transfer = store.get("k?partNumber=1").result()
    assert transfer.body == b"hello"
    assert ranges(store) == [None]


def test_missing_object(store: Store) -> None:
    transfer = store.get("nothing").wait()
    error = transfer.error
    assert isinstance(error, S3ResponseError)
    assert (error.name, error.code) == ("AWS_ERROR_S3_INVALID_RESPONSE_STATUS", 14343)
    assert error.status_code == 404
    assert error.operation_name == "GetObject"
    assert b"NoSuchKey" in (error.body or b"")
    assert f"{BUCKET}/nothing" in error.message
    assert transfer.done["error_body"] == error.body
    assert transfer.done["error_headers"] == error.headers
    assert transfer.done["error_operation_name"] == "GetObject"
    assert transfer.done["status_code"] == 404
    assert transfer.status == 404  # on_headers tells the failure's headers
    assert transfer.request.finished_future.exception() is error


def test_object_that_changes_between_parts(store_with: Callable[..., Store]) -> None:
    store = store_with(part_size=MIB)
    store.endpoint.put_object(BUCKET, "k", content(3 * MIB))
    store.endpoint.fail_next(range_start=MIB, status=412, code="PreconditionFailed")
    error = store.get("k").wait().error
    assert isinstance(error, S3ResponseError)
    assert error.name == "AWS_ERROR_S3_OBJECT_MODIFIED"
    assert error.status_code == 412


def test_precondition_of_the_caller_is_an_ordinary_failure(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"x")
    error = store.get("k", [("If-Match", '"other"')]).wait().error
    assert error.name == "AWS_ERROR_S3_INVALID_RESPONSE_STATUS"
    assert error.status_code == 412


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"drop_headers": ["Content-Range"]}, "AWS_ERROR_S3_MISSING_CONTENT_RANGE_HEADER"),
        ({"drop_headers": ["ETag"]}, "AWS_ERROR_S3_MISSING_ETAG"),
        ({"set_headers": {"Content-Range": "bytes 1-5/5"}, "count": None}, "AWS_ERROR_S3_INVALID_CONTENT_RANGE_HEADER"),
        ({"set_headers": {"Content-Range": "nonsense"}, "count": None}, "AWS_ERROR_S3_INVALID_CONTENT_RANGE_HEADER"),
    ],
)
def test_unusable_head(store: Store, fault: Any, name: str) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")
    store.endpoint.fail_next(**fault)
    error = store.get("k").wait().error
    assert error.name == name
    assert not isinstance(error, S3ResponseError)


@pytest.mark.parametrize("bad", ["bytes=9-5", "bytes=-", "bytes=0-1,4-5", "lines=0-1"])
def test_bad_range_is_refused_at_once(store: Store, bad: str) -> None:
    with pytest.raises(RuntimeError, match="14348"):
        store.get("k", [("Range", bad)])


def test_file_gets_the_bytes_and_on_body_nothing(store_with: Callable[..., Store], tmp_path: Path) -> None:
    store = store_with(part_size=MIB)
    data = content(9 * MIB + 17)
    store.endpoint.put_object(BUCKET, "k", data)
    path = tmp_path / "out"
    path.write_bytes(b"old and longer" * MIB)
    transfer = store.get("k", recv_filepath=str(path)).result()
    assert path.read_bytes() == data
    assert "body" not in transfer.calls
    assert sum(transfer.progress) == len(data)


def test_file_parts_are_asked_for_far_apart(store_with: Callable[..., Store], tmp_path: Path) -> None:
    store = store_with(part_size=1000, max_active_connections_override=4)
    data = content(64 * 1000)
    store.endpoint.put_object(BUCKET, "k", data)
    store.get("k", recv_filepath=str(tmp_path / "out")).result()
    assert (tmp_path / "out").read_bytes() == data
    asked = [int(text[len("bytes=") :].partition("-")[0]) // 1000 + 1 for text in ranges(store)]
    assert sorted(asked) == list(range(1, 65))
    assert asked[0] == 1
    assert set(asked[1:5]) < {2, 18, 34, 50, 3, 19, 35, 51}  # the log has the order of the answers


def test_range_lands_at_the_start_of_the_file(store: Store, tmp_path: Path) -> None:
    store.endpoint.put_object(BUCKET, "k", b"0123456789")
    store.get("k", [("Range", "bytes=4-7")], recv_filepath=str(tmp_path / "out")).result()
    assert (tmp_path / "out").read_bytes() == b"4567"


def test_failed_download_leaves_an_empty_file(store: Store, tmp_path: Path) -> None:
    store.get("nothing", recv_filepath=str(tmp_path / "out")).wait()
    assert (tmp_path / "out").read_bytes() == b""


@pytest.mark.parametrize("path", ["missing/out", "."])
def test_file_that_cannot_be_opened(store: Store, tmp_path: Path, path: str) -> None:
    target = str(tmp_path / path)
    with pytest.raises(RuntimeError, match="44 .AWS_ERROR_FILE_INVALID_PATH.*") as caught:
        store.get("k", recv_filepath=target)
    assert target in str(caught.value)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("size", [1000, 3 * MIB])  # written by the loop, and by a thread of its own
def test_full_disk_is_named(store: Store, size: int) -> None:
    store.endpoint.put_object(BUCKET, "k", content(size))
    error = store.get("k", recv_filepath="/dev/full").wait().error
    assert error.name == "AWS_ERROR_NO_SPACE"
    assert "/dev/full" in error.message
    assert len(store.endpoint.requests()) == 1  # another attempt would not help


def test_nobody_wants_the_body(store_with: Callable[..., Store]) -> None:
    store = store_with(part_size=MIB)
    store.endpoint.put_object(BUCKET, "k", content(3 * MIB))
    transfer = store.get("k", skip=("on_body",)).result()
    assert sum(transfer.progress) == 3 * MIB


def test_message_may_be_used_again(store: Store) -> None:
    from awscrt.s3 import S3RequestType

    store.endpoint.put_object(BUCKET, "k", b"hello")
    message = store.message("GET", "k", [("Range", "bytes=1-2")])
    before = list(message.headers)
    for _ in range(2):
        assert store.start(S3RequestType.GET_OBJECT, message).result().body == b"el"
    assert list(message.headers) == before
