"""The server of the client tests: what it does stands in the path of the request."""

from __future__ import annotations

import gzip
import threading
import zlib
from typing import List

from awscrt.testing.scripted import Peer

__all__ = ["Script", "answer"]

_HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"


def answer(body: bytes = b"", *lines: bytes, status: bytes = b"200 OK") -> bytes:
    """A complete response."""
    head = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def _body(peer: Peer, head: bytes) -> bytes:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return peer.receive_exactly(int(line.split(b":")[1]))
        if line == b"transfer-encoding: chunked":
            body = b""
            while True:
                size = int(peer.receive_until(b"\r\n"), 16)
                body += peer.receive_exactly(size + 2)[:-2]
                if size == 0:
                    return body
    return b""


class Script:
    """Plays for one connection after the other; ``release`` lets the paths below /hold go on."""

    def __init__(self, release: threading.Event) -> None:
        self.release = release
        self.seen: List[str] = []  #: request lines

    def __call__(self, peer: Peer) -> None:
        drops_next = False
        try:
            while True:
                head = peer.receive_until(b"\r\n\r\n")
                body = _body(peer, head)
                self.seen.append(head.split(b"\r\n")[0].decode())
                path = head.split(b" ")[1].decode()
                if drops_next:
                    return
                drops_next = path == "/stale"
                if path == "/hold":
                    self.release.wait(20)
                elif path == "/half":
                    peer.send(_HALF)
                    peer.receive_all()
                    return
                elif path == "/cut":
                    peer.send(_HALF)
                    return
                peer.send(self.response(path, head, body, peer))
        except (EOFError, ConnectionError):
            pass

    @staticmethod
    def response(path: str, head: bytes, body: bytes, peer: Peer) -> bytes:
        if path == "/echo":
            return answer(body)
        if path == "/head":
            return answer(head)
        if path == "/json":
            return answer(b'{"a": [1, 2]}', b"Content-Type: application/json")
        if path == "/latin":
            return answer("é".encode("latin-1"), b"Content-Type: text/plain; charset=latin-1")
        if path == "/gzip":
            return answer(gzip.compress(b"x" * 100000) + gzip.compress(b"y"), b"Content-Encoding: gzip")
        if path == "/deflate":
            return answer(zlib.compress(b"z" * 1000), b"Content-Encoding: deflate")
        if path == "/bare-deflate":
            return answer(zlib.compress(b"z" * 1000)[2:-4], b"Content-Encoding: deflate")
        if path == "/bad-gzip":
            return answer(b"not compressed", b"Content-Encoding: gzip")
        if path == "/short-gzip":
            return answer(gzip.compress(b"x" * 1000)[:-9], b"Content-Encoding: gzip")
        if path == "/large":
            return answer(bytes(5_000_000))
        if path == "/trailers":
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nSum: 7\r\n\r\n"
        if path.startswith("/to/"):
            _, _, status, target = path.split("/", 3)
            return answer(b"moved", b"Location: " + target.replace("!", "/").encode(), status=f"{status} x".encode())
        return answer(b"connection %d" % peer.number)
