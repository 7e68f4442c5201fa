"""What sources tell the log; never a secret."""

from __future__ import annotations

from awscrt import _core

__all__ = ["debug", "warn"]

_SUBJECT = 0x1802  # AuthCredentialsProvider
_WARN, _DEBUG = 3, 5


def warn(message: str) -> None:
    """Something failed."""
    _core.log(_WARN, _SUBJECT, message.replace("\0", "?"))


def debug(message: str) -> None:
    """Something went as it should."""
    _core.log(_DEBUG, _SUBJECT, message.replace("\0", "?"))
