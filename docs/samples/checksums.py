"""Checksums of a file, whole and in parts: python checksums.py FILE"""

from __future__ import annotations

import sys

from awscrt.checksums import XXHash, combine_crc64nvme, crc32, crc64nvme

PART = 8 * 1024 * 1024


def main(path: str) -> None:
    running_crc = 0
    running_hash = XXHash.new_xxhash3_128()
    combined = 0
    with open(path, "rb") as file:
        while part := file.read(PART):
            running_crc = crc32(part, running_crc)
            running_hash.update(part)
            # Parts may be computed anywhere and in any order; their CRCs are put together afterwards.
            combined = combine_crc64nvme(combined, crc64nvme(part), len(part))
    print(f"crc32 {running_crc:08x}")
    print(f"crc64nvme {combined:016x}")
    print(f"xxh3-128 {running_hash.finalize().hex()}")


main(sys.argv[1])
