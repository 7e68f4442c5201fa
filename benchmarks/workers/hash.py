"""One hash or HMAC of one buffer, again and again: made, fed, and finished.

Params: ``api`` (awscrt, hashlib), ``algorithm`` (sha256, sha1, md5, hmac), ``size`` (bytes).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Callable, Dict, Tuple

from common import calls, measure

KEY = b"k" * 32


def of_awscrt(algorithm: str) -> Callable[[bytes], bytes]:
    from awscrt.crypto import HMAC, Hash

    new = getattr(Hash, algorithm + "_new") if algorithm != "hmac" else lambda: HMAC.sha256_hmac_new(KEY)

    def digest(data: bytes) -> bytes:
        state = new()
        state.update(data)
        return state.digest()

    return digest


def of_hashlib(algorithm: str) -> Callable[[bytes], bytes]:
    if algorithm == "hmac":
        return lambda data: hmac.digest(KEY, data, "sha256")
    new = getattr(hashlib, algorithm)
    return lambda data: new(data).digest()


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    digest = (of_awscrt if params["api"] == "awscrt" else of_hashlib)(params["algorithm"])
    data = bytes(params["size"])
    expected = of_hashlib(params["algorithm"])(data)
    assert digest(data) == expected
    return calls(params, digest, data), "op"


measure(work)
