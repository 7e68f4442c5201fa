"""Signs two requests and sends them: python signing_request.py HOST PORT BUCKET. Credentials: AWS_ACCESS_KEY_ID, ..."""

import io
import sys

from awscrt.auth import (
    AwsCredentialsProvider,
    AwsSignedBodyHeaderType,
    AwsSigningConfig,
    aws_sign_request,
)
from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest

host, port, bucket = sys.argv[1], int(sys.argv[2]), sys.argv[3]

# One configuration serves all requests of a client; replace() makes variations.
config = AwsSigningConfig(
    credentials_provider=AwsCredentialsProvider.new_environment(),
    region="us-east-1",
    service="s3",
    use_double_uri_encode=False,  # S3 takes paths as they are; all other services want both
    should_normalize_uri_path=False,
    signed_body_header_type=AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
)

connection = HttpClientConnection.new(host, port).result(timeout=30)


def send(method, path, body=b""):
    headers = HttpHeaders([("Host", f"{host}:{port}"), ("Content-Length", str(len(body)))])
    request = HttpRequest(method, path, headers, io.BytesIO(body))
    # The date is the config's: None stands for the time when the config was made.
    aws_sign_request(request, config.replace(date=None)).result(timeout=30)
    received = bytearray()
    stream = connection.request(request, on_body=lambda http_stream, chunk, **rest: received.extend(chunk))
    stream.activate()
    return stream.completion_future.result(timeout=30), bytes(received)


print("put", send("PUT", f"/{bucket}/a%20key", b"some text")[0])
print("get", *send("GET", f"/{bucket}/a%20key"))
connection.close().result(timeout=30)
