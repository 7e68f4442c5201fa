"""Prints who the default chain says we are, twice: with a future and with asyncio."""

import asyncio

from awscrt.auth import AwsCredentialsProvider

provider = AwsCredentialsProvider.new_default_chain()

credentials = provider.get_credentials().result(timeout=60)
print(credentials.access_key_id, "expires", credentials.expiration)


async def main():
    same = await provider.get_credentials_async()
    print("remembered" if same.access_key_id == credentials.access_key_id else "fetched anew")


asyncio.run(main())
