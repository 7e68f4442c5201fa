"""Connections over TLS."""

from awscrt.http import HttpClientConnection, HttpVersion
from awscrt.io import ClientTlsContext, TlsContextOptions


def client_options(ca_path=None, alpn=None, server_name=None, timeout_ms=None):
    options = TlsContextOptions()
    if ca_path:
        options.override_default_trust_store_from_path(None, ca_path)
    connection_options = ClientTlsContext(options).new_connection_options()
    if alpn:
        connection_options.set_alpn_list(alpn)
    if server_name:
        connection_options.set_server_name(server_name)
    return connection_options


def failure(port, options, host="localhost"):
    return HttpClientConnection.new(host, port, tls_connection_options=options).exception(30)


def test_exchange(nginx, tls_certs, connect, exchange):
    data = b"secret" * 200_000
    nginx.add_file("http-tls", data)
    options = client_options(tls_certs.ca_path)
    connection = connect(nginx.tls_port, host_name="localhost", tls_connection_options=options)
    assert connection.version is HttpVersion.Http1_1
    for _ in range(3):
        got = exchange(connection, path="/http-tls", headers=[("Host", "localhost")])
        assert got.status() == 200 and got.body == data
    assert connection.close().result(20) is None


def test_alpn_http11(nginx, tls_certs, connect):
    options = client_options(tls_certs.ca_path, alpn=["http/1.1"])
    connection = connect(nginx.tls_port, host_name="localhost", tls_connection_options=options)
    assert connection.version is HttpVersion.Http1_1


def test_untrusted(nginx):
    error = failure(nginx.tls_port, client_options())
    assert error.name == "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE"
    assert "localhost" in error.message and str(nginx.tls_port) in error.message


def test_wrong_host(nginx, tls_certs):
    error = failure(nginx.tls_port, client_options(tls_certs.ca_path, server_name="other.example"))
    assert error.name == "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE"


def test_peer_closes_during_the_handshake(scripted_server, tls_certs):
    server = scripted_server(lambda peer: peer.receive_exactly(1))
    assert failure(server.port, client_options(tls_certs.ca_path)).name == "AWS_IO_SOCKET_CLOSED"


def test_cut_off_body_is_an_error(scripted_server, tls_certs, connect, exchange):
    context = tls_certs.authority.server_context(tls_certs.server)

    def script(peer):
        peer.receive_until(b"\r\n\r\n")
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    options = client_options(tls_certs.ca_path)
    connection = connect(scripted_server(script, context).port, host_name="localhost", tls_connection_options=options)
    got = exchange(connection)
    assert got.failure().name == "AWS_IO_SOCKET_CLOSED"


def test_nothing_leaks(nginx, tls_certs, exchange, no_native_leak):
    nginx.add_file("http-tls-small", b"x")
    options = client_options(tls_certs.ca_path)
    for _ in range(3):
        connection = HttpClientConnection.new("localhost", nginx.tls_port, tls_connection_options=options).result(20)
        assert exchange(connection, path="/http-tls-small").status() == 200
        connection.close().result(20)
    assert failure(nginx.tls_port, client_options()) is not None
