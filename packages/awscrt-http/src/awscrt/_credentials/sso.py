"""Credentials of IAM Identity Center (SSO), with the token that ``aws sso login`` left."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Optional
from urllib.parse import quote

from awscrt._credentials import clock
from awscrt._credentials.document import from_epoch, json_object, lower, make, parse_time, soon, text_of
from awscrt._credentials.endpoint import Endpoint, configured_endpoint, public_endpoint
from awscrt._credentials.errors import (
    PROFILE_SOURCE_FAILURE,
    SSO_SOURCE_FAILURE,
    SSO_TOKEN_EXPIRED,
    SSO_TOKEN_INVALID,
    SSO_TOKEN_PROVIDER_SOURCE_FAILURE,
    failed,
    refused,
)
from awscrt._credentials.fetch import Limits, Permanent, Response, Route, fetch, new_request, retrying, status_error
from awscrt._credentials.profile_file import Profile, Profiles, Setting, home
from awscrt._credentials.source import Source
from awscrt._credentials.token_file import read_token, text_in, write_token

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentials

__all__ = ["SsoSource", "sso"]

_LIMITS = Limits(connect=3.0)
_REFRESH_BEFORE = 5 * 60.0  # seconds before the token expires
_REFRESH_PAUSE = 30.0  # least seconds between two attempts to refresh
_LONGEST = 10.0**9  # seconds that a fresh token may last
_LOGIN = "aws sso login"
_REGISTRATION = ("refreshToken", "clientId", "clientSecret")


class _Settings(NamedTuple):
    account_id: str
    role_name: str
    region: str
    start_url: str
    session: Optional[str]  # name of the sso-session section; without one the token cannot be refreshed


def uses_sso(profile: Profile) -> bool:
    """True when the profile names an SSO role, wholly or in part."""
    return any(key in profile for key in ("sso_session", "sso_start_url", "sso_account_id", "sso_role_name"))


def _settings(profiles: Profiles, profile: Profile, name: str) -> _Settings:
    session = profile.get("sso_session")
    section = profile
    if session is not None:
        if session.value not in profiles.sso_sessions:
            raise refused(PROFILE_SOURCE_FAILURE, f"{session}: there is no section [sso-session {session.value}].")
        section = {**profiles.sso_sessions[session.value]}
        for key in ("sso_region", "sso_start_url"):
            _check_same(profile.get(key), section.get(key))

    def needed(where: Profile, key: str) -> str:
        setting = where.get(key)
        if setting is None or not setting.value:
            owner = f"[sso-session {session.value}]" if where is not profile and session else f"the profile {name}"
            raise refused(PROFILE_SOURCE_FAILURE, f"{owner} has no {key} (files: {', '.join(profiles.paths)}).")
        return setting.value

    return _Settings(
        needed(profile, "sso_account_id"),
        needed(profile, "sso_role_name"),
        needed(section, "sso_region"),
        needed(section, "sso_start_url"),
        session.value if session is not None else None,
    )


def _check_same(own: Optional[Setting], shared: Optional[Setting]) -> None:
    if own is not None and shared is not None and own.value != shared.value:
        raise refused(PROFILE_SOURCE_FAILURE, f"{own} says something else than {shared}.")


def sso(profiles: Profiles, profile: Profile, name: str, route: Route) -> SsoSource:
    """The source that a profile describes.

    :raises RuntimeError: a setting is missing
    """
    settings = _settings(profiles, profile, name)
    where = "sso_region"
    portal = configured_endpoint("sso", profiles, profile) or public_endpoint("portal.sso", settings.region, where)
    oidc = configured_endpoint("sso_oidc", profiles, profile) or public_endpoint("oidc", settings.region, where)
    return SsoSource(settings, portal, _Tokens(settings, oidc, route), route)


class _Tokens:
    """The token in its file; refreshed through SSO-OIDC before it expires, when the login allows that."""

    def __init__(self, settings: _Settings, endpoint: Endpoint, route: Route) -> None:
        from hashlib import sha1

        self._settings = settings
        self._endpoint = endpoint
        self._route = route
        key = sha1((settings.session or settings.start_url).encode()).hexdigest()  # not secret: names the file
        self._path = os.path.join(home(), ".aws", "sso", "cache", f"{key}.json")
        self._next_refresh = 0.0
        self._unsaved: Optional[Dict[str, Any]] = None  # a fresh token that could not be written to the file

    def access_token(self) -> str:
        """A token that is valid now."""
        token = self._unsaved or read_token(self._path, SSO_TOKEN_INVALID, _LOGIN)
        access_token = text_in(token, "accessToken", self._path, SSO_TOKEN_INVALID)
        expires = _time(token, "expiresAt", self._path)
        remaining = expires.timestamp() - clock.time()
        if remaining > _REFRESH_BEFORE or not self._can_refresh(token):
            return self._still_valid(access_token, remaining)
        self._next_refresh = clock.monotonic() + _REFRESH_PAUSE
        try:
            return self._refresh(token)
        except Exception as error:
            self._unsaved = None  # the file may have a better one by the next query
            return self._still_valid(access_token, remaining, error)

    def _still_valid(self, access_token: str, remaining: float, error: Optional[Exception] = None) -> str:
        if remaining > 0:
            return access_token
        why = f", and refreshing it failed: {error}" if error is not None else ""
        raise failed(
            SSO_TOKEN_EXPIRED, f"the token in {self._path} has expired{why}. Log in with '{_LOGIN}'.", error
        ) from error

    def _can_refresh(self, token: Dict[str, Any]) -> bool:
        if self._settings.session is None or clock.monotonic() < self._next_refresh:
            return False
        if not all(isinstance(token.get(name), str) and token[name] for name in _REGISTRATION):
            return False
        registered = token.get("registrationExpiresAt")
        until = parse_time(registered) if isinstance(registered, str) else None
        return until is None or until.timestamp() > clock.time()

    def _refresh(self, token: Dict[str, Any]) -> str:
        import json

        request = {
            "grantType": "refresh_token",
            "clientId": token["clientId"],
            "clientSecret": token["clientSecret"],
            "refreshToken": token["refreshToken"],
        }
        body = json.dumps(request).encode()
        path = self._endpoint.path.rstrip("/") + "/token"
        headers = [
            ("Host", self._endpoint.host_header),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
        ]
        response = fetch(self._endpoint, new_request("POST", path, headers, body), _LIMITS, self._route)
        if response.status != 200:
            raise status_error(self._endpoint, response)
        return self._save(token, response)

    def _save(self, token: Dict[str, Any], response: Response) -> str:
        code, where = SSO_TOKEN_PROVIDER_SOURCE_FAILURE, f"the answer of {self._endpoint}"
        answer = json_object(response.body, code, where)
        fresh = text_of(answer, "accessToken", code, where)
        seconds = answer.get("expiresin")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < _LONGEST:
            raise failed(code, f"{where}: expiresIn is missing or no number of seconds.")
        token["accessToken"] = fresh
        token["expiresAt"] = soon(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")
        if isinstance(answer.get("refreshtoken"), str) and answer["refreshtoken"]:
            token["refreshToken"] = answer["refreshtoken"]
        try:
            write_token(self._path, token)
            self._unsaved = None
        except OSError:  # a read-only home is no reason to have no credentials
            self._unsaved = token
        return fresh


def _time(token: Dict[str, Any], name: str, path: str) -> datetime:
    time = parse_time(text_in(token, name, path, SSO_TOKEN_INVALID))
    if time is None:
        raise failed(SSO_TOKEN_INVALID, f"the token file {path}: {name} is no ISO 8601 time.")
    return time


class SsoSource(Source):
    """Asks the SSO portal for the credentials of a role."""

    name = "SSO"

    def __init__(self, settings: _Settings, endpoint: Endpoint, tokens: _Tokens, route: Route) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._tokens = tokens
        self._route = route

    def query(self) -> AwsCredentials:
        token = self._tokens.access_token()
        return retrying(lambda: self._ask(token), f"SSO credentials of {self._endpoint}")

    def _ask(self, token: str) -> AwsCredentials:
        role, account = (quote(text, safe="") for text in (self._settings.role_name, self._settings.account_id))
        path = f"{self._endpoint.path.rstrip('/')}/federation/credentials?role_name={role}&account_id={account}"
        headers = [
            ("Host", self._endpoint.host_header),
            ("x-amz-sso_bearer_token", token),
            ("Accept", "application/json"),
        ]
        response = fetch(self._endpoint, new_request("GET", path, headers), _LIMITS, self._route)
        if response.status == 401:
            refusal = failed(
                SSO_TOKEN_EXPIRED,
                f"{self._endpoint} refuses the token (status 401). Log in with '{_LOGIN}'.",
                status_error(self._endpoint, response),
            )
            raise Permanent(refusal)
        if response.status != 200:
            error = status_error(self._endpoint, response)
            raise Permanent(error) if 400 <= response.status < 500 else error
        return self._understand(response)

    def _understand(self, response: Response) -> AwsCredentials:
        code, where = SSO_SOURCE_FAILURE, f"the answer of {self._endpoint}"
        found = json_object(response.body, code, where).get("rolecredentials")
        if not isinstance(found, dict):
            raise failed(code, f"{where}: roleCredentials is missing.")
        document = lower(found)
        expiration = from_epoch(document.get("expiration"), per_second=1000)
        if expiration is None:
            raise failed(code, f"{where}: expiration is missing or no time.")
        key_id = text_of(document, "accessKeyId", code, where)
        secret = text_of(document, "secretAccessKey", code, where)
        return make(key_id, secret, text_of(document, "sessionToken", code, where), expiration, code, where)
