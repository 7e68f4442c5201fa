"""The short programs of examples/, run as a reader would run them, against servers of the test kit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from awscrt.testing.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name: str, *arguments: object, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *(str(a) for a in arguments)],
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_fetch_gets_several_paths_from_two_servers(nginx, tls_certs):
    for name, size in (("fetch/a", 10), ("fetch/b", 200_000)):
        nginx.add_file(name, bytes(size))
    plain, tls = f"http://localhost:{nginx.port}", f"https://localhost:{nginx.tls_port}"
    urls = [f"{plain}/fetch/a", f"{plain}/fetch/none", f"{tls}/fetch/b"]
    lines = run("fetch.py", "--ca", tls_certs.ca_path, *urls).splitlines()
    assert f"200 10 {plain}/fetch/a" in lines
    assert f"200 200000 {tls}/fetch/b" in lines
    assert any(line.startswith("404 ") and line.endswith("/fetch/none") for line in lines)


def test_s3cp_copies_there_and_back(s3_endpoint, tmp_path):
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(os.urandom(12_000_000))
    credentials = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
    for arguments in ([source, "s3://test-bucket/a key"], ["s3://test-bucket/a key", copy]):
        assert "12000000 bytes" in run("s3cp.py", "--endpoint", s3_endpoint.authority, *arguments, **credentials)
    assert copy.read_bytes() == source.read_bytes()


def test_mqtt_tail_prints_what_it_publishes(mosquitto):
    publish = ["--count", 1, "--publish", "examples/tail/x", "hello"]
    assert run("mqtt_tail.py", "127.0.0.1", mosquitto.port, "examples/tail/+", *publish) == "examples/tail/x hello\n"
