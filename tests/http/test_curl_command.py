"""``python -m awscrt curl``."""

import threading

import pytest

from awscrt._curl_command import COMMAND
from awscrt.testing.client_server import Script


@pytest.fixture
def url(scripted_server):
    release = threading.Event()
    yield f"http://127.0.0.1:{scripted_server(Script(release)).port}"
    release.set()


@pytest.fixture
def curl(capfdbinary):
    """``curl(*arguments)``: exit status, standard output, standard error."""
    import argparse

    def run(*arguments):
        parser = argparse.ArgumentParser()
        COMMAND.configure(parser)
        status = COMMAND.run(parser.parse_args(["--noproxy", *map(str, arguments)]))
        out, err = capfdbinary.readouterr()
        return status, out, err.decode()

    return run


def test_the_body_is_printed(curl, url):
    assert curl(url) == (0, b"connection 0", "")


def test_head_and_timing_when_asked(curl, url):
    status, out, err = curl(url + "/json", "-i", "--timing")
    assert status == 0
    assert out.startswith(b"Http1_1 200\r\n") and b"application/json\r\n" in out and out.endswith(b'{"a": [1, 2]}')
    assert "first byte" in err and "13 bytes" in err


def test_method_headers_and_data(curl, url, tmp_path):
    _, head, _ = curl(url + "/head", "-X", "PUT", "-H", "X-A: 1", "-d", "text")
    assert head.startswith(b"PUT /head ") and b"X-A: 1\r\n" in head and b"Content-Length: 4\r\n" in head
    (tmp_path / "body").write_bytes(b"from a file")
    assert curl(url + "/echo", "-d", f"@{tmp_path / 'body'}")[1] == b"from a file"


def test_output_and_decoding(curl, url, tmp_path):
    assert curl(url + "/gzip", "--compressed", "-o", tmp_path / "out") == (0, b"", "")
    assert (tmp_path / "out").read_bytes() == b"x" * 100000 + b"y"


def test_redirections_and_bad_statuses(curl, url):
    assert curl(url + "/to/302/!json")[1] == b"moved"
    assert curl(url + "/to/302/!json", "-L")[1] == b'{"a": [1, 2]}'
    assert curl(url + "/to/404/x", "-f")[0] == 22


def test_tls(curl, nginx, tls_certs):
    nginx.add_file("curl.txt", b"over TLS")
    target = f"https://localhost:{nginx.tls_port}/curl.txt"
    assert curl(target)[0] == 1
    assert curl(target, "--cacert", tls_certs.ca_path, "-i")[1].startswith(b"Http2 200\r\n")
    assert curl(target, "-k", "--http1.1", "-i")[1].startswith(b"Http1_1 200\r\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["ftp://x/"],
        ["http://127.0.0.1:1/"],
        ["{url}", "-H", "nothing"],
        ["{url}", "--cert", "a"],
        ["{url}", "-d", "@/none"],
    ],
)
def test_failures_are_told(curl, url, arguments):
    status, out, err = curl(*[argument.format(url=url) for argument in arguments])
    assert status == 1 and out == b"" and err.startswith("awscrt curl: ")


def test_a_deadline(curl, url):
    status, _, err = curl(url + "/hold", "-m", "0.05")
    assert status == 1 and "AWS_IO_SOCKET_TIMEOUT" in err


def test_it_is_a_command_of_the_package():
    from awscrt import _http_plugin

    assert "curl" in [command.name for command in _http_plugin.awscrt_commands()]
