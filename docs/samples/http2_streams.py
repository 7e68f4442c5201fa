"""Many requests at once on one HTTP/2 connection, and an upload that is made on the way:
python http2_streams.py HOST PORT PATH CA_FILE"""

import asyncio
import sys

from awscrt.aio.http import AIOHttp2ClientConnection
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import ClientTlsContext, TlsContextOptions

host, port, path, ca_file = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]

options = TlsContextOptions()
options.override_default_trust_store_from_path(ca_filepath=ca_file)
tls = ClientTlsContext(options).new_connection_options()
tls.set_server_name(host)
tls.set_alpn_list(["h2"])


async def get(connection):
    stream = connection.request(HttpRequest("GET", path, HttpHeaders([("Host", host)])))
    size = 0
    while chunk := await stream.get_next_response_chunk():
        size += len(chunk)
    assert await stream.wait_for_completion() == 200
    return size


async def lines():
    for number in range(3):
        await asyncio.sleep(0.01)  # each is sent when it is there
        yield b"line %d\n" % number


async def main():
    connection = await AIOHttp2ClientConnection.new(host, port, tls_connection_options=tls)
    sizes = await asyncio.gather(*(get(connection) for _ in range(20)))
    print("received", sum(sizes), "bytes on", len(sizes), "streams")

    upload = connection.request(HttpRequest("POST", "/", HttpHeaders([("Host", host)])), lines())
    echo = b""
    while chunk := await upload.get_next_response_chunk():
        echo += chunk
    print("uploaded", echo.decode().splitlines())
    print("round trip below a second:", await connection.ping() < 1)
    await connection.close()


asyncio.run(main())
