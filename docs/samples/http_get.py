"""One GET with callbacks and futures: python http_get.py HOST PORT PATH [CA_FILE]"""

import sys

from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest
from awscrt.io import ClientTlsContext, TlsContextOptions

host, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]

tls = None
if len(sys.argv) > 4:
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(ca_filepath=sys.argv[4])
    tls = ClientTlsContext(options).new_connection_options()
    tls.set_server_name(host)

connection = HttpClientConnection.new(host, port, tls_connection_options=tls).result(timeout=30)

body = bytearray()


def on_response(http_stream, status_code, headers, **kwargs):
    print("status", status_code)


def on_body(http_stream, chunk, **kwargs):
    body.extend(chunk)


request = HttpRequest("GET", path, HttpHeaders([("Host", host)]))
stream = connection.request(request, on_response, on_body)
stream.activate()
stream.completion_future.result(timeout=30)
print("received", len(body), "bytes")

connection.close().result(timeout=30)
