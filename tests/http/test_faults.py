"""A peer that fails at any step of an exchange, in any way: it ends in time, in words, and takes nothing with it."""

import asyncio
import io

import pytest

from awscrt.aio.http import AIOHttpClientConnection
from awscrt.exceptions import AwsCrtError
from awscrt.http import (
    HttpClientConnection,
    HttpHeaders,
    HttpProxyConnectionType,
    HttpProxyOptions,
    HttpRequest,
    HttpTimeouts,
)
from awscrt.io import ClientTlsContext, TlsContextOptions
from awscrt.testing.faults import Fault, FaultServer, Step

TIMEOUT = 20  # seconds; more than anything here takes
SHORT = 0.08
BODY_LENGTH = 8 * 1024 * 1024  # more than the sockets' buffers hold

IN_RESPONSE = {
    Step.RESPONSE: "while the response was awaited",
    Step.STATUS_LINE: "while the response head was received",
    Step.HEADERS: "while the response head was received",
    Step.BODY: "while the response body was received",
    Step.CHUNK_SIZE: "while the response body was received",
    Step.CHUNK: "while the response body was received",
    Step.LAST_CHUNK: "while the response body was received",
    Step.TRAILERS: "while the response body was received",
}
BROKEN = ("AWS_IO_SOCKET_CLOSED",)
LATE = ("AWS_IO_SOCKET_TIMEOUT",)


@pytest.fixture
def faulty():
    """``faulty(step, fault)``: a server; stopped when the test ends."""
    servers = []

    def start(step, fault, **options):
        servers.append(FaultServer(step, fault, **options).__enter__())
        return servers[-1]

    yield start
    for server in servers:
        server.close()
        assert server.errors == []


def request_for(server, body=None):
    if body is None:
        return HttpRequest("GET", "/", HttpHeaders([("Host", "test")]))
    headers = HttpHeaders([("Host", "test"), ("Content-Length", str(len(body)))])
    return HttpRequest("PUT", "/", headers, io.BytesIO(body))


class Outcome:
    """What became of one request on a connection of its own."""

    def __init__(self, server, timeouts=None, body=None, **options):
        self.connection = HttpClientConnection.new("127.0.0.1", server.port, timeouts=timeouts, **options).result(
            TIMEOUT
        )
        received = []
        stream = self.connection.request(request_for(server, body), on_body=lambda chunk, **_: received.append(chunk))
        stream.activate()
        self.error = stream.completion_future.exception(TIMEOUT)
        self.status = None if self.error else stream.completion_future.result()
        self.body = b"".join(received)


def expect_failure(outcome, names, words):
    assert isinstance(outcome.error, AwsCrtError)
    assert outcome.error.name in names
    assert words in outcome.error.message
    expect_unusable(outcome)


def expect_unusable(outcome):
    """The connection takes no further request, and goes away."""
    outcome.connection.shutdown_future.exception(TIMEOUT)
    assert not outcome.connection.is_open()
    with pytest.raises(RuntimeError, match="AWS_ERROR_HTTP_CONNECTION_CLOSED"):
        outcome.connection.request(HttpRequest())


def expect_recovery(server, body=None, **options):
    """A new connection works."""
    outcome = Outcome(server, body=body, **options)
    assert outcome.status == 200 and outcome.body == b"hello"
    outcome.connection.close().result(TIMEOUT)


@pytest.mark.parametrize("step", list(IN_RESPONSE), ids=lambda step: step.value)
def test_a_server_that_falls_silent(no_native_leak, faulty, step):
    server = faulty(step, Fault.SILENT)
    expect_failure(Outcome(server, HttpTimeouts(idle=SHORT)), LATE, IN_RESPONSE[step])
    expect_recovery(server)


def test_a_server_that_never_answers_is_late_with_its_first_byte(no_native_leak, faulty):
    server = faulty(Step.RESPONSE, Fault.SILENT)
    outcome = Outcome(server, HttpTimeouts(first_byte=SHORT, idle=TIMEOUT))
    expect_failure(outcome, ("AWS_ERROR_HTTP_RESPONSE_FIRST_BYTE_TIMEOUT",), "not a byte of the response after 80 ms")


@pytest.mark.parametrize("step", [Step.REQUEST, Step.REQUEST_BODY], ids=lambda step: step.value)
def test_a_server_that_reads_no_more(no_native_leak, faulty, step):
    server = faulty(step, Fault.SILENT, body_length=BODY_LENGTH)
    outcome = Outcome(server, HttpTimeouts(idle=SHORT), bytes(BODY_LENGTH))
    expect_failure(outcome, LATE, "while the request was sent")
    expect_recovery(server, bytes(BODY_LENGTH))


@pytest.mark.parametrize("step", list(IN_RESPONSE), ids=lambda step: step.value)
@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CLOSE], ids=lambda fault: fault.value)
def test_a_server_that_goes_away_in_the_response(no_native_leak, faulty, step, fault):
    server = faulty(step, fault)
    expect_failure(Outcome(server), BROKEN, IN_RESPONSE[step])
    expect_recovery(server)


@pytest.mark.parametrize("step", [Step.REQUEST, Step.REQUEST_BODY], ids=lambda step: step.value)
@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CLOSE], ids=lambda fault: fault.value)
def test_a_server_that_goes_away_in_the_request(no_native_leak, faulty, step, fault):
    server = faulty(step, fault, body_length=BODY_LENGTH)
    outcome = Outcome(server, body=bytes(BODY_LENGTH))
    assert outcome.error.name in (*BROKEN, "AWS_IO_BROKEN_PIPE")
    expect_unusable(outcome)
    expect_recovery(server, bytes(BODY_LENGTH))


@pytest.mark.parametrize(
    "step, words",
    [
        (Step.RESPONSE, "the status line does not start with HTTP/1.1"),
        (Step.STATUS_LINE, "the reason phrase holds a control character"),
        (Step.HEADERS, "header"),
        (Step.CHUNK_SIZE, "chunk"),
        (Step.LAST_CHUNK, "chunk"),
        (Step.TRAILERS, "header"),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
def test_a_server_that_sends_garbage(no_native_leak, faulty, step, words):
    server = faulty(step, Fault.GARBAGE)
    expect_failure(Outcome(server, HttpTimeouts(idle=SHORT * 10)), ("AWS_ERROR_HTTP_PROTOCOL_ERROR",), words)
    expect_recovery(server)


@pytest.mark.parametrize("step", [Step.BODY, Step.END], ids=lambda step: step.value)
def test_garbage_behind_a_response_is_never_taken_for_the_next_one(no_native_leak, faulty, step):
    server = faulty(step, Fault.GARBAGE)
    outcome = Outcome(server)
    assert outcome.status == 200 and len(outcome.body) == 5
    assert outcome.connection.shutdown_future.exception(TIMEOUT).name == "AWS_ERROR_INVALID_STATE"
    expect_unusable(outcome)
    expect_recovery(server)


@pytest.mark.parametrize("step", list(IN_RESPONSE), ids=lambda step: step.value)
def test_a_response_byte_by_byte(no_native_leak, faulty, step):
    server = faulty(step, Fault.DRIBBLE)
    outcome = Outcome(server, HttpTimeouts(idle=TIMEOUT))
    assert outcome.status == 200 and outcome.body == b"hello"
    assert outcome.connection.is_open()
    outcome.connection.close().result(TIMEOUT)


def test_a_response_that_takes_for_ever(no_native_leak, faulty):
    server = faulty(Step.RESPONSE, Fault.DRIBBLE, pause=SHORT / 4)
    outcome = Outcome(server, HttpTimeouts(idle=TIMEOUT, total=SHORT * 2))
    expect_failure(outcome, LATE, "not complete after 160 ms, while the response head was received")


@pytest.mark.parametrize("step", [Step.BODY, Step.CHUNK], ids=lambda step: step.value)
def test_a_server_that_promised_more(no_native_leak, faulty, step):
    server = faulty(step, Fault.SHORT)
    outcome = Outcome(server)
    assert outcome.body == b"hello"
    expect_failure(outcome, BROKEN, "while the response body was received")
    expect_recovery(server)


def test_a_server_that_promised_less(no_native_leak, faulty):
    server = faulty(Step.BODY, Fault.LONG)
    outcome = Outcome(server)
    assert outcome.status == 200 and outcome.body == b"hello"
    expect_unusable(outcome)
    expect_recovery(server)
    server = faulty(Step.CHUNK, Fault.LONG)
    expect_failure(Outcome(server), ("AWS_ERROR_HTTP_PROTOCOL_ERROR",), "chunk")
    expect_recovery(server)


# ---- connecting ----


def tls_to(certs):
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(None, certs.ca_path)
    return ClientTlsContext(options).new_connection_options()


@pytest.mark.parametrize(
    "fault, names",
    [
        (Fault.SILENT, ("AWS_IO_TLS_NEGOTIATION_TIMEOUT",)),
        (Fault.RESET, BROKEN),
        (Fault.CLOSE, BROKEN),
        (Fault.GARBAGE, ("AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE",)),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
def test_a_server_that_fails_in_the_handshake(no_native_leak, faulty, tls_certs, fault, names):
    server = faulty(Step.HANDSHAKE, fault)
    connecting = HttpClientConnection.new(
        "127.0.0.1", server.port, tls_connection_options=tls_to(tls_certs), timeouts=HttpTimeouts(tls=SHORT)
    )
    assert connecting.exception(TIMEOUT).name in names


@pytest.mark.parametrize(
    "step, fault, names",
    [
        (Step.RESPONSE, Fault.SILENT, LATE),
        (Step.STATUS_LINE, Fault.SILENT, LATE),
        (Step.HEADERS, Fault.SILENT, LATE),
        (Step.RESPONSE, Fault.RESET, BROKEN),
        (Step.HEADERS, Fault.CLOSE, BROKEN),
        (Step.STATUS_LINE, Fault.GARBAGE, ("AWS_ERROR_HTTP_PROTOCOL_ERROR",)),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
def test_a_proxy_that_fails(no_native_leak, faulty, step, fault, names):
    proxy = HttpProxyOptions("127.0.0.1", faulty(step, fault).port, connection_type=HttpProxyConnectionType.Tunneling)
    connecting = HttpClientConnection.new(
        "origin.example", 80, proxy_options=proxy, timeouts=HttpTimeouts(connect=SHORT * 2)
    )
    error = connecting.exception(TIMEOUT)
    assert error.name in names
    if fault is Fault.SILENT:
        assert "while the proxy's answer to CONNECT was awaited" in error.message


# ---- asyncio ----


@pytest.mark.parametrize("step", list(IN_RESPONSE), ids=lambda step: step.value)
def test_asyncio_learns_it_too(no_native_leak, faulty, step):
    server = faulty(step, Fault.SILENT)

    async def main():
        connection = await AIOHttpClientConnection.new("127.0.0.1", server.port, timeouts=HttpTimeouts(idle=SHORT))
        stream = connection.request(request_for(server))
        with pytest.raises(AwsCrtError, match="AWS_IO_SOCKET_TIMEOUT") as caught:
            await asyncio.wait_for(stream.wait_for_completion(), TIMEOUT)
        assert IN_RESPONSE[step] in caught.value.message
        assert not connection.is_open()

    asyncio.run(main())
