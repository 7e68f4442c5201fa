import asyncio
import sys

from awscrt.aio.http import HttpClient
from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpTimeouts


async def numbers():
    for number in range(3):
        yield b"%d " % number


async def main(url):
    async with HttpClient() as client:
        size = 0
        async with await client.request("GET", f"{url}/large") as response:
            async for piece in response:
                size += len(piece)
        print(size, "bytes")

        response = await client.request("POST", f"{url}/echo", body=numbers())
        print("echoed:", await response.text())

        try:
            await client.request("GET", f"{url}/hold", timeout=HttpTimeouts(connect=5, total=0.1))
        except AwsCrtError as error:
            print("given up:", error.name)


asyncio.run(main(sys.argv[1]))
