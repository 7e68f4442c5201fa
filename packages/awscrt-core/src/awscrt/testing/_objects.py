"""What the test endpoint stores: buckets, objects, multipart uploads, and their S3 arithmetic."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Dict, List, Mapping, Optional, Tuple

from awscrt.testing import _checksums
from awscrt.testing._errors import S3Error
from awscrt.testing._storage import Body

# Request headers that are stored with the object and returned with it.
_STORED_HEADERS = ("content-type", "content-disposition", "content-language", "cache-control", "expires")


def stored_headers(headers: Mapping[str, str]) -> Dict[str, str]:
    """The metadata of an upload: system headers, user metadata, and the content coding without aws-chunked."""
    kept = {n: v for n, v in headers.items() if n in _STORED_HEADERS or n.startswith("x-amz-meta-")}
    codings = [c.strip() for c in headers.get("content-encoding", "").split(",")]
    coding = ",".join(c for c in codings if c and c != "aws-chunked")
    if coding:
        kept["content-encoding"] = coding
    return kept


def md5(body: Body) -> bytes:
    """MD5 as the ETag of a part or a whole object uses it."""
    digest = hashlib.md5()
    for view in body.views():
        digest.update(view)
    return digest.digest()


@dataclass
class Part:
    """An uploaded part, or a part of a finished object."""

    body: Body
    md5: bytes
    checksums: Dict[str, str] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        return f'"{self.md5.hex()}"'


@dataclass
class StoredObject:
    """An object. ``parts`` is empty unless it came from a multipart upload."""

    body: Body
    etag: str
    headers: Dict[str, str] = field(default_factory=dict)
    checksums: Dict[str, str] = field(default_factory=dict)
    checksum_type: str = "FULL_OBJECT"
    parts: List[Part] = field(default_factory=list)
    modified: float = field(default_factory=time.time)

    @property
    def last_modified(self) -> str:
        return formatdate(self.modified, usegmt=True)

    def part_range(self, number: int) -> Tuple[int, int]:
        """Start and length of a part."""
        if not self.parts:
            if number == 1:
                return 0, self.body.length
        elif number <= len(self.parts):
            return sum(p.body.length for p in self.parts[: number - 1]), self.parts[number - 1].body.length
        raise S3Error(416, "InvalidPartNumber", "The requested partnumber is not satisfiable")

    def checksums_of_range(self, start: int, length: int) -> Dict[str, str]:
        """Checksums S3 can tell for a range: the whole object's, or those of exactly one part."""
        if start == 0 and length == self.body.length:
            return self.checksums
        at = 0
        for part in self.parts:
            if at == start and part.body.length == length:
                return part.checksums
            at += part.body.length
        return {}


@dataclass
class Upload:
    """A multipart upload in progress."""

    key: str
    headers: Dict[str, str]
    algorithm: Optional[str]
    checksum_type: str
    parts: Dict[int, Part] = field(default_factory=dict)


def finish_upload(upload: Upload, listed: List[Tuple[int, str]], min_part_size: int) -> StoredObject:
    """Assembles an object from the parts named by CompleteMultipartUpload.

    :param listed: part number and ETag, as the request lists them
    """
    if not listed:
        raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed or lists no parts.")
    if [n for n, _ in listed] != sorted({n for n, _ in listed}):
        raise S3Error(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
    parts: List[Part] = []
    for number, etag in listed:
        part = upload.parts.get(number)
        if part is None or part.etag.strip('"') != etag.strip('"'):
            raise S3Error(400, "InvalidPart", f"Part {number} was not uploaded, or its ETag does not match.")
        parts.append(part)
    if any(part.body.length < min_part_size for part in parts[:-1]):
        raise S3Error(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
    body = Body([segment for part in parts for segment in part.body.segments])
    etag = f'"{hashlib.md5(b"".join(p.md5 for p in parts)).hexdigest()}-{len(parts)}"'
    checksums = _whole_checksums(upload, parts, body)
    return StoredObject(body, etag, upload.headers, checksums, upload.checksum_type, parts)


def _whole_checksums(upload: Upload, parts: List[Part], body: Body) -> Dict[str, str]:
    algorithm = upload.algorithm
    if algorithm is None:
        return {}
    if upload.checksum_type == "FULL_OBJECT":
        return {algorithm: _checksums.encoded(_checksums.digest(algorithm, body))}
    raw = b"".join(base64.b64decode(p.checksums.get(algorithm, "")) for p in parts)
    return {algorithm: f"{_checksums.encoded(_checksums.digest(algorithm, Body.of(raw)))}-{len(parts)}"}
