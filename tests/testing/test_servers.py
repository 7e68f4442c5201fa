"""Certificates, real servers and scripted servers of the test kit."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess

import pytest

from awscrt.testing import servers
from awscrt.testing.certs import Authority
from awscrt.testing.scripted import ScriptedServer
from awscrt.testing.servers import MissingProgram, Mosquitto, Nginx, Tinyproxy


def https_get(port, context, target):
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
    connection.request("GET", target)
    response = connection.getresponse()
    return response.status, response.read()


def test_nginx_serves_files_plain_and_tls(nginx, tls_certs):
    nginx.add_file("kit/hello.txt", b"hello")
    connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=10)
    connection.request("GET", "/kit/hello.txt")
    assert connection.getresponse().read() == b"hello"
    trusting = ssl.create_default_context(cafile=tls_certs.ca_path)
    assert https_get(nginx.tls_port, trusting, "/kit/hello.txt") == (200, b"hello")
    with pytest.raises(ssl.SSLCertVerificationError):
        https_get(nginx.tls_port, ssl.create_default_context(), "/kit/hello.txt")


def test_nginx_can_demand_client_certificates(tls_certs):
    context = ssl.create_default_context(cafile=tls_certs.ca_path)
    with Nginx(tls_certs.server, client_authority=tls_certs.ca_path) as nginx:
        nginx.add_file("x", b"x")
        assert https_get(nginx.tls_port, context, "/x")[0] == 400
        context.load_cert_chain(tls_certs.client.certificate, tls_certs.client.private_key)
        assert https_get(nginx.tls_port, context, "/x") == (200, b"x")


def connack_code(port, user="", password=""):
    """The reason code of an MQTT 3.1.1 CONNECT (section 3.2.2.3)."""

    def text(value):
        return len(value).to_bytes(2, "big") + value.encode()

    credentials = text(user) + text(password) if user else b""
    body = text("MQTT") + bytes([4, 0xC2 if user else 0x02]) + (60).to_bytes(2, "big") + text("kit") + credentials
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(bytes([0x10, len(body)]) + body)
        return connection.recv(4)[3]


def test_mosquitto_accepts_clients_and_restarts_on_its_port(tls_certs):
    with Mosquitto(tls_certs.server, authority=tls_certs.ca_path) as broker:
        assert connack_code(broker.port) == 0
        assert len({broker.port, broker.tls_port, broker.mutual_tls_port, broker.websocket_port}) == 4
        port = broker.port
        broker.stop()
        with pytest.raises(ConnectionRefusedError):
            connack_code(port)
        broker.restart()
        assert broker.port == port
        assert connack_code(port) == 0


def test_mosquitto_checks_passwords():
    with Mosquitto(users={"me": "secret"}) as broker:
        assert connack_code(broker.port, "me", "secret") == 0
        assert connack_code(broker.port, "me", "wrong") != 0


def test_tinyproxy_forwards(tinyproxy, nginx):
    nginx.add_file("proxied", b"through")
    connection = http.client.HTTPConnection("127.0.0.1", tinyproxy.port, timeout=10)
    connection.request("GET", f"http://127.0.0.1:{nginx.port}/proxied")
    assert connection.getresponse().read() == b"through"


def test_tinyproxy_demands_its_password(nginx):
    with Tinyproxy(users={"me": "secret"}) as proxy:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        connection.request("GET", f"http://127.0.0.1:{nginx.port}/")
        assert connection.getresponse().status == 407


def test_missing_program_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(servers, "_SYSTEM_PATH", ())
    for start, package in ((Nginx, "nginx-light"), (Mosquitto, "mosquitto"), (Tinyproxy, "tinyproxy")):
        with pytest.raises(MissingProgram, match=package):
            start().start()
    with pytest.raises(MissingProgram, match="openssl"):
        Authority.create(str(tmp_path))


def test_server_that_cannot_start_tells_why():
    with pytest.raises(RuntimeError, match="no_such_directive"):
        Nginx(locations="no_such_directive on;").start()


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_issued_certificates_verify_and_export(tls_certs, key):
    pair = tls_certs.authority.issue(f"kit-{key}", key=key, hosts=["example.test"])
    checked = ["openssl", "verify", "-CAfile", tls_certs.ca_path, "-verify_hostname", "example.test", pair.certificate]
    assert subprocess.run(checked, stdout=subprocess.DEVNULL).returncode == 0
    exported = pair.pkcs12("secret")
    read = ["openssl", "pkcs12", "-in", exported, "-passin", "pass:secret", "-nokeys"]
    assert subprocess.run(read, stdout=subprocess.DEVNULL).returncode == 0


def test_scripted_server_plays_its_script(scripted_server):
    def script(peer):
        assert peer.receive_until(b"\n") == b"ping\n"
        assert peer.receive_exactly(2) == b"ab"
        peer.send(b"pong")

    server = scripted_server(script)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"ping\nab")
        assert connection.makefile("rb").read() == b"pong"


def test_scripted_server_over_tls_resets(scripted_server, tls_certs):
    server = scripted_server(lambda peer: peer.reset(), context=tls_certs.authority.server_context(tls_certs.server))
    context = ssl.create_default_context(cafile=tls_certs.ca_path)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
        with pytest.raises((ConnectionError, ssl.SSLError)):
            tls = context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
            assert tls.recv(1) != b""


def test_failing_script_fails_the_test():
    def script(peer):
        assert peer.receive_all() == b"expected"

    with pytest.raises(AssertionError, match="script failed"):
        with ScriptedServer(script) as server:
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
                connection.sendall(b"unexpected")
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(1) == b""
