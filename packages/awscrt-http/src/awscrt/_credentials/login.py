"""Credentials of ``aws login``: a console session, kept in a token file and refreshed with proof of possession."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

from awscrt._credentials import clock
from awscrt._credentials.document import json_object, lower, make, parse_time, soon, text_of
from awscrt._credentials.endpoint import Endpoint, configured_endpoint, is_region, region_of
from awscrt._credentials.errors import (
    LOGIN_INVALID_PEM,
    LOGIN_REFRESH_TOKEN,
    LOGIN_REGION_MISSING,
    LOGIN_TOKEN,
    LOGIN_TOKEN_EXPIRED,
    LOGIN_WRITE_TOKEN,
    failed,
    refused,
)
from awscrt._credentials.fetch import Limits, Permanent, Response, Route, fetch, new_request, retrying, status_error
from awscrt._credentials.profile_file import Profile, Profiles, home
from awscrt._credentials.source import Source
from awscrt._credentials.token_file import read_token, text_in, write_token

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentials
    from awscrt.crypto import EC

__all__ = ["LoginSource", "login"]

_LIMITS = Limits(connect=3.0)
_REFRESH_BEFORE = 5 * 60.0  # seconds before the credentials expire
_LONGEST = 10.0**9  # seconds that fresh credentials may last
_LOGIN = "aws login"
_DIRECTORY = "AWS_LOGIN_CACHE_DIRECTORY"

# Host names by the beginning of the region.
_SUFFIXES = (
    ("cn-", "signin.amazonaws.cn"),
    ("us-gov-", "signin.amazonaws-us-gov.com"),
    ("us-iso-", "signin.c2shome.ic.gov"),
    ("us-isob-", "signin.sc2shome.sgov.gov"),
    ("us-isof-", "signin.csphome.hci.ic.gov"),
    ("eu-isoe-", "signin.csphome.adc-e.uk"),
    ("eusc-", "signin.amazonaws-eusc.eu"),
)


def login(profiles: Profiles, profile: Profile, route: Route) -> LoginSource:
    """The source that a profile describes.

    :raises RuntimeError: ``login_session`` is empty
    """
    setting = profile["login_session"]
    if not setting.value:
        raise refused(LOGIN_TOKEN, f"{setting} is empty.")
    return LoginSource(setting.value, configured_endpoint("signin", profiles, profile), region_of(profile), route)


def _path_of(session: str) -> str:
    from hashlib import sha256

    directory = os.environ.get(_DIRECTORY)
    if directory:
        directory = os.path.expanduser(os.path.expandvars(directory))
    else:
        directory = os.path.join(home(), ".aws", "login", "cache")
    return os.path.join(directory, f"{sha256(session.encode()).hexdigest()}.json")


class LoginSource(Source):
    """Gives the credentials in the token file; refreshed before they expire."""

    name = "login"

    def __init__(self, session: str, endpoint: Optional[Endpoint], region: Optional[str], route: Route) -> None:
        self._path = _path_of(session)
        self._configured = endpoint
        self._region = region
        self._route = route

    def query(self) -> AwsCredentials:
        token = read_token(self._path, LOGIN_TOKEN, _LOGIN)
        credentials, remaining = self._present(token)
        if remaining > _REFRESH_BEFORE:
            return credentials
        try:
            return self._refresh(token)
        except Exception as error:
            if remaining > 0:
                return credentials
            raise failed(
                LOGIN_TOKEN_EXPIRED,
                f"the token in {self._path} has expired, and refreshing it failed: {error}. Log in with '{_LOGIN}'.",
                error,
            ) from error

    def _present(self, token: Dict[str, Any]) -> Tuple[AwsCredentials, float]:
        where = f"the token file {self._path}"
        found = token.get("accessToken")
        if not isinstance(found, dict):
            raise failed(LOGIN_TOKEN, f"{where}: accessToken is missing. Log in with '{_LOGIN}'.")
        expires = parse_time(str(found.get("expiresAt")))
        if expires is None:
            raise failed(LOGIN_TOKEN, f"{where}: expiresAt is missing or no ISO 8601 time.")
        fields = [
            text_of(lower(found), name, LOGIN_TOKEN, where)
            for name in ("accessKeyId", "secretAccessKey", "sessionToken")
        ]
        credentials = make(fields[0], fields[1], fields[2], expires, LOGIN_TOKEN, where)
        return credentials, expires.timestamp() - clock.time()

    # ---- refresh ----

    def _endpoint(self, token: Dict[str, Any]) -> Endpoint:
        if self._configured is not None:
            return self._configured
        region = token.get("signInRegion") or self._region
        if not isinstance(region, str) or not is_region(region):
            raise failed(LOGIN_REGION_MISSING, "Set AWS_REGION, or region in the profile.")
        suffix = next((suffix for start, suffix in _SUFFIXES if region.startswith(start)), "signin.aws.amazon.com")
        return Endpoint(True, f"{region}.{suffix}", 443)

    def _refresh(self, token: Dict[str, Any]) -> AwsCredentials:
        import json

        request = {
            "clientId": text_in(token, "clientId", self._path, LOGIN_TOKEN),
            "refreshToken": text_in(token, "refreshToken", self._path, LOGIN_TOKEN),
            "grantType": "refresh_token",
        }
        key = self._key(token)
        endpoint = self._endpoint(token)
        body = json.dumps(request).encode()
        response = retrying(lambda: self._ask(endpoint, body, key), f"login of {endpoint}")
        return self._save(token, endpoint, response)

    def _key(self, token: Dict[str, Any]) -> EC:
        from base64 import b64decode

        from awscrt.crypto import EC

        pem = text_in(token, "dpopKey", self._path, LOGIN_INVALID_PEM)
        lines = [line for line in pem.splitlines() if not line.startswith("-----")]
        try:
            return EC.new_key_from_der_data(b64decode("".join(lines), validate=True))
        except (ValueError, RuntimeError) as error:
            raise failed(LOGIN_INVALID_PEM, f"the token file {self._path}: dpopKey: {error}.", error) from error

    def _ask(self, endpoint: Endpoint, body: bytes, key: EC) -> Response:
        path = endpoint.path.rstrip("/") + "/v1/token"
        headers = [
            ("Host", endpoint.host_header),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("DPoP", dpop_proof(key, f"{endpoint}{path}")),
        ]
        response = fetch(endpoint, new_request("POST", path, headers, body), _LIMITS, self._route)
        if response.status != 200:
            error = status_error(endpoint, response)
            raise Permanent(error) if 400 <= response.status < 500 else error
        return response

    def _save(self, token: Dict[str, Any], endpoint: Endpoint, response: Response) -> AwsCredentials:
        code, where = LOGIN_REFRESH_TOKEN, f"the answer of {endpoint}"
        answer = json_object(response.body, code, where)
        found = answer.get("accesstoken")
        seconds = answer.get("expiresin")
        if not isinstance(found, dict) or isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise failed(code, f"{where}: accessToken or expiresIn is missing.")
        fresh = lower(found)
        key_id, secret, session_token = (
            text_of(fresh, name, code, where) for name in ("accessKeyId", "secretAccessKey", "sessionToken")
        )
        if not 0 < seconds < _LONGEST:
            raise failed(code, f"{where}: expiresIn is {seconds}.")
        expiration = soon(seconds)
        credentials = make(key_id, secret, session_token, expiration, code, where)
        access_token = {
            "accessKeyId": key_id,
            "secretAccessKey": secret,
            "sessionToken": session_token,
            "expiresAt": expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        token["accessToken"] = {**token["accessToken"], **access_token}
        token["refreshToken"] = text_of(answer, "refreshToken", code, where)
        try:
            write_token(self._path, token)
        except OSError as error:
            # Refresh tokens are used up: without the new one on disk the next refresh would fail.
            raise failed(LOGIN_WRITE_TOKEN, f"the token file {self._path}: {error}.", error) from error
        return credentials


# ---- proof of possession (RFC 9449) ----


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def dpop_proof(key: EC, url: str) -> str:
    """A DPoP proof for a POST to ``url``: a JWT signed with ES256 (RFC 7518, section 3.4)."""
    import json
    from hashlib import sha256
    from uuid import uuid4

    from awscrt.crypto import EC

    point = key.get_public_coords()
    jwk = {"kty": "EC", "crv": "P-256", "x": _base64(point.x), "y": _base64(point.y)}
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}
    claims = {"htm": "POST", "htu": url, "iat": int(clock.time()), "jti": str(uuid4())}
    signed = ".".join(_base64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    signature = EC.decode_der_signature_to_padded_pair(key.sign(sha256(signed.encode()).digest()), 32)
    return f"{signed}.{_base64(signature)}"
