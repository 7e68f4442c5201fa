"""Sends lines to an echo server and prints what comes back: websocket_asyncio.py ws://host:port/"""

import asyncio
import sys

from awscrt.aio.websocket import connect


async def main(url: str) -> None:
    async with connect(url, max_size=1024 * 1024) as ws:
        await ws.send("hello")
        await ws.send(b"\x00\x01\x02")
        await ws.send(["a message ", "in ", "fragments"])
        received = 0
        async for message in ws:
            print(message)
            received += 1
            if received == 3:
                break
        print("round trip below a minute:", await ws.ping() < 60)
    print("closed with", ws.close_code)


asyncio.run(main(sys.argv[1]))
