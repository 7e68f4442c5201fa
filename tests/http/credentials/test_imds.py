"""Instance metadata (IMDS)."""

import pytest

from awscrt._credentials import imds
from awscrt._credentials.fetch import Route
from awscrt._credentials.source import Queried
from awscrt.auth import AwsCredentialsProvider
from awscrt.testing.credentials import Fault, InstanceMetadata


@pytest.fixture
def provider(imds_service):
    return AwsCredentialsProvider(Queried(imds.imds(Route())))


def test_version_2(imds_service, provider, get, served):
    served(get(provider))
    assert imds_service.steps == ["token", "roles", "role"]
    token, roles, role = imds_service.requests
    assert (token.method, token.path) == ("PUT", "/latest/api/token")
    assert token.header("x-aws-ec2-metadata-token-ttl-seconds") == "21600"
    assert (roles.method, roles.path) == ("GET", "/latest/meta-data/iam/security-credentials/")
    assert role.path == "/latest/meta-data/iam/security-credentials/the-role"
    assert roles.header("x-aws-ec2-metadata-token") == role.header("x-aws-ec2-metadata-token") == "token-0"
    for request in imds_service.requests:
        assert request.header("Host") == "127.0.0.1"
        assert request.header("Accept") == "*/*"
        assert request.header("User-Agent") == "aws-sdk-crt/aws-imds-client"
        assert request.header("Connection") == "keep-alive"


def test_token_is_kept_across_queries_until_shortly_before_its_end(clock, monkeypatch, get):
    with InstanceMetadata(clock=clock.time) as service:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
        provider = AwsCredentialsProvider(Queried(imds.imds(Route())))
        get(provider)
        clock.now += 21594
        get(provider)
        assert service.steps.count("token") == 1
        clock.now += 2
        get(provider)
        assert service.steps.count("token") == 2


def test_version_1(imds_service, provider, get, served):
    imds_service.version = 1
    served(get(provider))
    assert imds_service.steps == ["token", "roles", "role"]
    assert imds_service.requests[1].header("x-aws-ec2-metadata-token") is None


@pytest.mark.parametrize("status", [403, 404, 405, 500])
def test_no_token_means_version_1(imds_service, provider, get, served, status):
    imds_service.version = 1
    imds_service.fail("token", Fault(status=status))
    served(get(provider))


@pytest.mark.parametrize("fault", [Fault(close=True), Fault(stall=True)])
def test_silent_token_endpoint_means_version_1(imds_service, provider, get, served, fault, monkeypatch):
    monkeypatch.setattr(imds, "_LIMITS", imds._LIMITS._replace(first_byte=0.2, total=0.4))
    imds_service.version = 1
    imds_service.fail("token", fault)
    served(get(provider))
    assert imds_service.steps.count("token") == 2  # one retry


def test_bad_request_for_a_token_fails(imds_service, provider, failure):
    imds_service.fail("token", Fault(status=400))
    error = failure(provider)
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_IMDS_SOURCE_FAILURE" and "400" in error.message
    assert imds_service.steps == ["token"]


@pytest.mark.parametrize("step", ["roles", "role"])
def test_refused_token_is_renewed_once(imds_service, provider, get, served, failure, step):
    imds_service.fail(step, Fault(status=401), times=1)
    served(get(provider))
    assert imds_service.steps.count("token") == 2
    imds_service.fail(step, Fault(status=401))
    assert failure(provider).name == "AWS_AUTH_CREDENTIALS_PROVIDER_IMDS_SOURCE_FAILURE"


@pytest.mark.parametrize("step", ["roles", "role"])
@pytest.mark.parametrize("fault", [Fault(close=True), Fault(status=500), Fault(cut=True)])
def test_one_retry_for_each_request(imds_service, provider, get, served, failure, step, fault):
    imds_service.fail(step, fault, times=1)
    served(get(provider))
    imds_service.fail(step, fault)
    assert failure(provider).name == "AWS_AUTH_CREDENTIALS_PROVIDER_IMDS_SOURCE_FAILURE"


@pytest.mark.parametrize("step", ["roles", "role"])
@pytest.mark.parametrize("status", [204, 301, 403, 404])
def test_other_status_is_a_failure(imds_service, provider, failure, step, status):
    imds_service.fail(step, Fault(status=status, body=b""))
    assert failure(provider).name == "AWS_AUTH_CREDENTIALS_PROVIDER_IMDS_SOURCE_FAILURE"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b"\xff\xfe\x00",
        b"[" * 60000,
        b'{"AccessKeyId": 1, "SecretAccessKey": "s", "Token": "t", "Expiration": "2030-01-01T00:00:00Z"}',
        b'{"AccessKeyId": "a", "SecretAccessKey": "", "Token": "t", "Expiration": "2030-01-01T00:00:00Z"}',
        b'{"AccessKeyId": "a", "SecretAccessKey": "s", "Expiration": "2030-01-01T00:00:00Z"}',
        b'{"AccessKeyId": "a", "SecretAccessKey": "s", "Token": "t"}',
        b'{"AccessKeyId": "a", "SecretAccessKey": "s", "Token": "t", "Expiration": "tomorrow"}',
        b'{"AccessKeyId": "a", "SecretAccessKey": "s", "Token": "t", "Expiration": "2030-13-01T00:00:00Z"}',
        b'{"AccessKeyId": "\\ud800", "SecretAccessKey": "s", "Token": "t", "Expiration": "2030-01-01T00:00:00Z"}',
        b"x" * 70000,
    ],
)
def test_malformed_document(imds_service, provider, failure, body):
    imds_service.fail("role", Fault(body=body))
    error = failure(provider)
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_IMDS_SOURCE_FAILURE"
    assert imds_service.url in error.message


def test_keys_in_any_case(imds_service, provider, get, served):
    imds_service.document = {name.upper(): value for name, value in imds_service.document.items()}
    served(get(provider))


@pytest.mark.parametrize("role", ["two words", "a\r\nb", "a\x00b", "r\xf6le"])
def test_role_that_is_no_path(imds_service, provider, failure, role):
    imds_service.role = role
    error = failure(provider)
    assert error.name == "AWS_ERROR_HTTP_INVALID_PATH"
    assert imds_service.steps == ["token", "roles"]


def test_newline_behind_the_role_is_harmless(imds_service, provider, get, served):
    imds_service.role = "the-role\n"
    served(get(provider))


@pytest.mark.parametrize("token", [b"", b"a\r\nInjected: 1", b"two words", b"\xff"])
def test_token_that_is_no_header(imds_service, provider, failure, token):
    imds_service.fail("token", Fault(body=token))
    assert failure(provider).name == "AWS_AUTH_CREDENTIALS_PROVIDER_IMDS_SOURCE_FAILURE"


def test_absence_is_remembered_for_a_while(clock, monkeypatch, failure, dead_port):
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{dead_port}")
    connects = []
    fetch = imds.fetch
    monkeypatch.setattr(imds, "fetch", lambda *args: connects.append(1) or fetch(*args))
    providers = [AwsCredentialsProvider(Queried(imds.imds(Route()))) for _ in range(2)]
    for provider in providers:  # what one has found out, the others know
        error = failure(provider)
        assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_IMDS_SOURCE_FAILURE"
        assert str(dead_port) in error.message
    assert len(connects) == 2  # of the first, with its retry
    clock.now += 61
    failure(providers[0])
    assert len(connects) == 4


def test_machine_without_role_is_remembered(imds_service, provider, failure, clock, get, served):
    imds_service.fail("roles", Fault(status=404), times=1)
    failure(provider)
    asked = len(imds_service.requests)
    failure(provider)
    assert len(imds_service.requests) == asked
    clock.now += 61
    served(get(provider))


def test_failure_of_a_service_that_is_there_is_not_remembered(imds_service, provider, failure, get, served):
    imds_service.fail("role", Fault(status=500), times=2)
    failure(provider)
    served(get(provider))


@pytest.mark.parametrize(
    "mode, expected", [("", "169.254.169.254"), ("ipv4", "169.254.169.254"), ("IPv6", "fd00:ec2::254")]
)
def test_endpoint_modes(monkeypatch, mode, expected):
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", mode)
    endpoint = imds.imds(Route())._endpoint
    assert (endpoint.host, endpoint.port, endpoint.tls) == (expected, 80, False)


@pytest.mark.parametrize(
    "name, value",
    [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv5"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "ftp://x"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://[::1"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://h:99999"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://u:p@h"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://a b"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"),
    ],
)
def test_endpoint_that_cannot_be_used_is_told_by_its_variable(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(Exception, match=name):
        imds.imds(Route())


@pytest.mark.parametrize(
    "value, enabled", [(None, True), ("false", True), ("FALSE", True), ("true", False), ("1", False)]
)
def test_disabling(monkeypatch, value, enabled):
    if value is not None:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", value)
    assert imds.enabled() is enabled
