"""Where the test endpoint keeps bodies: one sparse mapping that sockets read into and sendfile reads from.

A body received from a client is never copied: the socket is read straight into the mapping, decoded and
assembled as a list of segments, and sent back by ``sendfile`` from the same pages.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from dataclasses import dataclass, field
from typing import IO, Iterator, List, Optional

_CAPACITY = 1 << 38  # of addresses, not of memory: pages exist once they are written
_SMALL = 64 * 1024  # below this a bytearray is cheaper than whole pages
_PAGE = mmap.ALLOCATIONGRANULARITY


class Blob:
    """A run of writable bytes. ``offset`` is its place in the arena's file, or None for plain memory."""

    def __init__(self, view: memoryview, offset: Optional[int], arena: Optional[Arena]) -> None:
        self.view = view
        self.offset = offset
        self._arena = arena

    def __del__(self) -> None:
        if self._arena is not None and self.offset is not None:
            self._arena._discard(self.offset, len(self.view))


class Arena:
    """Hands out blobs. Addresses are used once; the pages of a dropped blob go back to the system.

    :param directory: spool to an unlinked file in this directory instead of memory
    """

    def __init__(self, directory: Optional[str] = None) -> None:
        self.file: Optional[IO[bytes]] = None
        self._map: Optional[mmap.mmap] = None
        self._next = 0
        if os.name == "nt":  # no sparse mapping there: every blob is plain memory
            return
        if directory is None and hasattr(os, "memfd_create"):
            self.file = os.fdopen(os.memfd_create("s3-endpoint"), "r+b", buffering=0)
        else:
            self.file = tempfile.TemporaryFile(dir=directory, buffering=0)
        self.file.truncate(_CAPACITY)
        self._map = mmap.mmap(self.file.fileno(), _CAPACITY)
        self._view = memoryview(self._map)

    def allocate(self, size: int) -> Blob:
        """A blob of exactly ``size`` bytes, zeroed. Raises MemoryError when the address range is spent."""
        if self._map is None or size < _SMALL:
            return Blob(memoryview(bytearray(size)), None, None)
        start = self._next
        if start + size > _CAPACITY:
            raise MemoryError(f"the endpoint has handed out {start} bytes and cannot hold {size} more")
        self._next = start + -(-size // _PAGE) * _PAGE
        return Blob(self._view[start : start + size], start, self)

    def close(self) -> None:
        """Closes the file and the mapping; a blob still in use keeps the mapping until it is dropped."""
        if self.file is None or self._map is None:
            return
        self.file.close()
        self._view.release()
        with contextlib.suppress(BufferError):
            self._map.close()

    def _discard(self, offset: int, size: int) -> None:
        remove = getattr(mmap, "MADV_REMOVE", None)
        if remove is not None and self._map is not None and not self._map.closed:
            self._map.madvise(remove, offset, -(-size // _PAGE) * _PAGE)


@dataclass(frozen=True)
class Segment:
    """A range of a blob."""

    blob: Blob
    start: int
    length: int

    @property
    def view(self) -> memoryview:
        return self.blob.view[self.start : self.start + self.length]


@dataclass
class Body:
    """Bytes as a list of segments."""

    segments: List[Segment] = field(default_factory=list)

    @classmethod
    def of(cls, data: bytes) -> Body:
        """A body in plain memory."""
        return cls([Segment(Blob(memoryview(data), None, None), 0, len(data))] if data else [])

    @property
    def length(self) -> int:
        return sum(segment.length for segment in self.segments)

    def __bytes__(self) -> bytes:
        return b"".join(self.views())

    def views(self) -> Iterator[memoryview]:
        """The bytes in order, without copying."""
        for segment in self.segments:
            yield segment.view

    def slice(self, start: int, length: int) -> Body:
        """The bytes ``[start, start + length)``, sharing memory."""
        out: List[Segment] = []
        for segment in self.segments:
            if length <= 0:
                break
            if start >= segment.length:
                start -= segment.length
                continue
            take = min(segment.length - start, length)
            out.append(Segment(segment.blob, segment.start + start, take))
            length -= take
            start = 0
        return Body(out)
