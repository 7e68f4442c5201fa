"""Uploads a file and downloads it again: python s3_transfer.py ENDPOINT_HOST:PORT FILE COPY"""

import os
import sys

from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType, create_default_s3_signing_config

endpoint, source, copy = sys.argv[1:4]

provider = AwsCredentialsProvider.new_static(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
client = S3Client(
    region="us-east-1",
    tls_mode=S3RequestTlsMode.DISABLED,
    signing_config=create_default_s3_signing_config(region="us-east-1", credential_provider=provider),
)

size = os.path.getsize(source)
upload = client.make_request(
    type=S3RequestType.PUT_OBJECT,
    request=HttpRequest("PUT", "/test-bucket/key", HttpHeaders([("Host", endpoint), ("Content-Length", str(size))])),
    send_filepath=source,
)
upload.finished_future.result(timeout=60)

moved = 0


def on_progress(progress, **kwargs):
    global moved
    moved += progress


download = client.make_request(
    type=S3RequestType.GET_OBJECT,
    request=HttpRequest("GET", "/test-bucket/key", HttpHeaders([("Host", endpoint)])),
    recv_filepath=copy,
    on_progress=on_progress,
)
download.finished_future.result(timeout=60)
print("downloaded", os.path.getsize(copy), "bytes")
