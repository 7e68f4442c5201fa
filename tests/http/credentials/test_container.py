"""Container credentials (ECS, EKS)."""

import pytest

from awscrt._credentials import ecs
from awscrt._credentials.fetch import Route
from awscrt._credentials.source import Queried
from awscrt.auth import AwsCredentialsProvider
from awscrt.testing.credentials import Fault


def new():
    return AwsCredentialsProvider(Queried(ecs.ecs(Route())))


def test_request(container, get, served):
    served(get(new()))
    request = container.requests[0]
    assert (request.method, request.path) == ("GET", "/creds/x?y=1")
    assert request.headers == [
        ("Host", "127.0.0.1"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
        ("User-Agent", "aws-sdk-crt/ecs-credentials-provider"),
    ]


def test_no_path_is_the_root(container, monkeypatch, get):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url)
    get(new())
    assert container.requests[0].path == "/"


def test_relative_uri_wins(container, monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1")
    endpoint = new()._binding.source._endpoint
    assert (str(endpoint), endpoint.path) == ("http://169.254.170.2", "/v2/credentials/1")


def test_token_of_the_environment(container, monkeypatch, get, served, failure):
    container.token = "Bearer 1"
    assert failure(new()).name == "AWS_AUTH_CREDENTIALS_PROVIDER_HTTP_STATUS_FAILURE"
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer 1")
    served(get(new()))
    assert container.requests[-1].headers[1] == ("Authorization", "Bearer 1")


def test_token_file_wins_and_is_read_at_each_query(container, monkeypatch, get, served, tmp_path):
    path = tmp_path / "token"
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "other")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(path))
    provider = new()
    for token in ("first", "second"):
        path.write_text(token + "\n")
        container.token = token
        served(get(provider))


@pytest.mark.parametrize("content", [None, b"a\nInjected: 1", b"a\x00b", b"\xff\xfe"])
def test_token_file_that_cannot_be_used(container, monkeypatch, failure, tmp_path, content):
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(path))
    error = failure(new())
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_ECS_INVALID_TOKEN_FILE_PATH"
    assert str(path) in error.message
    assert not container.requests


def test_token_with_line_break_does_not_reach_the_wire(container, monkeypatch, failure):
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nInjected: 1")
    assert "AWS_CONTAINER_AUTHORIZATION_TOKEN" in failure(new()).message
    assert not container.requests


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=302),
        Fault(close=True),
        Fault(cut=True),
        Fault(body=b"no json"),
        Fault(body=b'{"AccessKeyId": "a", "SecretAccessKey": "s"}'),
        Fault(body=b'{"x": "' + b"x" * 10000 + b'"}'),
    ],
)
def test_transient_failures_are_retried(container, clock, get, served, failure, fault):
    container.fail("credentials", fault, times=3)
    served(get(new()))
    assert len(container.requests) == 4
    assert clock.draws == [(0, 0.5), (0, 1.0), (0, 2.0)] and clock.pauses == [0.5, 1.0, 2.0]
    container.fail("credentials", fault)
    error = failure(new())
    assert error.name == "AWS_IO_MAX_RETRIES_EXCEEDED"
    assert container.url in error.message and error.__cause__ is not None


@pytest.mark.parametrize("status", [400, 403, 404, 429])
def test_4xx_is_final(container, failure, status):
    container.fail("credentials", Fault(status=status, body=b"because"))
    error = failure(new())
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_HTTP_STATUS_FAILURE"
    assert str(status) in error.message and "because" in error.message
    assert len(container.requests) == 1


def test_stalling_endpoint_meets_the_deadline(container, clock, failure, monkeypatch):
    monkeypatch.setattr(ecs, "_LIMITS", ecs._LIMITS._replace(first_byte=0.05, total=0.1))
    container.fail("credentials", Fault(stall=True))
    error = failure(new())
    assert error.name == "AWS_IO_MAX_RETRIES_EXCEEDED"
    assert error.__cause__.name == "AWS_IO_SOCKET_TIMEOUT"


def test_refused_connections_are_retried(monkeypatch, dead_port, clock, failure):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{dead_port}")
    assert failure(new()).name == "AWS_IO_MAX_RETRIES_EXCEEDED"
    assert len(clock.pauses) == 3


def test_token_is_optional_and_keys_are_in_any_case(container, get):
    container.document = {"ACCESSKEYID": "a", "secretaccesskey": "s", "expiration": "2040-01-01T00:00:00Z"}
    credentials = get(new())
    assert (credentials.access_key_id, credentials.session_token) == ("a", None)


# ---- which hosts may be asked over clear text ----


@pytest.mark.parametrize(
    "address, allowed",
    [
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("::1", True),
        ("169.254.170.2", True),
        ("169.254.170.23", True),
        ("fd00:ec2::23", True),
        ("169.254.169.254", False),
        ("10.0.0.1", False),
        ("8.8.8.8", False),
        ("fe80::1%eth0", False),
    ],
)
def test_addresses(address, allowed):
    assert ecs._is_allowed(address) is allowed


def test_other_hosts_are_refused(monkeypatch, failure):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/creds")
    error = failure(new())
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_ECS_INVALID_HOST"
    assert "192.0.2.1" in error.message


def test_every_address_of_a_name_counts(container, monkeypatch, failure, get, served):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://several.test:{container.port}/")
    addresses = ["127.0.0.1"]
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **_: [(0, 0, 0, "", (text, 0)) for text in addresses])
    served(get(new()))  # what was checked is connected to
    assert container.requests[0].header("Host") == "several.test"
    addresses.append("192.0.2.1")
    assert failure(new()).name == "AWS_AUTH_CREDENTIALS_PROVIDER_ECS_INVALID_HOST"


def test_https_allows_any_host(monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://192.0.2.1/creds")
    assert new()._binding.source._checked_endpoint().host == "192.0.2.1"
