"""Credentials of a role: AssumeRole and AssumeRoleWithWebIdentity of the Security Token Service."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Tuple
from urllib.parse import quote

from awscrt._credentials.document import make, parse_time, soon
from awscrt._credentials.endpoint import Endpoint, configured_endpoint, public_endpoint, region_of
from awscrt._credentials.errors import (
    PROFILE_SOURCE_FAILURE,
    STS_SOURCE_FAILURE,
    STS_WEB_IDENTITY_SOURCE_FAILURE,
    failed,
    refused,
)
from awscrt._credentials.fetch import Limits, Permanent, Response, Route, fetch, new_request, retrying, status_error
from awscrt._credentials.source import Source

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from awscrt._credentials.profile_file import Profile, Profiles
    from awscrt.auth import AwsCredentials
    from awscrt.http import HttpRequest

__all__ = ["AssumeRoleSource", "Role", "WebIdentitySource", "web_identity"]

_VERSION = "2011-06-15"
_DURATION = 900  # seconds
_FORM = "application/x-www-form-urlencoded"
_SESSION_NAME_BYTES = 64
_ASSUME_ROLE = Limits(connect=3.0)
_WEB_IDENTITY = Limits(connect=2.0, body=10000)
_WEB_IDENTITY_ATTEMPTS = 3
_TRANSIENT = ("IDPCommunicationError", "InvalidIdentityToken")


class Role(NamedTuple):
    """What AssumeRole is asked for."""

    arn: str
    session_name: str
    external_id: Optional[str] = None


def session_name_of(profile: Profile) -> str:
    """The profile's ``role_session_name``, shortened as the service wants it, or one with the process id."""
    setting = profile.get("role_session_name")
    name = setting.value if setting is not None else ""
    if not name:
        return f"aws-common-runtime-profile-config-{os.getpid()}"
    return name.encode()[:_SESSION_NAME_BYTES].decode("utf-8", "ignore")


def _form(fields: List[Tuple[str, str]]) -> bytes:
    return "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in fields).encode()


# ---- answers ----


def _xml(response: Response, code: int, where: str) -> Element:
    """The document without its name space."""
    from xml.etree import ElementTree

    # The service defines no entities; one who does wants to fill the memory.
    if b"<!" in response.body:
        raise failed(code, f"{where} has declarations or comments, which the service does not send.")
    try:
        root = ElementTree.fromstring(response.body)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise failed(code, f"{where} is not XML: {error}.", error) from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _credentials(response: Response, operation: str, code: int, endpoint: Endpoint) -> Dict[str, str]:
    """The texts below ``<...Response><...Result><Credentials>``; the three that are needed are there."""
    where = f"the answer of {endpoint} to {operation}"
    root = _xml(response, code, where)
    found = root.find(f"./{operation}Result/Credentials") if root.tag == f"{operation}Response" else None
    if found is None:
        raise failed(code, f"{where} has no {operation}Response/{operation}Result/Credentials.")
    texts = {element.tag: (element.text or "").strip() for element in found}
    for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"):
        if not texts.get(name):
            raise failed(code, f"{where}: {name} is missing.")
    return texts


def _error_code(response: Response) -> str:
    try:
        root = _xml(response, STS_SOURCE_FAILURE, "")
    except Exception:  # it is told by its status then
        return ""
    found = root.find("./Error/Code")
    return (found.text or "").strip() if found is not None else ""


# ---- AssumeRole ----


class AssumeRoleSource(Source):
    """Asks for a role's credentials with those of another source; signed."""

    name = "assume role"

    def __init__(self, role: Role, source: Source, endpoint: Endpoint, region: str, route: Route) -> None:
        self._role = role
        self._source = source
        self._endpoint = endpoint
        self._region = region
        self._route = route

    def query(self) -> AwsCredentials:
        credentials = self._source.query()
        return retrying(lambda: self._ask(credentials), f"AssumeRole of {self._role.arn} at {self._endpoint}")

    def _ask(self, credentials: AwsCredentials) -> AwsCredentials:
        expiration = soon(_DURATION)
        response = fetch(self._endpoint, self._signed(credentials), _ASSUME_ROLE, self._route)
        if response.status != 200:
            error = status_error(self._endpoint, response)
            raise error if response.status >= 500 else Permanent(error)
        texts = _credentials(response, "AssumeRole", STS_SOURCE_FAILURE, self._endpoint)
        return make(
            texts["AccessKeyId"],
            texts["SecretAccessKey"],
            texts["SessionToken"],
            expiration,
            STS_SOURCE_FAILURE,
            f"the answer of {self._endpoint}",
        )

    def _signed(self, credentials: AwsCredentials) -> HttpRequest:
        from awscrt.auth import AwsCredentialsProvider, AwsSigningConfig, aws_sign_request

        fields = [("Version", _VERSION), ("Action", "AssumeRole"), ("RoleArn", self._role.arn)]
        fields.append(("RoleSessionName", self._role.session_name))
        if self._role.external_id is not None:
            fields.append(("ExternalId", self._role.external_id))
        fields.append(("DurationSeconds", str(_DURATION)))
        body = _form(fields)
        headers = [
            ("Host", self._endpoint.host_header),
            ("content-type", _FORM),
            ("content-length", str(len(body))),
        ]
        config = AwsSigningConfig(
            credentials_provider=AwsCredentialsProvider(credentials), region=self._region, service="sts"
        )
        signed = aws_sign_request(new_request("POST", self._endpoint.path, headers, body), config)
        return signed.result(0)  # the credentials are there, so it is complete


def sts_endpoint(profiles: Optional[Profiles], profile: Optional[Profile]) -> Tuple[Endpoint, str]:
    """Where to ask for AssumeRole, and the region to sign for."""
    region = region_of(profile)
    endpoint = configured_endpoint("sts", profiles, profile)
    if endpoint is None:
        if region is None:
            endpoint = Endpoint(True, "sts.amazonaws.com", 443)
        else:
            endpoint = public_endpoint("sts", region, "the region for STS")
    return endpoint, region or "us-east-1"


# ---- AssumeRoleWithWebIdentity ----


class WebIdentity(NamedTuple):
    """What AssumeRoleWithWebIdentity is asked for."""

    role_arn: str
    session_name: str
    token_file: str
    token_setting: str  #: where the file is configured, for errors


class WebIdentitySource(Source):
    """Asks for a role's credentials with a token from a file, which is read at every query: it is renewed there."""

    name = "web identity"

    def __init__(self, identity: WebIdentity, endpoint: Endpoint, route: Route) -> None:
        self._identity = identity
        self._endpoint = endpoint
        self._route = route

    def query(self) -> AwsCredentials:
        body = self._body()
        for _ in range(_WEB_IDENTITY_ATTEMPTS - 1):
            response = self._ask(body)
            if response.status == 200 or _error_code(response) not in _TRANSIENT:
                break
        else:
            response = self._ask(body)
        if response.status != 200:
            raise status_error(self._endpoint, response)
        return self._understand(response)

    def _body(self) -> bytes:
        path = self._identity.token_file
        try:
            with open(path, encoding="utf-8") as stream:
                token = stream.read().strip()
        except (OSError, ValueError) as error:
            raise self._failed(f"the token file {path} ({self._identity.token_setting}): {error}", error) from error
        if not token:
            raise self._failed(f"the token file {path} ({self._identity.token_setting}) is empty")
        return _form(
            [
                ("Action", "AssumeRoleWithWebIdentity"),
                ("Version", _VERSION),
                ("RoleArn", self._identity.role_arn),
                ("RoleSessionName", self._identity.session_name),
                ("WebIdentityToken", token),
            ]
        )

    def _failed(self, why: str, cause: Optional[Exception] = None) -> Exception:
        return failed(STS_WEB_IDENTITY_SOURCE_FAILURE, f"{why}.", cause)

    def _ask(self, body: bytes) -> Response:
        headers = [
            ("content-length", str(len(body))),
            ("content-type", _FORM),
            ("Host", self._endpoint.host_header),
            ("x-amz-api-version", _VERSION),
            ("Accept", "*/*"),
            ("User-Agent", "aws-sdk-crt/sts-web-identity-credentials-provider"),
            ("Connection", "keep-alive"),
        ]
        try:
            return fetch(
                self._endpoint, new_request("POST", self._endpoint.path, headers, body), _WEB_IDENTITY, self._route
            )
        except Exception as error:
            raise self._failed(f"{self._endpoint}: {error}", error) from error

    def _understand(self, response: Response) -> AwsCredentials:
        code = STS_WEB_IDENTITY_SOURCE_FAILURE
        texts = _credentials(response, "AssumeRoleWithWebIdentity", code, self._endpoint)
        return make(
            texts["AccessKeyId"],
            texts["SecretAccessKey"],
            texts["SessionToken"],
            parse_time(texts.get("Expiration", "")) or soon(_DURATION),
            code,
            f"the answer of {self._endpoint}",
        )


_IDENTITY_SETTINGS = {
    "AWS_ROLE_ARN": "role_arn",
    "AWS_ROLE_SESSION_NAME": "role_session_name",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "web_identity_token_file",
}


def _setting(variable: str, profile: Optional[Profile], prefer_profile: bool) -> Tuple[Optional[str], str]:
    """The value and where it comes from."""
    given = os.environ.get(variable) or None
    setting = profile.get(_IDENTITY_SETTINGS[variable]) if profile is not None else None
    if setting is not None and setting.value and (prefer_profile or given is None):
        return setting.value, str(setting)
    return given, f"the environment variable {variable}"


def web_identity(
    profiles: Optional[Profiles], profile: Optional[Profile], route: Route, *, prefer_profile: bool = False
) -> WebIdentitySource:
    """The source that the environment and the profile describe.

    :param prefer_profile: the profile's values count before those of the environment
    :raises RuntimeError: role, token file or region is missing
    """
    from uuid import uuid4

    role, _ = _setting("AWS_ROLE_ARN", profile, prefer_profile)
    token_file, where = _setting("AWS_WEB_IDENTITY_TOKEN_FILE", profile, prefer_profile)
    session_name, _ = _setting("AWS_ROLE_SESSION_NAME", profile, prefer_profile)
    region = region_of(profile)
    endpoint = configured_endpoint("sts", profiles, profile)
    missing = "a role" if role is None else "a token file" if token_file is None else None
    if role is None or token_file is None or (region is None and endpoint is None):
        raise refused(PROFILE_SOURCE_FAILURE, f"Web identity needs {missing or 'a region, e.g. AWS_REGION'}.")
    if endpoint is None:
        assert region is not None
        endpoint = public_endpoint("sts", region, "the region for STS")
    identity = WebIdentity(role, session_name or str(uuid4()), token_file, where)
    return WebIdentitySource(identity, endpoint, route)
