"""Copies between a file and S3: s3cp.py --endpoint HOST:PORT FILE s3://BUCKET/KEY, or the other way round.

Credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY). Large files move in parallel parts.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any
from urllib.parse import quote

from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.s3 import (
    S3Client,
    S3RequestTlsMode,
    S3RequestType,
)


def upload(client: S3Client, endpoint: str, path: str, file: str) -> Any:
    headers = HttpHeaders([("Host", endpoint), ("Content-Length", str(os.path.getsize(file)))])
    return client.make_request(
        type=S3RequestType.PUT_OBJECT,
        request=HttpRequest("PUT", path, headers),
        send_filepath=file,
    )


def download(client: S3Client, endpoint: str, path: str, file: str) -> Any:
    return client.make_request(
        type=S3RequestType.GET_OBJECT,
        request=HttpRequest("GET", path, HttpHeaders([("Host", endpoint)])),
        recv_filepath=file,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--endpoint", required=True, metavar="HOST[:PORT]")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    client = S3Client(
        region=options.region,
        credential_provider=AwsCredentialsProvider.new_environment(),
        tls_mode=S3RequestTlsMode.ENABLED if options.tls else S3RequestTlsMode.DISABLED,
    )
    up = options.target.startswith("s3://")
    url, file = (options.target, options.source) if up else (options.source, options.target)
    if not url.startswith("s3://"):
        sys.exit("one of the two must be s3://BUCKET/KEY")
    path = "/" + quote(url[len("s3://") :])
    (upload if up else download)(client, options.endpoint, path, file).finished_future.result()
    print(f"{os.path.getsize(file)} bytes {'to' if up else 'from'} {url}")


main()
