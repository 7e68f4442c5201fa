"""Signing requests through Python: credentials, requests that cannot be signed, callbacks, threads."""

import hashlib
import io
import os
import sys
import threading
from concurrent.futures import Future

import pytest

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

from .support import config, request, sign, signature, signed_headers

VANILLA = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"


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


@pytest.mark.parametrize("problem", [KeyboardInterrupt, SystemExit, MemoryError])
def test_delegate_that_raises_what_ends_programs(monkeypatch, problem):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_type))

    def bad():
        raise problem

    signed = request()
    with pytest.raises(RuntimeError, match=r"^6167 "):
        aws_sign_request(signed, config(credentials_provider=AwsCredentialsProvider.new_delegate(bad)))
    assert reported == [problem] and signed.headers.get("Authorization") is None


def test_provider_whose_query_raises():
    class Source:
        def get_credentials(self):
            raise ZeroDivisionError

    future = aws_sign_request(request(), config(credentials_provider=AwsCredentialsProvider(Source())))
    assert future.exception(20).name == "AWS_AUTH_SIGNING_NO_CREDENTIALS"


@pytest.mark.parametrize("fails", [False, True])
def test_provider_that_answers_on_another_thread(fails):
    """Signing happens there, too; the caller may have dropped everything but the future."""
    later = Future()

    class Source:
        def get_credentials(self):
            return later

    asked_on = []

    def note_thread(name):
        asked_on.append(threading.get_ident())
        return True

    source = AwsCredentialsProvider(Source())
    future = aws_sign_request(request(), config(credentials_provider=source, should_sign_header=note_thread))
    del source

    def answer():
        if fails:
            later.set_exception(ValueError("no"))
        else:
            later.set_result(AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))

    thread = threading.Thread(target=answer)
    thread.start()
    if fails:
        assert future.exception(20).name == "AWS_AUTH_SIGNING_NO_CREDENTIALS" and asked_on == []
    else:
        assert signature(future.result(20)) == VANILLA and asked_on == [thread.ident]
    thread.join()


def test_cancelled_future_stays_cancelled():
    later = Future()

    class Source:
        def get_credentials(self):
            return later

    future = aws_sign_request(request(), config(credentials_provider=AwsCredentialsProvider(Source())))
    assert future.cancel()
    later.set_result(AwsCredentials("AKID", "SECRET"))
    assert future.cancelled()


# ---- the request ----

SIGNERS_HEADERS = ("x-amz-content-sha256", "X-Amz-Date", "AUTHORIZATION", "x-amz-region-set", "X-Amz-Security-Token")
SIGNERS_PARAMETERS = (
    "X-Amz-Signature",
    "X-Amz-Date",
    "x-amz-credential",
    "X-AMZ-ALGORITHM",
    "X-Amz-SignedHeaders",
    "X-Amz-Security-Token",
    "X-Amz-Expires",
    "X-Amz-Region-Set",
    "X-Amz-%44ate",
)


@pytest.mark.parametrize("algorithm", list(AwsSigningAlgorithm))
@pytest.mark.parametrize("place", list(AwsSignatureType))
@pytest.mark.parametrize(
    "headers, path, name",
    [
        *(([(name, "x")], "/", "AWS_AUTH_SIGNING_ILLEGAL_REQUEST_HEADER") for name in SIGNERS_HEADERS),
        *(([], f"/?a=1&{name}=x", "AWS_AUTH_SIGNING_ILLEGAL_REQUEST_QUERY_PARAM") for name in SIGNERS_PARAMETERS),
        ([], "/?a=%4", "AWS_ERROR_MALFORMED_INPUT_STRING"),
        ([], "/?%zz=1", "AWS_ERROR_MALFORMED_INPUT_STRING"),
        ([], "", "AWS_ERROR_MALFORMED_INPUT_STRING"),
    ],
)
def test_requests_that_cannot_be_signed(headers, path, name, place, algorithm):
    signed = request("GET", path, headers)
    error = aws_sign_request(signed, config(algorithm=algorithm, signature_type=place)).exception(20)
    assert error.name == name
    assert list(signed.headers) == headers and (signed.path or "") == path


@pytest.mark.parametrize("algorithm", list(AwsSigningAlgorithm))
def test_session_token_of_s3_express(algorithm):
    """The header is the signer's with that algorithm only; as a query parameter it always passes."""
    signed = request(headers=[("x-amz-s3session-token", "x")])
    error = aws_sign_request(signed, config(algorithm=algorithm)).exception(20)
    if algorithm is AwsSigningAlgorithm.V4_S3EXPRESS:
        assert error.name == "AWS_AUTH_SIGNING_ILLEGAL_REQUEST_HEADER"
    else:
        assert error is None and "x-amz-s3session-token" in signed_headers(signed)
    sign(request(path="/?X-Amz-S3session-Token=x"), config(algorithm=algorithm))


def test_signed_request_cannot_be_signed_again():
    for place in AwsSignatureType:
        signed = sign(request(), config(signature_type=place))
        before = (signed.path, list(signed.headers))
        assert "ILLEGAL_REQUEST" in aws_sign_request(signed, config(signature_type=place)).exception(20).name
        assert (signed.path, list(signed.headers)) == before


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


@pytest.mark.parametrize(
    "arguments",
    [
        (None, config()),
        (request(), None),
        ("GET", config()),
        (config(), request()),
        (request(), AwsSigningConfig.__new__(AwsSigningConfig)),
        (HttpHeaders(), config()),
    ],
)
def test_wrong_types(arguments):
    with pytest.raises(AssertionError):
        aws_sign_request(*arguments)


def test_request_that_was_not_initialised():
    with pytest.raises(TypeError, match="__init__"):
        aws_sign_request(HttpRequest.__new__(HttpRequest), config())


# ---- should_sign_header ----


def test_should_sign_header():
    asked = []

    def choose(*, name):
        asked.append(name)
        return name != "X-Skip"

    headers = [("Host", "h"), ("X-Skip", "1"), ("User-Agent", "me"), ("x-keep", "2")]
    signed = sign(request(headers=headers), config(should_sign_header=choose))
    assert asked == ["Host", "X-Skip", "User-Agent", "x-keep"]
    assert signed_headers(signed) == ["host", "x-amz-date", "x-keep"]


def test_should_sign_header_that_raises(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_type))
    signed = sign(request(), config(should_sign_header=lambda name: 1 / 0))
    assert signature(signed) == VANILLA
    assert reported == [ZeroDivisionError]


class Undecided:
    def __bool__(self):
        raise KeyError("neither")


@pytest.mark.parametrize("answer, is_signed", [(0, False), ("", False), (None, False), (1, True), ("no", True)])
def test_should_sign_header_answers_by_truth(answer, is_signed):
    signed = sign(request(), config(should_sign_header=lambda name: answer))
    assert signed_headers(signed) == (["host", "x-amz-date"] if is_signed else ["x-amz-date"])


@pytest.mark.parametrize("problem", [lambda name: Undecided(), lambda: True, lambda name, other: True])
def test_should_sign_header_that_does_not_answer(monkeypatch, problem):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_type))
    assert signature(sign(request(), config(should_sign_header=problem))) == VANILLA
    assert len(reported) == 1 and reported[0] in (KeyError, TypeError)


def test_should_sign_header_keeps_the_signers_headers():
    provider = AwsCredentialsProvider.new_static("AKID", "SECRET", "TOKEN")
    signed = sign(request(), config(credentials_provider=provider, should_sign_header=lambda name: False))
    assert signed_headers(signed) == ["x-amz-date", "x-amz-security-token"]


def test_should_sign_header_that_signs_other_requests():
    inner = []

    def choose(name):
        if len(inner) < 3:
            inner.append(request())
            sign(inner[-1], config(should_sign_header=choose))
        return True

    assert signature(sign(request(), config(should_sign_header=choose))) == VANILLA
    assert [signature(made) for made in inner] == [VANILLA] * 3


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
    left = {name.lower() for name, _ in signed.headers} - {"authorization", "x-second"}
    assert set(signed_headers(signed)) == left


def test_from_several_threads():
    results = []

    def work():
        results.extend(signature(sign(request(), config())) for _ in range(200))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(results) == {VANILLA} and len(results) == 800


def test_one_request_from_several_threads():
    """One of them signs; the others are told that it is signed."""
    for _ in range(20):
        signed = request()
        outcomes = []
        start = threading.Barrier(4)

        def work(signed=signed, outcomes=outcomes, start=start):
            start.wait(20)
            error = aws_sign_request(signed, config()).exception(20)
            outcomes.append(error and error.name)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes, key=str) == ["AWS_AUTH_SIGNING_ILLEGAL_REQUEST_HEADER"] * 3 + [None]
        assert signature(signed) == VANILLA


def test_many_keys_from_several_threads():
    """More secrets and regions than keys are kept, by several threads: none is ever signed with another's key."""
    cases = [(f"SECRET{number % 7}", f"region-{number % 5}") for number in range(35)]

    def signatures():
        made = []
        for secret, region in cases:
            provider = AwsCredentialsProvider.new_static("AKID", secret)
            made.append(signature(sign(request(), config(credentials_provider=provider, region=region))))
        return made

    expected = signatures()
    assert len(set(expected)) == len(cases)
    results = []
    threads = [threading.Thread(target=lambda: results.append(signatures() == expected)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_in_a_forked_child():
    """Also while other threads sign, whose locks the child inherits."""
    done = threading.Event()

    def sign_on():
        while not done.is_set():
            sign(request(), config())

    threads = [threading.Thread(target=sign_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                try:
                    os._exit(0 if signature(sign(request(), config())) == VANILLA else 1)
                finally:
                    os._exit(2)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_nothing_leaks(no_native_leak):
    for _ in range(10):
        sign(request(body=io.BytesIO(b"x")), config())
        assert aws_sign_request(request(path="/?a=%"), config()).exception(20) is not None
