"""HTTP proxies: forwarding (RFC 9112, section 3.2.2) and tunnels (RFC 9110, section 9.3.6)."""

import base64
import socket
import threading

import pytest

from awscrt.http import (
    HttpClientConnection,
    HttpProxyAuthenticationType,
    HttpProxyConnectionType,
    HttpProxyOptions,
)
from awscrt.io import ClientTlsContext, TlsContextOptions

BASIC = HttpProxyAuthenticationType.Basic
TUNNEL = HttpProxyConnectionType.Tunneling
FORWARD = HttpProxyConnectionType.Forwarding
LEGACY = HttpProxyConnectionType.Legacy


def pump(source, target):
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


@pytest.fixture
def tunnel_proxy(scripted_server):
    """A proxy that honours CONNECT to this machine; ``.heads`` lists what was asked of it."""
    heads = []

    def script(peer):
        head = peer.receive_until(b"\r\n\r\n")
        heads.append(head)
        port = int(head.split()[1].rpartition(b":")[2])
        with socket.create_connection(("127.0.0.1", port)) as origin:
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(origin, peer.socket))
            back.start()
            pump(peer.socket, origin)
            back.join()

    server = scripted_server(script)
    server.heads = heads
    return server


def proxied(port, origin_port, host="127.0.0.1", tls=None, **options):
    proxy = HttpProxyOptions("127.0.0.1", port, **options)
    return HttpClientConnection.new(host, origin_port, proxy_options=proxy, tls_connection_options=tls)


def test_defaults():
    options = HttpProxyOptions("proxy", 3128)
    assert vars(options) == {
        "host_name": "proxy",
        "port": 3128,
        "tls_connection_options": None,
        "auth_type": HttpProxyAuthenticationType.Nothing,
        "auth_username": None,
        "auth_password": None,
        "connection_type": HttpProxyConnectionType.Legacy,
    }


@pytest.mark.parametrize("kind", [LEGACY, FORWARD])
def test_forwarding(scripted_server, exchange, response, kind):
    heads = []

    def script(peer):
        for _ in range(2):
            heads.append(peer.receive_until(b"\r\n\r\n"))
            peer.send(response(b"forwarded"))
        peer.receive_all()

    connection = proxied(
        scripted_server(script).port,
        8081,
        host="origin.example",
        connection_type=kind,
        auth_type=BASIC,
        auth_username="user",
        auth_password="pass",
    ).result(20)
    assert (connection.host_name, connection.port) == ("origin.example", 8081)
    for _ in range(2):
        got = exchange(connection, path="/a?b=c", headers=[("Host", "origin.example")])
        assert got.status() == 200 and got.body == b"forwarded"
    credentials = base64.b64encode(b"user:pass")
    for head in heads:
        assert head.startswith(b"GET http://origin.example:8081/a?b=c HTTP/1.1\r\n")
        assert head.lower().count(b"proxy-authorization: basic " + credentials.lower()) == 1
    connection.close().result(20)


def test_tunnel(tunnel_proxy, answering, exchange):
    connection = proxied(tunnel_proxy.port, answering.port, connection_type=TUNNEL).result(20)
    got = exchange(connection)
    assert got.status() == 200 and got.body == b"hello"
    head = tunnel_proxy.heads[0].decode()
    target = f"127.0.0.1:{answering.port}"
    assert head.startswith(f"CONNECT {target} HTTP/1.1\r\n") and f"\r\nHost: {target}\r\n" in head
    assert "\r\nProxy-Connection: Keep-Alive\r\n" in head and "Proxy-Authorization" not in head
    connection.close().result(20)


def test_tunnel_with_authentication(tunnel_proxy, answering, exchange):
    connection = proxied(tunnel_proxy.port, answering.port, connection_type=TUNNEL, auth_type=BASIC).result(20)
    assert b"\r\nProxy-Authorization: Basic Og==\r\n" in tunnel_proxy.heads[0]
    assert exchange(connection).status() == 200
    connection.close().result(20)


def test_tunnel_with_tls_to_the_origin(tunnel_proxy, nginx, tls_certs, exchange):
    nginx.add_file("http-tunnel", b"through")
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(None, tls_certs.ca_path)
    tls = ClientTlsContext(options).new_connection_options()
    connection = proxied(tunnel_proxy.port, nginx.tls_port, host="localhost", tls=tls).result(20)
    got = exchange(connection, path="/http-tunnel", headers=[("Host", "localhost")])
    assert got.status() == 200 and got.body == b"through"
    connection.close().result(20)


@pytest.mark.parametrize(
    "answer, name",
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "AWS_ERROR_HTTP_PROXY_CONNECT_FAILED",
        ),
        (b"HTTP/1.1 201 Created\r\n\r\n", "AWS_ERROR_HTTP_PROXY_CONNECT_FAILED"),
        (b"nonsense\r\n\r\n", "AWS_ERROR_HTTP_PROTOCOL_ERROR"),
        (b"", "AWS_IO_SOCKET_CLOSED"),
    ],
)
def test_tunnel_refused(scripted_server, answer, name):
    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        peer.send(answer)

    error = proxied(scripted_server(script).port, 80, connection_type=TUNNEL).exception(20)
    assert error.name == name


def test_unreachable_proxy():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert proxied(port, 80).exception(20).name == "AWS_IO_SOCKET_CONNECTION_REFUSED"


def test_environment_is_not_read(answering, connect, exchange, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert exchange(connect(answering.port)).status() == 200


# ---- options are checked when used ----


@pytest.mark.parametrize(
    "attribute, value, message",
    [
        ("host_name", 1, "HttpProxyOptions.host_name is not a valid string"),
        ("host_name", None, "HttpProxyOptions.host_name is not a valid string"),
        ("auth_username", 1, "HttpProxyOptions.auth_username is not a valid string"),
        ("auth_password", b"x", "HttpProxyOptions.auth_password is not a valid string"),
        ("tls_connection_options", 1, "HttpProxyOptions.tls_connection_options is not a valid TlsConnectionOptions"),
        ("auth_type", "x", "HttpProxyOptions.auth_type is not a valid enum"),
        ("connection_type", None, "HttpProxyOptions.connection_type is not a valid enum"),
        ("port", "x", "Cannot convert HttpProxyOptions.port to a C uint32_t"),
    ],
)
def test_wrong_types(attribute, value, message):
    options = HttpProxyOptions("127.0.0.1", 1)
    setattr(options, attribute, value)
    error = HttpClientConnection.new("127.0.0.1", 1, proxy_options=options).exception(20)
    assert type(error) is TypeError and str(error) == message


@pytest.mark.parametrize("port", [-1, 2**32, 2**80])
def test_port_out_of_range(port):
    assert type(proxied(port, 80).exception(20)) is OverflowError


def test_unknown_kind():
    error = proxied(1, 80, connection_type=17).exception(20)
    assert type(error) is RuntimeError and str(error).startswith("37 (AWS_ERROR_UNIMPLEMENTED)")


def test_forwarding_cannot_carry_tls():
    tls = ClientTlsContext(TlsContextOptions()).new_connection_options()
    error = proxied(1, 443, tls=tls, connection_type=FORWARD).exception(20)
    assert type(error) is RuntimeError and str(error).startswith("38 (AWS_ERROR_INVALID_STATE)")


def test_missing_attribute():
    options = HttpProxyOptions("127.0.0.1", 1)
    del options.auth_type
    assert isinstance(HttpClientConnection.new("127.0.0.1", 1, proxy_options=options).exception(20), AttributeError)


@pytest.mark.parametrize("attribute", ["host_name", "auth_username", "auth_password"])
def test_nul_is_refused(attribute):
    options = HttpProxyOptions("127.0.0.1", 1, auth_type=BASIC, auth_username="u", auth_password="p")
    setattr(options, attribute, "one\0two")
    error = HttpClientConnection.new("127.0.0.1", 1, proxy_options=options).exception(20)
    assert type(error) is ValueError and str(error) == f"HttpProxyOptions.{attribute} contains NUL"


class ComputedOptions(HttpProxyOptions):
    """Every attribute is made anew when it is asked for, and the one before is overwritten in memory."""

    def __init__(self, port, on_read=lambda: None):
        self.proxy_port = port
        self.on_read = on_read
        self.litter = []

    def compute(self, text):
        self.on_read()
        self.litter = [("x" * len(text)).encode().decode() for _ in range(50)]
        return text.encode().decode()

    host_name = property(lambda self: self.compute("127.0.0.1"))
    port = property(lambda self: self.proxy_port)
    tls_connection_options = property(lambda self: None)
    auth_type = property(lambda self: BASIC)
    auth_username = property(lambda self: self.compute("user" * 20))
    auth_password = property(lambda self: self.compute("pass" * 20))
    connection_type = property(lambda self: TUNNEL)


def test_computed_attributes(tunnel_proxy, answering, exchange):
    options = ComputedOptions(tunnel_proxy.port)
    connection = HttpClientConnection.new("127.0.0.1", answering.port, proxy_options=options).result(20)
    credentials = base64.b64encode(b"user" * 20 + b":" + b"pass" * 20)
    assert b"\r\nProxy-Authorization: Basic " + credentials + b"\r\n" in tunnel_proxy.heads[0]
    assert exchange(connection).status() == 200
    connection.close().result(20)


def test_tls_options_that_change_while_they_are_used(tunnel_proxy, nginx, tls_certs):
    """The names that were set when the call began count."""
    context_options = TlsContextOptions()
    context_options.override_default_trust_store_from_path(None, tls_certs.ca_path)
    tls = ClientTlsContext(context_options).new_connection_options()
    tls.set_server_name("localhost")
    tls.set_alpn_list(["http/1.1"])

    def rename():
        tls.set_server_name("other.example" * 10)
        tls.set_alpn_list(["x" * 100])

    options = ComputedOptions(tunnel_proxy.port, rename)
    connection = HttpClientConnection.new(
        "127.0.0.1", nginx.tls_port, proxy_options=options, tls_connection_options=tls
    ).result(20)
    connection.close().result(20)
