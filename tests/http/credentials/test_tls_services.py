"""Cognito and X.509: services that are reached over TLS."""

import pytest

from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpProxyOptions
from awscrt.io import ClientTlsContext, TlsContextOptions
from awscrt.testing.credentials import CognitoIdentity, Fault, IotCredentials


@pytest.fixture
def tls_ctx(tls_certs):
    options = TlsContextOptions.create_client_with_mtls_from_path(
        tls_certs.client.certificate, tls_certs.client.private_key
    )
    options.override_default_trust_store_from_path(None, tls_certs.ca_path)
    return ClientTlsContext(options)


# ---- Cognito ----


@pytest.fixture
def cognito(tls_certs):
    with CognitoIdentity(context=tls_certs.authority.server_context(tls_certs.server)) as service:
        yield service


@pytest.fixture
def new_cognito(cognito, tls_ctx):
    def make(**options):
        endpoint = f"localhost:{cognito.port}"
        return AwsCredentialsProvider.new_cognito(
            **{"endpoint": endpoint, "identity": "the-id", "tls_ctx": tls_ctx, **options}
        )

    return make


def test_cognito_request(cognito, new_cognito, get, served):
    served(get(new_cognito()))
    request = cognito.requests[0]
    assert (request.method, request.path, request.body) == ("POST", "/", b'{"IdentityId":"the-id"}')
    assert request.headers == [
        ("host", f"localhost:{cognito.port}"),
        ("content-type", "application/x-amz-json-1.1"),
        ("X-Amz-Target", "AWSCognitoIdentityService.GetCredentialsForIdentity"),
        ("Content-Length", "23"),
    ]


def test_cognito_logins_and_role(cognito, new_cognito, get):
    get(new_cognito(logins=[("a", "1"), ("b", "2")], custom_role_arn="arn"))
    assert cognito.requests[0].body == b'{"IdentityId":"the-id","CustomRoleArn":"arn","Logins":{"a":"1","b":"2"}}'


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"endpoint": ""}, RuntimeError, "^34 "),
        ({"identity": ""}, RuntimeError, "^34 "),
        ({"endpoint": 1}, AssertionError, ""),
        ({"identity": None}, AssertionError, ""),
        ({"tls_ctx": None}, AssertionError, ""),
        ({"custom_role_arn": 1}, AssertionError, ""),
        ({"client_bootstrap": 1}, AssertionError, ""),
        ({"http_proxy_options": "x"}, AssertionError, ""),
        ({"logins": 1}, TypeError, "^Expected sequence of login token tuples$"),
        ({"logins": iter([])}, TypeError, "^Expected sequence of login token tuples$"),
        ({"logins": {"a": "b"}}, TypeError, "^Expected sequence of login token tuples$"),
        ({"logins": [("a", "b"), ("a", 1)]}, TypeError, r"logins\[1\] is invalid, should be type \(str, str\)$"),
        ({"logins": [["a", "b"]]}, TypeError, r"logins\[0\]"),
        ({"logins": ["ab"]}, TypeError, r"logins\[0\]"),
    ],
)
def test_cognito_arguments(new_cognito, options, error, message):
    with pytest.raises(error, match=message):
        new_cognito(**options)


@pytest.mark.parametrize("status", [400, 403, 429])
def test_cognito_4xx_is_final(cognito, new_cognito, failure, status):
    cognito.fail("credentials", Fault(status=status))
    assert failure(new_cognito()).name == "AWS_AUTH_CREDENTIALS_PROVIDER_HTTP_STATUS_FAILURE"
    assert len(cognito.requests) == 1


@pytest.mark.parametrize("name", ["AccessKeyId", "SecretKey", "SessionToken", "Expiration"])
def test_cognito_fields_are_required(cognito, new_cognito, failure, clock, name):
    del cognito.document["Credentials"][name]
    error = failure(new_cognito())
    assert error.name == "AWS_IO_MAX_RETRIES_EXCEEDED" and name in error.message
    assert len(cognito.requests) == 4


@pytest.mark.parametrize("value", ["soon", True, float("nan"), 1e300, -5, None, "2030-01-01T00:00:00Z"])
def test_cognito_expiration_must_be_a_time(cognito, new_cognito, failure, clock, value):
    cognito.document["Credentials"]["Expiration"] = value
    assert "Expiration" in failure(new_cognito()).message


@pytest.mark.parametrize(
    "fault", [Fault(status=500), Fault(close=True), Fault(body=b"x"), Fault(body=b'{"Credentials": 1}')]
)
def test_cognito_retries(cognito, new_cognito, get, served, clock, fault):
    cognito.fail("credentials", fault, times=3)
    served(get(new_cognito()))
    assert len(clock.pauses) == 3


def test_untrusted_server(cognito, new_cognito, failure, clock):
    error = failure(new_cognito(tls_ctx=ClientTlsContext(TlsContextOptions())))
    assert error.name == "AWS_IO_MAX_RETRIES_EXCEEDED" and "TLS" in error.message
    assert not cognito.requests


# ---- X.509 ----


@pytest.fixture
def iot(tls_certs):
    with IotCredentials(context=tls_certs.authority.server_context(tls_certs.server, mutual=True)) as service:
        yield service


@pytest.fixture
def new_x509(iot, tls_ctx):
    def make(**options):
        endpoint = f"localhost:{iot.port}"
        given = {"endpoint": endpoint, "thing_name": "thing", "role_alias": "alias", "tls_ctx": tls_ctx, **options}
        return AwsCredentialsProvider.new_x509(**given)

    return make


def test_x509_request(iot, new_x509, get, served):
    served(get(new_x509()))
    request = iot.requests[0]
    assert (request.method, request.path) == ("GET", "/role-aliases/alias/credentials")
    assert request.headers == [
        ("x-amzn-iot-thingname", "thing"),
        ("Accept", "*/*"),
        ("User-Agent", "aws-sdk-crt/x509-credentials-provider"),
        ("Connection", "keep-alive"),
        ("Host", f"localhost:{iot.port}"),
    ]


@pytest.mark.parametrize("name", ["endpoint", "thing_name", "role_alias"])
def test_x509_texts(new_x509, name):
    with pytest.raises(RuntimeError, match="^34 "):
        new_x509(**{name: ""})
    with pytest.raises(AssertionError):
        new_x509(**{name: None})


def test_x509_needs_a_context(new_x509):
    with pytest.raises(AssertionError):
        new_x509(tls_ctx=None)


@pytest.mark.parametrize("alias", ["two words", "a\r\nb", "\u00e9"])
def test_x509_alias_that_is_no_path(iot, new_x509, failure, alias):
    assert failure(new_x509(role_alias=alias)).name == "AWS_ERROR_HTTP_INVALID_PATH"
    assert not iot.requests


@pytest.mark.parametrize(
    "fault, name",
    [
        (Fault(status=403), "AWS_AUTH_CREDENTIALS_PROVIDER_HTTP_STATUS_FAILURE"),
        (Fault(status=500), "AWS_AUTH_CREDENTIALS_PROVIDER_HTTP_STATUS_FAILURE"),
        (Fault(status=201), "AWS_AUTH_CREDENTIALS_PROVIDER_HTTP_STATUS_FAILURE"),
        (Fault(body=b"{}"), "AWS_AUTH_PROVIDER_PARSER_UNEXPECTED_RESPONSE"),
        (Fault(body=b'{"credentials": []}'), "AWS_AUTH_PROVIDER_PARSER_UNEXPECTED_RESPONSE"),
        (Fault(body=b"no json"), "AWS_AUTH_CREDENTIALS_PROVIDER_X509_SOURCE_FAILURE"),
        (Fault(body=b"x" * 2049), "AWS_ERROR_SHORT_BUFFER"),
        (Fault(close=True), "AWS_IO_SOCKET_CLOSED"),
    ],
)
def test_x509_failures_are_final(iot, new_x509, failure, fault, name):
    iot.fail("credentials", fault)
    assert failure(new_x509()).name == name
    assert len(iot.requests) == 1


@pytest.mark.parametrize("name", ["accessKeyId", "secretAccessKey", "sessionToken"])
def test_x509_fields_are_required(iot, new_x509, failure, name):
    del iot.document["credentials"][name]
    error = failure(new_x509())
    assert error.name == "AWS_AUTH_PROVIDER_PARSER_UNEXPECTED_RESPONSE" and name in error.message


def test_x509_expiration_is_optional(iot, new_x509, get):
    del iot.document["credentials"]["expiration"]
    assert get(new_x509()).expiration is None


def test_x509_without_certificate(iot, new_x509, failure, tls_certs):
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(None, tls_certs.ca_path)
    assert failure(new_x509(tls_ctx=ClientTlsContext(options))) is not None
    assert not iot.requests


def test_x509_refused_connection_is_told_as_it_is(new_x509, failure, dead_port):
    assert failure(new_x509(endpoint=f"localhost:{dead_port}")).name == "AWS_IO_SOCKET_CONNECTION_REFUSED"


def test_every_query_asks(iot, new_x509, get):
    provider = new_x509()
    for key in ("one", "two"):
        iot.document["credentials"]["accessKeyId"] = key
        assert get(provider).access_key_id == key


# ---- proxies ----


def test_through_a_proxy(iot, cognito, new_x509, new_cognito, get, served, tinyproxy):
    proxy = HttpProxyOptions("127.0.0.1", tinyproxy.port)
    served(get(new_x509(http_proxy_options=proxy)))
    served(get(new_cognito(http_proxy_options=proxy)))


def test_proxy_variables_are_not_used(iot, new_x509, get, served, monkeypatch, dead_port):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{dead_port}")
    served(get(new_x509()))
