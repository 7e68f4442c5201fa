"""Signing requests with SigV4; nothing is sent.

Params: ``api`` (awscrt, botocore), ``place`` (headers, query), ``style``: ``fresh`` (a configuration for each
request), ``reuse`` (one for all) or ``batch`` (presigned URLs, a hundred at a time; where there is no batch, one by
one).
"""

from __future__ import annotations

import datetime
from typing import Any, Callable, Dict, List, Tuple

from common import calls, measure

DATE = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)
HOST = "bucket.s3.us-east-1.amazonaws.com"
HEADERS = [
    ("Host", HOST),
    ("Content-Type", "application/octet-stream"),
    ("User-Agent", "benchmark/1.0"),
    ("x-amz-meta-owner", "somebody"),
    ("x-amz-storage-class", "STANDARD_IA"),
]
PATH = "/folder/some%20object-0001.bin?versionId=abcdef&partNumber=1"
BATCH = 100


def of_awscrt(place: str, style: str) -> Callable[[Any], Any]:
    from awscrt import auth
    from awscrt.http import HttpHeaders, HttpRequest

    provider = auth.AwsCredentialsProvider.new_static("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    in_query = place == "query"
    headers = HEADERS[:1] if in_query else HEADERS

    def config() -> auth.AwsSigningConfig:
        kind = auth.AwsSignatureType
        return auth.AwsSigningConfig(
            algorithm=auth.AwsSigningAlgorithm.V4,
            signature_type=kind.HTTP_REQUEST_QUERY_PARAMS if in_query else kind.HTTP_REQUEST_HEADERS,
            credentials_provider=provider,
            region="us-east-1",
            service="s3",
            date=DATE,
            use_double_uri_encode=False,
            should_normalize_uri_path=False,
            signed_body_value="UNSIGNED-PAYLOAD",
            expiration_in_seconds=3600 if in_query else None,
        )

    kept = config()

    def fresh(unused: Any) -> Any:
        return auth.aws_sign_request(HttpRequest("GET", PATH, HttpHeaders(headers)), config()).result()

    def reuse(unused: Any) -> Any:
        return auth.aws_sign_request(HttpRequest("GET", PATH, HttpHeaders(headers)), kept).result()

    def batch(unused: Any) -> List[str]:
        if hasattr(auth, "presign_many"):
            return auth.presign_many([("GET", f"https://{HOST}{PATH}")] * BATCH, kept).result()
        return [f"https://{HOST}{reuse(None).path}" for _ in range(BATCH)]

    return {"fresh": fresh, "reuse": reuse, "batch": batch}[style]


def of_botocore(place: str, style: str) -> Callable[[Any], Any]:
    from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    in_query = place == "query"
    signer: Any
    if in_query:
        signer = S3SigV4QueryAuth(credentials, "s3", "us-east-1", expires=3600)
    else:
        signer = S3SigV4Auth(credentials, "s3", "us-east-1")
    headers = dict(HEADERS[1:2] if in_query else HEADERS[1:])

    def one(unused: Any) -> Any:
        request = AWSRequest("GET", f"https://{HOST}{PATH}", headers=headers)
        signer.add_auth(request)
        return request.url

    return one if style != "batch" else lambda unused: [one(None) for _ in range(BATCH)]


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    make = of_awscrt if params["api"] == "awscrt" else of_botocore
    count = calls(params, make(params["place"], params["style"]), None, seconds=1.0)
    return count * (BATCH if params["style"] == "batch" else 1), "sign"


measure(work)
