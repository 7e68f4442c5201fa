"""The operations of the test endpoint: requests in, responses out, no sockets."""

from __future__ import annotations

import base64
import re
import secrets
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple
from urllib.parse import quote
from xml.sax.saxutils import escape

from awscrt.testing import _checksums
from awscrt.testing._errors import S3Error
from awscrt.testing._http import Request, Response
from awscrt.testing._objects import Part, StoredObject, Upload, finish_upload, md5, stored_headers
from awscrt.testing._sigv4 import Credentials
from awscrt.testing._storage import Body

_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")
_SERVICE_HOST = re.compile(r"(?P<bucket>.+)\.s3(express)?[.-].+$")


@dataclass(frozen=True)
class Call:
    """A request understood: which operation on what."""

    operation: str
    bucket: str
    key: str
    part_number: Optional[int]
    range_start: Optional[int]


def _text(name: str, value: object) -> str:
    return f"<{name}>{escape(str(value))}</{name}>"


def _xml(root: str, inner: str, status: int = 200) -> Response:
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{root}>'
    return Response(status, [("Content-Type", "application/xml")], Body.of(document.encode()))


def error_response(error: S3Error, request: Request) -> Response:
    """The response for an error; HEAD gets the headers only."""
    document = error.document()
    headers = [("Content-Type", "application/xml")]
    if request.method == "HEAD":
        return Response(error.status, headers, length=len(document))
    return Response(error.status, headers, Body.of(document))


def split_host(host: str, path: str, domain: str) -> Tuple[str, str]:
    """Bucket and key of a request, virtual-host style or path style."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    bucket = ""
    if name.endswith("." + domain):
        bucket = name[: -len(domain) - 1]
    else:
        match = _SERVICE_HOST.match(name)
        bucket = match.group("bucket") if match else ""
    if bucket:
        return bucket, path[1:]
    bucket, _, key = path[1:].partition("/")
    return bucket, key


def _operation(method: str, bucket: str, key: str, query: Dict[str, str]) -> str:
    if not bucket:
        return "ListBuckets" if method == "GET" else "Unknown"
    if not key:
        if method == "GET" and "session" in query:
            return "CreateSession"
        names = {"GET": "ListObjectsV2", "PUT": "CreateBucket", "HEAD": "HeadBucket"}
        return names.get(method, "Unknown")
    if "uploadId" in query:
        names = {
            "PUT": "UploadPart",
            "POST": "CompleteMultipartUpload",
            "DELETE": "AbortMultipartUpload",
            "GET": "ListParts",
        }
        return names.get(method, "Unknown")
    if method == "POST" and "uploads" in query:
        return "CreateMultipartUpload"
    names = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
    return names.get(method, "Unknown")


def _integer(text: str, name: str) -> int:
    if not text.isdigit():
        raise S3Error(400, "InvalidArgument", f"{name} must be a number, not {text!r}")
    return int(text)


class Service:
    """Buckets and what is in them.

    :param min_part_size: bytes below which a part may only be the last one
    :param domain: hosts ``<bucket>.<domain>`` name a bucket
    """

    def __init__(
        self, buckets: Sequence[str], credentials: Dict[str, Credentials], min_part_size: int, domain: str
    ) -> None:
        self.buckets: Dict[str, Dict[str, StoredObject]] = {name: {} for name in buckets}
        self.uploads: Dict[str, Upload] = {}
        self.credentials = credentials
        self._min_part_size = min_part_size
        self._domain = domain
        self._handlers: Dict[str, Callable[[Call, Request], Response]] = {
            "ListBuckets": self._list_buckets,
            "CreateBucket": self._create_bucket,
            "HeadBucket": self._head_bucket,
            "CreateSession": self._create_session,
            "ListObjectsV2": self._list_objects,
            "GetObject": self._get_object,
            "HeadObject": self._get_object,
            "PutObject": self._put_object,
            "DeleteObject": self._delete_object,
            "CreateMultipartUpload": self._create_upload,
            "UploadPart": self._upload_part,
            "CompleteMultipartUpload": self._complete_upload,
            "AbortMultipartUpload": self._abort_upload,
            "ListParts": self._list_parts,
        }

    def understand(self, request: Request) -> Call:
        """Names the operation from the request's head."""
        bucket, key = split_host(request.headers.get("host", ""), request.path, self._domain)
        number = request.query.get("partNumber", "")
        match = _RANGE.match(request.headers.get("range", ""))
        start = int(match.group(1)) if match and match.group(1) else None
        operation = _operation(request.method, bucket, key, request.query)
        return Call(operation, bucket, key, int(number) if number.isdigit() else None, start)

    def prepare(self, call: Call, request: Request) -> None:
        """Decodes and checks a large upload; may run on any thread."""
        if call.operation in ("PutObject", "UploadPart"):
            try:
                request.prepared = _receive(request)
            except S3Error as error:
                request.prepared = error

    def perform(self, call: Call, request: Request) -> Response:
        """Raises S3Error for what S3 answers with an error document."""
        handler = self._handlers.get(call.operation)
        if handler is None:
            raise S3Error(
                501, "NotImplemented", f"{request.method} {request.target} is not implemented by this endpoint"
            )
        return handler(call, request)

    # ---- buckets ----

    def _bucket(self, call: Call) -> Dict[str, StoredObject]:
        try:
            return self.buckets[call.bucket]
        except KeyError:
            details = {"BucketName": call.bucket}
            raise S3Error(404, "NoSuchBucket", "The specified bucket does not exist", details) from None

    def _list_buckets(self, call: Call, request: Request) -> Response:
        names = "".join(f"<Bucket>{_text('Name', name)}</Bucket>" for name in sorted(self.buckets))
        return _xml("ListAllMyBucketsResult", f"<Buckets>{names}</Buckets>")

    def _create_bucket(self, call: Call, request: Request) -> Response:
        self.buckets.setdefault(call.bucket, {})
        return Response(200, [("Location", f"/{call.bucket}")])

    def _head_bucket(self, call: Call, request: Request) -> Response:
        self._bucket(call)
        return Response(200)

    def _create_session(self, call: Call, request: Request) -> Response:
        self._bucket(call)
        made = Credentials("ASIA" + secrets.token_hex(8).upper(), secrets.token_hex(20), secrets.token_hex(32))
        self.credentials[made.access_key_id] = made
        expiration = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 300))
        inner = (
            _text("SessionToken", made.session_token)
            + _text("SecretAccessKey", made.secret_access_key)
            + _text("AccessKeyId", made.access_key_id)
            + _text("Expiration", expiration)
        )
        return _xml("CreateSessionResult", f"<Credentials>{inner}</Credentials>")

    def _list_objects(self, call: Call, request: Request) -> Response:
        bucket, query = self._bucket(call), request.query
        if query.get("list-type") != "2":
            raise S3Error(501, "NotImplemented", "Only ListObjectsV2 (list-type=2) is implemented by this endpoint")
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        limit = min(_integer(query.get("max-keys", "1000"), "max-keys"), 1000)
        token = query.get("continuation-token")
        after = base64.b64decode(token).decode() if token else query.get("start-after", "")
        encode: Callable[[str], str] = quote if query.get("encoding-type") == "url" else str
        contents: List[str] = []
        prefixes: List[str] = []
        last, truncated = after, False
        for key in sorted(bucket):
            group = (
                key[: key.find(delimiter, len(prefix)) + len(delimiter)]
                if delimiter in key[len(prefix) :] and delimiter
                else ""
            )
            if not key.startswith(prefix) or key <= after or (group and (group <= after or group in prefixes)):
                continue
            if len(contents) + len(prefixes) == limit:
                truncated = True
                break
            if group:
                prefixes.append(group)
            else:
                contents.append(_list_entry(encode(key), bucket[key]))
            last = group or key
        inner = _text("Name", call.bucket) + _text("Prefix", encode(prefix)) + _text("MaxKeys", limit)
        inner += _text("KeyCount", len(contents) + len(prefixes)) + _text("IsTruncated", str(truncated).lower())
        if encode is quote:
            inner += _text("EncodingType", "url")
        if truncated:
            inner += _text("NextContinuationToken", base64.b64encode(last.encode()).decode())
        inner += "".join(contents)
        inner += "".join(f"<CommonPrefixes>{_text('Prefix', encode(p))}</CommonPrefixes>" for p in prefixes)
        return _xml("ListBucketResult", inner)

    # ---- objects ----

    def _object(self, call: Call) -> StoredObject:
        try:
            return self._bucket(call)[call.key]
        except KeyError:
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.", {"Key": call.key}) from None

    def _get_object(self, call: Call, request: Request) -> Response:
        found = self._object(call)
        headers = [
            ("Last-Modified", found.last_modified),
            ("ETag", found.etag),
            ("Accept-Ranges", "bytes"),
            *((name, value) for name, value in found.headers.items()),
        ]
        if "content-type" not in found.headers:
            headers.append(("Content-Type", "binary/octet-stream"))
        if not _matches(request.headers.get("if-match"), found.etag, default=True):
            raise _precondition_failed("If-Match")
        if _matches(request.headers.get("if-none-match"), found.etag, default=False):
            return Response(304, headers)
        start, length, partial = _range_of(found, call, request)
        if partial:
            headers.append(("Content-Range", f"bytes {start}-{start + length - 1}/{found.body.length}"))
        if call.part_number is not None and found.parts:
            headers.append(("x-amz-mp-parts-count", str(len(found.parts))))
        if request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            values = found.checksums_of_range(start, length)
            headers += [(_checksums.HEADER_PREFIX + name.lower(), value) for name, value in values.items()]
            if values:
                headers.append(("x-amz-checksum-type", found.checksum_type))
        status = 206 if partial else 200
        if request.method == "HEAD":
            return Response(status, headers, length=length)
        return Response(status, headers, found.body.slice(start, length))

    def _put_object(self, call: Call, request: Request) -> Response:
        bucket = self._bucket(call)
        if "x-amz-copy-source" in request.headers:
            raise S3Error(501, "NotImplemented", "CopyObject is not implemented by this endpoint")
        self._check_absent(call, request)
        part = _received(request)
        made = StoredObject(part.body, part.etag, stored_headers(request.headers), part.checksums)
        bucket[call.key] = made
        return Response(200, [("ETag", made.etag), *_checksum_headers(made.checksums)])

    def _check_absent(self, call: Call, request: Request) -> None:
        if request.headers.get("if-none-match") == "*" and call.key in self._bucket(call):
            raise _precondition_failed("If-None-Match")

    def _delete_object(self, call: Call, request: Request) -> Response:
        self._bucket(call).pop(call.key, None)
        return Response(204)

    # ---- multipart uploads ----

    def _upload(self, call: Call, request: Request) -> Upload:
        upload = self.uploads.get(request.query["uploadId"])
        if upload is None or upload.key != call.key:
            message = "The specified upload does not exist: its ID is invalid, or it was aborted or completed."
            raise S3Error(404, "NoSuchUpload", message)
        return upload

    def _create_upload(self, call: Call, request: Request) -> Response:
        self._bucket(call)
        algorithm = request.headers.get("x-amz-checksum-algorithm", "").upper() or None
        default = "FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE"
        kind = request.headers.get("x-amz-checksum-type", default).upper()
        if kind == "FULL_OBJECT" and algorithm is not None and algorithm not in _checksums.FULL_OBJECT_ALGORITHMS:
            message = f"The FULL_OBJECT checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
            raise S3Error(400, "InvalidRequest", message)
        upload_id = secrets.token_urlsafe(32)
        self.uploads[upload_id] = Upload(call.key, stored_headers(request.headers), algorithm, kind)
        inner = _text("Bucket", call.bucket) + _text("Key", call.key) + _text("UploadId", upload_id)
        response = _xml("InitiateMultipartUploadResult", inner)
        if algorithm is not None:
            response.headers += [("x-amz-checksum-algorithm", algorithm), ("x-amz-checksum-type", kind)]
        return response

    def _upload_part(self, call: Call, request: Request) -> Response:
        upload = self._upload(call, request)
        number = call.part_number
        if number is None or not 1 <= number <= 10000:
            raise S3Error(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
        part = _received(request)
        if upload.algorithm is not None and upload.algorithm not in part.checksums:
            if upload.checksum_type == "COMPOSITE":
                sent = ", ".join(part.checksums) or "null"
                message = f"Checksum Type mismatch occurred, expected: {upload.algorithm}, actual: {sent}"
                raise S3Error(400, "InvalidRequest", message)
        upload.parts[number] = part
        return Response(200, [("ETag", part.etag), *_checksum_headers(part.checksums)])

    def _complete_upload(self, call: Call, request: Request) -> Response:
        upload = self._upload(call, request)
        self._check_absent(call, request)
        made = finish_upload(upload, _listed_parts(upload, bytes(request.body)), self._min_part_size)
        size = request.headers.get("x-amz-mp-object-size")
        if size is not None and _integer(size, "x-amz-mp-object-size") != made.body.length:
            message = f"The provided 'x-amz-mp-object-size' {size} is not the size of the parts: {made.body.length}"
            raise S3Error(400, "InvalidRequest", message)
        for algorithm, claimed in _checksums.value_headers(request.headers).items():
            if made.checksums.get(algorithm, claimed) != claimed:
                raise S3Error(400, "BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")
        self._bucket(call)[call.key] = made
        del self.uploads[request.query["uploadId"]]
        inner = _text("Location", f"/{call.bucket}/{call.key}") + _text("Bucket", call.bucket) + _text("Key", call.key)
        inner += _text("ETag", made.etag)
        inner += "".join(_text(f"Checksum{name}", value) for name, value in made.checksums.items())
        if made.checksums:
            inner += _text("ChecksumType", made.checksum_type)
        return _xml("CompleteMultipartUploadResult", inner)

    def _abort_upload(self, call: Call, request: Request) -> Response:
        self._upload(call, request)
        del self.uploads[request.query["uploadId"]]
        return Response(204)

    def _list_parts(self, call: Call, request: Request) -> Response:
        upload = self._upload(call, request)
        limit = min(_integer(request.query.get("max-parts", "1000"), "max-parts"), 1000)
        marker = _integer(request.query.get("part-number-marker", "0"), "part-number-marker")
        rest = [number for number in sorted(upload.parts) if number > marker]
        page = rest[:limit]
        inner = _text("Bucket", call.bucket) + _text("Key", call.key) + _text("UploadId", request.query["uploadId"])
        inner += _text("MaxParts", limit) + _text("IsTruncated", str(len(rest) > len(page)).lower())
        if len(rest) > len(page):
            inner += _text("NextPartNumberMarker", page[-1] if page else marker)
        for number in page:
            part = upload.parts[number]
            values = "".join(_text(f"Checksum{name}", value) for name, value in part.checksums.items())
            entry = _text("PartNumber", number) + _text("ETag", part.etag) + _text("Size", part.body.length) + values
            inner += f"<Part>{entry}</Part>"
        return _xml("ListPartsResult", inner)


def _precondition_failed(condition: str) -> S3Error:
    message = "At least one of the pre-conditions you specified did not hold"
    return S3Error(412, "PreconditionFailed", message, {"Condition": condition})


def _matches(condition: Optional[str], etag: str, *, default: bool) -> bool:
    if condition is None:
        return default
    return condition == "*" or etag.strip('"') in [c.strip().strip('"') for c in condition.split(",")]


def _range_of(found: StoredObject, call: Call, request: Request) -> Tuple[int, int, bool]:
    """Start, length, and whether the answer is partial (RFC 9110 section 14; several ranges are ignored as S3 does)."""
    size = found.body.length
    match = _RANGE.match(request.headers.get("range", ""))
    if call.part_number is not None:
        if match is not None:
            raise S3Error(400, "InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
        start, length = found.part_range(call.part_number)
        return start, length, size > 0
    if match is None or match.groups() == ("", ""):
        return 0, size, False
    first, last = match.groups()
    if first == "":
        length = min(int(last), size)
        start = size - length
    else:
        start = int(first)
        if last and int(last) < start:
            return 0, size, False
        length = min(int(last) + 1 if last else size, size) - start
    if length <= 0:
        details = {"RangeRequested": request.headers["range"], "ActualObjectSize": str(size)}
        raise S3Error(416, "InvalidRange", "The requested range is not satisfiable", details)
    return start, length, True


def _checksum_headers(values: Dict[str, str]) -> List[Tuple[str, str]]:
    return [(_checksums.HEADER_PREFIX + name.lower(), value) for name, value in values.items()]


def _list_entry(key: str, found: StoredObject) -> str:
    modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(found.modified))
    inner = (
        _text("Key", key)
        + _text("LastModified", modified)
        + _text("ETag", found.etag)
        + _text("Size", found.body.length)
    )
    return f"<Contents>{inner}{_text('StorageClass', 'STANDARD')}</Contents>"


def _received(request: Request) -> Part:
    """The decoded and checked body, unless that has been done already."""
    if isinstance(request.prepared, S3Error):
        raise request.prepared
    return request.prepared if isinstance(request.prepared, Part) else _receive(request)


def _receive(request: Request) -> Part:
    """Decodes and checks an uploaded body."""
    body, headers = request.body, request.headers
    trailers: Dict[str, str] = {}
    if "aws-chunked" in headers.get("content-encoding", "") or "STREAMING-" in headers.get("x-amz-content-sha256", ""):
        body, trailers = _checksums.decode_aws_chunked(body)
        length = headers.get("x-amz-decoded-content-length")
        if length is None:
            raise S3Error(411, "MissingContentLength", "You must provide the x-amz-decoded-content-length HTTP header.")
        if _integer(length, "x-amz-decoded-content-length") != body.length:
            raise S3Error(
                400, "IncompleteBody", f"The body has {body.length} bytes, x-amz-decoded-content-length says {length}"
            )
        announced = [n.strip().lower() for n in headers.get("x-amz-trailer", "").split(",") if n.strip()]
        if announced != list(trailers):
            raise S3Error(
                400,
                "MalformedTrailerError",
                f"x-amz-trailer announces {announced}, the body ends with {list(trailers)}",
            )
    elif "content-length" not in headers:
        raise S3Error(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    digest = md5(body)
    claimed = headers.get("content-md5")
    if claimed is not None and claimed != base64.b64encode(digest).decode():
        raise S3Error(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
    values = {**_checksums.value_headers(headers), **_checksums.value_headers(trailers)}
    _checksums.verify(values, body)
    return Part(body, digest, values)


def _listed_parts(upload: Upload, document: bytes) -> List[Tuple[int, str]]:
    """Part numbers and ETags of a CompleteMultipartUpload document; its checksums must be the parts'."""
    try:
        root = ElementTree.fromstring(document)
        rows: List[Dict[str, Any]] = [{c.tag.rpartition("}")[2]: c.text or "" for c in part} for part in root]
        listed = [(int(row["PartNumber"]), str(row["ETag"]).strip()) for row in rows]
    except (ElementTree.ParseError, KeyError, ValueError):
        raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed") from None
    for row, (number, _) in zip(rows, listed):
        known = upload.parts[number].checksums if number in upload.parts else {}
        for name, value in row.items():
            if name.startswith("Checksum") and known.get(name[len("Checksum") :]) != value:
                raise S3Error(400, "InvalidPart", f"{name} of part {number} does not match what was uploaded.")
        if (
            upload.algorithm is not None
            and upload.checksum_type == "COMPOSITE"
            and f"Checksum{upload.algorithm}" not in row
        ):
            message = f"The upload was created with {upload.algorithm}: list the checksum of each part."
            raise S3Error(400, "InvalidRequest", message)
    return listed
