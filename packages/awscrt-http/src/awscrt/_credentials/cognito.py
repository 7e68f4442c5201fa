"""Credentials of an Amazon Cognito identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Optional, Sequence, Tuple

from awscrt._credentials.document import from_epoch, json_object, lower, make, text_of
from awscrt._credentials.endpoint import host_and_port
from awscrt._credentials.errors import INVALID_ARGUMENT, UNEXPECTED_RESPONSE, failed, refused
from awscrt._credentials.fetch import Limits, Permanent, Response, Route, fetch, new_request, retrying, status_error
from awscrt._credentials.source import Source

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentials

__all__ = ["CognitoSource", "Identity", "checked_logins"]

_LIMITS = Limits(connect=5.0, first_byte=10.0, total=15.0)


class Identity(NamedTuple):
    """Who asks."""

    identity: str
    logins: Tuple[Tuple[str, str], ...] = ()
    custom_role_arn: Optional[str] = None


def checked_logins(logins: Optional[Sequence[Tuple[str, str]]]) -> Tuple[Tuple[str, str], ...]:
    """The logins as pairs of provider and token.

    :raises TypeError: they are not
    """
    if logins is None:
        return ()
    try:
        pairs = tuple(logins) if hasattr(logins, "__getitem__") and not isinstance(logins, dict) else None
    except TypeError:
        pairs = None
    if pairs is None:
        raise TypeError("Expected sequence of login token tuples")
    for index, pair in enumerate(pairs):
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise TypeError(f"cognito credentials provider: logins[{index}] is invalid, should be type (str, str)")
    return pairs


class CognitoSource(Source):
    """Asks Cognito (GetCredentialsForIdentity) at every query."""

    name = "Cognito"

    def __init__(self, endpoint: str, identity: Identity, route: Route) -> None:
        for name, value in (("endpoint", endpoint), ("identity", identity.identity)):
            if not value:
                raise refused(INVALID_ARGUMENT, f"{name} is empty.")
        self._endpoint = host_and_port(endpoint)
        self._identity = identity
        self._route = route

    def query(self) -> AwsCredentials:
        return retrying(self._ask, f"Cognito credentials of {self._endpoint}")

    def _body(self) -> bytes:
        import json

        document: Dict[str, Any] = {"IdentityId": self._identity.identity}
        if self._identity.custom_role_arn is not None:
            document["CustomRoleArn"] = self._identity.custom_role_arn
        if self._identity.logins:
            document["Logins"] = dict(self._identity.logins)
        return json.dumps(document, separators=(",", ":")).encode()

    def _ask(self) -> AwsCredentials:
        body = self._body()
        headers = [
            ("host", self._endpoint.host_header),
            ("content-type", "application/x-amz-json-1.1"),
            ("X-Amz-Target", "AWSCognitoIdentityService.GetCredentialsForIdentity"),
            ("Content-Length", str(len(body))),
        ]
        response = fetch(self._endpoint, new_request("POST", "/", headers, body), _LIMITS, self._route)
        if response.status != 200:
            error = status_error(self._endpoint, response)
            raise Permanent(error) if 400 <= response.status < 500 else error
        return self._understand(response)

    def _understand(self, response: Response) -> AwsCredentials:
        code, where = UNEXPECTED_RESPONSE, f"the answer of {self._endpoint}"
        found = json_object(response.body, code, where).get("credentials")
        if not isinstance(found, dict):
            raise failed(code, f"{where}: Credentials is missing.")
        document = lower(found)
        expiration = from_epoch(document.get("expiration"))
        if expiration is None:
            raise failed(code, f"{where}: Expiration is missing or no time.")
        key_id = text_of(document, "AccessKeyId", code, where)
        secret = text_of(document, "SecretKey", code, where)
        return make(key_id, secret, text_of(document, "SessionToken", code, where), expiration, code, where)
