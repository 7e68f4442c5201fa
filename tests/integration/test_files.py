"""Files that cannot be read or written: the error has the code a program looks at, and names the file."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

from awscrt.exceptions import AwsCrtError
from awscrt.s3 import S3Client, S3FileIoOptions, S3RequestType
from awscrt.testing.s3 import S3Endpoint

from .clients import RETRIES, TIMEOUT, Target, s3_client, s3_message

MIB = 1024 * 1024
BUCKET = "test-bucket"


@pytest.fixture
def target(s3_endpoint: S3Endpoint, tmp_path: Path) -> Target:
    return Target("127.0.0.1", s3_endpoint.port, None, str(tmp_path))


@pytest.fixture
def client(target: Target) -> Iterator[S3Client]:
    yield s3_client(target, part_size=MIB)


def download(client: S3Client, target: Target, path: object, **options: Any) -> Any:
    return client.make_request(
        type=S3RequestType.GET_OBJECT, request=s3_message(target, "GET"), recv_filepath=str(path), **options
    )


def upload(client: S3Client, target: Target, path: object, **options: Any) -> Any:
    return client.make_request(
        type=S3RequestType.PUT_OBJECT, request=s3_message(target, "PUT"), send_filepath=str(path), **options
    )


def through_future(request: Any) -> Any:
    return request.finished_future.exception(TIMEOUT)


def through_asyncio(request: Any) -> Any:
    async def main() -> None:
        await asyncio.wait_for(asyncio.wrap_future(request.finished_future), TIMEOUT)

    try:
        asyncio.run(main())
    except AwsCrtError as error:
        return error
    return None


WAYS = pytest.mark.parametrize("outcome", [through_future, through_asyncio])


# ---- refused by make_request ----


@pytest.mark.parametrize("source", ["missing", "missing/file"])
def test_upload_of_a_file_that_is_not_there(
    client: S3Client, target: Target, tmp_path: Path, source: str, s3_endpoint: S3Endpoint
) -> None:
    path = tmp_path / source
    with pytest.raises(RuntimeError, match="^44 .AWS_ERROR_FILE_INVALID_PATH") as caught:
        upload(client, target, path)
    assert str(path) in str(caught.value)
    assert s3_endpoint.requests() == []


def test_upload_of_a_directory(client: S3Client, target: Target, tmp_path: Path, s3_endpoint: S3Endpoint) -> None:
    with pytest.raises(RuntimeError, match="^44 .AWS_ERROR_FILE_INVALID_PATH") as caught:
        upload(client, target, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert s3_endpoint.requests() == []


def unwritable(tmp_path: Path) -> List[str]:
    (tmp_path / "file").write_bytes(b"not a directory")
    paths = [str(tmp_path), str(tmp_path / "missing" / "file"), str(tmp_path / "file" / "below")]
    if os.path.isdir("/sys/kernel"):
        paths.append("/sys/kernel/awscrt-download")  # nobody may create files there, whatever their rights
    return paths


@pytest.mark.parametrize("number", range(4), ids=["directory", "missing-directory", "below-a-file", "read-only"])
def test_download_to_a_place_that_cannot_be_written(
    client: S3Client, target: Target, tmp_path: Path, number: int, s3_endpoint: S3Endpoint
) -> None:
    paths = unwritable(tmp_path)
    if number >= len(paths):
        pytest.skip("no directory that even root may not write to")
    before = sorted(os.listdir(str(tmp_path)))
    with pytest.raises(RuntimeError) as caught:
        download(client, target, paths[number])
    assert paths[number] in str(caught.value)
    assert str(caught.value).split()[1] in ("(AWS_ERROR_FILE_INVALID_PATH):", "(AWS_ERROR_NO_PERMISSION):")
    assert s3_endpoint.requests() == []
    assert sorted(os.listdir(str(tmp_path))) == before


# ---- in the middle ----


@WAYS
@pytest.mark.parametrize("direct", [False, True], ids=["buffered", "streamed"])
@pytest.mark.parametrize("size", [1000, 5 * MIB])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk(
    client: S3Client, target: Target, size: int, direct: bool, outcome: Callable[[Any], Any], s3_endpoint: S3Endpoint
) -> None:
    s3_endpoint.put_object(BUCKET, "object", bytes(size))
    error = outcome(download(client, target, "/dev/full", fio_options=S3FileIoOptions(should_stream=direct)))
    assert type(error) is AwsCrtError
    assert (error.code, error.name) == (2, "AWS_ERROR_NO_SPACE")
    assert "/dev/full" in error.message
    # No retries of what another attempt cannot mend: every range is asked for at most once.
    ranges = [request.header("Range") for request in s3_endpoint.requests()]
    assert len(ranges) == len(set(ranges))


@WAYS
def test_download_that_breaks_for_good_keeps_what_came(
    client: S3Client, target: Target, tmp_path: Path, outcome: Callable[[Any], Any], s3_endpoint: S3Endpoint
) -> None:
    data = os.urandom(4 * MIB)
    s3_endpoint.put_object(BUCKET, "object", data)
    s3_endpoint.fail_next(range_start=2 * MIB, count=None, close_after=1000)
    error = outcome(download(client, target, tmp_path / "out"))
    assert type(error) is AwsCrtError
    assert error.name == "AWS_IO_SOCKET_CLOSED"
    assert s3_endpoint.authority in error.message and "/test-bucket/object" in error.message
    attempts = [r for r in s3_endpoint.requests() if (r.header("Range") or "").startswith(f"bytes={2 * MIB}-")]
    assert len(attempts) == 1 + RETRIES
    kept = (tmp_path / "out").read_bytes()
    assert kept[:MIB] == data[:MIB]
    assert all(mine == theirs or mine == 0 for mine, theirs in zip(kept[::997], data[::997]))


@WAYS
def test_download_that_breaks_once_is_mended(
    client: S3Client, target: Target, tmp_path: Path, outcome: Callable[[Any], Any], s3_endpoint: S3Endpoint
) -> None:
    data = os.urandom(4 * MIB)
    s3_endpoint.put_object(BUCKET, "object", data)
    s3_endpoint.fail_next(range_start=2 * MIB, close_after=1000)
    assert outcome(download(client, target, tmp_path / "out")) is None
    assert (tmp_path / "out").read_bytes() == data


def test_file_that_shrinks_during_its_upload(
    client: S3Client, target: Target, tmp_path: Path, s3_endpoint: S3Endpoint
) -> None:
    path = tmp_path / "in"
    path.write_bytes(bytes(20 * MIB))
    s3_endpoint.fail_next(operation="CreateMultipartUpload", delay=0.1)
    request = upload(client, target, path)
    os.truncate(str(path), 7 * MIB)
    error = through_future(request)
    assert type(error) is AwsCrtError
    assert str(path) in error.message, error
    assert s3_endpoint.open_uploads() == []
    assert s3_endpoint.keys(BUCKET) == []
