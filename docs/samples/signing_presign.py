"""Hands out URLs that anybody can use for a while: python signing_presign.py HTTP://HOST BUCKET"""

import sys
from urllib.parse import quote
from urllib.request import Request, urlopen

from awscrt.auth import (
    AwsCredentialsProvider,
    AwsSignatureType,
    AwsSignedBodyValue,
    AwsSigningConfig,
    presign_many,
)

start, bucket = sys.argv[1], sys.argv[2]
config = AwsSigningConfig(
    signature_type=AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS,
    credentials_provider=AwsCredentialsProvider.new_environment(),
    region="us-east-1",
    service="s3",
    use_double_uri_encode=False,
    should_normalize_uri_path=False,
    signed_body_value=AwsSignedBodyValue.UNSIGNED_PAYLOAD,  # nobody knows yet what will be sent
    expiration_in_seconds=900,
)

# Keys are any text, URLs are not.
keys = ["plain", "with blank", "with/slash+plus", "Übersicht.txt"]
paths = [f"{start}/{bucket}/{quote(key, safe='/-_.~')}" for key in keys]
uploads = presign_many((("PUT", path) for path in paths), config).result()
downloads = presign_many((("GET", path) for path in paths), config).result()

# The other side needs no credentials, and no awscrt.
for key, upload, download in zip(keys, uploads, downloads):
    urlopen(Request(upload, data=key.encode(), method="PUT"), timeout=30).close()
    with urlopen(download, timeout=30) as response:
        print(response.status, response.read().decode())
