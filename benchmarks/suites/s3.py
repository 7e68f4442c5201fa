"""Transfers of one large object, and what importing the client costs."""

from __future__ import annotations

import os
from functools import partial
from typing import List

from rows import Context, Row, command_of

GOALS = {
    ("get-file", None): "2x, CPU 0.6x, RSS 0.5x",
    ("get-file", "tls"): "1.1x, CPU 0.75x, RSS 0.5x",
    ("get-mem", None): "2.5x",
    ("get-mem", "tls"): "1.1x, CPU 0.75x",
    ("put-file", None): "1.4x",
    ("put-file", "tls"): "1.2x",
}


def remove(path: str) -> None:
    """Every download starts without a file, so that nobody pays for freeing the pages of the run before."""
    if os.path.exists(path):
        os.unlink(path)


def rows(context: Context) -> List[Row]:
    size = context.gib << 30
    source = context.object("object", size)
    download = os.path.join(context.directory, "download")
    servers = context.servers
    result: List[Row] = []
    for (action, tls), goal in GOALS.items():
        server = servers.sink if action == "put-file" else servers.nginx
        params = {
            "action": action,
            "port": server.tls_port if tls else server.port,
            "ca": servers.ca if tls else None,
            "key": "/object",
            "size": size,
            "path": source if action == "put-file" else download,
        }
        raw = (action, "127.0.0.1", str(params["port"]), "/object", str(size), params["path"], params["ca"] or "-")
        result.append(
            Row(
                f"s3 {action} {tls or 'plain'}",
                "s3_transfer.py",
                params,
                goal,
                raw=command_of(context.program("raw"), *raw),
                prepare=partial(remove, download) if action == "get-file" else None,
            )
        )
    result.append(Row("import awscrt.s3", "import_module.py", {"module": "awscrt.s3"}, "time 0.5x", rounds=11))
    return result
