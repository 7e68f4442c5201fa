"""AssumeRole and AssumeRoleWithWebIdentity."""

import re

import pytest

from awscrt._credentials import sts as sts_module
from awscrt._credentials.endpoint import Endpoint
from awscrt._credentials.fetch import Route
from awscrt._credentials.source import Queried
from awscrt.auth import AwsCredentialsProvider
from awscrt.testing import credentials as services
from awscrt.testing.credentials import Fault

ROLE = "arn:aws:iam::1:role/r"
KEYS = "aws_access_key_id = AK\naws_secret_access_key = SK\naws_session_token = ST\n"
CONFIG = f"[default]\nrole_arn = {ROLE}\nsource_profile = base\nregion = eu-west-1\n"
BASE = f"[base]\n{KEYS}"


# ---- AssumeRole ----


def test_request(sts, write, get, served, clock):
    write(CONFIG + "role_session_name = me\nexternal_id = a b&c\n", BASE)
    credentials = get(AwsCredentialsProvider.new_profile())
    served(credentials, expires=None)
    assert credentials.expiration.timestamp() == int(clock.now) + 900
    request = sts.requests[0]
    assert (request.method, request.path) == ("POST", "/")
    assert request.body == (
        b"Version=2011-06-15&Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=me"
        b"&ExternalId=a%20b%26c&DurationSeconds=900"
    )
    assert request.header("content-type") == "application/x-www-form-urlencoded"
    assert request.header("content-length") == str(len(request.body))
    assert request.header("X-Amz-Security-Token") == "ST"
    authorization = request.header("Authorization")
    assert re.match(r"AWS4-HMAC-SHA256 Credential=AK/\d{8}/eu-west-1/sts/aws4_request, ", authorization)


@pytest.mark.parametrize(
    "given, expected",
    [("", r"aws-common-runtime-profile-config-\d+"), ("x" * 70, "x" * 64), ("\u00e9" * 40, "\u00e9" * 32)],
)
def test_session_name(sts, write, get, given, expected):
    write(CONFIG + (f"role_session_name = {given}\n" if given else ""), BASE)
    get(AwsCredentialsProvider.new_profile())
    assert re.fullmatch(expected, sts.requests[0].form["RoleSessionName"])


@pytest.mark.parametrize(
    "variables, region",
    [
        ({}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "us-west-1"}, "us-west-1"),
        ({"AWS_DEFAULT_REGION": "us-west-1", "AWS_REGION": "us-west-2"}, "us-west-2"),
    ],
)
def test_region(sts, write, get, monkeypatch, variables, region):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    write(CONFIG, BASE)
    get(AwsCredentialsProvider.new_profile())
    assert f"/{region}/sts/" in sts.requests[0].header("Authorization")


def endpoint_of_profile():
    return AwsCredentialsProvider.new_profile()._binding.source._endpoint


@pytest.mark.parametrize(
    "region, host",
    [
        ("us-east-1", "sts.us-east-1.amazonaws.com"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
        ("us-iso-east-1", "sts.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", "sts.us-isob-east-1.sc2s.sgov.gov"),
        ("eu-isoe-west-1", "sts.eu-isoe-west-1.cloud.adc-e.uk"),
        ("us-isof-south-1", "sts.us-isof-south-1.csp.hci.ic.gov"),
    ],
)
def test_public_endpoints(write, monkeypatch, region, host):
    monkeypatch.setenv("AWS_REGION", region)
    write(CONFIG, BASE)
    assert endpoint_of_profile() == Endpoint(True, host, 443)


def test_without_region(write):
    write(CONFIG.replace("region = eu-west-1\n", ""), BASE)
    source = AwsCredentialsProvider.new_profile()._binding.source
    assert (source._endpoint.host, source._region) == ("sts.amazonaws.com", "us-east-1")


def test_region_that_would_name_another_host_is_refused(write, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "evil.example/")
    write(CONFIG, BASE)
    with pytest.raises(RuntimeError, match="^34 .*evil.example"):
        AwsCredentialsProvider.new_profile()


SERVICES = "services = s\nendpoint_url = http://4.test\n[services s]\nsts =\n  endpoint_url = http://3.test\n"


@pytest.mark.parametrize(
    "variables, more, host",
    [
        ({"AWS_ENDPOINT_URL_STS": "http://1.test", "AWS_ENDPOINT_URL": "http://2.test"}, SERVICES, "1.test"),
        ({"AWS_ENDPOINT_URL_STS": "", "AWS_ENDPOINT_URL": "http://2.test"}, SERVICES, "2.test"),
        ({}, SERVICES, "3.test"),
        ({}, SERVICES.replace("sts =", "s3 ="), "sts.eu-west-1.amazonaws.com"),
        ({}, "services = missing\nendpoint_url = http://4.test\n", "sts.eu-west-1.amazonaws.com"),
        ({}, "endpoint_url = http://4.test:81\n", "4.test"),
        ({"AWS_ENDPOINT_URL_STS": "bare.test"}, "", "bare.test"),
    ],
)
def test_endpoint_override(write, monkeypatch, variables, more, host):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    write(CONFIG + more, BASE)
    assert endpoint_of_profile().host == host


def test_bad_endpoint_in_the_file_is_told_by_its_line(write):
    paths = write(CONFIG + "endpoint_url = ftp://x\n", BASE)
    with pytest.raises(RuntimeError, match=f"endpoint_url in {re.escape(paths.config)}, line 5"):
        AwsCredentialsProvider.new_profile()


@pytest.mark.parametrize("status", [400, 403])
def test_refusal_is_final(sts, write, failure, status):
    write(CONFIG, BASE)
    sts.fail("AssumeRole", Fault(status=status, body=sts.error("AccessDenied")))
    error = failure(AwsCredentialsProvider.new_profile())
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_HTTP_STATUS_FAILURE"
    assert "AccessDenied" in error.message and len(sts.requests) == 1


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(close=True), Fault(cut=True)])
def test_retries(sts, write, get, served, failure, clock, fault):
    write(CONFIG, BASE)
    sts.fail("AssumeRole", fault, times=3)
    served(get(AwsCredentialsProvider.new_profile()), expires=None)
    sts.fail("AssumeRole", fault)
    assert failure(AwsCredentialsProvider.new_profile()).name == "AWS_IO_MAX_RETRIES_EXCEEDED"


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"{}",
        b"<x/>",
        BOMB,
        b'<?xml version="1.0" encoding="nonsense"?><x/>',
        services.SecurityTokenService.document("AssumeRole", SessionToken=""),
        services.SecurityTokenService.document("Other"),
    ],
)
def test_malformed_answer(sts, write, failure, clock, body):
    write(CONFIG, BASE)
    sts.fail("AssumeRole", Fault(body=body))
    error = failure(AwsCredentialsProvider.new_profile())
    assert error.name == "AWS_IO_MAX_RETRIES_EXCEEDED"
    assert error.__cause__.name == "AWS_AUTH_CREDENTIALS_PROVIDER_STS_SOURCE_FAILURE"


def test_credentials_of_the_source_are_asked_for_at_each_query(sts, write, get):
    write(CONFIG, BASE)
    provider = AwsCredentialsProvider.new_profile()
    get(provider)
    write(credentials=BASE.replace("AK", "AK2"))
    get(provider)
    assert ["Credential=AK2/" in request.header("Authorization") for request in sts.requests] == [False, True]


def test_roles_may_be_chained(sts, write, get, served):
    write(
        "[default]\nrole_arn = two\nsource_profile = middle\n[profile middle]\nrole_arn = one\nsource_profile = base\n",
        BASE,
    )
    served(get(AwsCredentialsProvider.new_profile()), expires=None)
    assert [request.form["RoleArn"] for request in sts.requests] == ["one", "two"]
    assert f"Credential={services.KEY_ID}/" in sts.requests[1].header("Authorization")


# ---- web identity ----


@pytest.fixture
def identity(monkeypatch, tmp_path):
    path = tmp_path / "token"
    path.write_text("the.to/ken")
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(path))
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return path


def web():
    return AwsCredentialsProvider(Queried(sts_module.web_identity(None, None, Route())))


def test_web_identity_request(sts, identity, monkeypatch, get, served):
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "me")
    served(get(web()))
    request = sts.requests[0]
    assert (request.method, request.path) == ("POST", "/")
    assert request.body == (
        b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr"
        b"&RoleSessionName=me&WebIdentityToken=the.to%2Fken"
    )
    assert request.headers == [
        ("content-length", str(len(request.body))),
        ("content-type", "application/x-www-form-urlencoded"),
        ("Host", f"127.0.0.1:{sts.port}"),
        ("x-amz-api-version", "2011-06-15"),
        ("Accept", "*/*"),
        ("User-Agent", "aws-sdk-crt/sts-web-identity-credentials-provider"),
        ("Connection", "keep-alive"),
    ]


def test_web_identity_session_name_is_random(sts, identity, get):
    for _ in range(2):
        get(web())
    names = [request.form["RoleSessionName"] for request in sts.requests]
    assert names[0] != names[1] and all(len(name) == 36 for name in names)


def test_web_identity_token_is_read_at_each_query(sts, identity, get):
    provider = web()
    get(provider)
    identity.write_text("second\n")
    get(provider)
    assert [request.form["WebIdentityToken"] for request in sts.requests] == ["the.to/ken", "second"]


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_web_identity_token_that_cannot_be_read(sts, identity, failure, content):
    identity.unlink()
    if content is not None:
        identity.write_bytes(content)
    error = failure(web())
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_STS_WEB_IDENTITY_SOURCE_FAILURE"
    assert str(identity) in error.message and "AWS_WEB_IDENTITY_TOKEN_FILE" in error.message


@pytest.mark.parametrize("code, attempts", [("IDPCommunicationError", 3), ("InvalidIdentityToken", 3), ("Other", 1)])
def test_web_identity_is_repeated_for_some_errors_only(sts, identity, failure, get, served, code, attempts):
    fault = Fault(status=400, body=sts.error(code))
    sts.fail("AssumeRoleWithWebIdentity", fault)
    error = failure(web())
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_HTTP_STATUS_FAILURE" and code in error.message
    assert len(sts.requests) == attempts


def test_web_identity_recovers(sts, identity, get, served):
    sts.fail("AssumeRoleWithWebIdentity", Fault(status=400, body=sts.error("IDPCommunicationError")), times=2)
    served(get(web()))


@pytest.mark.parametrize(
    "fault", [Fault(close=True), Fault(body=b"no xml"), Fault(body=b"<x>" + b" " * 10000 + b"</x>"), Fault(body=BOMB)]
)
def test_web_identity_failures(sts, identity, failure, fault):
    sts.fail("AssumeRoleWithWebIdentity", fault)
    error = failure(web())
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_STS_WEB_IDENTITY_SOURCE_FAILURE"
    assert sts.url in error.message


def test_web_identity_without_expiration(sts, identity, get, clock):
    document = sts.document("AssumeRoleWithWebIdentity", Expiration="")
    sts.fail("AssumeRoleWithWebIdentity", Fault(body=document))
    assert get(web()).expiration.timestamp() == int(clock.now) + 900


@pytest.mark.parametrize("missing", ["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION"])
def test_web_identity_needs(identity, monkeypatch, missing):
    monkeypatch.delenv(missing)
    with pytest.raises(RuntimeError):
        web()


def test_web_identity_of_a_profile(sts, write, get, served, tmp_path):
    (tmp_path / "t").write_text("T")
    write(f"[default]\nrole_arn = R\nweb_identity_token_file = {tmp_path / 't'}\nrole_session_name = S\nregion = x-1\n")
    served(get(AwsCredentialsProvider.new_profile()))
    form = sts.requests[0].form
    assert (form["RoleArn"], form["RoleSessionName"], form["WebIdentityToken"]) == ("R", "S", "T")
