"""Request signing through Python: published examples, an independent implementation, and the API's rules."""

import datetime
import hashlib
import hmac
import io
import sys
import threading
import urllib.parse
from concurrent.futures import Future

import pytest

from awscrt import NativeResource
from awscrt.auth import (
    AwsCredentials,
    AwsCredentialsProvider,
    AwsSignatureType,
    AwsSignedBodyHeaderType,
    AwsSignedBodyValue,
    AwsSigningAlgorithm,
    AwsSigningConfig,
    aws_sign_request,
)
from awscrt.http import HttpHeaders, HttpRequest

UTC = datetime.timezone.utc
DATE = datetime.datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
SUITE = AwsCredentialsProvider.new_static("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
QUERY = AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS


def config(**changes):
    fields = {"credentials_provider": SUITE, "region": "us-east-1", "service": "service", "date": DATE}
    return AwsSigningConfig(**{**fields, **changes})


def request(method="GET", path="/", headers=(("Host", "example.amazonaws.com"),), body=None):
    return HttpRequest(method, path, HttpHeaders(list(headers)), body)


def sign(signed, signing_config):
    assert aws_sign_request(signed, signing_config).result(20) is signed
    return signed


def signature(signed):
    text = signed.headers.get("Authorization") or signed.path
    return text[-64:]


# ---- published examples ----


@pytest.mark.parametrize(
    "method, path, expected",
    [
        ("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("GET", "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ],
)
def test_published_suite(method, path, expected):
    signed = sign(request(method, path), config())
    assert signature(signed) == expected
    assert [name for name, _ in signed.headers] == ["Host", "X-Amz-Date", "Authorization"]


def test_s3_presigned_url():
    provider = AwsCredentialsProvider.new_static("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    signed = sign(
        request("GET", "/test.txt", [("Host", "examplebucket.s3.amazonaws.com")]),
        config(
            credentials_provider=provider,
            service="s3",
            signature_type=QUERY,
            date=datetime.datetime(2013, 5, 24, tzinfo=UTC),
            expiration_in_seconds=86400,
            signed_body_value=AwsSignedBodyValue.UNSIGNED_PAYLOAD,
            use_double_uri_encode=False,
            should_normalize_uri_path=False,
        ),
    )
    assert signature(signed) == "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    assert "&X-Amz-Expires=86400&" in signed.path


# ---- an independent implementation ----


def expected_signature(method, path, headers, payload_hash, secret="SECRET", region="us-east-1", service="s3"):
    """SigV4 as the AWS General Reference describes it, for requests without anything unusual in their path."""
    path, _, query = path.partition("?")
    pairs = sorted(
        (urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~"))
        for k, v in urllib.parse.parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)
    )
    lines = sorted((name.lower(), " ".join(value.split())) for name, value in headers)
    names = ";".join(name for name, _ in lines)
    canonical = "\n".join(
        [
            method,
            path,
            "&".join(f"{k}={v}" for k, v in pairs),
            "".join(f"{name}:{value}\n" for name, value in lines),
            names,
            payload_hash,
        ]
    )
    stamp = DATE.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("body", [None, b"", b"x", b"0123456789" * 100_000])
@pytest.mark.parametrize("path", ["/", "/bucket/key?list-type=2&prefix=a%2Fb&delimiter=%20&empty=", "/?b=1&a=2&a=1+1"])
def test_agrees_with_an_independent_implementation(path, body):
    provider = AwsCredentialsProvider.new_static("AKID", "SECRET", "TOKEN")
    headers = [("Host", "h.example"), ("X-Two", "a   b"), ("content-type", "text/plain; charset=utf-8")]
    stream = io.BytesIO(body) if body is not None else None
    signed = sign(
        request("PUT", path, headers, stream),
        config(
            credentials_provider=provider,
            service="s3",
            signed_body_header_type=AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        ),
    )
    payload_hash = hashlib.sha256(body or b"").hexdigest()
    assert signed.headers.get("x-amz-content-sha256") == payload_hash
    extra = [
        ("x-amz-date", "20150830T123600Z"),
        ("x-amz-security-token", "TOKEN"),
        ("x-amz-content-sha256", payload_hash),
    ]
    assert signature(signed) == expected_signature("PUT", path, headers + extra, payload_hash)
    if stream:
        assert stream.tell() == 0


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, "96703923cfb9d086dcb812ffe114f4197fdc498b889220b8a9c75bfb792abc04"),
        ({"omit_session_token": True}, "6298242c0504ba0e99916dd59d309a1051a2efdbd98c5c0cf080335f39590bfb"),
        ({"signature_type": QUERY}, "cff82bcc8dc787c3a8c25305ae26d4a1012d66b3607b2e82678d15fb43397b52"),
        (
            {"signature_type": QUERY, "expiration_in_seconds": 60},
            "43bdf4792a567ba6b0c935974435559b3e6979d334490e52d36d8a63f8ab25e0",
        ),
        (
            {"signature_type": QUERY, "service": "vpc-lattice-svcs"},
            "f0fd8bc9b64020c9b5d098a6b0bca0aadbbc1cf0f2eaa10ddf8f1084e0edbc34",
        ),
        (
            {"algorithm": AwsSigningAlgorithm.V4_S3EXPRESS, "service": "s3express"},
            "f9d28e48ecc4c25dfcc3953d97e407ae81eee412cc1ad7b9e7f60717658ba733",
        ),
    ],
)
def test_unusual_requests(changes, expected):
    provider = AwsCredentialsProvider.new_static("AKID", "SECRET", "TOKEN")
    headers = [("Host", "ex.com"), ("X-B", "two   spaces"), ("x-a", "1"), ("X-A", "2")]
    fields = {"credentials_provider": provider, "service": "svc", **changes}
    signed = sign(request("GET", "/a/../b//c%20d?z=1&a=b c&a=%41", headers), config(**fields))
    assert signature(signed) == expected


# ---- credentials ----


@pytest.mark.parametrize(
    "provider",
    [
        lambda: AwsCredentialsProvider.new_delegate(lambda: AwsCredentials("AKID", "SECRET")),
        lambda: AwsCredentialsProvider.new_chain([AwsCredentialsProvider.new_static("AKID", "SECRET")]),
    ],
    ids=["delegate", "chain"],
)
def test_immediate_providers_sign_before_the_call_returns(provider):
    caller = []
    signed = request()

    def note_thread(name):
        caller.append(threading.get_ident())
        return True

    future = aws_sign_request(signed, config(credentials_provider=provider(), should_sign_header=note_thread))
    assert future.done() and signed.headers.get("Authorization")
    assert caller == [threading.get_ident()]


def test_provider_that_answers_later():
    later = Future()

    class Source:
        def get_credentials(self):
            return later

    signed = request()
    future = aws_sign_request(signed, config(credentials_provider=AwsCredentialsProvider(Source())))
    assert not future.done() and list(signed.headers) == [("Host", "example.amazonaws.com")]
    later.set_result(AwsCredentials("AKID", "SECRET"))
    assert future.result(20) is signed and signed.headers.get("Authorization")


@pytest.mark.parametrize("answer", [ValueError("no"), "not credentials", "dropped"])
def test_provider_that_cannot_deliver(answer):
    later = Future()

    class Source:
        def get_credentials(self):
            return later

    future = aws_sign_request(request(), config(credentials_provider=AwsCredentialsProvider(Source())))
    if isinstance(answer, Exception):
        later.set_exception(answer)
    elif answer != "dropped":
        later.set_result(answer)
    later = None
    Source.get_credentials = None
    assert future.exception(20).name == "AWS_AUTH_SIGNING_NO_CREDENTIALS"


def test_environment_without_credentials(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    future = aws_sign_request(request(), config(credentials_provider=AwsCredentialsProvider.new_environment()))
    assert future.exception(20).name == "AWS_AUTH_SIGNING_NO_CREDENTIALS"


def test_delegate_that_raises(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_value))
    problem = ZeroDivisionError("mine")

    def bad():
        raise problem

    with pytest.raises(RuntimeError, match=r"^6167 \(AWS_AUTH_CREDENTIALS_PROVIDER_DELEGATE_FAILURE\)"):
        aws_sign_request(request(), config(credentials_provider=AwsCredentialsProvider.new_delegate(bad)))
    assert reported == [problem]


# ---- the request ----


@pytest.mark.parametrize(
    "headers, path, name",
    [
        ([("authorization", "x")], "/", "AWS_AUTH_SIGNING_ILLEGAL_REQUEST_HEADER"),
        ([("X-AMZ-DATE", "x")], "/", "AWS_AUTH_SIGNING_ILLEGAL_REQUEST_HEADER"),
        ([], "/?X-Amz-Date=1", "AWS_AUTH_SIGNING_ILLEGAL_REQUEST_QUERY_PARAM"),
        ([], "/?a=%4", "AWS_ERROR_MALFORMED_INPUT_STRING"),
        ([], "", "AWS_ERROR_MALFORMED_INPUT_STRING"),
    ],
)
def test_requests_that_cannot_be_signed(headers, path, name):
    signed = request("GET", path, headers)
    error = aws_sign_request(signed, config()).exception(20)
    assert error.name == name
    assert list(signed.headers) == headers and (signed.path or "") == path


def test_body_is_hashed_from_its_start():
    body = io.BytesIO(b"0123456789")
    body.seek(5)
    signed = sign(request(body=body), config(signed_body_header_type=AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256))
    assert signed.headers.get("x-amz-content-sha256") == hashlib.sha256(b"0123456789").hexdigest()
    assert body.tell() == 0


def test_body_with_a_given_hash_is_not_touched():
    class Untouchable:
        def read(self, size):
            raise AssertionError

    sign(request(body=Untouchable()), config(signed_body_value=AwsSignedBodyValue.UNSIGNED_PAYLOAD))


@pytest.mark.parametrize(
    "body, expected",
    [
        (type("NoSeek", (), {"read": lambda self, n: b""}), "AWS_ERROR_UNKNOWN"),
        (type("Bad", (), {"read": lambda self, n: 1 / 0, "seek": lambda self, *a: 0}), "AWS_ERROR_UNKNOWN"),
        (type("Text", (), {"read": lambda self, n: "text", "seek": lambda self, *a: 0}), ValueError),
        (type("Nothing", (), {"read": lambda self, n: None, "seek": lambda self, *a: 0}), ValueError),
    ],
)
def test_body_that_cannot_be_hashed(body, expected, capfd):
    signed = request(body=body())
    error = aws_sign_request(signed, config()).exception(20)
    assert getattr(error, "name", None) == expected or type(error) is expected
    assert list(signed.headers) == [("Host", "example.amazonaws.com")]
    capfd.readouterr()


@pytest.mark.parametrize(
    "changes, missing",
    [
        ({"region": ""}, "region"),
        ({"service": ""}, "service"),
        ({"credentials_provider": None}, "credentials_provider"),
    ],
)
def test_incomplete_configuration(changes, missing):
    with pytest.raises(RuntimeError, match=r"^6149 \(AWS_AUTH_SIGNING_INVALID_CONFIGURATION\).*" + missing):
        aws_sign_request(request(), config(**changes))


@pytest.mark.parametrize("arguments", [(None, config()), (request(), None), ("GET", config())])
def test_wrong_types(arguments):
    with pytest.raises(AssertionError):
        aws_sign_request(*arguments)


# ---- should_sign_header ----


def test_should_sign_header():
    asked = []

    def choose(*, name):
        asked.append(name)
        return name != "X-Skip"

    headers = [("Host", "h"), ("X-Skip", "1"), ("User-Agent", "me"), ("x-keep", "2")]
    signed = sign(request(headers=headers), config(should_sign_header=choose))
    assert asked == ["Host", "X-Skip", "User-Agent", "x-keep"]
    assert "SignedHeaders=host;x-amz-date;x-keep," in signed.headers.get("Authorization")


def test_should_sign_header_that_raises(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_type))
    signed = sign(request(), config(should_sign_header=lambda name: 1 / 0))
    assert signature(signed) == "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    assert reported == [ZeroDivisionError]


def clear_headers(signed):
    signed.headers.clear()


def add_headers(signed):
    for number in range(200):
        signed.headers.add(f"X-Added-{number}", "value" * 100)


def replace_everything(signed):
    signed.__init__("PUT", "/" + "other" * 100, HttpHeaders([("X-Other", "value")]))


@pytest.mark.parametrize("change", [clear_headers, add_headers, replace_everything])
def test_should_sign_header_that_changes_the_request(change):
    """Each header is asked about once, as it was; what is signed is the request as the callback left it."""
    asked = []
    signed = request(headers=[("Host", "h"), ("X-First", "1" * 200), ("X-Second", "2" * 200)])

    def choose(*, name):
        asked.append(name)
        if len(asked) == 1:
            change(signed)
        return name != "X-Second"

    sign(signed, config(should_sign_header=choose))
    assert asked == ["Host", "X-First", "X-Second"]
    names = signed.headers.get("Authorization").partition("SignedHeaders=")[2].partition(",")[0].split(";")
    left = {name.lower() for name, _ in signed.headers} - {"authorization", "x-second"}
    assert set(names) == left


# ---- AwsSigningConfig ----


def test_config_defaults():
    before = datetime.datetime.now(UTC).replace(microsecond=0)
    made = AwsSigningConfig()
    assert made.algorithm is AwsSigningAlgorithm.V4
    assert made.signature_type is AwsSignatureType.HTTP_REQUEST_HEADERS
    assert made.credentials_provider is None
    assert (made.region, made.service) == ("", "")
    assert before <= made.date <= datetime.datetime.now(UTC)
    assert made.date is made.date
    assert made.should_sign_header is None
    assert made.use_double_uri_encode is True and made.should_normalize_uri_path is True
    assert made.signed_body_value is None
    assert made.signed_body_header_type is AwsSignedBodyHeaderType.NONE
    assert made.expiration_in_seconds is None
    assert made.omit_session_token is False
    assert isinstance(made, NativeResource)
    with pytest.raises(AttributeError):
        made.region = "x"


def test_config_replace():
    made = config(expiration_in_seconds=5, should_sign_header=print)
    other = made.replace(region="eu-west-1", unknown=1, omit_session_token=True)
    assert (other.region, other.omit_session_token, made.region) == ("eu-west-1", True, "us-east-1")
    for name in ("algorithm", "credentials_provider", "service", "date", "should_sign_header", "expiration_in_seconds"):
        assert getattr(other, name) is getattr(made, name)
    assert AwsSigningConfig().replace(region="x").region == "x"


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": 0},
        {"signature_type": 1},
        {"credentials_provider": "x"},
        {"region": None},
        {"service": 1},
        {"should_sign_header": 1},
        {"signed_body_value": ""},
        {"signed_body_value": b"x"},
        {"signed_body_header_type": 1},
        {"expiration_in_seconds": 0},
        {"expiration_in_seconds": -1},
    ],
)
def test_config_wrong_types(changes):
    with pytest.raises(AssertionError):
        config(**changes)


def test_config_expiration_must_be_an_integer():
    with pytest.raises(TypeError):
        config(expiration_in_seconds=1.5)
    with pytest.raises(TypeError):
        config(expiration_in_seconds="60")


@pytest.mark.parametrize(
    "date, stamp",
    [
        (datetime.datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=UTC), "19691231T235959Z"),
        (datetime.datetime(2024, 2, 29, 1, 2, 3, 999999, tzinfo=UTC), "20240229T010203Z"),
        (datetime.datetime(1, 1, 1, tzinfo=UTC), "00010101T000000Z"),
        (datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "99991231T235959Z"),
    ],
)
def test_dates_have_second_resolution(date, stamp):
    made = config(date=date)
    assert made.date is date
    assert sign(request(), made).headers.get("X-Amz-Date") == stamp


def test_naive_dates_are_local_time():
    naive = datetime.datetime(2020, 1, 1, 12, 0, 0)
    stamp = naive.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    assert sign(request(), config(date=naive)).headers.get("X-Amz-Date") == stamp


def test_from_several_threads():
    results = []

    def work():
        results.extend(signature(sign(request(), config())) for _ in range(200))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(results) == {"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"} and len(results) == 800


def test_nothing_leaks(no_native_leak):
    for _ in range(10):
        sign(request(body=io.BytesIO(b"x")), config())
        assert aws_sign_request(request(path="/?a=%"), config()).exception(20) is not None
