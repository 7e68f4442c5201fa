"""Fixtures of the tests of awscrt.s3."""

from __future__ import annotations

import socket
from typing import Callable, Iterator

import pytest

from awscrt.testing.s3 import S3Endpoint

from .support import Store, make_client


@pytest.fixture
def store(s3_endpoint: S3Endpoint) -> Store:
    """A client with default settings."""
    return Store(s3_endpoint, make_client())


@pytest.fixture
def store_with(s3_endpoint: S3Endpoint) -> Iterator[Callable[..., Store]]:
    """A function that makes a client with the settings it is given."""
    yield lambda **options: Store(s3_endpoint, make_client(**options))


@pytest.fixture
def unused_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
