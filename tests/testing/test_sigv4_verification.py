"""The endpoint's signature check, against the examples of the S3 API reference (authorization header and query)."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from awscrt.testing import _sigv4
from awscrt.testing._errors import S3Error
from awscrt.testing._sigv4 import Credentials, SignedRequest

KEY = "AKIAIOSFODNN7EXAMPLE"
CREDENTIALS = {KEY: Credentials(KEY, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")}
EMPTY = hashlib.sha256(b"").hexdigest()
HOST = "examplebucket.s3.amazonaws.com"


def signed_request(method, path, query, signed_headers, signature, payload=EMPTY, **headers):
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={KEY}/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={signed_headers},Signature={signature}"
    )
    all_headers = {"host": HOST, "x-amz-content-sha256": payload, "x-amz-date": "20130524T000000Z"}
    all_headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    all_headers["authorization"] = authorization
    return SignedRequest(method, path, query, all_headers)


GET_OBJECT = signed_request(
    "GET",
    "/test.txt",
    "",
    "host;range;x-amz-content-sha256;x-amz-date",
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    range="bytes=0-9",
)
PUT_OBJECT = signed_request(
    "PUT",
    "/test%24file.text",
    "",
    "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    payload="44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
    date="Fri, 24 May 2013 00:00:00 GMT",
    x_amz_storage_class="REDUCED_REDUNDANCY",
)
GET_LIFECYCLE = signed_request(
    "GET",
    "/",
    "lifecycle",
    "host;x-amz-content-sha256;x-amz-date",
    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
)
LIST_OBJECTS = signed_request(
    "GET",
    "/",
    "max-keys=2&prefix=J",
    "host;x-amz-content-sha256;x-amz-date",
    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
)
PRESIGNED = SignedRequest(
    "GET",
    "/test.txt",
    f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={KEY}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
    {"host": HOST},
)


def verify(request, **options):
    return _sigv4.verify(request, CREDENTIALS, region="us-east-1", **{"max_skew": None, **options})


@pytest.mark.parametrize("request_", [GET_OBJECT, PUT_OBJECT, GET_LIFECYCLE, LIST_OBJECTS])
def test_published_header_signatures_are_accepted(request_):
    assert verify(request_) == request_.headers["x-amz-content-sha256"]


def test_published_presigned_url_is_accepted():
    assert verify(PRESIGNED) == "UNSIGNED-PAYLOAD"


def test_unsigned_request_is_told_apart():
    assert verify(SignedRequest("GET", "/", "", {"host": HOST})) is None


@pytest.mark.parametrize(
    "change",
    [
        {"method": "HEAD"},
        {"path": "/test2.txt"},
        {"query": "versionId=1"},
        {"headers": {**GET_OBJECT.headers, "range": "bytes=0-10"}},
        {"headers": {**GET_OBJECT.headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}},
    ],
)
def test_any_signed_part_that_changes_breaks_the_signature(change):
    with pytest.raises(S3Error) as caught:
        verify(dataclasses.replace(GET_OBJECT, **change))
    assert caught.value.code == "SignatureDoesNotMatch"


def test_amz_header_outside_the_signature_is_refused():
    with pytest.raises(S3Error) as caught:
        verify(dataclasses.replace(GET_OBJECT, headers={**GET_OBJECT.headers, "x-amz-acl": "public-read"}))
    assert caught.value.details == {"HeadersNotSigned": "x-amz-acl"}


def test_unknown_key_other_region_and_old_date_are_refused():
    with pytest.raises(S3Error, match="InvalidAccessKeyId"):
        _sigv4.verify(GET_OBJECT, {}, region=None, max_skew=None)
    with pytest.raises(S3Error, match="AuthorizationHeaderMalformed"):
        _sigv4.verify(GET_OBJECT, CREDENTIALS, region="eu-central-1", max_skew=None)
    with pytest.raises(S3Error, match="RequestTimeTooSkewed"):
        verify(GET_OBJECT, max_skew=900.0)
    with pytest.raises(S3Error, match="expired"):
        verify(PRESIGNED, max_skew=900.0)


def test_session_token_of_temporary_credentials_is_demanded():
    temporary = {KEY: dataclasses.replace(CREDENTIALS[KEY], session_token="token")}
    with pytest.raises(S3Error, match="InvalidToken"):
        _sigv4.verify(GET_OBJECT, temporary, region=None, max_skew=None)


def test_literal_payload_hash_is_compared_with_the_body():
    _sigv4.check_payload(EMPTY, hashlib.sha256(b"").digest())
    _sigv4.check_payload("UNSIGNED-PAYLOAD", b"")
    with pytest.raises(S3Error, match="XAmzContentSHA256Mismatch"):
        _sigv4.check_payload(EMPTY, hashlib.sha256(b"x").digest())
