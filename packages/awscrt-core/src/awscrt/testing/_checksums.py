"""Checksums of S3 uploads and the aws-chunked content coding that carries them as trailers.

Sources: "Checking object integrity" and "Signature calculations: transferring a payload in multiple chunks"
in the Amazon S3 documentation.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import Callable, Dict, List, Tuple

from awscrt.testing._errors import S3Error
from awscrt.testing._storage import Body, Segment

HEADER_PREFIX = "x-amz-checksum-"
# Composite values of multipart uploads are a hash over the parts' hashes; these can cover the whole object too.
FULL_OBJECT_ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME")


def _crc(body: Body, function: Callable[..., int], size: int) -> bytes:
    value = 0
    for view in body.views():
        value = function(view, value)
    return value.to_bytes(size, "big")


def _hash(body: Body, name: str) -> bytes:
    digest = hashlib.new(name)
    for view in body.views():
        digest.update(view)
    return digest.digest()


def digest(algorithm: str, body: Body) -> bytes:
    """The raw checksum of a body. Algorithms beyond the standard library's come from ``awscrt.checksums``."""
    if algorithm == "CRC32":
        return _crc(body, zlib.crc32, 4)
    if algorithm in ("SHA1", "SHA256", "SHA512"):
        return _hash(body, algorithm.lower())
    if algorithm in ("CRC32C", "CRC64NVME"):
        from awscrt import checksums

        return _crc(body, checksums.crc32c, 4) if algorithm == "CRC32C" else _crc(body, checksums.crc64nvme, 8)
    raise S3Error(400, "InvalidRequest", f"Checksum algorithm {algorithm!r} is not supported.")


def encoded(raw: bytes) -> str:
    """Base64, as headers and XML carry checksums."""
    return base64.b64encode(raw).decode()


def value_headers(headers: Dict[str, str]) -> Dict[str, str]:
    """The checksum values among headers or trailers, as algorithm -> base64."""
    control = ("type", "mode", "algorithm")
    names = [n for n in headers if n.startswith(HEADER_PREFIX) and n[len(HEADER_PREFIX) :] not in control]
    return {n[len(HEADER_PREFIX) :].upper(): headers[n] for n in names}


def verify(values: Dict[str, str], body: Body) -> None:
    """Compares claimed checksums with the body."""
    if len(values) > 1:
        raise S3Error(400, "InvalidRequest", "Expecting a single x-amz-checksum- header.")
    for algorithm, claimed in values.items():
        if encoded(digest(algorithm, body)) != claimed:
            raise S3Error(400, "BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


def _line(view: memoryview, start: int) -> Tuple[bytes, int]:
    """The line at ``start`` without its CRLF, and the place after it."""
    window = bytes(view[start : start + 8192])
    end = window.find(b"\r\n")
    if end < 0:
        raise S3Error(400, "IncompleteBody", "The aws-chunked body ends in the middle of a line.")
    return window[:end], start + end + 2


def decode_aws_chunked(wire: Body) -> Tuple[Body, Dict[str, str]]:
    """The payload of an aws-chunked body, sharing its memory, and the trailers by lower-case name."""
    if len(wire.segments) != 1:
        raise S3Error(400, "IncompleteBody", "The request body is empty but aws-chunked.")
    whole = wire.segments[0]
    view = whole.view
    segments: List[Segment] = []
    at = 0
    while True:
        line, at = _line(view, at)
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise S3Error(400, "InvalidRequest", f"Not a chunk size: {line[:32]!r}") from None
        if size == 0:
            break
        if at + size + 2 > whole.length or bytes(view[at + size : at + size + 2]) != b"\r\n":
            raise S3Error(400, "IncompleteBody", "An aws-chunked chunk is shorter than its size line says.")
        segments.append(Segment(whole.blob, whole.start + at, size))
        at += size + 2
    trailers: Dict[str, str] = {}
    while at < whole.length:
        line, at = _line(view, at)
        if not line:
            break
        name, _, value = line.decode("latin-1").partition(":")
        trailers[name.strip().lower()] = value.strip()
    return Body(segments), trailers
