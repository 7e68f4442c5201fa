"""Servers that cannot be reached, or are not what they should be: every client says so at once, and says where."""

from __future__ import annotations

import os
from typing import Any, Callable, Optional

import pytest

from awscrt.exceptions import AwsCrtError
from awscrt.testing.certs import Authority, Certificate
from awscrt.testing.scripted import Peer, ScriptedServer

from .clients import CLIENTS, HTTP, MQTT, RETRIES, S3, S3_RECEIVING, Run, Target, trusting

ServerFactory = Callable[..., ScriptedServer]

EVERY_CLIENT = pytest.mark.parametrize("run", list(CLIENTS.values()), ids=list(CLIENTS))


def clients(chosen: Any) -> Any:
    return pytest.mark.parametrize("run", list(chosen.values()), ids=list(chosen))


def failure(run: Run, target: Target) -> AwsCrtError:
    """What an attempt fails with, after checks of what every failure has in common."""
    error = run(target)
    assert type(error) is AwsCrtError, repr(error)
    assert error.message and error.name in str(error)
    if os.path.exists(target.received):
        assert os.path.getsize(target.received) == 0  # created before the first request, kept
    if os.path.exists(target.sent):
        assert os.path.getsize(target.sent) == len(b"body of the upload")
    return error


def silent(peer: Peer) -> None:
    peer.receive_all()


# ---- reaching ----


@EVERY_CLIENT
def test_refused(run: Run, unused_port: int, tmp_path: Any) -> None:
    error = failure(run, Target("127.0.0.1", unused_port, None, str(tmp_path)))
    assert error.name == "AWS_IO_SOCKET_CONNECTION_REFUSED"
    assert f"127.0.0.1:{unused_port}" in error.message


@EVERY_CLIENT
def test_unknown_name(run: Run, tmp_path: Any) -> None:
    error = failure(run, Target("nothing.invalid", 443, None, str(tmp_path)))
    assert error.name == "AWS_IO_DNS_INVALID_NAME"
    assert "nothing.invalid:443" in error.message


# ---- TLS ----


def tls_failure(
    run: Run,
    certificate: Certificate,
    authority: Authority,
    ca_path: Optional[str],
    directory: Any,
    scripted_server: ServerFactory,
) -> AwsCrtError:
    """What connecting to a server with that certificate fails with."""
    server = scripted_server(silent, context=authority.server_context(certificate))
    error = failure(run, Target("localhost", server.port, trusting(ca_path), str(directory)))
    assert error.name == "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE"
    assert "localhost" in error.message and str(server.port) in error.message
    return error


@EVERY_CLIENT
def test_untrusted_certificate(
    run: Run, authority: Authority, tls_certs: Any, tmp_path: Any, scripted_server: ServerFactory
) -> None:
    error = tls_failure(run, authority.issue("localhost"), authority, tls_certs.ca_path, tmp_path, scripted_server)
    assert "override_default_trust_store" in error.message


@EVERY_CLIENT
def test_authority_unknown_to_the_system(
    run: Run, authority: Authority, tmp_path: Any, scripted_server: ServerFactory
) -> None:
    error = tls_failure(run, authority.issue("localhost"), authority, None, tmp_path, scripted_server)
    assert "override_default_trust_store" in error.message


@EVERY_CLIENT
def test_certificate_of_another_host(
    run: Run, authority: Authority, tmp_path: Any, scripted_server: ServerFactory
) -> None:
    other = authority.issue("other", hosts=["other.example"])
    error = tls_failure(run, other, authority, authority.path, tmp_path, scripted_server)
    assert "not valid for host 'localhost'" in error.message and "other.example" in error.message


@EVERY_CLIENT
def test_expired_certificate(
    run: Run, authority: Authority, expired_certificate: Certificate, tmp_path: Any, scripted_server: ServerFactory
) -> None:
    error = tls_failure(run, expired_certificate, authority, authority.path, tmp_path, scripted_server)
    assert "certificate has expired" in error.message


@EVERY_CLIENT
def test_server_without_tls(run: Run, authority: Authority, tmp_path: Any, scripted_server: ServerFactory) -> None:
    def plain(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        peer.receive_all()

    server = scripted_server(plain)
    error = failure(run, Target("localhost", server.port, trusting(authority.path), str(tmp_path)))
    assert error.name == "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE"
    assert str(server.port) in error.message
    assert "does not speak TLS" in error.message


@EVERY_CLIENT
def test_closed_within_the_handshake(
    run: Run, authority: Authority, tmp_path: Any, scripted_server: ServerFactory
) -> None:
    def script(peer: Peer) -> None:
        peer.receive_exactly(1)

    server = scripted_server(script)
    error = failure(run, Target("localhost", server.port, trusting(authority.path), str(tmp_path)))
    assert error.name == "AWS_IO_SOCKET_CLOSED"
    assert str(server.port) in error.message and "handshake" in error.message


# ---- answers ----


def garbage(peer: Peer) -> None:
    peer.receive_exactly(10)
    peer.send(b"\x00\xffno protocol that anybody knows\r\n\r\n")
    peer.receive_all()


@clients({**HTTP, **S3})
def test_garbage_instead_of_http(run: Run, tmp_path: Any, scripted_server: ServerFactory) -> None:
    server = scripted_server(garbage)
    error = failure(run, Target("127.0.0.1", server.port, None, str(tmp_path)))
    assert error.name == "AWS_ERROR_HTTP_PROTOCOL_ERROR"
    assert f"127.0.0.1:{server.port}" in error.message
    assert "status line" in error.message


@clients(MQTT)
@pytest.mark.parametrize(
    "answer",
    [b"\x00\xffno protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00"],
    ids=["bytes", "http", "tls"],
)
def test_garbage_instead_of_mqtt(run: Run, answer: bytes, tmp_path: Any, scripted_server: ServerFactory) -> None:
    def script(peer: Peer) -> None:
        peer.receive_exactly(10)
        peer.send(answer)
        peer.receive_all()

    server = scripted_server(script)
    error = failure(run, Target("127.0.0.1", server.port, None, str(tmp_path)))
    assert error.name == "AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR"
    assert f"127.0.0.1:{server.port}" in error.message


@EVERY_CLIENT
@pytest.mark.parametrize("rude", [False, True], ids=["closed", "reset"])
def test_closed_without_an_answer(run: Run, rude: bool, tmp_path: Any, scripted_server: ServerFactory) -> None:
    def script(peer: Peer) -> None:
        peer.receive_exactly(10)
        if rude:
            peer.reset()

    server = scripted_server(script)
    error = failure(run, Target("127.0.0.1", server.port, None, str(tmp_path)))
    assert error.name == "AWS_IO_SOCKET_CLOSED"
    assert f"127.0.0.1:{server.port}" in error.message
    assert "by the peer" in error.message


# ---- bodies that end early ----


def cut_off(peer: Peer) -> None:
    """Announces 100 bytes and sends 10."""
    peer.receive_until(b"\r\n\r\n")
    peer.send(b'HTTP/1.1 206 Partial Content\r\nETag: "e"\r\nContent-Range: bytes 0-99/100\r\n')
    peer.send(b"Content-Length: 100\r\n\r\n0123456789")


def cut_off_and_reset(peer: Peer) -> None:
    cut_off(peer)
    peer.reset()


CUTS = pytest.mark.parametrize("script", [cut_off, cut_off_and_reset], ids=["closed", "reset"])


@clients(HTTP)
@CUTS
def test_truncated_response(
    run: Run, script: Callable[[Peer], None], tmp_path: Any, scripted_server: ServerFactory
) -> None:
    server = scripted_server(script)
    error = failure(run, Target("127.0.0.1", server.port, None, str(tmp_path)))
    assert error.name == "AWS_IO_SOCKET_CLOSED"
    assert f"127.0.0.1:{server.port}" in error.message


@clients(S3_RECEIVING)
@CUTS
def test_truncated_download_is_retried_then_reported(
    run: Run, script: Callable[[Peer], None], tmp_path: Any, scripted_server: ServerFactory
) -> None:
    server = scripted_server(script)
    target = Target("127.0.0.1", server.port, None, str(tmp_path))
    error = run(target)
    assert type(error) is AwsCrtError
    assert error.name == "AWS_IO_SOCKET_CLOSED"
    assert f"127.0.0.1:{server.port}" in error.message and "/test-bucket/object" in error.message
    assert server.connections == 1 + RETRIES
    if os.path.exists(target.received):  # kept, and what it holds is the object's
        with open(target.received, "rb") as file:
            assert file.read().rstrip(b"\0") in (b"", b"0123456789")
