"""Credentials for an X.509 certificate: the credentials provider of AWS IoT Core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from awscrt._credentials.document import Names, credentials_of, json_object, lower
from awscrt._credentials.endpoint import host_and_port
from awscrt._credentials.errors import (
    HTTP_INVALID_PATH,
    INVALID_ARGUMENT,
    UNEXPECTED_RESPONSE,
    X509_SOURCE_FAILURE,
    failed,
    refused,
)
from awscrt._credentials.fetch import Limits, Response, Route, Unreachable, fetch, new_request, status_error
from awscrt._credentials.source import Source

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentials

__all__ = ["X509Source"]

_LIMITS = Limits(connect=2.0, first_byte=5.0, total=10.0, body=2048)
_NAMES = Names("accessKeyId", "secretAccessKey", "sessionToken", "expiration", required="t")


class X509Source(Source):
    """Asks for the credentials of a role alias; the TLS context has the certificate."""

    name = "X.509"

    def __init__(self, endpoint: str, thing_name: str, role_alias: str, route: Route) -> None:
        for name, value in (("endpoint", endpoint), ("thing_name", thing_name), ("role_alias", role_alias)):
            if not value:
                raise refused(INVALID_ARGUMENT, f"{name} is empty.")
        self._endpoint = host_and_port(endpoint)
        self._thing_name = thing_name
        self._role_alias = role_alias
        self._route = route

    def query(self) -> AwsCredentials:
        if any(not "!" <= character <= "~" for character in self._role_alias):
            raise failed(
                HTTP_INVALID_PATH, f"role_alias is {self._role_alias!r}: only visible ASCII characters, please."
            )
        headers = [
            ("x-amzn-iot-thingname", self._thing_name),
            ("Accept", "*/*"),
            ("User-Agent", "aws-sdk-crt/x509-credentials-provider"),
            ("Connection", "keep-alive"),
            ("Host", self._endpoint.host_header),
        ]
        path = f"/role-aliases/{self._role_alias}/credentials"
        try:
            response = fetch(self._endpoint, new_request("GET", path, headers), _LIMITS, self._route)
        except Unreachable as unreachable:
            cause = unreachable.__cause__
            raise (cause if isinstance(cause, Exception) else unreachable) from None
        if response.status != 200:
            raise status_error(self._endpoint, response)
        return self._understand(response)

    def _understand(self, response: Response) -> AwsCredentials:
        where = f"the answer of {self._endpoint}"
        found = json_object(response.body, X509_SOURCE_FAILURE, where).get("credentials")
        if not isinstance(found, dict):
            raise failed(UNEXPECTED_RESPONSE, f"{where}: credentials is missing.")
        return credentials_of(lower(found), _NAMES, UNEXPECTED_RESPONSE, where)
