"""Fixtures of the integration tests."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

import awscrt
from awscrt.testing.certs import Authority, Certificate

from .clients import TIMEOUT


def _open_sockets() -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except FileNotFoundError:  # closed meanwhile
            pass
    return count


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """``eventually(condition)``: waits until it is true; fails after a while."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, "did not come true in time"
            time.sleep(0.005)

    return wait


@pytest.fixture(autouse=True)
def no_socket_left(eventually: Callable[[Callable[[], bool]], None]) -> Iterator[None]:
    """However an attempt ends, its connections are closed."""
    if not os.path.isdir("/proc/self/fd"):
        yield
        return
    before = _open_sockets()
    yield

    def all_closed() -> bool:
        gc.collect()  # clients of the test may be part of a cycle
        return _open_sockets() <= before

    eventually(all_closed)


@pytest.fixture
def unused_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(str(tmp_path_factory.mktemp("authority")))


@pytest.fixture(scope="session")
def expired_certificate(authority: Authority) -> Certificate:
    """For localhost, signed by the authority, valid until yesterday."""
    issued = authority.issue("expired")
    stem = os.path.splitext(issued.certificate)[0]
    subprocess.run(
        ["openssl", "x509", "-req", "-in", stem + ".csr", "-out", issued.certificate, "-days", "-1"]
        + ["-CA", authority.path, "-CAkey", authority.own.private_key, "-CAcreateserial"]
        + ["-extfile", stem + ".cnf", "-extensions", "ext"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return issued


@pytest.fixture
def run_python() -> Callable[..., Any]:
    """``run_python(program, *arguments, **environment)``: in a fresh interpreter that finds the same awscrt."""

    def run(program: str, *arguments: object, **environment: str) -> Any:
        parents = [str(Path(portion).parent) for portion in awscrt.__path__]
        path = os.pathsep.join([*parents, os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", program, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore::DeprecationWarning", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT,
        )

    return run
