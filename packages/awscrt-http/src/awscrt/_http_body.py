"""Request bodies from iterables."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Union

    Buffer = Union[bytes, bytearray, memoryview]


class IterableStream:
    """A binary stream that reads the pieces of an iterable, one after the other.

    :raises TypeError: ``pieces`` is a str or cannot be iterated over
    """

    def __init__(self, pieces: Iterable[Buffer]) -> None:
        if isinstance(pieces, (str, dict)):
            raise TypeError(f"a body is a buffer, a stream, or an iterable of buffers, not {type(pieces)!r}")
        self._pieces = iter(pieces)
        self._left = memoryview(b"")

    def readinto(self, buffer: memoryview) -> int:
        """Fills the buffer with what is left of the present piece, or with the next; 0 at the end."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece).cast("B")
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; -1: the present piece."""
        buffer = memoryview(bytearray(size if size >= 0 else max(len(self._left), 65536)))
        return bytes(buffer[: self.readinto(buffer)])
