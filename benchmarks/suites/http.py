"""Small requests over HTTP/1.1; signing."""

from __future__ import annotations

from functools import partial
from typing import List

from rows import Competitor, Context, Row, run_wrk


BOTOCORE = Competitor("botocore", ["botocore"])


def signing_rows() -> List[Row]:
    """With a configuration for each request, with one for all, and presigned URLs by the hundred."""
    goals = {
        ("headers", "fresh"): "2x",
        ("headers", "reuse"): "2x",
        ("query", "fresh"): "2.5x",
        ("query", "reuse"): "2.5x",
        ("query", "batch"): "5x",
    }
    return [
        Row(f"sigv4 {place}, {style}", "signing.py", {"place": place, "style": style}, goal, competitors=[BOTOCORE])
        for (place, style), goal in goals.items()
    ]


def rows(context: Context) -> List[Row]:
    context.object("small", 1024)
    port = context.servers.nginx.port
    result: List[Row] = []
    for api, goal in (("futures", "2.5x"), ("asyncio", "3.5x")):
        params = {"style": api, "port": port, "ca": None, "count": 40000, "in_flight": 32, "path": "/small"}
        raw = partial(run_wrk, port, "/small", 32, False)
        result.append(Row(f"http1 32 in flight, {api}", "http_get.py", params, goal, raw=raw))
    return [*result, *signing_rows()]
