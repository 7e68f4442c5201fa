"""Verification of AWS Signature Version 4 as the service does it, independent of the signer under test.

Source of the rules: "Authenticating Requests (AWS Signature Version 4)" in the Amazon S3 API reference.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Dict, List, Mapping, Optional, Tuple
from urllib.parse import quote, unquote, unquote_to_bytes

from awscrt.testing._errors import S3Error

ALGORITHM = "AWS4-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<credential>[^, ]+), *SignedHeaders=(?P<signed>[^, ]+), *"
    r"Signature=(?P<signature>[0-9a-f]{64})$"
)
_UNSIGNED = ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")


@dataclass(frozen=True)
class Credentials:
    """A key pair the endpoint knows. ``session_token`` set: requests must carry it."""

    access_key_id: str
    secret_access_key: str
    session_token: Optional[str] = None


@dataclass(frozen=True)
class SignedRequest:
    """What signing covers of a request: the raw path and query, and headers by lower-case name."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class _Claim:
    access_key_id: str
    scope: Tuple[str, str, str]  # date, region, service
    signed_headers: List[str]
    signature: str
    timestamp: str
    payload: str
    presigned: bool
    expires: int = 0


@lru_cache(maxsize=64)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for text in (date, region, service, "aws4_request"):
        key = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return key


def parse_query(query: str) -> List[Tuple[str, str]]:
    """Decoded name and value pairs in order; a name without ``=`` has the value ``""``."""
    pairs = []
    for item in query.split("&"):
        if item:
            name, _, value = item.partition("=")
            pairs.append((unquote(name), unquote(value)))
    return pairs


def _canonical_query(query: str) -> str:
    pairs = [(quote(n, safe="-_.~"), quote(v, safe="-_.~")) for n, v in parse_query(query) if n != "X-Amz-Signature"]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _canonical_request(request: SignedRequest, claim: _Claim) -> str:
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in claim.signed_headers)
    return "\n".join(
        (
            request.method,
            quote(unquote_to_bytes(request.path), safe="/-_.~"),
            _canonical_query(request.query),
            headers,
            ";".join(claim.signed_headers),
            claim.payload,
        )
    )


def _split_credential(text: str) -> Tuple[str, Tuple[str, str, str]]:
    parts = text.split("/")
    if len(parts) != 5 or parts[4] != "aws4_request":
        raise S3Error(
            400, "AuthorizationHeaderMalformed", f"The credential {text!r} is not key/date/region/service/aws4_request"
        )
    return parts[0], (parts[1], parts[2], parts[3])


def _claim_of(request: SignedRequest) -> Optional[_Claim]:
    authorization = request.headers.get("authorization")
    if authorization is not None:
        if authorization.startswith("AWS4-ECDSA"):
            raise S3Error(501, "NotImplemented", "This endpoint does not verify asymmetric signatures")
        match = _AUTHORIZATION.match(authorization)
        if match is None:
            raise S3Error(400, "AuthorizationHeaderMalformed", f"Cannot parse {authorization!r}")
        payload = request.headers.get("x-amz-content-sha256")
        if payload is None:
            raise S3Error(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
        key, scope = _split_credential(match.group("credential"))
        timestamp = request.headers.get("x-amz-date", "")
        return _Claim(key, scope, match.group("signed").split(";"), match.group("signature"), timestamp, payload, False)
    query = dict(parse_query(request.query))
    if "X-Amz-Signature" not in query:
        return None
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        raise S3Error(501, "NotImplemented", f"This endpoint verifies {ALGORITHM} only")
    key, scope = _split_credential(query.get("X-Amz-Credential", ""))
    return _Claim(
        key,
        scope,
        query.get("X-Amz-SignedHeaders", "").split(";"),
        query["X-Amz-Signature"],
        query.get("X-Amz-Date", ""),
        request.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        True,
        int(query.get("X-Amz-Expires", "0") or 0),
    )


def _check_time(claim: _Claim, skew: Optional[float]) -> None:
    if not re.match(r"\d{8}T\d{6}Z$", claim.timestamp) or not claim.timestamp.startswith(claim.scope[0]):
        raise S3Error(
            403, "AccessDenied", f"The date {claim.timestamp!r} is missing, malformed or not of the scope's day"
        )
    if skew is None:
        return
    age = time.time() - calendar.timegm(time.strptime(claim.timestamp, "%Y%m%dT%H%M%SZ"))
    if claim.presigned and -skew <= age <= claim.expires:
        return
    if claim.presigned:
        raise S3Error(403, "AccessDenied", "Request has expired")
    if abs(age) > skew:
        raise S3Error(
            403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."
        )


def verify(
    request: SignedRequest,
    credentials: Mapping[str, Credentials],
    *,
    region: Optional[str],
    max_skew: Optional[float] = 900.0,
) -> Optional[str]:
    """Checks the signature and returns the payload hash that it covers; None when the request is not signed.

    :param region: the only region to accept, or None for any
    :param max_skew: seconds between the clocks, or None not to look at the time
    :raises S3Error: with the status and code the service answers
    """
    claim = _claim_of(request)
    if claim is None:
        return None
    known = credentials.get(claim.access_key_id)
    if known is None:
        raise S3Error(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
    date, scope_region, service = claim.scope
    if region is not None and scope_region != region:
        message = f"the region {scope_region!r} is wrong; expecting {region!r}"
        raise S3Error(400, "AuthorizationHeaderMalformed", message, {"Region": region})
    if service not in ("s3", "s3express"):
        raise S3Error(400, "AuthorizationHeaderMalformed", f"incorrect service {service!r}")
    _check_time(claim, max_skew)
    unsigned = _unsigned_headers(request.headers, claim.signed_headers)
    if unsigned:
        message = "There were headers present in the request which were not signed"
        raise S3Error(403, "AccessDenied", message, {"HeadersNotSigned": ", ".join(unsigned)})
    if known.session_token is not None and known.session_token not in _tokens(request):
        raise S3Error(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")

    canonical = _canonical_request(request, claim)
    scope = f"{date}/{scope_region}/{service}/aws4_request"
    text = "\n".join((ALGORITHM, claim.timestamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = signing_key(known.secret_access_key, date, scope_region, service)
    expected = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, claim.signature):
        details: Dict[str, str] = {"CanonicalRequest": canonical, "StringToSign": text}
        message = "The request signature we calculated does not match the signature you provided."
        raise S3Error(403, "SignatureDoesNotMatch", message, details)
    return claim.payload


def _tokens(request: SignedRequest) -> List[str]:
    headers = [request.headers.get("x-amz-security-token", ""), request.headers.get("x-amz-s3session-token", "")]
    return headers + [
        v for n, v in parse_query(request.query) if n in ("X-Amz-Security-Token", "X-Amz-S3session-Token")
    ]


def _unsigned_headers(headers: Mapping[str, str], signed: List[str]) -> List[str]:
    """S3 wants the host and every x-amz header under the signature."""
    return [n for n in headers if (n == "host" or n.startswith("x-amz-")) and n not in signed]


def check_payload(claimed: str, actual: bytes) -> None:
    """Compares a literal payload hash with the SHA-256 of the body; sentinel values pass."""
    if claimed in _UNSIGNED:
        return
    if not re.match(r"[0-9a-f]{64}$", claimed):
        raise S3Error(501, "NotImplemented", f"This endpoint does not verify x-amz-content-sha256: {claimed}")
    if claimed != actual.hex():
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise S3Error(400, "XAmzContentSHA256Mismatch", message)
