"""One object up or down through ``awscrt.s3.S3Client``, default settings, static credentials.

Params: ``action`` (get-file, get-mem, put-file), ``port``, ``ca`` (path or null), ``key``, ``size``, ``path``.
"""

from __future__ import annotations

from typing import Any, Dict, Tuple

from common import measure, tls_options

from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType, create_default_s3_signing_config


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    provider = AwsCredentialsProvider.new_static("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    client = S3Client(
        region="us-east-1",
        tls_mode=S3RequestTlsMode.ENABLED if params["ca"] else S3RequestTlsMode.DISABLED,
        tls_connection_options=tls_options(params["ca"], "localhost") if params["ca"] else None,
        signing_config=create_default_s3_signing_config(region="us-east-1", credential_provider=provider),
    )
    received = 0

    def on_body(chunk: bytes, offset: int, **kwargs: Any) -> None:
        nonlocal received
        received += len(chunk)

    headers = HttpHeaders([("Host", f"localhost:{params['port']}")])
    options: Dict[str, Any] = {}
    if params["action"] == "put-file":
        headers.add("Content-Length", str(params["size"]))
        options.update(type=S3RequestType.PUT_OBJECT, send_filepath=params["path"])
        method = "PUT"
    else:
        options["type"] = S3RequestType.GET_OBJECT
        if params["action"] == "get-file":
            options["recv_filepath"] = params["path"]
        else:
            options["on_body"] = on_body
        method = "GET"
    request = HttpRequest(method, params["key"], headers)
    client.make_request(request=request, **options).finished_future.result(600)
    if params["action"] == "get-mem":
        assert received == params["size"], (received, params["size"])
    return params["size"] / 1e6, "MB"


measure(work)
