"""The embedded S3 endpoint, seen through http.client: what S3 is strict about, the log, and injected faults."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import ssl
import zlib
from xml.etree import ElementTree

import pytest

from awscrt.testing.s3 import S3Endpoint

MIB = 1024 * 1024


class Client:
    """One connection, reconnected after each failure."""

    def __init__(self, endpoint, context=None):
        self._make = lambda: (
            http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=10)
            if context is None
            else http.client.HTTPSConnection("localhost", endpoint.port, timeout=10, context=context)
        )
        self._connection = self._make()

    def close(self):
        self._connection.close()

    def __call__(self, method, target, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self._connection.request(method, target, body=body, headers=headers)
            response = self._connection.getresponse()
            response.data = response.read()
        except BaseException:
            self._connection.close()
            self._connection = self._make()
            raise
        return response


@pytest.fixture
def endpoint():
    with S3Endpoint(allow_anonymous=True, min_part_size=4) as running:
        yield running


@pytest.fixture
def client(endpoint):
    connected = Client(endpoint)
    yield connected
    connected.close()


def elements(data):
    """Text of every element of a document by local name; the last one wins."""
    return {e.tag.rpartition("}")[2]: e.text for e in ElementTree.fromstring(data).iter()}


def code_of(response):
    return response.status, elements(response.data)["Code"]


# ---- objects ----


def test_put_get_head_delete(endpoint, client):
    put = client("PUT", "/test-bucket/dir/k%20ey", b"hello", Content_Type="text/plain", x_amz_meta_color="blue")
    assert (put.status, put.getheader("ETag")) == (200, f'"{hashlib.md5(b"hello").hexdigest()}"')
    assert endpoint.keys("test-bucket") == ["dir/k ey"]

    got = client("GET", "/test-bucket/dir/k%20ey")
    assert (got.status, got.data) == (200, b"hello")
    assert (got.getheader("Content-Type"), got.getheader("x-amz-meta-color")) == ("text/plain", "blue")
    head = client("HEAD", "/test-bucket/dir/k%20ey")
    assert (head.status, head.data, head.getheader("Content-Length")) == (200, b"", "5")

    assert client("DELETE", "/test-bucket/dir/k%20ey").status == 204
    assert code_of(client("GET", "/test-bucket/dir/k%20ey")) == (404, "NoSuchKey")
    assert code_of(client("GET", "/other/key")) == (404, "NoSuchBucket")


@pytest.mark.parametrize("host", ["test-bucket.localhost", "test-bucket.s3.us-east-1.amazonaws.com"])
def test_virtual_host_names_the_bucket(endpoint, client, host):
    assert client("PUT", "/a/b", b"x", Host=f"{host}:80").status == 200
    assert endpoint.get_object("test-bucket", "a/b") == b"x"


@pytest.mark.parametrize(
    "asked, status, content_range, data",
    [
        ("bytes=0-3", 206, "bytes 0-3/10", b"0123"),
        ("bytes=8-", 206, "bytes 8-9/10", b"89"),
        ("bytes=8-100", 206, "bytes 8-9/10", b"89"),
        ("bytes=-3", 206, "bytes 7-9/10", b"789"),
        ("bytes=-100", 206, "bytes 0-9/10", b"0123456789"),
        ("bytes=0-1,3-4", 200, None, b"0123456789"),
        ("bytes=5-2", 200, None, b"0123456789"),
    ],
)
def test_ranges(endpoint, client, asked, status, content_range, data):
    endpoint.put_object("test-bucket", "k", b"0123456789")
    got = client("GET", "/test-bucket/k", Range=asked)
    assert (got.status, got.getheader("Content-Range"), got.data) == (status, content_range, data)


@pytest.mark.parametrize("size, asked", [(10, "bytes=10-"), (10, "bytes=-0"), (0, "bytes=0-99")])
def test_range_outside_the_object_tells_its_size(endpoint, client, size, asked):
    endpoint.put_object("test-bucket", "k", b"x" * size)
    got = client("GET", "/test-bucket/k", Range=asked)
    assert code_of(got) == (416, "InvalidRange")
    assert got.getheader("Content-Type") == "application/xml"
    assert elements(got.data)["ActualObjectSize"] == str(size)


def test_conditions(endpoint, client):
    etag = client("PUT", "/test-bucket/k", b"x").getheader("ETag")
    assert client("GET", "/test-bucket/k", If_Match=etag).status == 200
    assert code_of(client("GET", "/test-bucket/k", If_Match='"other"')) == (412, "PreconditionFailed")
    assert client("GET", "/test-bucket/k", If_None_Match=etag).status == 304
    assert code_of(client("PUT", "/test-bucket/k", b"y", If_None_Match="*")) == (412, "PreconditionFailed")


def test_large_object_survives_unchanged_in_memory_and_spooled(tmp_path):
    data = os.urandom(3 * MIB + 17)
    for options in ({}, {"spool_directory": str(tmp_path)}):
        with S3Endpoint(allow_anonymous=True, **options) as endpoint:
            client = Client(endpoint)
            assert client("PUT", "/test-bucket/k", data).status == 200
            assert client("GET", "/test-bucket/k").data == data
            assert client("GET", "/test-bucket/k", Range="bytes=100000-2999999").data == data[100000:3000000]
            assert endpoint.get_object("test-bucket", "k") == data


def test_list_objects_pages_and_groups(endpoint, client):
    for key in ("a", "dir/1", "dir/2", "z"):
        endpoint.put_object("test-bucket", key, b"")
    first = elements(client("GET", "/test-bucket?list-type=2&delimiter=/&max-keys=2").data)
    assert (first["KeyCount"], first["IsTruncated"], first["Prefix"]) == ("2", "true", "dir/")
    token = first["NextContinuationToken"]
    second = elements(client("GET", f"/test-bucket?list-type=2&delimiter=/&max-keys=2&continuation-token={token}").data)
    assert (second["KeyCount"], second["IsTruncated"], second["Key"]) == ("1", "false", "z")


def test_chunked_transfer_coding(endpoint, client):
    sent = client("PUT", "/test-bucket/k", iter([b"ab", b"c" * 100000]), Content_Length="100002")
    assert sent.status == 200
    refused = client("PUT", "/test-bucket/k2", iter([b"ab", b"c"]))  # http.client chooses chunked
    assert code_of(refused) == (411, "MissingContentLength")


# ---- checksums ----

HELLO = {
    "crc32": base64.b64encode(zlib.crc32(b"hello").to_bytes(4, "big")).decode(),
    "sha1": base64.b64encode(hashlib.sha1(b"hello").digest()).decode(),
    "sha256": base64.b64encode(hashlib.sha256(b"hello").digest()).decode(),
}


@pytest.mark.parametrize("name", sorted(HELLO))
def test_checksum_header_is_verified_and_returned(client, name):
    header = f"x-amz-checksum-{name}"
    assert client("PUT", "/test-bucket/k", b"hello", **{header: HELLO[name]}).getheader(header) == HELLO[name]
    assert code_of(client("PUT", "/test-bucket/k2", b"hellO", **{header: HELLO[name]})) == (400, "BadDigest")
    assert client("GET", "/test-bucket/k").getheader(header) is None
    got = client("GET", "/test-bucket/k", x_amz_checksum_mode="ENABLED")
    assert (got.getheader(header), got.getheader("x-amz-checksum-type")) == (HELLO[name], "FULL_OBJECT")


def put_trailer(client, target, chunks, trailer, decoded):
    encoded = b"".join(b"%X\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n" + trailer + b"\r\n\r\n"
    return client(
        "PUT",
        target,
        encoded,
        Content_Encoding="gzip,aws-chunked",
        x_amz_trailer="x-amz-checksum-crc32",
        x_amz_decoded_content_length=str(decoded),
        x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    )


@pytest.mark.parametrize("chunks", [[b"hello"], [b"he", b"llo"], []])
def test_trailer_checksum_is_decoded_and_verified(endpoint, client, chunks):
    payload = b"".join(chunks)
    value = base64.b64encode(zlib.crc32(payload).to_bytes(4, "big"))
    assert put_trailer(client, "/test-bucket/k", chunks, b"x-amz-checksum-crc32:" + value, len(payload)).status == 200
    assert endpoint.get_object("test-bucket", "k") == payload
    got = client("GET", "/test-bucket/k", x_amz_checksum_mode="ENABLED")
    assert (got.getheader("Content-Encoding"), got.getheader("x-amz-checksum-crc32")) == ("gzip", value.decode())


@pytest.mark.parametrize(
    "trailer, decoded, code",
    [
        (b"x-amz-checksum-crc32:AAAAAA==", 5, "BadDigest"),
        (b"x-amz-checksum-sha1:AAAA", 5, "MalformedTrailerError"),
        (b"x-amz-checksum-crc32:" + HELLO["crc32"].encode(), 6, "IncompleteBody"),
    ],
)
def test_trailer_that_lies_is_refused(client, trailer, decoded, code):
    assert code_of(put_trailer(client, "/test-bucket/k", [b"hello"], trailer, decoded)) == (400, code)


def test_content_md5_is_verified(client):
    good = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    assert client("PUT", "/test-bucket/k", b"x", Content_MD5=good).status == 200
    assert code_of(client("PUT", "/test-bucket/k", b"y", Content_MD5=good)) == (400, "BadDigest")


# ---- multipart ----


def upload_parts(client, parts, create=(), **part_headers):
    created = client("POST", "/test-bucket/big?uploads", **dict(create))
    upload = elements(created.data)["UploadId"]
    target = f"/test-bucket/big?uploadId={upload}"
    etags = [
        client("PUT", f"{target}&partNumber={n}", data, **part_headers).getheader("ETag")
        for n, data in enumerate(parts, 1)
    ]
    return target, etags


def complete(client, target, etags, extra="", **headers):
    rows = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag>{extra}</Part>" for n, e in enumerate(etags, 1))
    xml = f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{rows}</CompleteMultipartUpload>'
    return client("POST", target, xml.encode(), **headers)


def test_multipart_upload_assembles_the_parts(endpoint, client):
    parts = [b"aaaa", b"bbbbb", b"c"]
    target, etags = upload_parts(client, parts)
    listed = client("GET", f"{target}&max-parts=2")
    assert elements(listed.data)["NextPartNumberMarker"] == "2"
    done = complete(client, target, etags, x_amz_mp_object_size="10")
    expected = hashlib.md5(b"".join(hashlib.md5(p).digest() for p in parts)).hexdigest()
    assert (done.status, elements(done.data)["ETag"]) == (200, f'"{expected}-3"')
    assert endpoint.get_object("test-bucket", "big") == b"aaaabbbbbc"
    second = client("GET", "/test-bucket/big?partNumber=2")
    assert (second.status, second.data, second.getheader("Content-Range")) == (206, b"bbbbb", "bytes 4-8/10")
    assert second.getheader("x-amz-mp-parts-count") == "3"
    assert endpoint.open_uploads() == []


def test_multipart_upload_refuses_what_s3_refuses(endpoint, client):
    target, etags = upload_parts(client, [b"aaaa", b"bbbb"])
    assert code_of(complete(client, target, ['"bad"', etags[1]])) == (400, "InvalidPart")
    assert code_of(complete(client, target, etags, x_amz_mp_object_size="9")) == (400, "InvalidRequest")
    rows = [f"<Part><PartNumber>{n}</PartNumber><ETag>{etags[n - 1]}</ETag></Part>" for n in (2, 1)]
    swapped = f"<CompleteMultipartUpload>{''.join(rows)}</CompleteMultipartUpload>"
    assert code_of(client("POST", target, swapped.encode())) == (400, "InvalidPartOrder")
    assert code_of(client("POST", target, b"<X>")) == (400, "MalformedXML")
    small, small_etags = upload_parts(client, [b"aaa", b"b"])
    assert code_of(complete(client, small, small_etags)) == (400, "EntityTooSmall")
    assert client("DELETE", target).status == 204
    assert code_of(client("DELETE", target)) == (404, "NoSuchUpload")


def test_composite_checksum_of_a_multipart_upload(client):
    crcs = [zlib.crc32(p).to_bytes(4, "big") for p in (b"aaaa", b"bb")]
    values = [base64.b64encode(c).decode() for c in crcs]
    target, _ = upload_parts(client, [], create={"x_amz_checksum_algorithm": "CRC32"})
    assert code_of(client("PUT", f"{target}&partNumber=1", b"aaaa")) == (400, "InvalidRequest")
    etags = [
        client("PUT", f"{target}&partNumber={n}", data, x_amz_checksum_crc32=value).getheader("ETag")
        for n, (data, value) in enumerate(zip((b"aaaa", b"bb"), values), 1)
    ]
    assert code_of(complete(client, target, etags)) == (400, "InvalidRequest")
    rows = "".join(
        f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag><ChecksumCRC32>{v}</ChecksumCRC32></Part>"
        for n, (e, v) in enumerate(zip(etags, values), 1)
    )
    assert client("POST", target, f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()).status == 200
    got = client("HEAD", "/test-bucket/big", x_amz_checksum_mode="enabled")
    composite = base64.b64encode(zlib.crc32(b"".join(crcs)).to_bytes(4, "big")).decode() + "-2"
    assert got.getheader("x-amz-checksum-crc32") == composite
    assert got.getheader("x-amz-checksum-type") == "COMPOSITE"
    part = client("GET", "/test-bucket/big", Range="bytes=4-5", x_amz_checksum_mode="enabled")
    assert part.getheader("x-amz-checksum-crc32") == values[1]


def test_full_object_checksum_of_a_multipart_upload(client):
    options = {"x_amz_checksum_algorithm": "CRC32", "x_amz_checksum_type": "FULL_OBJECT"}
    target, etags = upload_parts(client, [b"aaaa", b"bb"], create=options)
    assert code_of(complete(client, target, etags, x_amz_checksum_crc32="AAAAAA==")) == (400, "BadDigest")
    whole = base64.b64encode(zlib.crc32(b"aaaabb").to_bytes(4, "big")).decode()
    assert elements(complete(client, target, etags, x_amz_checksum_crc32=whole).data)["ChecksumCRC32"] == whole


# ---- log, counters, process ----


def test_log_tells_what_was_asked_and_answered(endpoint, client):
    client("PUT", "/test-bucket/k?x=1&y=a%20b", b"hello", X_Own="kept")
    client("GET", "/test-bucket/none")
    put, get = endpoint.requests()
    assert (put.operation, put.bucket, put.key, put.status, put.body) == (
        "PutObject",
        "test-bucket",
        "k",
        200,
        b"hello",
    )
    assert (put.header("x-own"), put.query) == ("kept", {"x": "1", "y": "a b"})
    assert (get.status, get.error_code, get.connection) == (404, "NoSuchKey", put.connection)
    assert endpoint.requests("GetObject") == [get]
    counted = endpoint.statistics()
    assert (counted.connections, counted.max_in_flight, counted.bytes_received) == (1, 1, 5)
    endpoint.reset()
    assert endpoint.requests() == []
    assert endpoint.get_object("test-bucket", "k") == b"hello"


def test_unsigned_request_is_refused_by_default():
    with S3Endpoint() as endpoint:
        assert code_of(Client(endpoint)("GET", "/test-bucket/k")) == (403, "AccessDenied")


def test_endpoint_in_a_process_of_its_own():
    endpoint = S3Endpoint.start_process(allow_anonymous=True, buckets=["b"])
    try:
        assert endpoint.pid != os.getpid()
        endpoint.put_object("b", "k", b"\x00\xff", checksums=["CRC32"])
        endpoint.fail_next(status=418, body=b"\xfe")
        client = Client(endpoint)
        assert (client("GET", "/b/k").status, client("GET", "/b/k").data) == (418, b"\x00\xff")
        assert [r.status for r in endpoint.requests()] == [418, 200]
        assert (endpoint.get_object("b", "k"), endpoint.get_object("b", "none")) == (b"\x00\xff", None)
    finally:
        endpoint.close()
        endpoint.close()
    with pytest.raises(RuntimeError, match="not running"):
        endpoint.requests()


def test_port_that_is_taken_is_reported(endpoint):
    with pytest.raises(OSError):
        S3Endpoint(port=endpoint.port).start()
    with pytest.raises(RuntimeError, match="OSError"):
        S3Endpoint.start_process(port=endpoint.port)


def test_tls(tls_certs):
    options = {"certificate": tls_certs.server.certificate, "private_key": tls_certs.server.private_key}
    with S3Endpoint(allow_anonymous=True, **options) as endpoint:
        assert endpoint.url.startswith("https://")
        client = Client(endpoint, ssl.create_default_context(cafile=tls_certs.ca_path))
        data = os.urandom(MIB)
        assert client("PUT", "/test-bucket/k", data).status == 200
        assert client("GET", "/test-bucket/k").data == data


def test_session_credentials_of_s3_express(endpoint, client):
    session = elements(client("GET", "/?session", Host="test-bucket.s3express-use1-az4.us-east-1.amazonaws.com").data)
    assert set(session) >= {"SessionToken", "SecretAccessKey", "AccessKeyId", "Expiration"}


# ---- faults ----


def test_fault_status_replaces_the_operation_once(endpoint, client):
    endpoint.fail_next(operation="PutObject", status=503, code="SlowDown", set_headers={"Retry-After": "1"})
    failed = client("PUT", "/test-bucket/k", b"x")
    assert (code_of(failed), failed.getheader("Retry-After")) == ((503, "SlowDown"), "1")
    assert endpoint.keys("test-bucket") == []
    assert client("PUT", "/test-bucket/k", b"x").status == 200


def test_fault_matches_by_range_key_and_count(endpoint, client):
    endpoint.put_object("test-bucket", "k", b"0123456789")
    endpoint.fail_next(2, key="k", range_start=5, skip=1, status=500)
    statuses = [
        client("GET", "/test-bucket/k", Range=r).status
        for r in ["bytes=5-", "bytes=0-", "bytes=5-", "bytes=5-", "bytes=5-"]
    ]
    assert statuses == [206, 206, 500, 500, 206]


def test_fault_changes_the_answer(endpoint, client):
    endpoint.put_object("test-bucket", "k", b"\x00\x00")
    endpoint.fail_next(drop_headers=["ETag"], corrupt=1)
    got = client("GET", "/test-bucket/k")
    assert (got.getheader("ETag"), got.data) == (None, b"\x00\xff")


def test_fault_breaks_the_connection(endpoint, client):
    data = bytes(2 * MIB)
    endpoint.put_object("test-bucket", "k", data)
    endpoint.fail_next(close=True)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        client("GET", "/test-bucket/k")
    endpoint.fail_next(close_after=MIB)
    with pytest.raises(http.client.IncompleteRead) as caught:
        client("GET", "/test-bucket/k")
    assert len(caught.value.partial) == MIB
    endpoint.fail_next(close_in_request=MIB)
    with pytest.raises(ConnectionError):
        client("PUT", "/test-bucket/k2", bytes(64 * MIB))
    assert endpoint.keys("test-bucket") == ["k"]


def test_fault_stalls_until_the_client_leaves(endpoint):
    endpoint.put_object("test-bucket", "k", b"0123456789")
    for fault in ({"stall": True}, {"stall_after": 4}):
        endpoint.fail_next(**fault)
        impatient = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=0.2)
        impatient.request("GET", "/test-bucket/k")
        with pytest.raises(OSError):
            impatient.getresponse().read()
        impatient.close()


def test_fault_paces_the_answer(endpoint, client):
    endpoint.put_object("test-bucket", "k", bytes(1000))
    endpoint.fail_next(bytes_per_second=20000.0)
    assert client("GET", "/test-bucket/k").data == bytes(1000)
    client("HEAD", "/test-bucket/k")  # on the same connection: the paced answer has ended
    (paced,) = endpoint.requests("GetObject")
    assert (paced.status, paced.bytes_sent) == (200, 1000)
    assert paced.ended > paced.started


def test_unknown_fault_is_a_type_error(endpoint):
    with pytest.raises(TypeError):
        endpoint.fail_next(no_such_fault=1)
