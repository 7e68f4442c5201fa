"""Fixtures of the HTTP tests."""

import gc
import time
from types import SimpleNamespace

import pytest

from awscrt import _core
from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest

TIMEOUT = 20  # seconds; far more than anything here takes


@pytest.fixture
def connect():
    """``connect(port, ...)``: an open connection to this machine, closed when the test ends."""
    made = []

    def connect_to(port, **options):
        connection = HttpClientConnection.new(options.pop("host_name", "127.0.0.1"), port, **options).result(TIMEOUT)
        made.append(connection)
        return connection

    yield connect_to
    for connection in made:
        connection.close()
    made.clear()


class Exchange:
    """A stream and what its callbacks were given, in order."""

    def __init__(self, connection, request):
        self.events = []
        self.stream = connection.request(request, self._on_response, self._on_body)
        self.stream.completion_future.add_done_callback(lambda future: self.events.append(("done",)))

    def _on_response(self, http_stream, status_code, headers, **kwargs):
        assert http_stream is self.stream and not kwargs
        self.events.append(("response", status_code, headers))

    def _on_body(self, http_stream, chunk, **kwargs):
        assert http_stream is self.stream and type(chunk) is bytes and not kwargs
        self.events.append(("body", chunk))

    def start(self):
        self.stream.activate()
        return self

    def status(self):
        return self.stream.completion_future.result(TIMEOUT)

    def failure(self):
        return self.stream.completion_future.exception(TIMEOUT)

    @property
    def headers(self):
        return next(event[2] for event in self.events if event[0] == "response")

    @property
    def body(self):
        return b"".join(event[1] for event in self.events if event[0] == "body")

    @property
    def kinds(self):
        """Names of the events, repetitions of "body" left out."""
        names = []
        for event in self.events:
            if event[0] != "body" or "body" not in names:
                names.append(event[0])
        return names


@pytest.fixture
def exchange():
    """``exchange(connection, method, path, headers, body_stream)``: sends a request and records the events."""

    def begin(connection, method="GET", path="/", headers=(("Host", "test"),), body_stream=None):
        return Exchange(connection, HttpRequest(method, path, HttpHeaders(list(headers)), body_stream)).start()

    return begin


@pytest.fixture
def response():
    """``response(body, *header_lines)``: bytes of a complete 200 response."""

    def build(body=b"", *lines):
        head = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *lines]
        return b"\r\n".join(head) + b"\r\n\r\n" + body

    return build


@pytest.fixture
def answering(scripted_server, response):
    """A server that answers every request with ``hello``."""

    def script(peer):
        try:
            while True:
                peer.receive_until(b"\r\n\r\n")
                peer.send(response(b"hello"))
        except EOFError:
            pass

    return scripted_server(script)


@pytest.fixture
def eventually():
    """``eventually(condition)``: waits until it is true; fails after a while."""

    def wait(condition):
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, "did not come true in time"
            time.sleep(0.005)

    return wait


@pytest.fixture
def no_native_leak(answering, eventually):
    """Checks that the test gives back every block of native memory it took."""
    # What the first connection of a process makes stays: event loops, resolver.
    warm_up = HttpClientConnection.new("127.0.0.1", answering.port).result(TIMEOUT)
    assert Exchange(warm_up, HttpRequest()).start().status() == 200
    warm_up.close().result(TIMEOUT)
    del warm_up
    gc.collect()
    before = _core.memory_usage()[0]
    yield

    def is_back():
        gc.collect()
        return _core.memory_usage()[0] <= before

    eventually(is_back)


@pytest.fixture
def timeouts():
    return SimpleNamespace(seconds=TIMEOUT)
