"""presign_many(): each URL is what signing the request alone gives; arguments, providers, threads."""

import datetime
import sys
import threading
import urllib.parse
from concurrent.futures import Future

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awscrt.auth import (
    AwsCredentials,
    AwsCredentialsProvider,
    AwsSignatureType,
    AwsSignedBodyValue,
    AwsSigningAlgorithm,
    presign_many,
)
from awscrt.http import HttpHeaders

from .support import QUERY, config, request, sign

PUBLISHED = (
    "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
    "AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
    "&X-Amz-SignedHeaders=host&X-Amz-Expires=86400&X-Amz-Signature="
    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)


def query_config(**changes):
    options = {
        "signature_type": QUERY,
        "service": "s3",
        "expiration_in_seconds": 3600,
        "use_double_uri_encode": False,
        "should_normalize_uri_path": False,
        "signed_body_value": AwsSignedBodyValue.UNSIGNED_PAYLOAD,
    }
    return config(**{**options, **changes})


def one_by_one(requests, options, headers=()):
    urls = []
    for method, url in requests:
        parts = urllib.parse.urlsplit(url)
        start = f"{parts.scheme}://{parts.netloc}"
        host = parts.netloc if parts.port not in (80, 443) else parts.hostname
        urls.append(start + sign(request(method, url[len(start) :], [("Host", host), *headers]), options).path)
    return urls


def test_published_url():
    provider = AwsCredentialsProvider.new_static("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    options = query_config(
        credentials_provider=provider,
        date=datetime.datetime(2013, 5, 24, tzinfo=datetime.timezone.utc),
        expiration_in_seconds=86400,
    )
    url = "https://examplebucket.s3.amazonaws.com/test.txt"
    assert presign_many([("GET", url)], options).result(20) == [PUBLISHED]


SEGMENTS = st.text("ab-_.~/%2C", max_size=10).map(lambda text: urllib.parse.quote(text, safe="/-_.~"))
URLS = st.builds(
    "{}://{}/{}{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["h", "bucket.s3.example", "h:8080", "[::1]:9"]),
    SEGMENTS,
    st.sampled_from(["", "?", "?a", "?b=1&a=%20", "?versionId=x&"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["GET", "PUT", ""]), URLS), max_size=8), st.sampled_from([None, "TO/KEN"]))
def test_each_is_what_signing_alone_gives(requests, token):
    provider = AwsCredentialsProvider.new_static("AKID", "SECRET", token)
    options = query_config(credentials_provider=provider)
    assert presign_many(requests, options).result(20) == one_by_one(requests, options)


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
def test_any_number_in_order(count):
    requests = [("GET", f"https://h/key-{number}") for number in range(count)]
    options = query_config()
    future = presign_many(iter(requests), options)
    assert future.done()
    assert future.result() == one_by_one(requests, options)


@pytest.mark.parametrize("algorithm", list(AwsSigningAlgorithm))
def test_every_algorithm(algorithm):
    provider = AwsCredentialsProvider.new_static("AKID", "SECRET", "TOKEN")
    options = query_config(algorithm=algorithm, credentials_provider=provider)
    requests = [("GET", "https://h/a"), ("PUT", "https://h/b")]
    made, expected = presign_many(requests, options).result(20), one_by_one(requests, options)
    if algorithm is AwsSigningAlgorithm.V4_ASYMMETRIC:  # every signature is another one
        made, expected = ([url.rpartition("=")[0] for url in urls] for urls in (made, expected))
    assert made == expected


def test_own_ports_are_not_part_of_the_host():
    pairs = [("https://h:443/", "https://h/"), ("http://h:80/", "http://h/")]
    for with_port, without in pairs:
        urls = presign_many([("GET", with_port), ("GET", without)], query_config()).result(20)
        assert urls[0].rpartition("=")[2] == urls[1].rpartition("=")[2]
    urls = presign_many([("GET", "https://h:80/"), ("GET", "https://h/")], query_config()).result(20)
    assert urls[0].rpartition("=")[2] != urls[1].rpartition("=")[2]


def test_headers_are_signed_with_every_url():
    headers = [("Content-Type", "text/plain"), ("x-amz-acl", "private")]
    requests = [("PUT", "https://h/a"), ("PUT", "https://h/b")]
    options = query_config()
    urls = presign_many(requests, options, HttpHeaders(headers)).result(20)
    assert urls == one_by_one(requests, options, headers)
    assert all("&X-Amz-SignedHeaders=content-type%3Bhost%3Bx-amz-acl&" in url for url in urls)


def test_host_among_the_headers_wins():
    options = query_config()
    urls = presign_many([("GET", "https://proxy/a")], options, HttpHeaders([("host", "h")])).result(20)
    assert urls[0].rpartition("=")[2] == one_by_one([("GET", "https://h/a")], options)[0].rpartition("=")[2]


def test_should_sign_header_is_asked_once():
    asked = []

    def choose(*, name):
        asked.append(name)
        return name != "x-skip"

    headers = HttpHeaders([("x-skip", "1"), ("x-keep", "2")])
    urls = presign_many([("GET", "https://h/")] * 5, query_config(should_sign_header=choose), headers).result(20)
    assert asked == ["Host", "x-skip", "x-keep"]
    assert all("SignedHeaders=host%3Bx-keep&" in url for url in urls)


def test_should_sign_header_that_raises_or_interferes(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_type))
    headers = HttpHeaders([("x-a", "1"), ("x-b", "2")])
    requests = [("GET", "https://h/")]

    def interfere(name):
        headers.clear()
        requests.clear()
        raise KeyError(name)

    urls = presign_many(requests, query_config(should_sign_header=interfere), headers).result(20)
    assert reported == [KeyError] * 3
    assert len(urls) == 1 and "SignedHeaders=host%3Bx-a%3Bx-b&" in urls[0]


# ---- arguments ----


@pytest.mark.parametrize(
    "requests",
    [
        None,
        5,
        "GET",
        [None],
        [("GET",)],
        [("GET", "https://h/", "x")],
        [["GET", "https://h/"]],
        [("GET", b"https://h/")],
        [(b"GET", "https://h/")],
        [("GET", None)],
        [("GET", "https://h/"), 1],
    ],
)
def test_wrong_requests(requests):
    with pytest.raises(TypeError):
        presign_many(requests, query_config())


def test_requests_that_raise():
    def broken():
        yield ("GET", "https://h/")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        presign_many(broken(), query_config())
    with pytest.raises(UnicodeEncodeError):
        presign_many([("GET", "https://h/\ud800")], query_config())


@pytest.mark.parametrize("headers", [[("a", "b")], {}, "x", 0])
def test_wrong_headers(headers):
    with pytest.raises(TypeError):
        presign_many([], query_config(), headers)


@pytest.mark.parametrize("options", [None, "x", object()])
def test_wrong_config(options):
    with pytest.raises(TypeError):
        presign_many([], options)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"signature_type": AwsSignatureType.HTTP_REQUEST_HEADERS}, r"^6145 .*HTTP_REQUEST_QUERY_PARAMS"),
        ({"region": ""}, r"^6149 .*region"),
        ({"service": ""}, r"^6149 .*service"),
        ({"credentials_provider": None}, r"^6149 .*credentials_provider"),
    ],
)
def test_unusable_config(changes, message):
    with pytest.raises(RuntimeError, match=message):
        presign_many([("GET", "https://h/")], query_config(**changes))


@pytest.mark.parametrize(
    "url, name, words",
    [
        ("", "AWS_ERROR_MALFORMED_INPUT_STRING", "https://"),
        ("/path", "AWS_ERROR_MALFORMED_INPUT_STRING", "https://"),
        ("ftp://h/", "AWS_ERROR_MALFORMED_INPUT_STRING", "https://"),
        ("https:///p", "AWS_ERROR_MALFORMED_INPUT_STRING", "host"),
        ("https://me:secret@h/", "AWS_ERROR_MALFORMED_INPUT_STRING", "user name"),
        ("https://h/a b", "AWS_ERROR_MALFORMED_INPUT_STRING", "0x20"),
        ("https://h/é", "AWS_ERROR_MALFORMED_INPUT_STRING", "0xc3"),
        ("https://h/a\0", "AWS_ERROR_MALFORMED_INPUT_STRING", "0x00"),
        ("https://h/#a", "AWS_ERROR_MALFORMED_INPUT_STRING", "fragment"),
        ("https://h/?a=%x", "AWS_ERROR_MALFORMED_INPUT_STRING", "percent"),
        ("https://h/?x-amz-signature=1", "AWS_AUTH_SIGNING_ILLEGAL_REQUEST_QUERY_PARAM", "x-amz-signature"),
    ],
)
@pytest.mark.parametrize("before", [0, 300])
def test_unusable_url(url, name, words, before):
    requests = [("GET", "https://h/")] * before + [("GET", url), ("GET", "https://h/")]
    error = presign_many(requests, query_config()).exception(20)
    assert error.name == name and words in error.message
    assert f"URL {before + 1} of {before + 2}:" in error.message


def test_header_of_the_signer():
    error = presign_many([("GET", "https://h/")], query_config(), HttpHeaders([("X-Amz-Date", "x")])).exception(20)
    assert error.name == "AWS_AUTH_SIGNING_ILLEGAL_REQUEST_HEADER"


# ---- providers and threads ----


def test_provider_that_answers_later():
    later = Future()

    class Source:
        def get_credentials(self):
            return later

    headers = HttpHeaders([("x-a", "1")])
    requests = [("GET", "https://h/")]
    options = query_config(credentials_provider=AwsCredentialsProvider(Source()))
    future = presign_many(requests, options, headers)
    assert not future.done()
    requests.clear()
    headers.clear()  # what the call was given counts
    later.set_result(AwsCredentials("AKID", "SECRET"))
    known = query_config(credentials_provider=AwsCredentialsProvider.new_static("AKID", "SECRET"))
    assert future.result(20) == one_by_one([("GET", "https://h/")], known, [("x-a", "1")])


def test_provider_that_fails():
    failed = Future()
    failed.set_exception(ValueError("no"))

    class Source:
        def get_credentials(self):
            return failed

    options = query_config(credentials_provider=AwsCredentialsProvider(Source()))
    assert presign_many([("GET", "https://h/")], options).exception(20).name == "AWS_AUTH_SIGNING_NO_CREDENTIALS"


def test_delegate_that_raises(monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda args: None)
    options = query_config(credentials_provider=AwsCredentialsProvider.new_delegate(lambda: 1 / 0))
    with pytest.raises(RuntimeError, match=r"^6167 \(AWS_AUTH_CREDENTIALS_PROVIDER_DELEGATE_FAILURE\)"):
        presign_many([("GET", "https://h/")], options)


def test_from_several_threads():
    requests = [("GET", f"https://h/{number}") for number in range(600)]
    options = query_config()
    expected = one_by_one(requests, options)
    results = []

    def work():
        results.extend(presign_many(requests, options).result(20) == expected for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 20


def test_nothing_leaks(no_native_leak):
    for _ in range(5):
        presign_many([("GET", "https://h/")] * 300, query_config(), HttpHeaders([("x-a", "1")])).result(20)
        assert presign_many([("GET", "nothing")], query_config()).exception(20)
        with pytest.raises(TypeError):
            presign_many([("GET", "https://h/"), None], query_config(), HttpHeaders())
