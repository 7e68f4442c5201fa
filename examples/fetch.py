"""Fetches paths of one server at the same time: fetch.py [--ca FILE] URL [URL ...]

All URLs go over one connection per server; prints status, size and URL of each.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Dict, List, Optional, Tuple
from urllib.parse import urlsplit

from awscrt.aio.http import AIOHttpClientConnection
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import ClientTlsContext, TlsConnectionOptions, TlsContextOptions


def tls_options(host: str, ca: Optional[str]) -> TlsConnectionOptions:
    context = TlsContextOptions()
    if ca is not None:
        context.override_default_trust_store_from_path(ca_filepath=ca)
    options = ClientTlsContext(context).new_connection_options()
    options.set_server_name(host)
    return options


async def get(connection: AIOHttpClientConnection, host: str, path: str) -> Tuple[int, int]:
    """Status and body size."""
    stream = connection.request(HttpRequest("GET", path, HttpHeaders([("Host", host)])))
    status = await stream.get_response_status_code()
    size = 0
    while True:
        chunk = await stream.get_next_response_chunk()
        if not chunk:
            return status, size
        size += len(chunk)


async def fetch_from(origin: Tuple[str, str, int], paths: List[str], ca: Optional[str]) -> None:
    scheme, host, port = origin
    tls = tls_options(host, ca) if scheme == "https" else None
    connection = await AIOHttpClientConnection.new(host, port, tls_connection_options=tls)
    results = await asyncio.gather(*(get(connection, f"{host}:{port}", path) for path in paths))
    for path, (status, size) in zip(paths, results):
        print(status, size, f"{scheme}://{host}:{port}{path}")
    await connection.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--ca", help="PEM file with the authorities to trust instead of the system's")
    options = parser.parse_args()
    servers: Dict[Tuple[str, str, int], List[str]] = {}
    for url in options.urls:
        parts = urlsplit(url)
        origin = (parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        servers.setdefault(origin, []).append((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    await asyncio.gather(*(fetch_from(origin, paths, options.ca) for origin, paths in servers.items()))


asyncio.run(main())
