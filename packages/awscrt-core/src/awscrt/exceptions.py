"""Errors of the native runtime."""

from __future__ import annotations

from awscrt import _core

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    from typing import Any, Tuple

__all__ = ["AwsCrtError", "from_code"]


def from_code(code: int) -> Exception:
    """Return (not raise) the exception that stands for a native error code.

    Codes that mean the same as a built-in exception give that; all others an :class:`AwsCrtError`.

    :raises OverflowError: outside signed 32 bits
    :raises TypeError: not an int
    """
    return _core.from_code(code)


def _restore(cls: Any, args: Tuple[Any, ...]) -> AwsCrtError:
    error: AwsCrtError = cls.__new__(cls, *args)
    error.args = args
    return error


class AwsCrtError(Exception):
    """A failure inside the native runtime.

    :ivar code: number, package * 1024 + index
    :ivar name: constant name, e.g. ``"AWS_IO_SOCKET_TIMEOUT"``
    :ivar message: what happened, on which host, file or topic, and what to do
    """

    def __init__(self, code: int, name: str, message: str) -> None:
        self.code = code
        self.name = name
        self.message = message

    def __reduce__(self) -> Tuple[Any, ...]:
        # Not through __init__: subclasses take other arguments, and `args` holds only the positional ones.
        return _restore, (type(self), self.args), self.__dict__

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, message={self.message!r}, code={self.code!r})"

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"
