"""Failures of credentials sources."""

from __future__ import annotations

from awscrt import _core
from awscrt.exceptions import AwsCrtError, from_code

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    from typing import Optional

INVALID_ARGUMENT = 34
SHORT_BUFFER = 4
SOCKET_TIMEOUT = 1048
MAX_RETRIES_EXCEEDED = 1069
HTTP_INVALID_PATH = 2054
INVALID_ENVIRONMENT = 6150
PROFILE_SOURCE_FAILURE = 6152
IMDS_SOURCE_FAILURE = 6153
STS_SOURCE_FAILURE = 6154
HTTP_STATUS_FAILURE = 6155
UNEXPECTED_RESPONSE = 6156
X509_SOURCE_FAILURE = 6158
PROCESS_SOURCE_FAILURE = 6159
STS_WEB_IDENTITY_SOURCE_FAILURE = 6160
DELEGATE_FAILURE = 6167
SSO_TOKEN_PROVIDER_SOURCE_FAILURE = 6168
SSO_TOKEN_INVALID = 6169
SSO_TOKEN_EXPIRED = 6170
SSO_SOURCE_FAILURE = 6171
PROFILE_CYCLE = 6173
ECS_INVALID_TOKEN_FILE_PATH = 6174
ECS_INVALID_HOST = 6175
LOGIN_REGION_MISSING = 6177
LOGIN_TOKEN = 6179
LOGIN_TOKEN_EXPIRED = 6180
LOGIN_INVALID_PEM = 6181
LOGIN_REFRESH_TOKEN = 6182
LOGIN_WRITE_TOKEN = 6183

_BUILT_IN = {INVALID_ARGUMENT: "AWS_ERROR_INVALID_ARGUMENT"}


def failed(code: int, detail: str, cause: Optional[BaseException] = None) -> AwsCrtError:
    """What a query fails with.

    :param detail: what was tried, where, and what to do
    """
    known = from_code(code)
    if isinstance(known, AwsCrtError):
        error = AwsCrtError(code, known.name, f"{known.message.rstrip('.')}: {detail}")
    else:  # a code that otherwise stands for a built-in exception, which would not carry it along
        error = AwsCrtError(code, _BUILT_IN[code], detail)
    error.__cause__ = cause
    return error


def refused(code: int, detail: str, cause: Optional[BaseException] = None) -> RuntimeError:
    """What a factory raises."""
    try:
        _core.raise_error(code, detail)
    except RuntimeError as error:
        error.code = code  # type: ignore[attr-defined]  # for the signer
        error.__cause__ = cause
        return error
    raise AssertionError("raise_error() raises")
