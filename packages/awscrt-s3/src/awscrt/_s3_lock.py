"""A lock between processes."""

from __future__ import annotations

import os

from awscrt import NativeResource

TYPE_CHECKING = False  # typing is a large part of a small program's import time
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Optional, Type, Union

# The place is part of the contract: every awscrt on the machine meets there.
_DIRECTORY = "/tmp/aws_crt_cross_process_lock"


class CrossProcessLock(NativeResource):
    """An exclusive lock with a name, shared by all processes of the machine.

    It is an advisory lock on a file; the system releases it when the process ends.

    :param lock_scope_name: str or bytes, without a slash
    """

    __slots__ = ("_name", "_fd")

    def __init__(self, lock_scope_name: Union[str, bytes]) -> None:
        super().__init__()
        if not isinstance(lock_scope_name, (str, bytes, bytearray, memoryview)):
            raise TypeError(f"lock_scope_name must be str or bytes, got {type(lock_scope_name).__name__}")
        self._name = os.fsdecode(lock_scope_name if isinstance(lock_scope_name, str) else bytes(lock_scope_name))
        self._fd = -1

    def acquire(self) -> None:
        """Take the lock; does nothing when this object has it already.

        :raises RuntimeError: AWS_ERROR_MUTEX_CALLER_NOT_OWNER when somebody else has it,
            AWS_ERROR_FILE_INVALID_PATH when the name cannot be a file's
        """
        if self._fd >= 0:
            return
        import fcntl

        fd = self._open()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            raise RuntimeError(
                f"19 (AWS_ERROR_MUTEX_CALLER_NOT_OWNER): lock '{self._name}' is held by somebody else"
            ) from error
        self._fd = fd

    def _open(self) -> int:
        path = f"{_DIRECTORY}/{self._name}.lock"
        flags = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            if "/" in self._name or "\0" in self._name:
                raise OSError("the name contains a slash or a null character")
            self._make_directory()
            try:
                return os.open(path, os.O_RDWR | flags, 0o666)
            except PermissionError:
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)  # another user's
        except OSError as error:
            raise RuntimeError(f"44 (AWS_ERROR_FILE_INVALID_PATH): {path!r}: {error}") from error

    @staticmethod
    def _make_directory() -> None:
        try:
            os.mkdir(_DIRECTORY)
        except FileExistsError:
            if os.stat(_DIRECTORY).st_uid != os.getuid():
                return
        os.chmod(_DIRECTORY, 0o1777)

    def release(self) -> None:
        """Give the lock back; does nothing when this object does not have it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            # Closing, not unlocking: in a forked child that would take the lock from the parent.
            os.close(fd)

    def __enter__(self) -> CrossProcessLock:
        self.acquire()
        return self

    def __exit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc_value: Optional[BaseException],
        exc_tb: Optional[TracebackType],
    ) -> None:
        self.release()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)
