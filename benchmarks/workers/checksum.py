"""One checksum of one buffer, again and again.

Params: ``api`` (awscrt, or the name of a competitor), ``algorithm``, ``size`` (bytes).
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

from common import calls, measure


def of_awscrt(algorithm: str) -> Callable[[bytes], Any]:
    from awscrt import checksums

    if algorithm.startswith("crc"):
        return getattr(checksums, algorithm)
    return getattr(checksums.XXHash, "compute_" + algorithm.replace("xxh", "xxhash"))


def of_competitor(api: str, algorithm: str) -> Callable[[bytes], Any]:
    if api == "isal":
        from isal import isal_zlib

        return isal_zlib.crc32
    if api == "zlib-ng":
        from zlib_ng import zlib_ng

        return zlib_ng.crc32
    if api == "google-crc32c":
        import google_crc32c

        return google_crc32c.value
    import xxhash

    return getattr(xxhash, algorithm + "_digest")


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    api, algorithm = params["api"], params["algorithm"]
    function = of_awscrt(algorithm) if api == "awscrt" else of_competitor(api, algorithm)
    data = (bytes(range(256)) * (params["size"] // 256 + 1))[: params["size"]]
    return calls(params, function, data), "op"


measure(work)
