"""What the tests of signing share."""

import datetime
import json
from pathlib import Path

from awscrt.auth import AwsCredentialsProvider, AwsSignatureType, AwsSigningConfig, aws_sign_request
from awscrt.http import HttpHeaders, HttpRequest

UTC = datetime.timezone.utc
DATE = datetime.datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
STAMP = "20150830T123600Z"
SUITE = AwsCredentialsProvider.new_static("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
QUERY = AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS


def vectors(name):
    return json.loads((Path(__file__).parent / "vectors" / name).read_text())


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


def signed_headers(signed):
    authorization = signed.headers.get("Authorization")
    return authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
