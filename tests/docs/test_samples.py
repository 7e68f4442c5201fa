"""The code samples that the guides show are run here as a reader would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from awscrt.testing.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"


def run_sample(name: str, *args: object, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(SAMPLES / name), *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=90,
        env={**os.environ, **environment},
        check=False,
    )
    output = done.stdout.decode()
    assert done.returncode == 0, output
    return output


def test_http_over_tls(nginx: Any, tls_certs: Any) -> None:
    nginx.add_file("page", b"x" * 1234)
    assert "received 1234 bytes" in run_sample("http_get.py", "localhost", nginx.tls_port, "/page", tls_certs.ca_path)


def test_http_with_asyncio(nginx: Any) -> None:
    nginx.add_file("page", b"x" * 1000)
    assert "received 8000 bytes" in run_sample("http_get_asyncio.py", "localhost", nginx.port, "/page")


def test_event_loops_of_ones_own(nginx: Any) -> None:
    nginx.add_file("page", b"x")
    assert run_sample("io_lifecycle.py", "localhost", nginx.port, "/page").splitlines() == ["status 200", "joined True"]


def test_logging(tmp_path: Path) -> None:
    output = run_sample("logging_setup.py", tmp_path / "log")
    assert "INFO awscrt.io.event-loop - started 1 event loop(s)" in output
    assert "[MainThread] WARNING awscrt.common.aws-c-common - a message of the program" in output
    assert "[TRACE] [" in (tmp_path / "log").read_text()
    assert (tmp_path / "log").read_text().endswith("[aws-c-common] - a message for the file\n")


def test_s3_transfer(s3_endpoint: Any, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(os.urandom(20 << 20))
    credentials = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
    output = run_sample("s3_transfer.py", s3_endpoint.authority, source, copy, **credentials)
    assert f"downloaded {20 << 20} bytes" in output
    assert copy.read_bytes() == source.read_bytes()


def test_mqtt5_publish(mosquitto: Any) -> None:
    assert "received hello" in run_sample("mqtt5_publish.py", "127.0.0.1", mosquitto.port)
