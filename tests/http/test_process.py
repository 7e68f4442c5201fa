"""What a process does with connections: forking, and ending at any moment."""

import functools
import gc
import os
import subprocess
import sys
import time

import pytest

import awscrt
from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest

REQUEST = HttpRequest("GET", "/", HttpHeaders([("Host", "test")]))


def in_child(work):
    """Runs ``work`` in a forked child; its exit status tells whether it went well."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork(answering, connect, exchange):
    parents = [connect(answering.port)]
    streams = [parents[0].request(REQUEST)]
    busy = exchange(parents[0])

    def child():
        connection, stream = parents[0], streams[0]
        uses = [
            connection.is_open,
            connection.close,
            functools.partial(connection.request, REQUEST),
            stream.activate,
            functools.partial(stream.update_window, 1),
        ]
        for use in uses:
            with pytest.raises(RuntimeError, match="fork"):
                use()
        del connection, stream, use, uses
        parents.clear()
        streams.clear()
        gc.collect()
        # The child's own runtime works.
        fresh = HttpClientConnection.new("127.0.0.1", answering.port).result(20)
        own = fresh.request(REQUEST)
        own.activate()
        assert own.completion_future.result(20) == 200

    assert in_child(child) == 0
    assert busy.status() == 200
    assert exchange(parents[0]).status() == 200


PROGRAM = """
import sys, threading
from awscrt.http import *
port, how = int(sys.argv[1]), sys.argv[2]
connection = HttpClientConnection.new("127.0.0.1", port).result(20)
request = HttpRequest("GET", "/", HttpHeaders([("Host", "test")]))
started = threading.Event()
def endless(future=None):
    stream = connection.request(request, on_body=lambda **_: started.set())
    stream.completion_future.add_done_callback(endless)
    stream.activate()
if how == "waiting":
    stream = connection.request(request, on_body=print)
    stream.activate()
elif how == "busy":
    endless()
    assert started.wait(20)
elif how == "aio":
    import asyncio
    from awscrt.aio.http import AIOHttpClientConnection
    async def main():
        connection = await AIOHttpClientConnection.new("127.0.0.1", port)
        global stream
        stream = connection.request(request)
    asyncio.run(main())
elif how == "cycle":
    connection.shutdown_future.add_done_callback(lambda future, keep=connection: None)
"""


@pytest.mark.parametrize("how", ["idle", "waiting", "busy", "aio", "cycle"])
def test_process_ends_promptly(answering, scripted_server, how):
    server = scripted_server(lambda peer: peer.receive_all()) if how == "waiting" else answering
    paths = os.pathsep.join(os.path.dirname(portion) for portion in awscrt.__path__)
    program = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(server.port), how],
        timeout=20,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert (program.returncode, program.stdout) == (0, b"")
