"""Credentials that a service delivers, used by the S3 client: asked for once, in time; and when there are none."""

from __future__ import annotations

import os
from typing import Any, Iterator

import pytest

from awscrt._credentials import imds
from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType
from awscrt.testing.credentials import ContainerEndpoint, Fault
from awscrt.testing.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Endpoint

from .clients import TIMEOUT


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[ContainerEndpoint]:
    """The only source of credentials; it gives those that the S3 endpoint knows."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    imds.forget_absence()
    with ContainerEndpoint() as service:
        service.document.update(AccessKeyId=ACCESS_KEY_ID, SecretAccessKey=SECRET_ACCESS_KEY, Token="")
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", service.url)
        yield service


def get_object(client: S3Client, endpoint: S3Endpoint) -> Any:
    message = HttpRequest("GET", "/test-bucket/object", HttpHeaders([("Host", f"127.0.0.1:{endpoint.port}")]))
    return client.make_request(type=S3RequestType.GET_OBJECT, request=message).finished_future


def new_client(**options: Any) -> S3Client:
    provider = AwsCredentialsProvider.new_default_chain()
    return S3Client(region="us-east-1", tls_mode=S3RequestTlsMode.DISABLED, credential_provider=provider, **options)


def test_many_transfers_ask_once(container: ContainerEndpoint, s3_endpoint: S3Endpoint) -> None:
    s3_endpoint.put_object("test-bucket", "object", b"x" * (9 * 1024 * 1024))
    client = new_client(part_size=5 * 1024 * 1024)
    for transfer in [get_object(client, s3_endpoint) for _ in range(20)]:
        transfer.result(TIMEOUT)
    assert len(container.requests) == 1


def test_no_credentials_fail_the_transfer(container: ContainerEndpoint, s3_endpoint: S3Endpoint) -> None:
    container.fail("credentials", Fault(status=404))
    error = get_object(new_client(), s3_endpoint).exception(TIMEOUT)
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_HTTP_STATUS_FAILURE"


def test_a_source_that_stalls_meets_its_deadline(
    container: ContainerEndpoint, s3_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from awscrt._credentials import clock, ecs

    monkeypatch.setattr(ecs, "_LIMITS", ecs._LIMITS._replace(first_byte=0.05, total=0.1))
    monkeypatch.setattr(clock, "sleep", lambda seconds: None)
    container.fail("credentials", Fault(stall=True))
    assert get_object(new_client(), s3_endpoint).exception(TIMEOUT) is not None
