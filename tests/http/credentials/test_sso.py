"""SSO and ``aws login``: tokens that a command left in a file, and that are refreshed there."""

import base64
import datetime
import hashlib
import json
import os
import stat

import pytest

from awscrt._credentials import login as login_module
from awscrt.auth import AwsCredentialsProvider
from awscrt.crypto import EC, ECExportFormat, ECType
from awscrt.testing.credentials import Fault, SignIn, SingleSignOn

START_URL = "https://start.test/"
CONFIG = f"""[default]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Role/Name
[sso-session corp]
sso_region = eu-west-1
sso_start_url = {START_URL}
"""
LEGACY = f"""[default]
sso_account_id = 123456789012
sso_role_name = Role/Name
sso_region = eu-west-1
sso_start_url = {START_URL}
"""


def at(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class TokenFile:
    def __init__(self, path, token):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.write(**token)

    def write(self, **fields):
        self.path.write_text(json.dumps(fields))

    def read(self):
        return json.loads(self.path.read_text())


# ---- SSO ----


@pytest.fixture
def portal(monkeypatch):
    with SingleSignOn() as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", service.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO_OIDC", service.url)
        yield service


@pytest.fixture
def token_file(home, clock):
    """``token_file(seconds, key=..., **fields)``: the token of the session, which expires in so many seconds."""

    def make(seconds, key="corp", **fields):
        token = {
            "accessToken": "sso-token",
            "expiresAt": at(clock.now + seconds),
            "refreshToken": "refresh-1",
            "clientId": "client",
            "clientSecret": "client-secret",
            "registrationExpiresAt": at(clock.now + 86400),
            "region": "eu-west-1",
            **fields,
        }
        name = hashlib.sha1(key.encode()).hexdigest() + ".json"
        return TokenFile(home / ".aws" / "sso" / "cache" / name, {k: v for k, v in token.items() if v is not None})

    return make


new_profile = AwsCredentialsProvider.new_profile


def test_request(portal, write, token_file, get, served):
    write(CONFIG)
    token_file(3600)
    served(get(new_profile()))
    (request,) = portal.requests
    assert request.method == "GET"
    assert request.path == "/federation/credentials?role_name=Role%2FName&account_id=123456789012"
    assert request.header("x-amz-sso_bearer_token") == "sso-token"


def test_without_session_the_start_url_names_the_file(portal, write, token_file, get, served):
    write(LEGACY)
    token_file(3600, key=START_URL)
    served(get(new_profile()))


def test_token_is_refreshed_before_it_expires(portal, write, token_file, get, served, clock):
    write(CONFIG)
    file = token_file(299)
    served(get(new_profile()))
    assert portal.steps == ["refresh", "credentials"]
    assert json.loads(portal.requests[0].body) == {
        "grantType": "refresh_token",
        "clientId": "client",
        "clientSecret": "client-secret",
        "refreshToken": "refresh-1",
    }
    assert portal.requests[1].header("x-amz-sso_bearer_token") == "sso-token-refreshed"
    saved = file.read()
    assert (saved["accessToken"], saved["refreshToken"]) == ("sso-token-refreshed", "refresh-1-refreshed")
    assert saved["expiresAt"] == at(clock.now + 3600)
    assert saved["clientSecret"] == "client-secret" and saved["region"] == "eu-west-1"
    assert stat.S_IMODE(os.stat(file.path).st_mode) == 0o600
    assert os.listdir(file.path.parent) == [file.path.name]


def test_token_is_left_alone_while_it_lasts(portal, write, token_file, get, served):
    write(CONFIG)
    token_file(301)
    served(get(new_profile()))
    assert portal.steps == ["credentials"]


@pytest.mark.parametrize(
    "fields",
    [
        {"refreshToken": None},
        {"clientId": None},
        {"clientSecret": ""},
        {"registrationExpiresAt": "2000-01-01T00:00:00Z"},
    ],
)
def test_login_that_cannot_be_refreshed(portal, write, token_file, get, served, failure, fields):
    write(CONFIG)
    token_file(100, **fields)
    served(get(new_profile()))
    assert portal.steps == ["credentials"]
    file = token_file(-1, **fields)
    error = failure(new_profile())
    assert error.name == "AWS_AUTH_SSO_TOKEN_EXPIRED"
    assert str(file.path) in error.message and "aws sso login" in error.message


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=400, body=b'{"error": "invalid_grant"}'),
        Fault(status=500),
        Fault(close=True),
        Fault(body=b"no json"),
        Fault(body=b"{}"),
        Fault(body=b'{"accessToken": "x"}'),
        Fault(body=b'{"accessToken": "x", "expiresIn": true}'),
        Fault(body=b'{"accessToken": "x", "expiresIn": 1e400}'),
        Fault(body=b'{"accessToken": "x", "expiresIn": -1}'),
    ],
)
def test_refresh_that_fails(portal, write, token_file, get, served, failure, fault):
    write(CONFIG)
    file = token_file(100)
    before = file.read()
    portal.fail("refresh", fault)
    served(get(new_profile()))  # with the old token, which is still good
    assert file.read() == before
    token_file(-1)
    error = failure(new_profile())
    assert error.name == "AWS_AUTH_SSO_TOKEN_EXPIRED" and str(portal.port) in error.message


def test_refresh_is_not_tried_too_often(portal, write, token_file, get, clock):
    write(CONFIG)
    token_file(200)
    portal.fail("refresh", Fault(status=500))
    provider = new_profile()
    get(provider)
    get(provider)
    assert portal.steps.count("refresh") == 1
    clock.now += 31
    get(provider)
    assert portal.steps.count("refresh") == 2


def test_token_that_cannot_be_saved_is_used(portal, write, token_file, get, served, monkeypatch):
    write(CONFIG)
    file = token_file(10)
    before = file.read()

    def refuse(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr("os.replace", refuse)
    provider = new_profile()
    for _ in range(2):  # the file's token is not good any more
        served(get(provider))
    assert file.read() == before and portal.steps == ["refresh", "credentials", "credentials"]
    assert os.listdir(file.path.parent) == [file.path.name]


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "[]",
        "{}",
        '{"accessToken": 1, "expiresAt": "2099-01-01T00:00:00Z"}',
        '{"accessToken": "x"}',
        '{"accessToken": "x", "expiresAt": "soon"}',
    ],
)
def test_token_file_that_cannot_be_used(portal, write, token_file, failure, content):
    write(CONFIG)
    file = token_file(3600)
    if content is None:
        file.path.unlink()
    else:
        file.path.write_text(content)
    error = failure(new_profile())
    assert error.name == "AWS_AUTH_SSO_TOKEN_INVALID" and str(file.path) in error.message


def test_token_that_is_no_header(portal, write, token_file, failure, clock):
    write(CONFIG)
    token_file(3600, accessToken="a\r\nInjected: 1")
    assert failure(new_profile()) is not None
    assert not portal.requests


def test_refused_token(portal, write, token_file, failure):
    write(CONFIG)
    token_file(3600, accessToken="other")
    error = failure(new_profile())
    assert error.name == "AWS_AUTH_SSO_TOKEN_EXPIRED" and "aws sso login" in error.message
    assert len(portal.requests) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 429])
def test_portal_4xx_is_final(portal, write, token_file, failure, status):
    write(CONFIG)
    token_file(3600)
    portal.fail("credentials", Fault(status=status))
    assert failure(new_profile()).name == "AWS_AUTH_CREDENTIALS_PROVIDER_HTTP_STATUS_FAILURE"
    assert len(portal.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [Fault(status=500), Fault(close=True), Fault(body=b"{}"), Fault(body=b'{"roleCredentials": {"accessKeyId": "x"}}')],
)
def test_portal_is_asked_again(portal, write, token_file, get, served, failure, fault):
    write(CONFIG)
    token_file(3600)
    portal.fail("credentials", fault, times=3)
    served(get(new_profile()))
    portal.fail("credentials", fault)
    assert failure(new_profile()).name == "AWS_IO_MAX_RETRIES_EXCEEDED"


def test_public_endpoints(write):
    write(CONFIG)
    source = new_profile()._binding.source
    assert source._endpoint.host == "portal.sso.eu-west-1.amazonaws.com"
    assert source._tokens._endpoint.host == "oidc.eu-west-1.amazonaws.com"
    assert source._endpoint.tls and source._tokens._endpoint.tls


def test_default_chain_uses_sso(portal, write, token_file, get, served):
    write(CONFIG)
    token_file(3600)
    served(get(AwsCredentialsProvider.new_default_chain()))


# ---- aws login ----

SESSION = "arn:aws:iam::1:user/me"


@pytest.fixture
def sign_in(monkeypatch):
    with SignIn() as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SIGNIN", service.url)
        yield service


@pytest.fixture
def key():
    return EC.new_generate(ECType.P_256)


@pytest.fixture
def login_file(home, clock, key, write):
    write(f"[default]\nlogin_session = {SESSION}\n")
    pem = base64.encodebytes(key.export_key(ECExportFormat.SEC1)).decode()

    def make(seconds, **fields):
        token = {
            "accessToken": {
                "accessKeyId": "OLD",
                "secretAccessKey": "S",
                "sessionToken": "T",
                "accountId": "1",
                "expiresAt": at(clock.now + seconds),
            },
            "clientId": "client",
            "refreshToken": "login-1",
            "dpopKey": f"-----BEGIN EC PRIVATE KEY-----\n{pem}-----END EC PRIVATE KEY-----\n",
            **fields,
        }
        name = hashlib.sha256(SESSION.encode()).hexdigest() + ".json"
        return TokenFile(home / ".aws" / "login" / "cache" / name, {k: v for k, v in token.items() if v is not None})

    return make


def test_login_gives_what_is_in_the_file(sign_in, login_file, get):
    login_file(301)
    assert get(new_profile()).access_key_id == "OLD"
    assert not sign_in.requests


def test_login_cache_directory(login_file, get, monkeypatch, tmp_path):
    file = login_file(600)
    (tmp_path / "elsewhere").mkdir()
    file.path.rename(tmp_path / "elsewhere" / file.path.name)
    monkeypatch.setenv("AWS_LOGIN_CACHE_DIRECTORY", str(tmp_path / "elsewhere"))
    assert get(new_profile()).access_key_id == "OLD"


def decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_login_is_refreshed_with_proof_of_possession(sign_in, login_file, get, served, clock, key):
    file = login_file(299)
    served(get(new_profile()), expires=at(clock.now + 900))
    (request,) = sign_in.requests
    assert (request.method, request.path) == ("POST", "/v1/token")
    assert json.loads(request.body) == {"clientId": "client", "refreshToken": "login-1", "grantType": "refresh_token"}
    saved = file.read()
    assert saved["refreshToken"] == "login-1-next" and saved["accessToken"]["accountId"] == "1"
    assert saved["accessToken"]["expiresAt"] == at(clock.now + 900)

    proof = request.header("DPoP").split(".")
    header, claims = (json.loads(decode(part)) for part in proof[:2])
    assert (header["typ"], header["alg"]) == ("dpop+jwt", "ES256")
    point = key.get_public_coords()
    assert (decode(header["jwk"]["x"]), decode(header["jwk"]["y"])) == (point.x, point.y)
    assert (claims["htm"], claims["htu"], claims["iat"]) == ("POST", sign_in.url + "/v1/token", int(clock.now))
    signature = decode(proof[2])
    assert len(signature) == 64
    der = EC.encode_raw_signature(type(EC.decode_der_signature(key.sign(b"x" * 32)))(signature[:32], signature[32:]))
    assert key.verify(hashlib.sha256(".".join(proof[:2]).encode()).digest(), der)


@pytest.mark.parametrize(
    "fault",
    [Fault(status=403), Fault(status=500), Fault(close=True), Fault(body=b"x"), Fault(body=b'{"expiresIn": 1}')],
)
def test_login_refresh_that_fails(sign_in, login_file, get, failure, fault):
    sign_in.fail("refresh", fault)
    login_file(100)
    assert get(new_profile()).access_key_id == "OLD"
    file = login_file(-1)
    error = failure(new_profile())
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_LOGIN_TOKEN_EXPIRED"
    assert str(file.path) in error.message and "aws login" in error.message


@pytest.mark.parametrize("content", [None, "", "{}", '{"accessToken": {}}', '{"accessToken": {"expiresAt": "x"}}'])
def test_login_file_that_cannot_be_used(login_file, failure, content):
    file = login_file(600)
    if content is None:
        file.path.unlink()
    else:
        file.path.write_text(content)
    error = failure(new_profile())
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_LOGIN_FAILED_TO_CREATE_TOKEN"
    assert str(file.path) in error.message


@pytest.mark.parametrize("field", ["clientId", "refreshToken", "dpopKey"])
def test_login_fields_that_a_refresh_needs(sign_in, login_file, failure, field):
    login_file(-1, **{field: None})
    assert field in failure(new_profile()).message
    assert not sign_in.requests


@pytest.mark.parametrize("pem", ["-----BEGIN X-----\n!\n-----END X-----", "-----BEGIN X-----\nAAAA\n-----END X-----"])
def test_login_key_that_is_none(sign_in, login_file, failure, pem):
    login_file(-1, dpopKey=pem)
    assert failure(new_profile()).__cause__.name == "AWS_AUTH_CREDENTIALS_PROVIDER_LOGIN_INVALID_PEM"


@pytest.mark.parametrize(
    "region, host",
    [
        ("us-east-1", "us-east-1.signin.aws.amazon.com"),
        ("cn-north-1", "cn-north-1.signin.amazonaws.cn"),
        ("us-gov-west-1", "us-gov-west-1.signin.amazonaws-us-gov.com"),
    ],
)
def test_login_endpoints(region, host):
    source = login_module.LoginSource("s", None, region, None)
    assert source._endpoint({}).host == host
    assert source._endpoint({"signInRegion": "eu-west-2"}).host == "eu-west-2.signin.aws.amazon.com"


def test_login_needs_a_region(login_file, failure):
    login_file(-1)
    assert failure(new_profile()).__cause__.name == "AWS_AUTH_CREDENTIALS_PROVIDER_LOGIN_REGION_MISSING"
