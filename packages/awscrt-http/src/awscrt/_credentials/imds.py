"""Credentials of an EC2 instance: the instance metadata service (IMDS), version 2 and 1."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from awscrt._credentials import clock
from awscrt._credentials.document import Names, credentials_of, json_object
from awscrt._credentials.endpoint import Endpoint, parse_url
from awscrt._credentials.errors import HTTP_INVALID_PATH, IMDS_SOURCE_FAILURE, failed
from awscrt._credentials.fetch import Limits, Response, Route, Unreachable, fetch, new_request, status_error
from awscrt._credentials.source import Source

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentials

__all__ = ["ImdsSource", "enabled", "forget_absence", "imds"]

_LIMITS = Limits(connect=2.0, first_byte=1.0, total=5.0, body=65535)
_TTL = 21600  # seconds that a token is asked for
_TOKEN_SECONDS = _TTL - 5.0
_ROLES = "/latest/meta-data/iam/security-credentials/"
_NAMES = Names(required="te")
_ABSENT_SECONDS = 60.0  # that a machine without the service, or without a role, is not asked again
_MODES = {"ipv4": "http://169.254.169.254:80", "ipv6": "http://[fd00:ec2::254]:80"}
_URL = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
_MODE = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
_DISABLED = "AWS_EC2_METADATA_DISABLED"


# ---- what every source of this process knows: where there is no such service ----

_absences: Dict[Endpoint, Tuple[float, str]] = {}


def _note_absence(endpoint: Endpoint, why: str) -> None:
    _absences[endpoint] = (clock.monotonic() + _ABSENT_SECONDS, why)


def _known_absence(endpoint: Endpoint) -> Optional[str]:
    until, why = _absences.get(endpoint, (0.0, ""))
    return why if clock.monotonic() < until else None


def forget_absence() -> None:
    """Ask again at the next query, wherever there was no service."""
    _absences.clear()


def enabled() -> bool:
    """False when the environment forbids to ask."""
    return (os.environ.get(_DISABLED) or "false").lower() == "false"


def imds(route: Route) -> ImdsSource:
    """The source that the environment describes.

    :raises AwsCrtError: the endpoint or its mode cannot be used
    """
    url = os.environ.get(_URL)
    if url:
        return ImdsSource(parse_url(url, f"the environment variable {_URL}"), route)
    mode = os.environ.get(_MODE) or "IPv4"
    if mode.lower() not in _MODES:
        raise failed(IMDS_SOURCE_FAILURE, f"the environment variable {_MODE} is {mode!r}, not IPv4 or IPv6.")
    return ImdsSource(parse_url(_MODES[mode.lower()], "IMDS"), route)


class _TokenRefused(Exception):
    """The service wants another token (status 401)."""


class ImdsSource(Source):
    """Asks the metadata service of the machine for the credentials of its role."""

    name = "instance metadata"

    def __init__(self, endpoint: Endpoint, route: Route) -> None:
        self._endpoint = endpoint
        self._route = route
        self._token: Optional[str] = None  # of version 2
        self._token_until = 0.0
        self._last: Optional[Exception] = None  # why the latest request had no usable answer

    def query(self) -> AwsCredentials:
        why = _known_absence(self._endpoint)
        if why is not None:
            raise self._failed(f"{why} It is asked again after {_ABSENT_SECONDS:g} s.")
        try:
            return self._credentials()
        except _TokenRefused:
            self._token = None
        try:
            return self._credentials()
        except _TokenRefused:
            raise self._failed(f"{self._endpoint} refuses its own token (status 401).") from None

    def _credentials(self) -> AwsCredentials:
        headers = self._headers(self._present_token())
        role = self._role(self._get(_ROLES, headers))
        response = self._get(_ROLES + role, headers)
        where = f"the answer of {self._endpoint} for the role {role}"
        document = json_object(response.body, IMDS_SOURCE_FAILURE, where)
        return credentials_of(document, _NAMES, IMDS_SOURCE_FAILURE, where)

    def _failed(self, why: str, cause: Optional[Exception] = None) -> Exception:
        return failed(IMDS_SOURCE_FAILURE, why, cause)

    # ---- requests ----

    def _headers(self, token: Optional[str] = None) -> List[Tuple[str, str]]:
        headers = [("x-aws-ec2-metadata-token", token)] if token else []
        headers.append(("Host", self._endpoint.bare_host))
        headers.append(("Accept", "*/*"))
        headers.append(("User-Agent", "aws-sdk-crt/aws-imds-client"))
        headers.append(("Connection", "keep-alive"))
        return headers

    def _ask(self, method: str, path: str, headers: List[Tuple[str, str]]) -> Optional[Response]:
        """The response, asked for twice if need be; None when the service took the connection but not the request.

        :raises AwsCrtError: there is no such service
        """
        unreachable: Optional[Exception] = None
        for _ in range(2):
            try:
                response = fetch(self._endpoint, new_request(method, path, headers), _LIMITS, self._route)
            except Unreachable as error:
                unreachable = error
                continue
            except Exception as error:
                self._last = error
                unreachable = None
                continue
            if response.status < 500:
                return response
            self._last, unreachable = status_error(self._endpoint, response), None
        if unreachable is not None:
            why = f"There is no instance metadata service at {unreachable}"
            _note_absence(self._endpoint, why)
            raise self._failed(why, unreachable) from unreachable
        return None

    def _get(self, path: str, headers: List[Tuple[str, str]]) -> Response:
        response = self._ask("GET", path, headers)
        if response is None:
            raise self._failed(f"{self._endpoint}{path}: {self._last}", self._last) from self._last
        if response.status == 401:
            raise _TokenRefused
        if response.status != 200:
            error = status_error(self._endpoint, response)
            if response.status == 404 and path == _ROLES:
                _note_absence(self._endpoint, f"The instance has no role: {error}")
            raise self._failed(f"{self._endpoint}{path}: {error}", error) from error
        return response

    def _present_token(self) -> Optional[str]:
        """The token of version 2; None when the service knows only version 1."""
        if self._token is not None and clock.monotonic() < self._token_until:
            return self._token
        headers = [("x-aws-ec2-metadata-token-ttl-seconds", str(_TTL)), *self._headers()]
        response = self._ask("PUT", "/latest/api/token", headers)
        self._token = None
        if response is not None and response.status == 400:
            raise self._failed(f"{self._endpoint}: the request for a token: {status_error(self._endpoint, response)}")
        if response is None or response.status != 200:
            return None
        token = response.body.decode("latin-1").strip()
        if not token or any(not "!" <= character <= "~" for character in token):
            raise self._failed(f"{self._endpoint} gave a token that is empty or not of visible ASCII characters.")
        self._token, self._token_until = token, clock.monotonic() + _TOKEN_SECONDS
        return token

    def _role(self, response: Response) -> str:
        role = response.body.decode("utf-8", "replace").strip()
        if not role:
            raise self._failed(f"{self._endpoint} names no role.")
        if any(not "!" <= character <= "~" for character in role):
            raise failed(
                HTTP_INVALID_PATH, f"{self._endpoint} names the role {role[:100]!r}, which cannot be asked for."
            )
        return role
