"""Credentials of a container: ECS tasks, EKS pod identities and whatever speaks their protocol."""

from __future__ import annotations

import os
from concurrent.futures import TimeoutError
from typing import TYPE_CHECKING, List, Optional, Tuple

from awscrt._credentials import workers
from awscrt._credentials.document import Names, credentials_of, json_object
from awscrt._credentials.endpoint import Endpoint, parse_url
from awscrt._credentials.errors import (
    ECS_INVALID_HOST,
    ECS_INVALID_TOKEN_FILE_PATH,
    UNEXPECTED_RESPONSE,
    failed,
)
from awscrt._credentials.fetch import Limits, Permanent, Response, Route, fetch, new_request, retrying, status_error
from awscrt._credentials.source import Source
from awscrt._futures import Future

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentials

__all__ = ["EcsSource", "ecs"]

_LIMITS = Limits(connect=2.0, first_byte=5.0, total=10.0, body=10000)
_RESOLVE_SECONDS = 5.0
_NAMES = Names(required="e")
_HOSTS = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23")  # of ECS and EKS
_RELATIVE = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
_FULL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
_TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"


def configured() -> bool:
    """True when the environment names an endpoint."""
    return bool(os.environ.get(_RELATIVE) or os.environ.get(_FULL))


def ecs(route: Route) -> EcsSource:
    """The source that the environment describes.

    :raises AwsCrtError: the URL cannot be used
    """
    relative = os.environ.get(_RELATIVE)
    if relative:
        url, variable = f"http://169.254.170.2{relative}", _RELATIVE
    else:
        url, variable = os.environ.get(_FULL) or "", _FULL
    return EcsSource(parse_url(url, f"the environment variable {variable}"), route)


# ---- which hosts may have the token ----


def _is_allowed(address: str) -> bool:
    from ipaddress import ip_address

    parsed = ip_address(address.partition("%")[0])
    return parsed.is_loopback or any(parsed == ip_address(host) for host in _HOSTS)


def _resolve(host: str) -> List[str]:
    """The addresses of a host, within a bounded time."""
    from ipaddress import ip_address
    from socket import SOCK_STREAM, getaddrinfo

    try:
        return [str(ip_address(host))]
    except ValueError:
        pass
    future: Future[List[str]] = Future()

    def ask() -> None:  # on a thread of its own, for it may take the system's resolver minutes
        try:
            future.set_result([str(found[4][0]) for found in getaddrinfo(host, None, type=SOCK_STREAM)])
        except (OSError, UnicodeError) as error:
            future.set_exception(error)

    workers.submit(ask)
    return future.result(_RESOLVE_SECONDS)


class EcsSource(Source):
    """Asks an endpoint that the container's environment names."""

    name = "container"

    def __init__(self, endpoint: Endpoint, route: Route) -> None:
        self._endpoint = endpoint
        self._route = route

    def query(self) -> AwsCredentials:
        return retrying(self._ask, f"container credentials of {self._endpoint}")

    def _ask(self) -> AwsCredentials:
        # The token may be renewed in its file between two attempts.
        request = new_request("GET", self._endpoint.path, self._headers())
        response = fetch(self._checked_endpoint(), request, _LIMITS, self._route)
        if response.status != 200:
            error = status_error(self._endpoint, response)
            raise Permanent(error) if 400 <= response.status < 500 else error
        return self._understand(response)

    def _checked_endpoint(self) -> Endpoint:
        """Over clear text the token goes only to addresses of this machine or of the container service."""
        endpoint = self._endpoint
        if endpoint.tls:
            return endpoint
        try:
            addresses = _resolve(endpoint.host)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise failed(ECS_INVALID_HOST, f"{endpoint} has no known address: {error!r}.", error) from error
        for address in addresses:
            if not _is_allowed(address):
                refusal = failed(
                    ECS_INVALID_HOST,
                    f"{endpoint} ({_FULL}) has the address {address}. Use https, or an address of loopback or of "
                    f"the container service ({', '.join(_HOSTS)}).",
                )
                raise Permanent(refusal)
        # What was checked is what is connected to.
        return endpoint._replace(host=addresses[0])

    def _headers(self) -> List[Tuple[str, str]]:
        headers = [("Host", self._endpoint.bare_host)]
        token = _token()
        if token:
            headers.append(("Authorization", token))
        headers.append(("Accept", "application/json"))
        headers.append(("Accept-Encoding", "identity"))
        headers.append(("User-Agent", "aws-sdk-crt/ecs-credentials-provider"))
        return headers

    def _understand(self, response: Response) -> AwsCredentials:
        where = f"the answer of {self._endpoint}"
        document = json_object(response.body, UNEXPECTED_RESPONSE, where)
        return credentials_of(document, _NAMES, UNEXPECTED_RESPONSE, where)


def _token() -> Optional[str]:
    path = os.environ.get(_TOKEN_FILE)
    if not path:
        return _checked_token(os.environ.get(_TOKEN), f"the environment variable {_TOKEN}")
    where = f"the token file {path} ({_TOKEN_FILE})"
    try:
        with open(path, encoding="utf-8") as stream:
            token = stream.read().strip()
    except (OSError, ValueError) as error:
        raise Permanent(failed(ECS_INVALID_TOKEN_FILE_PATH, f"{where}: {error}.", error)) from error
    return _checked_token(token, where)


def _checked_token(token: Optional[str], where: str) -> Optional[str]:
    # It becomes a header: a line break in it would begin another one.
    if token and any(character < " " and character != "\t" or character == "\x7f" for character in token):
        error = failed(ECS_INVALID_TOKEN_FILE_PATH, f"{where} has control characters.")
        raise Permanent(error)
    return token
