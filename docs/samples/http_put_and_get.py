"""python http_put_and_get.py PORT: a body from an iterable, a response into memory, deadlines."""

import sys

from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest, HttpTimeouts

port = int(sys.argv[1])
timeouts = HttpTimeouts(connect=5, first_byte=10, idle=10, total=60)
connection = HttpClientConnection.new("localhost", port, timeouts=timeouts).result()

headers = HttpHeaders([("Host", f"localhost:{port}"), ("Transfer-Encoding", "chunked")])
upload = connection.request(HttpRequest("PUT", "/notes", headers), body=(b"line %d\n" % n for n in range(3)))
upload.activate()
print("PUT", upload.completion_future.result())

memory = bytearray(1024)
request = HttpRequest("GET", "/notes", HttpHeaders([("Host", f"localhost:{port}")]))
download = connection.request(request, readinto=memory)
download.activate()
print("GET", download.completion_future.result(), download.bytes_received, "bytes")
connection.close().result()
