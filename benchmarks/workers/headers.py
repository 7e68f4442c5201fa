"""What a client does with a request's headers: make eight, look some up, change one, list them.

Params: none.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

from common import calls, measure

PAIRS = [
    ("Host", "bucket.s3.us-east-1.amazonaws.com"),
    ("User-Agent", "benchmark/1.0"),
    ("Accept", "*/*"),
    ("Content-Type", "application/octet-stream"),
    ("Content-Length", "1024"),
    ("x-amz-date", "20240101T000000Z"),
    ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ("x-amz-meta-name", "value"),
]


def of_awscrt() -> Callable[[Any], Any]:
    from awscrt.http import HttpHeaders

    def once(pairs: Any) -> Any:
        headers = HttpHeaders(pairs)
        assert headers.get("content-length") == "1024"
        headers.get("x-amz-date")
        headers.get("absent")
        headers.set("x-amz-meta-name", "another")
        headers.add("x-amz-meta-name", "more")
        return list(headers)

    return once


def of_multidict() -> Callable[[Any], Any]:
    from multidict import CIMultiDict

    def once(pairs: Any) -> Any:
        headers = CIMultiDict(pairs)
        assert headers.get("content-length") == "1024"
        headers.get("x-amz-date")
        headers.get("absent")
        headers["x-amz-meta-name"] = "another"
        headers.add("x-amz-meta-name", "more")
        return list(headers.items())

    return once


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    once = of_multidict() if params["api"] == "multidict" else of_awscrt()
    return calls(params, once, PAIRS), "op"


measure(work)
