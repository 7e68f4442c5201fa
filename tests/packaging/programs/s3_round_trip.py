"""Uploads and downloads an object: s3_round_trip.py AUTHORITY ACCESS_KEY SECRET_KEY SIZE; prints what came back."""

import hashlib
import os
import sys
import tempfile

from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType

authority, access_key, secret_key, size = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
provider = AwsCredentialsProvider.new_static(access_key, secret_key)
client = S3Client(
    region="us-east-1", credential_provider=provider, tls_mode=S3RequestTlsMode.DISABLED, part_size=5 << 20
)
data = os.urandom(size)

with tempfile.TemporaryDirectory() as directory:
    source, target = os.path.join(directory, "source"), os.path.join(directory, "target")
    with open(source, "wb") as file:
        file.write(data)
    put = HttpRequest("PUT", "/test-bucket/key", HttpHeaders([("Host", authority), ("Content-Length", str(size))]))
    client.make_request(type=S3RequestType.PUT_OBJECT, request=put, send_filepath=source).finished_future.result(60)
    get = HttpRequest("GET", "/test-bucket/key", HttpHeaders([("Host", authority)]))
    client.make_request(type=S3RequestType.GET_OBJECT, request=get, recv_filepath=target).finished_future.result(60)
    with open(target, "rb") as file:
        same = hashlib.sha256(file.read()).digest() == hashlib.sha256(data).digest()
print("same" if same else "different")
