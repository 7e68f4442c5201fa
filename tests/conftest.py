"""Fixtures every test may use: servers of the test kit, each on free ports and ended with the test or the run."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Optional

import pytest

from awscrt.testing.certs import Authority, Certificate
from awscrt.testing.s3 import S3Endpoint
from awscrt.testing.scripted import Peer, ScriptedServer
from awscrt.testing.servers import Mosquitto, Nghttpd, Nginx, Tinyproxy


@dataclass(frozen=True)
class TlsCertificates:
    """A throwaway authority with one certificate for servers on localhost and one for clients."""

    authority: Authority
    server: Certificate
    client: Certificate

    @property
    def ca_path(self) -> str:
        return self.authority.path


@pytest.fixture(scope="session")
def tls_certs(tmp_path_factory: pytest.TempPathFactory) -> TlsCertificates:
    authority = Authority.create(str(tmp_path_factory.mktemp("certs")))
    return TlsCertificates(authority, authority.issue("server"), authority.issue("client", purpose="clientAuth"))


@pytest.fixture
def s3_endpoint() -> Iterator[S3Endpoint]:
    """An S3 endpoint on a thread, with the bucket ``test-bucket``."""
    with S3Endpoint() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def nginx(tls_certs: TlsCertificates) -> Iterator[Nginx]:
    """nginx, plain (HTTP/1.1) and TLS (HTTP/1.1 and HTTP/2), shared by the run; add files under names of your own."""
    with Nginx(tls_certs.server) as server:
        yield server


@pytest.fixture(scope="session")
def nghttpd() -> Iterator[Nghttpd]:
    """nghttpd, HTTP/2 in clear text, shared by the run; add files under names of your own."""
    with Nghttpd() as server:
        yield server


@pytest.fixture(scope="session")
def mosquitto(tls_certs: TlsCertificates) -> Iterator[Mosquitto]:
    """mosquitto, plain, TLS, mutual TLS and WebSocket, shared by the run; use topics and client ids of your own."""
    with Mosquitto(tls_certs.server, authority=tls_certs.ca_path) as server:
        yield server


@pytest.fixture(scope="session")
def tinyproxy() -> Iterator[Tinyproxy]:
    with Tinyproxy() as server:
        yield server


@pytest.fixture
def scripted_server() -> Iterator[Callable[..., ScriptedServer]]:
    """A function ``start(script, context=None)``; scripts that fail fail the test."""
    with contextlib.ExitStack() as stack:

        def start(script: Callable[[Peer], None], context: Optional[ssl.SSLContext] = None) -> Any:
            return stack.enter_context(ScriptedServer(script, context=context))

        yield start
