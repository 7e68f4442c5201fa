"""GETs a path: http_get.py PORT PATH; prints the status and the body."""

import sys
from concurrent.futures import Future

from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest

port, path = int(sys.argv[1]), sys.argv[2]
connection = HttpClientConnection.new("127.0.0.1", port).result(30)
status: "Future[int]" = Future()
body = bytearray()
stream = connection.request(
    HttpRequest("GET", path, HttpHeaders([("Host", f"127.0.0.1:{port}")])),
    lambda http_stream, status_code, headers, **kwargs: status.set_result(status_code),
    lambda http_stream, chunk, **kwargs: body.extend(chunk),
)
stream.activate()
stream.completion_future.result(30)
print(status.result(0), body.decode())
