"""Where services are: URLs that users configure, and the public endpoints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Optional

from awscrt._credentials.errors import INVALID_ARGUMENT, failed

if TYPE_CHECKING:
    from awscrt._credentials.profile_file import Profile, Profiles

__all__ = ["Endpoint", "configured_endpoint", "host_and_port", "is_region", "parse_url", "public_endpoint", "region_of"]


class Endpoint(NamedTuple):
    """Who to connect to, and the path that was configured, ``/`` for none."""

    tls: bool
    host: str
    port: int
    path: str = "/"

    @property
    def host_header(self) -> str:
        """Host as in a URL, with the port when it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def bare_host(self) -> str:
        """The Host header of sources that leave the port out."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host_header}"


def parse_url(text: str, where: str) -> Endpoint:
    """A URL; a bare host name means https.

    :param where: what the text comes from, for the error
    :raises AwsCrtError: AWS_ERROR_INVALID_ARGUMENT
    """
    from urllib.parse import urlsplit

    def wrong(why: str) -> Exception:
        return failed(INVALID_ARGUMENT, f"{where} is {text!r}, which is no usable URL: {why}.")

    if any(character <= " " or character == "\x7f" for character in text):
        raise wrong("blanks and control characters must be percent-encoded")
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port
        host = parts.hostname
    except ValueError as error:
        raise wrong(str(error)) from error
    if parts.scheme not in ("http", "https"):
        raise wrong("it must begin with http:// or https://")
    if not host or parts.username is not None or parts.password is not None:
        # Not with the text: a password does not belong into a message.
        raise failed(INVALID_ARGUMENT, f"{where} must be a URL that names a host, without user and password.")
    if port == 0:
        raise wrong("port 0 is none")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    tls = parts.scheme == "https"
    return Endpoint(tls, host, port or (443 if tls else 80), path)


def host_and_port(text: str) -> Endpoint:
    """A host for TLS that may have a port: ``host`` or ``host:port``."""
    host, colon, port = text.rpartition(":")
    if colon and ":" not in host and port.isdigit() and port.isascii() and 0 < int(port) < 65536:
        return Endpoint(True, host, int(port))
    return Endpoint(True, text, 443)


# Suffixes of host names by the beginning of the region.
_SUFFIXES = (
    ("cn-", "amazonaws.com.cn"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov"),
)


def is_region(text: str) -> bool:
    """True when the text may stand in a host's name: with other characters it would name another host."""
    return bool(text) and all(character.isalnum() and character.isascii() or character == "-" for character in text)


def public_endpoint(prefix: str, region: str, where: str) -> Endpoint:
    """The endpoint of a service in a region.

    :param prefix: e.g. ``"sts"``
    :param where: what the region comes from, for the error
    """
    if not is_region(region):
        raise failed(INVALID_ARGUMENT, f"{where} is {region!r}, which is no region.")
    suffix = next((suffix for start, suffix in _SUFFIXES if region.startswith(start)), "amazonaws.com")
    return Endpoint(True, f"{prefix}.{region}.{suffix}", 443)


def configured_endpoint(service: str, profiles: Optional[Profiles], profile: Optional[Profile]) -> Optional[Endpoint]:
    """The endpoint that the environment or the profile sets for a service, or None.

    :param service: as in ``AWS_ENDPOINT_URL_<SERVICE>`` and in the ``services`` section, lower case
    """
    for variable in (f"AWS_ENDPOINT_URL_{service.upper()}", "AWS_ENDPOINT_URL"):
        url = os.environ.get(variable)
        if url:
            return parse_url(url, f"the environment variable {variable}")
    if profile is None:
        return None
    if "services" in profile and profiles is not None:
        section = profiles.services.get(profile["services"].value, {})
        found = section.get(service)
        setting = found.sub.get("endpoint_url") if found is not None else None
    else:
        setting = profile.get("endpoint_url")
    return parse_url(setting.value, str(setting)) if setting is not None and setting.value else None


def region_of(profile: Optional[Profile]) -> Optional[str]:
    """The region: AWS_REGION, AWS_DEFAULT_REGION, then the profile's."""
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        region = os.environ.get(variable)
        if region:
            return region
    setting = profile.get("region") if profile is not None else None
    return setting.value if setting is not None and setting.value else None
