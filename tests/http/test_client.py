"""awscrt.http.HttpClient: requests over a pool of connections, for threads."""

import gc
import io
import threading

import pytest

from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpClient, HttpProxyOptions, HttpTimeouts, HttpVersion
from awscrt.io import ClientTlsContext, TlsContextOptions
from awscrt.testing.client_server import Script
from awscrt.testing.servers import Nghttpd


@pytest.fixture
def release():
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def script(release):
    return Script(release)


@pytest.fixture
def server(scripted_server, script):
    return scripted_server(script)


@pytest.fixture
def url(server):
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture
def client():
    with HttpClient(trust_env=False) as made:
        yield made


def test_a_response_has_head_and_body(client, url):
    with client.request("GET", url + "/json") as response:
        assert response.status == 200
        assert response.headers.get("content-type") == "application/json"
        assert response.version is HttpVersion.Http1_1
        assert response.url == url + "/json"
        assert response.json() == {"a": [1, 2]}


def test_connections_are_kept(client, url):
    assert {client.request("GET", url).read() for _ in range(4)} == {b"connection 0"}
    assert client.stats.opened == 1 and client.stats.reused == 3


def test_many_threads_share_the_limit(url, server):
    with HttpClient(trust_env=False, max_connections_per_origin=2) as client:
        results = [client.submit("GET", url) for _ in range(40)]
        assert {future.result(20).read() for future in results} <= {b"connection 0", b"connection 1"}
    assert server.connections <= 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"some bytes",
        lambda: bytearray(b"some bytes"),
        lambda: memoryview(b"some bytes"),
        lambda: io.BytesIO(b"some bytes"),
        lambda: [b"some ", b"", b"bytes"],
        lambda: (piece for piece in (b"some ", b"bytes")),
    ],
    ids=["bytes", "bytearray", "memoryview", "file", "list", "generator"],
)
def test_bodies(client, url, make):
    assert client.request("POST", url + "/echo", body=make()).read() == b"some bytes"


def test_a_str_is_no_body(client, url):
    with pytest.raises(TypeError, match="encode"):
        client.request("POST", url, body="text")


def test_headers_are_added_or_replaced(client, url):
    head = client.request("GET", url + "/head", headers={"X-A": "1", "Host": "other"}).read()
    assert b"X-A: 1\r\n" in head and b"Host: other\r\n" in head and head.count(b"Host:") == 1
    head = client.request("POST", url + "/head", headers=[("X-A", "1"), ("X-A", "2")]).read()
    assert head.count(b"X-A") == 2 and b"Content-Length: 0" in head


def test_reading_in_pieces(client, url):
    response = client.request("GET", url + "/large")
    assert len(response.read(10)) == 10
    assert len(response.read(1_000_000)) == 1_000_000
    buffer = bytearray(7)
    assert response.readinto(buffer) == 7
    assert sum(map(len, response)) == 5_000_000 - 1_000_017
    assert response.read() == b"" and response.readinto(buffer) == 0


def test_text_knows_the_charset(client, url):
    assert client.request("GET", url + "/latin").text() == "é"


def test_trailers(client, url):
    response = client.request("GET", url + "/trailers")
    assert response.read() == b"hi"
    assert response.trailers == [("Sum", "7")]


@pytest.mark.parametrize(
    "path, body", [("/gzip", b"x" * 100000 + b"y"), ("/deflate", b"z" * 1000), ("/bare-deflate", b"z" * 1000)]
)
def test_decoding_is_asked_for(client, url, path, body):
    assert client.request("GET", url + path, decode=True).read() == body
    assert client.request("GET", url + path).read() != body
    assert b"Accept-Encoding" not in client.request("GET", url + "/head").read()
    assert b"Accept-Encoding: gzip, deflate" in client.request("GET", url + "/head", decode=True).read()


@pytest.mark.parametrize("path", ["/bad-gzip", "/short-gzip"])
def test_what_cannot_be_decoded_is_an_error(client, url, path):
    with pytest.raises(ValueError, match="response body"):
        client.request("GET", url + path, decode=True).read()


def test_a_body_that_is_cut_is_an_error(client, url):
    response = client.request("GET", url + "/cut")
    with pytest.raises(AwsCrtError):
        response.read()


def test_redirections_are_followed_when_asked(client, url, server):
    assert client.request("GET", url + "/to/302/!json").status == 302
    response = client.request("GET", url + "/to/302/!json", redirects=1)
    assert response.status == 200 and response.url == url + "/json"
    assert client.request("GET", url + "/to/302/!to!302!!!json", redirects=1).status == 302
    posted = client.request("POST", url + "/to/307/!echo", body=b"again", redirects=2)
    assert posted.read() == b"again"
    seen = client.request("POST", url + "/to/303/!head", body=b"gone", redirects=2).read()
    assert seen.startswith(b"GET ") and b"Content-Length" not in seen


def test_a_body_that_was_read_is_not_sent_to_another_place(client, url):
    assert client.request("POST", url + "/to/307/!echo", body=iter([b"once"]), redirects=3).status == 307


def test_secrets_stay_with_their_origin(client, url, server):
    other = f"http:!!localhost:{server.port}!head"
    headers = {"Authorization": "secret", "Cookie": "a=b", "X-Kept": "1"}
    assert b"secret" in client.request("GET", url + "/to/302/!head", headers=headers, redirects=1).read()
    head = client.request("GET", url + "/to/302/" + other, headers=headers, redirects=1).read()
    assert b"secret" not in head and b"Cookie" not in head and b"X-Kept" in head


def test_a_redirection_to_elsewhere_is_an_error(client, url):
    with pytest.raises(ValueError, match="not an http or https URL"):
        client.request("GET", url + "/to/302/ftp:!!host!", redirects=1)


def test_a_stale_connection_costs_nothing(client, url):
    client.request("GET", url + "/stale").read()
    assert client.request("GET", url).read() == b"connection 1"
    assert client.stats.retried == 1


@pytest.mark.parametrize("options", [{"retry": False}, {"method": "POST"}])
def test_what_may_not_be_repeated_fails(client, url, options):
    client.request("GET", url + "/stale").read()
    with pytest.raises(AwsCrtError):
        client.request(options.pop("method", "GET"), url, **options)
    assert client.stats.retried == 0


def test_idle_connections_go(url, eventually):
    with HttpClient(trust_env=False, idle_timeout=0.02) as client:
        client.request("GET", url).read()
        eventually(lambda: client.stats.connections == 0)
        assert client.stats.culled == 1


def test_deadlines(client, url):
    with pytest.raises(AwsCrtError) as total:
        client.request("GET", url + "/hold", timeout=0.05)
    assert total.value.name == "AWS_IO_SOCKET_TIMEOUT"
    with pytest.raises(AwsCrtError) as first:
        client.request("GET", url + "/hold", timeout=HttpTimeouts(first_byte=0.05))
    assert first.value.name == "AWS_ERROR_HTTP_RESPONSE_FIRST_BYTE_TIMEOUT"


def test_the_line_is_bounded_and_has_an_end(url, eventually):
    options = {"max_connections_per_origin": 1, "max_waiting": 1, "acquire_timeout": 0.05}
    with HttpClient(trust_env=False, **options) as client:
        held = client.submit("GET", url + "/hold")
        eventually(lambda: client.stats.active == 1)
        waiting = client.submit("GET", url)
        with pytest.raises(AwsCrtError) as full:
            client.submit("GET", url)
        assert full.value.name == "AWS_ERROR_HTTP_CONNECTION_MANAGER_MAX_PENDING_ACQUISITIONS_EXCEEDED"
        assert waiting.exception(20).name == "AWS_ERROR_HTTP_CONNECTION_MANAGER_ACQUISITION_TIMEOUT"
        assert not held.done()


def test_cancelling_a_future_ends_its_request(client, url, eventually):
    future = client.submit("GET", url + "/hold")
    eventually(lambda: client.stats.active == 1)
    assert future.cancel()
    eventually(lambda: client.stats.connections == 0)


def test_a_response_that_nobody_reads_is_ended(client, url, eventually):
    response = client.request("GET", url + "/half")
    assert response.status == 200
    del response
    gc.collect()
    eventually(lambda: client.stats.active == 0)


def test_closing_ends_what_is_under_way(url):
    client = HttpClient(trust_env=False)
    held = client.submit("GET", url + "/hold")
    client.close()
    client.close()
    assert isinstance(held.exception(20), AwsCrtError)
    with pytest.raises(RuntimeError, match="closed"):
        client.request("GET", url)
    with pytest.raises(RuntimeError, match="closed"):
        client.stats  # noqa: B018


def test_waiting_on_an_event_loop_thread_is_refused(client, url):
    seen = []

    def read(future):
        try:
            future.result().read()
        except Exception as error:
            seen.append(error)

    future = client.submit("GET", url + "/half")
    future.add_done_callback(read)
    response = future.result(20)
    response.close()
    assert [type(error) for error in seen] in ([], [RuntimeError])  # [] when it was done before the callback was added


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/",
        "//host/",
        "http://",
        "http:///path",
        "http://user:pw@host/",
        "http://host:0/",
        "http://host:65536/",
        "http://host:x/",
        "http://host/a b",
        "http://host/\r\nX: y",
        "http://[::1/",
        "http://a\\b/",
    ],
)
def test_urls_that_are_not_accepted(client, url):
    with pytest.raises(ValueError):
        client.submit("GET", url)


def test_arguments_of_wrong_types(client, url):
    for bad in (None, 7, b"http://host/"):
        with pytest.raises(TypeError):
            client.submit("GET", bad)
    with pytest.raises((TypeError, AttributeError)):
        client.submit("GET", url, headers=7)
    with pytest.raises(TypeError):
        client.submit("GET", url, body=object())
    with pytest.raises(TypeError):
        client.submit(7, url)
    with pytest.raises((TypeError, ValueError)):
        client.submit("GET", url, timeout=-1)
    for options in ({"max_connections": 0}, {"max_waiting": -1}, {"idle_timeout": 0}, {"max_streams": 2**40}):
        with pytest.raises(ValueError):
            HttpClient(**options)
    with pytest.raises(ValueError):
        HttpClient(proxy="socks5://host")


def test_nobody_listening(client, server):
    with pytest.raises(AwsCrtError) as refused:
        client.request("GET", "http://127.0.0.1:1/")
    assert refused.value.name == "AWS_IO_SOCKET_CONNECTION_REFUSED"


def test_http2_by_alpn(nginx, tls_certs):
    nginx.add_file("pool.txt", b"over TLS")
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(None, tls_certs.ca_path)
    context = ClientTlsContext(options)
    target = f"https://localhost:{nginx.tls_port}/pool.txt"
    with HttpClient(tls=context, trust_env=False) as client:
        responses = [future.result(20) for future in [client.submit("GET", target) for _ in range(20)]]
        assert {response.version for response in responses} == {HttpVersion.Http2}
        assert {response.read() for response in responses} == {b"over TLS"}
        assert client.stats.opened == 1
    with HttpClient(tls=context, trust_env=False, http2=False) as client:
        assert client.request("GET", target).version is HttpVersion.Http1_1


def test_the_servers_limit_of_streams_is_kept():
    with Nghttpd(max_streams=3) as server:
        server.add_file("hello", b"hello")
        target = f"http://127.0.0.1:{server.port}/hello"
        with HttpClient(trust_env=False, prior_knowledge=True, max_connections_per_origin=2) as client:
            futures = [client.submit("GET", target) for _ in range(60)]
            assert {future.result(20).read() for future in futures} == {b"hello"}
            assert client.stats.opened <= 2


def test_a_server_that_is_not_trusted(nginx):
    with HttpClient(trust_env=False) as client, pytest.raises(AwsCrtError) as error:
        client.request("GET", f"https://localhost:{nginx.tls_port}/")
    assert "TLS" in error.value.name


@pytest.mark.parametrize("how", ["text", "options", "environment"])
def test_proxies(tinyproxy, url, server, monkeypatch, how):
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    proxy = {"text": f"http://127.0.0.1:{tinyproxy.port}", "options": HttpProxyOptions("127.0.0.1", tinyproxy.port)}
    if how == "environment":
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{tinyproxy.port}")
    with HttpClient(proxy=proxy.get(how)) as client:
        assert b"via: " in client.request("GET", url + "/head").read().lower()
    if how == "environment":
        monkeypatch.setenv("no_proxy", "127.0.0.0/8")
        with HttpClient() as client:
            assert b"via: " not in client.request("GET", url + "/head").read().lower()


def test_nothing_is_left_behind(no_native_leak, url):
    with HttpClient(trust_env=False) as client:
        for path in ("/", "/large", "/gzip", "/cut"):
            client.request("GET", url + path, decode=True)
        client.request("POST", url + "/echo", body=[b"a", b"b"]).read()
