"""Several GETs at once with asyncio: python http_get_asyncio.py HOST PORT PATH"""

import asyncio
import sys

from awscrt.aio.http import AIOHttpClientConnection
from awscrt.http import HttpHeaders, HttpRequest


async def fetch(host: str, port: int, path: str) -> int:
    connection = await AIOHttpClientConnection.new(host, port)
    try:
        stream = connection.request(HttpRequest("GET", path, HttpHeaders([("Host", host)])))
        assert await stream.get_response_status_code() == 200
        size = 0
        while chunk := await stream.get_next_response_chunk():
            size += len(chunk)
        await stream.wait_for_completion()
        return size
    finally:
        await connection.close()


async def main() -> None:
    host, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    sizes = await asyncio.gather(*(fetch(host, port, path) for _ in range(8)))
    print("received", sum(sizes), "bytes")


asyncio.run(main())
