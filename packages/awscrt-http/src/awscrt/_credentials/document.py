"""Reads the documents in which services and commands deliver credentials."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Dict, Mapping, NamedTuple, Optional, Union

from awscrt._credentials import clock
from awscrt._credentials.errors import failed

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentials

__all__ = ["Names", "credentials_of", "from_epoch", "json_object", "parse_time", "soon"]


class Names(NamedTuple):
    """What the fields are called; compared without case."""

    key_id: str = "AccessKeyId"
    secret: str = "SecretAccessKey"
    token: str = "Token"
    expiration: str = "Expiration"
    required: str = ""  # of the last two: "t" the token, "e" the expiration


def json_object(text: Union[bytes, str], code: int, where: str) -> Dict[str, Any]:
    """The JSON object in ``text``, its names in lower case.

    :raises AwsCrtError: ``code``, when it is none
    """
    import json

    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise failed(code, f"{where} is not JSON: {error}.", error) from error
    if not isinstance(document, dict):
        raise failed(code, f"{where} is not a JSON object but {type(document).__name__}.")
    return lower(document)


def lower(document: Mapping[str, Any]) -> Dict[str, Any]:
    """The same with names in lower case."""
    return {name.lower(): value for name, value in document.items()}


def text_of(document: Mapping[str, Any], name: str, code: int, where: str) -> str:
    """A field that must be there, a string that is not empty."""
    value = document.get(name.lower())
    if isinstance(value, str) and value:
        return value
    problem = "is missing" if value is None else "is empty" if value == "" else f"is {type(value).__name__}, not text"
    raise failed(code, f"{where}: {name} {problem}.")


def credentials_of(document: Mapping[str, Any], names: Names, code: int, where: str) -> AwsCredentials:
    """Credentials from an object with lower-case names.

    :raises AwsCrtError: ``code``, when a field that must be there is missing or is not text
    """
    key_id = text_of(document, names.key_id, code, where)
    secret = text_of(document, names.secret, code, where)
    token: Optional[str] = None
    if "t" in names.required or document.get(names.token.lower()):
        token = text_of(document, names.token, code, where)
    value = document.get(names.expiration.lower())
    expiration = parse_time(value) if isinstance(value, str) else None
    if "e" in names.required and expiration is None:
        raise failed(code, f"{where}: {names.expiration} is {'missing' if value is None else 'no ISO 8601 time'}.")
    return make(key_id, secret, token, expiration, code, where)


def make(
    key_id: str, secret: str, token: Optional[str], expiration: Optional[datetime], code: int, where: str
) -> AwsCredentials:
    """Credentials of checked fields."""
    from awscrt.auth import AwsCredentials

    try:
        return AwsCredentials(key_id, secret, token, expiration)
    except (ValueError, OverflowError, RuntimeError) as error:
        raise failed(code, f"{where}: {error}.", error) from error


def parse_time(text: str) -> Optional[datetime]:
    """An ISO 8601 time as services write it, e.g. ``2030-01-02T03:04:05Z``; without zone it is UTC. Else None."""
    import re

    found = re.match(
        r"(\d{4})-?(\d\d)-?(\d\d)[T ](\d\d):?(\d\d):?(\d\d)(?:[.,]\d+)?\s*(?:Z|UTC|GMT|([+-])(\d\d):?(\d\d))?$",
        text.strip(),
        re.ASCII | re.IGNORECASE,
    )
    if found is None:
        return None
    numbers = [int(group) for group in found.groups()[:6]]
    sign, hours, minutes = found.groups()[6:]
    try:
        time = datetime(*numbers, tzinfo=timezone.utc)  # type: ignore[arg-type, misc]
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            time = time - offset if sign == "+" else time + offset
    except (ValueError, OverflowError):
        return None
    return time if time.timestamp() >= 0 else None


def from_epoch(value: object, per_second: int = 1) -> Optional[datetime]:
    """A time given as a number since 1970, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        time = datetime.fromtimestamp(value / per_second, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
    return time if time.timestamp() >= 0 else None


def soon(seconds: float) -> datetime:
    """The time so many seconds from now."""
    return datetime.fromtimestamp(clock.time() + seconds, timezone.utc)
