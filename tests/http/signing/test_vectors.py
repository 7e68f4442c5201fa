"""Signatures: a suite of vectors in the style of the AWS SigV4 test suite, and botocore on random requests.

``vectors/sigv4.json`` holds one request per line: what it is made of, options that differ from the usual ones, and what
signing adds. The signatures were compared with those of the AWS runtime and, where it publishes them, with AWS's own.
"""

import datetime
import hashlib
import io

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from awscrt.auth import (
    AwsCredentialsProvider,
    AwsSignatureType,
    AwsSignedBodyHeaderType,
    AwsSignedBodyValue,
    AwsSigningAlgorithm,
)

from .support import QUERY, STAMP, UTC, config, request, sign, signature, signed_headers, vectors

VECTORS = vectors("sigv4.json")
ENUMS = {
    "algorithm": AwsSigningAlgorithm,
    "signature_type": AwsSignatureType,
    "signed_body_header_type": AwsSignedBodyHeaderType,
}


def config_of(vector):
    changes = {name: ENUMS[name](value) if name in ENUMS else value for name, value in vector["config"].items()}
    if "date" in changes:
        changes["date"] = datetime.datetime(1970, 1, 1, tzinfo=UTC) + datetime.timedelta(seconds=changes["date"])
    return config(credentials_provider=AwsCredentialsProvider.new_static(*vector["credentials"]), **changes)


def request_of(vector):
    body = vector.get("body")
    if isinstance(body, dict):
        letter, count = body["repeat"]
        body = letter * count
    stream = io.BytesIO(body.encode()) if body is not None else None
    return request(vector["method"], vector["path"], map(tuple, vector["headers"]), stream)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector(vector):
    signed = request_of(vector)
    before = list(signed.headers)
    sign(signed, config_of(vector))
    assert list(signed.headers)[: len(before)] == before
    assert [name for name, _ in signed.headers][len(before) :] == vector["added"]
    if "signed_path" in vector:
        assert signed.path == vector["signed_path"]
    else:
        assert ";".join(signed_headers(signed)) == vector["signed_headers"]
        assert signature(signed) == vector["signature"]
        assert signed.path == vector["path"]


def test_published_authorization_header():
    """Amazon S3 API Reference, "Signature Calculations for the Authorization Header", GET Object."""
    provider = AwsCredentialsProvider.new_static("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    signed = sign(
        request("GET", "/test.txt", [("Host", "examplebucket.s3.amazonaws.com"), ("Range", "bytes=0-9")]),
        config(
            credentials_provider=provider,
            service="s3",
            date=datetime.datetime(2013, 5, 24, tzinfo=UTC),
            signed_body_header_type=AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        ),
    )
    assert signed.headers.get("Authorization") == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


def test_published_presigned_url():
    """Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters"."""
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
        ),
    )
    assert signature(signed) == "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    assert "&X-Amz-Expires=86400&" in signed.path


# ---- botocore, which takes query strings as they are: they are given to it in canonical form ----

UNRESERVED = "ABCxyz019-_.~"
ENCODED = st.lists(st.sampled_from([*UNRESERVED, "%20", "%2F", "%25", "%C3%A9", "%2B"]), max_size=8).map("".join)
PATHS = st.lists(
    st.lists(st.sampled_from([*UNRESERVED, "%20", "%2F", ".", "..", "/", "=", "+", "@"]), max_size=5).map("".join),
    max_size=6,
).map(lambda segments: "/" + "/".join(segments))
QUERIES = st.lists(st.tuples(ENCODED.filter(bool), ENCODED), max_size=5)
HEADERS = st.dictionaries(
    st.text("abcXYZ-09", min_size=1, max_size=8).map(lambda name: "x-h" + name),
    st.text("ab ,;=\t\"'é", max_size=12),
    max_size=4,
)
TOKENS = st.sampled_from([None, "a/token+with=signs"])
BODIES = st.binary(max_size=40)


def sorted_query(pairs):
    """By the encoded name, then by the encoded value."""
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def botocore_request(signer, method, path, query, headers, body):
    url = f"https://h.example{path}" + (f"?{query}" if query else "")
    made = AWSRequest(method, url, headers=dict(headers), data=body)
    made.context["timestamp"] = STAMP
    if not isinstance(signer, SigV4QueryAuth):
        made.headers["X-Amz-Date"] = STAMP
        if signer.credentials.token:
            made.headers["X-Amz-Security-Token"] = signer.credentials.token
        if isinstance(signer, S3SigV4Auth):
            made.headers["X-Amz-Content-SHA256"] = signer.payload(made)
    else:
        signer._modify_request_before_signing(made)
    return made


def botocore_signature(signer, made):
    return signer.signature(signer.string_to_sign(made, signer.canonical_request(made)), made)


def lower_names_differ(headers):
    return len({name.lower() for name in headers}) == len(headers)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["GET", "PUT", "POST"]), PATHS, QUERIES, HEADERS.filter(lower_names_differ), TOKENS, BODIES)
def test_headers_as_botocore_signs_them(method, path, pairs, headers, token, body):
    query = sorted_query(pairs)
    signer = SigV4Auth(Credentials("AKID", "SECRET", token), "svc", "eu-west-1")
    expected = botocore_signature(signer, botocore_request(signer, method, path, query, headers, body))
    target = path + (f"?{query}" if query else "")
    mine = request(method, target, [*headers.items(), ("host", "h.example")], io.BytesIO(body))
    provider = AwsCredentialsProvider.new_static("AKID", "SECRET", token)
    assert signature(sign(mine, config(credentials_provider=provider, region="eu-west-1", service="svc"))) == expected


@settings(max_examples=100, deadline=None)
@given(PATHS, QUERIES, HEADERS.filter(lower_names_differ), TOKENS, BODIES)
def test_s3_headers_as_botocore_signs_them(path, pairs, headers, token, body):
    query = sorted_query(pairs)
    signer = S3SigV4Auth(Credentials("AKID", "SECRET", token), "s3", "us-east-1")
    made = botocore_request(signer, "PUT", path, query, headers, body)
    expected = botocore_signature(signer, made)
    mine = request(
        "PUT",
        path + (f"?{query}" if query else ""),
        [*headers.items(), ("host", "h.example")],
        io.BytesIO(body),
    )
    options = {
        "credentials_provider": AwsCredentialsProvider.new_static("AKID", "SECRET", token),
        "service": "s3",
        "use_double_uri_encode": False,
        "should_normalize_uri_path": False,
        "signed_body_value": made.headers["X-Amz-Content-SHA256"],
        "signed_body_header_type": AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
    }
    assert signature(sign(mine, config(**options))) == expected


@settings(max_examples=100, deadline=None)
@given(PATHS, QUERIES, TOKENS, st.integers(1, 604800))
def test_presigned_as_botocore_does(path, pairs, token, expires):
    """botocore puts its parameters in another order: the signature is compared, which does not depend on it."""
    query = sorted_query(dict(pairs).items())
    signer = S3SigV4QueryAuth(Credentials("AKID", "SECRET", token), "s3", "us-east-1", expires=expires)
    made = botocore_request(signer, "GET", path, query, {}, b"")
    expected = botocore_signature(signer, made)
    mine = request("GET", path + (f"?{query}" if query else ""), [("host", "h.example")])
    options = {
        "credentials_provider": AwsCredentialsProvider.new_static("AKID", "SECRET", token),
        "service": "s3",
        "signature_type": QUERY,
        "expiration_in_seconds": expires,
        "use_double_uri_encode": False,
        "should_normalize_uri_path": False,
        "signed_body_value": AwsSignedBodyValue.UNSIGNED_PAYLOAD,
    }
    assert signature(sign(mine, config(**options))) == expected


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 1_000_000])
def test_payload_hash_of_any_length(size):
    body = b"0" * size
    options = {"signed_body_header_type": AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256}
    signed = sign(request("PUT", body=io.BytesIO(body)), config(**options))
    assert signed.headers.get("x-amz-content-sha256") == hashlib.sha256(body).hexdigest()
