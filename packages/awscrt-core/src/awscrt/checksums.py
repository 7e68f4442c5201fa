"""CRC checksums and xxHash, computed with the fastest instructions the processor has.

``crcX(b, crcX(a)) == crcX(a + b)``. Inputs: any C-contiguous buffer, for the CRCs also str (as UTF-8); the GIL is
released for more than 5 KiB. ``AWS_COMMON_AVX2=0`` in the environment keeps to 128-bit registers.
"""

from __future__ import annotations

from awscrt import NativeResource, _core
from awscrt._core import combine_crc32, combine_crc32c, combine_crc64nvme, crc32, crc32c, crc64nvme

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

__all__ = ["crc32", "crc32c", "crc64nvme", "combine_crc32", "combine_crc32c", "combine_crc64nvme", "XXHash"]


class XXHash(NativeResource):
    """An xxHash over data that arrives in pieces; for one piece there are the ``compute_`` functions.

    Results are big-endian bytes, the "canonical representation" of the xxHash specification. Seeds are ints from 0 to
    2**64 - 1, else OverflowError. Threads may share an object.
    """

    _binding: _core.XXHashStream

    def __init__(self, binding: _core.XXHashStream) -> None:
        super().__init__()
        self._binding = binding

    @staticmethod
    def new_xxhash64(seed: int = 0) -> XXHash:
        """Begins an XXH64 (8 bytes)."""
        return XXHash(_core.XXHashStream(0, seed))

    @staticmethod
    def new_xxhash3_64(seed: int = 0) -> XXHash:
        """Begins an XXH3 of 64 bits (8 bytes)."""
        return XXHash(_core.XXHashStream(1, seed))

    @staticmethod
    def new_xxhash3_128(seed: int = 0) -> XXHash:
        """Begins an XXH3 of 128 bits (16 bytes)."""
        return XXHash(_core.XXHashStream(2, seed))

    # The native functions themselves: a wrapper would take as long as the hash of a short input.
    compute_xxhash64 = staticmethod(_core.compute_xxhash64)
    compute_xxhash3_64 = staticmethod(_core.compute_xxhash3_64)
    compute_xxhash3_128 = staticmethod(_core.compute_xxhash3_128)

    def update(self, input: Union[bytes, bytearray, memoryview]) -> None:
        """Adds data: any C-contiguous buffer.

        :raises BufferError: the buffer is not contiguous
        """
        self._binding.update(input)

    def finalize(self) -> bytes:
        """The hash of all data so far. May be called again; updates may follow."""
        return self._binding.digest()
