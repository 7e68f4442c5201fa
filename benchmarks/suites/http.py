"""Small requests over HTTP/1.1."""

from __future__ import annotations

from functools import partial
from typing import List

from rows import Context, Row, run_wrk


def rows(context: Context) -> List[Row]:
    context.object("small", 1024)
    port = context.servers.nginx.port
    result: List[Row] = []
    for api, goal in (("futures", "2.5x"), ("asyncio", "3.5x")):
        params = {"style": api, "port": port, "ca": None, "count": 40000, "in_flight": 32, "path": "/small"}
        raw = partial(run_wrk, port, "/small", 32, False)
        result.append(Row(f"http1 32 in flight, {api}", "http_get.py", params, goal, raw=raw))
    return result
