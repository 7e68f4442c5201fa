"""awscrt.aio.s3."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Callable, List

import pytest

from awscrt.aio.s3 import S3Client
from awscrt.auth import AwsCredentialsProvider
from awscrt.s3 import S3ResponseError
from awscrt.testing.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Endpoint

from .support import BUCKET, MIB, QUICK, content


def client_for(endpoint: S3Endpoint, **options: Any) -> S3Client:
    provider = AwsCredentialsProvider.new_static(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    options.setdefault("retry_config", QUICK)
    return S3Client(region="us-east-1", endpoint=endpoint.url, credential_provider=provider, **options)


def run(endpoint: S3Endpoint, work: Callable[[S3Client], Any], **options: Any) -> Any:
    async def main() -> Any:
        async with client_for(endpoint, **options) as client:
            return await asyncio.wait_for(work(client), 30)

    return asyncio.run(main())


@pytest.mark.parametrize("size", [0, 5, 100_000, 20 * MIB + 3])
def test_bytes_come_back(s3_endpoint: S3Endpoint, size: int) -> None:
    data = content(size)
    progress: List[int] = []

    async def work(client: S3Client) -> Any:
        stored = await client.put(BUCKET, "a key/with ?&", data, headers=[("x-amz-meta-a", "b")])
        assert stored.status == 200
        return await client.get(BUCKET, "a key/with ?&", on_progress=progress.append)

    answer = run(s3_endpoint, work, part_size=5 * MIB)
    assert answer.body == data
    assert answer.status == 200
    assert answer.header("X-Amz-Meta-A") == "b"
    assert sum(progress) == size


def test_range(s3_endpoint: S3Endpoint) -> None:
    data = content(3 * MIB)
    s3_endpoint.put_object(BUCKET, "k", data)
    answer = run(s3_endpoint, lambda client: client.get(BUCKET, "k", range=f"bytes=7-{2 * MIB}"), part_size=MIB)
    assert answer.body == data[7 : 2 * MIB + 1]
    assert answer.status == 206


def test_files(s3_endpoint: S3Endpoint, tmp_path: Path) -> None:
    data = content(11 * MIB)
    (tmp_path / "in").write_bytes(data)

    async def work(client: S3Client) -> Any:
        await client.put(BUCKET, "k", file=tmp_path / "in")
        return await client.get(BUCKET, "k", file=tmp_path / "out")

    assert run(s3_endpoint, work).body == b""
    assert (tmp_path / "out").read_bytes() == data


def test_other_requests(s3_endpoint: S3Endpoint) -> None:
    s3_endpoint.put_object(BUCKET, "k", b"hello")

    async def work(client: S3Client) -> Any:
        listing = await client.request("ListObjectsV2", "GET", BUCKET, query="list-type=2")
        deleted = await client.request("DeleteObject", "DELETE", BUCKET, "k")
        return listing, deleted

    listing, deleted = run(s3_endpoint, work)
    assert b"<Key>k</Key>" in listing.body
    assert deleted.status == 204


def test_failure(s3_endpoint: S3Endpoint, tmp_path: Path) -> None:
    with pytest.raises(S3ResponseError) as caught:
        run(s3_endpoint, lambda client: client.get(BUCKET, "nothing"))
    assert caught.value.status_code == 404
    with pytest.raises(RuntimeError, match="AWS_ERROR_FILE_INVALID_PATH"):
        run(s3_endpoint, lambda client: client.put(BUCKET, "k", file=tmp_path / "nothing"))


def test_retries_write_into_the_same_memory(s3_endpoint: S3Endpoint) -> None:
    data = content(5 * MIB)
    s3_endpoint.put_object(BUCKET, "k", data)
    s3_endpoint.fail_next(count=3, close_after=300_000)
    assert run(s3_endpoint, lambda client: client.get(BUCKET, "k"), part_size=MIB).body == data


def test_many_at_once(s3_endpoint: S3Endpoint) -> None:
    async def work(client: S3Client) -> Any:
        await asyncio.gather(*[client.put(BUCKET, f"k{i}", f"body {i}".encode()) for i in range(100)])
        return await asyncio.gather(*[client.get(BUCKET, f"k{i}") for i in range(100)])

    answers = run(s3_endpoint, work)
    assert [answer.body for answer in answers] == [f"body {i}".encode() for i in range(100)]


def test_cancelling_ends_the_transfer(s3_endpoint: S3Endpoint) -> None:
    s3_endpoint.fail_next(operation="UploadPart", count=None, stall=True)

    async def work(client: S3Client) -> None:
        upload = asyncio.ensure_future(client.put(BUCKET, "k", content(20 * MIB)))
        while not s3_endpoint.open_uploads():
            await asyncio.sleep(0.01)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert s3_endpoint.open_uploads() == []

    run(s3_endpoint, work)


def test_closed_client(s3_endpoint: S3Endpoint) -> None:
    async def work(client: S3Client) -> None:
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            await client.get(BUCKET, "k")

    run(s3_endpoint, work)


@pytest.mark.parametrize("endpoint", ["localhost:9000", "ftp://x", "http://", ""])
def test_endpoint_must_be_a_url(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        S3Client(region="us-east-1", endpoint=endpoint)


def test_put_needs_one_source(s3_endpoint: S3Endpoint) -> None:
    with pytest.raises(ValueError, match="either"):
        run(s3_endpoint, lambda client: client.put(BUCKET, "k"))
