"""``python -m awscrt curl URL``: one request from the command line."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from awscrt.plugins import Command

if TYPE_CHECKING:
    import argparse

    from awscrt.http import HttpResponse
    from awscrt.io import ClientTlsContext

__all__ = ["COMMAND"]


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL")
    parser.add_argument("-X", "--request", metavar="METHOD", help="default: GET, or POST with --data")
    parser.add_argument("-H", "--header", action="append", default=[], metavar="NAME: VALUE")
    parser.add_argument("-d", "--data", metavar="TEXT", help="request body; @FILE sends a file, @- standard input")
    parser.add_argument("-i", "--include", action="store_true", help="show status and headers as well")
    parser.add_argument("-o", "--output", metavar="FILE", help="where the body goes; default: standard output")
    parser.add_argument("-f", "--fail", action="store_true", help="a status of 400 or more is a failure")
    parser.add_argument("-L", "--location", action="store_true", help="follow up to 10 redirections")
    parser.add_argument("--compressed", action="store_true", help="ask for a compressed body, and decode it")
    parser.add_argument("--http1.1", dest="http1", action="store_true", help="do not offer HTTP/2")
    parser.add_argument("--http2-prior-knowledge", action="store_true", help="HTTP/2 without TLS")
    parser.add_argument("-x", "--proxy", metavar="URL", help="default: what the environment names")
    parser.add_argument("--noproxy", action="store_true", help="ignore the environment's proxies")
    parser.add_argument("--cacert", metavar="FILE", help="trust these authorities instead of the system's")
    parser.add_argument("--cert", metavar="FILE", help="client certificate, PEM; needs --key")
    parser.add_argument("--key", metavar="FILE", help="private key of --cert")
    parser.add_argument("-k", "--insecure", action="store_true", help="do not check the server's certificate")
    parser.add_argument("-m", "--max-time", type=float, metavar="SECONDS", help="for all of it")
    parser.add_argument("--connect-timeout", type=float, metavar="SECONDS")
    parser.add_argument("--timing", action="store_true", help="tell on standard error how long it took")


def _headers(lines: List[str]) -> List[Tuple[str, str]]:
    pairs = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"a header is NAME: VALUE, not {line!r}")
        pairs.append((name, value.strip()))
    return pairs


def _body(data: Optional[str]) -> Any:
    if data is None or not data.startswith("@"):
        return None if data is None else data.encode()
    return sys.stdin.buffer.read() if data == "@-" else open(data[1:], "rb")  # noqa: SIM115  (_run closes it)


def _tls(arguments: argparse.Namespace) -> Optional[ClientTlsContext]:
    from awscrt.io import ClientTlsContext, TlsContextOptions

    if (arguments.cert is None) != (arguments.key is None):
        raise ValueError("--cert and --key belong together")
    if arguments.cert is not None:
        options = TlsContextOptions.create_client_with_mtls_from_path(arguments.cert, arguments.key)
    elif arguments.cacert is None and not arguments.insecure:
        return None
    else:
        options = TlsContextOptions()
    if arguments.cacert is not None:
        options.override_default_trust_store_from_path(None, arguments.cacert)
    options.verify_peer = not arguments.insecure
    return ClientTlsContext(options)


def _write(response: HttpResponse, arguments: argparse.Namespace) -> int:
    """Head and body to where they shall go; gives the bytes of the body."""
    size = 0
    output = sys.stdout.buffer if arguments.output is None else open(arguments.output, "wb")  # noqa: SIM115
    try:
        if arguments.include:
            lines = [f"{response.version.name} {response.status}", *(f"{n}: {v}" for n, v in response.headers), "", ""]
            output.write("\r\n".join(lines).encode())
        for piece in response:
            output.write(piece)
            size += len(piece)
        output.flush()
    finally:
        if arguments.output is not None:
            output.close()
    return size


def _exchange(arguments: argparse.Namespace, options: Dict[str, Any], body: Any) -> int:
    from awscrt.http import HttpClient, HttpTimeouts

    began = time.perf_counter()
    timeout = HttpTimeouts(connect=arguments.connect_timeout, total=arguments.max_time)
    with HttpClient(timeout=timeout, **options) as client:
        response = client.request(
            arguments.request or ("GET" if body is None else "POST"),
            arguments.url,
            headers=_headers(arguments.header),
            body=body,
            redirects=10 if arguments.location else 0,
            decode=arguments.compressed,
        )
        head = time.perf_counter()
        size = _write(response, arguments)
    if arguments.timing:
        total = time.perf_counter()
        print(
            f"first byte {head - began:.6f} s, total {total - began:.6f} s, {size} bytes, {response.version.name}",
            file=sys.stderr,
        )
    return 22 if arguments.fail and response.status >= 400 else 0


def _run(arguments: argparse.Namespace) -> int:
    from awscrt.exceptions import AwsCrtError

    body: Any = None
    try:
        options = {
            "tls": _tls(arguments),
            "proxy": arguments.proxy,
            "trust_env": not arguments.noproxy,
            "http2": not arguments.http1,
            "prior_knowledge": arguments.http2_prior_knowledge,
        }
        body = _body(arguments.data)
        return _exchange(arguments, options, body)
    except (AwsCrtError, OSError, RuntimeError, ValueError) as error:
        print(f"awscrt curl: {error}", file=sys.stderr)
        return 1
    finally:
        if hasattr(body, "close"):
            body.close()


COMMAND = Command("curl", "send an HTTP request and print the response", _configure, _run)
