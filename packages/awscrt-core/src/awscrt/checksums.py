"""CRC checksums, computed with the fastest instructions the processor has.

``crcX(b, crcX(a)) == crcX(a + b)``. Inputs: str (as UTF-8) or any C-contiguous buffer; the GIL is released for
more than 5 KiB.
"""

from __future__ import annotations

from awscrt import _core
from awscrt._core import crc32, crc32c, crc64nvme

__all__ = ["crc32", "crc32c", "crc64nvme", "combine_crc32", "combine_crc32c", "combine_crc64nvme"]


def combine_crc32(crc32_result1: int, crc32_result2: int, data_length2: int) -> int:
    """CRC-32 of A + B from those of A and B and the length of B in bytes.

    :raises ValueError: an argument is not an int from 0 to 2**64 - 1
    """
    return _core.combine_crc32(crc32_result1, crc32_result2, data_length2)


def combine_crc32c(crc32c_result1: int, crc32c_result2: int, data_length2: int) -> int:
    """CRC-32C of A + B from those of A and B and the length of B in bytes.

    :raises ValueError: an argument is not an int from 0 to 2**64 - 1
    """
    return _core.combine_crc32c(crc32c_result1, crc32c_result2, data_length2)


def combine_crc64nvme(crc64nvme_result1: int, crc64nvme_result2: int, data_length2: int) -> int:
    """CRC-64/NVME of A + B from those of A and B and the length of B in bytes.

    :raises ValueError: an argument is not an int from 0 to 2**64 - 1
    """
    return _core.combine_crc64nvme(crc64nvme_result1, crc64nvme_result2, data_length2)
