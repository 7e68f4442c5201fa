"""awscrt-http as a plugin, and what importing it costs."""

import json
import os
import subprocess
import sys

import awscrt
from awscrt import _http, _http_plugin
from awscrt.exceptions import from_code


def test_feature():
    info = _http_plugin.awscrt_feature()
    assert info.name == "http" and info.version == awscrt.__version__
    assert info.abi == f"http {_http.ABI_MAJOR}.{_http.ABI_MINOR}"
    assert "awscrt.http" in info.modules


def test_transports():
    for name in ("http-tunnel", "websocket"):
        assert "awscrt.transport" in repr(_http_plugin.awscrt_transport(name))
    assert _http_plugin.awscrt_transport("pigeon") is None


def test_c_api():
    assert "awscrt._http._C_API" in repr(_http._C_API)


def test_errors_have_names():
    assert from_code(2058).name == "AWS_ERROR_HTTP_CONNECTION_CLOSED"
    assert from_code(6146).name == "AWS_AUTH_SIGNING_NO_CREDENTIALS"


def loaded_by(statement):
    paths = os.pathsep.join(os.path.dirname(portion) for portion in awscrt.__path__)
    program = (
        f"import json, sys; before = set(sys.modules); {statement}; print(json.dumps(list(set(sys.modules) - before)))"
    )
    return set(
        json.loads(
            subprocess.run(
                [sys.executable, "-c", program],
                check=True,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": paths},
            ).stdout
        )
    )


def test_import_is_light():
    heavy = {"asyncio", "concurrent.futures", "dataclasses", "logging", "pluggy", "ssl", "typing"}
    assert heavy & loaded_by("import awscrt.http, awscrt.auth") == set()
    assert {"awscrt.exceptions", "awscrt.io"} <= loaded_by("import awscrt.http")
