"""Threads of one's own, and an orderly end: python io_lifecycle.py HOST PORT PATH"""

import sys

from awscrt.common import join_all_native_threads
from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup, SocketOptions

host, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]

group = EventLoopGroup(num_threads=2)
bootstrap = ClientBootstrap(group, DefaultHostResolver(group))
bootstrap_gone, group_gone = bootstrap.shutdown_event, group.shutdown_event

options = SocketOptions()
options.connect_timeout_ms = 3000
options.keep_alive = True
options.keep_alive_interval_secs = 60  # of silence before the first probe
options.keep_alive_timeout_secs = 10  # between probes
options.keep_alive_max_probes = 3

connection = HttpClientConnection.new(host, port, bootstrap, options).result(timeout=30)
request = HttpRequest("GET", path, HttpHeaders([("Host", host)]))
stream = connection.request(request)
stream.activate()
print("status", stream.completion_future.result(timeout=30))

# 1. Close connections and wait. 2. Drop what is left. 3. Everything ends in order; threads last.
connection.close().result(timeout=30)
del stream, connection, bootstrap, group
assert bootstrap_gone.wait(30)
assert group_gone.wait(30)
print("joined", join_all_native_threads(timeout_sec=30))
