"""A request body in pieces, in clear text: python http2_writes.py HOST PORT"""

import io
import sys

from awscrt.http import Http2ClientConnection, HttpHeaders, HttpRequest

host, port = sys.argv[1], int(sys.argv[2])
connection = Http2ClientConnection.new(host, port, prior_knowledge=True).result(timeout=30)
request = HttpRequest("POST", "/", HttpHeaders([("Host", host)]))
body = bytearray()

stream = connection.request(request, on_body=lambda chunk, **kwargs: body.extend(chunk), manual_write=True)
stream.activate()
stream.write_data(io.BytesIO(b"first, ")).result(timeout=30)
stream.write_data(io.BytesIO(b"last"), end_stream=True)
print("status", stream.completion_future.result(timeout=30), bytes(body))
