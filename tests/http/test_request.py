"""HttpRequest: nothing is checked before it is sent."""

import gc
import io
import weakref

import pytest

from awscrt.http import HttpHeaders, HttpMessageBase, HttpRequest
from awscrt.io import InputStream


def test_defaults():
    request = HttpRequest()
    assert (request.method, request.path, list(request.headers), request.body_stream) == ("GET", "/", [], None)
    assert isinstance(request, HttpMessageBase)


def test_method_and_path_take_any_text():
    request = HttpRequest("BAD METHOD", "/ü\n")
    assert (request.method, request.path) == ("BAD METHOD", "/ü\n")
    request.method = "PUT"
    request.path = "/x" * 1000
    assert (request.method, request.path) == ("PUT", "/x" * 1000)


def test_empty_text_reads_back_as_none():
    request = HttpRequest("", "")
    assert request.method is None and request.path is None


@pytest.mark.parametrize("value", [None, 1, b"GET"])
def test_method_and_path_must_be_str(value):
    request = HttpRequest()
    with pytest.raises(TypeError):
        request.method = value
    with pytest.raises(TypeError):
        request.path = value
    with pytest.raises(TypeError):
        HttpRequest(value)


def test_headers_are_one_object():
    headers = HttpHeaders([("a", "1")])
    request = HttpRequest(headers=headers)
    assert request.headers is headers
    with pytest.raises(AttributeError):
        request.headers = HttpHeaders()
    fresh = HttpRequest()
    assert fresh.headers is fresh.headers and type(fresh.headers) is HttpHeaders


@pytest.mark.parametrize("headers", [[("a", "1")], {}, "a"])
def test_headers_must_be_httpheaders(headers):
    with pytest.raises(AssertionError):
        HttpRequest(headers=headers)


def test_body_stream_wraps_anything_readable():
    raw = io.BytesIO(b"x")
    wrapped = InputStream(raw)
    request = HttpRequest(body_stream=wrapped)
    assert request.body_stream is wrapped
    request.body_stream = raw
    assert isinstance(request.body_stream, InputStream) and request.body_stream is not wrapped
    request.body_stream = io.StringIO("accepted here, refused when read")


@pytest.mark.parametrize("stream", [None, "text", b"bytes", 1])
def test_body_stream_needs_read(stream):
    request = HttpRequest()
    with pytest.raises(TypeError, match="^I/O stream type expected$"):
        request.body_stream = stream


@pytest.mark.parametrize("falsy", [None, "", b"", 0])
def test_falsy_body_is_no_body(falsy):
    assert HttpRequest(body_stream=falsy).body_stream is None


def test_unfinished_request_is_refused():
    request = HttpRequest.__new__(HttpRequest)
    for name in ("method", "path", "headers"):
        with pytest.raises(TypeError):
            getattr(request, name)
    assert request.body_stream is None


def test_second_init_starts_over():
    request = HttpRequest("PUT", "/a", body_stream=io.BytesIO(b"x"))
    request.__init__("GET", "/b")
    assert (request.method, request.path, request.body_stream) == ("GET", "/b", None)


def test_cycle_is_collected():
    class Mine(HttpRequest):
        pass

    request = Mine()
    request.self = request
    reference = weakref.ref(request)
    del request
    gc.collect()
    assert reference() is None


def test_nothing_leaks(no_native_leak):
    for _ in range(10):
        HttpRequest("PUT", "/x" * 500, HttpHeaders([("a", "b" * 1000)]), io.BytesIO(b"x"))
