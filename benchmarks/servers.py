"""The servers under the benchmarks, with their files on a tmpfs.

nginx (one worker) and mosquitto come from the test kit; uploads go to a small C endpoint that reads and forgets them,
so that the client's work is what is measured.
"""

from __future__ import annotations

import os
import tempfile
from typing import List, Sequence

from awscrt.testing.certs import Authority, Certificate
from awscrt.testing.servers import Mosquitto, Nginx, Server


class QuietMosquitto(Mosquitto):
    """mosquitto without a log line per packet."""

    def configure(self) -> List[str]:
        arguments = super().configure()
        with open(arguments[-1], encoding="utf-8") as f:
            text = f.read()
        self._write("mosquitto.conf", text.replace("log_type all", "log_type error"))
        return arguments


class Sink(Server):
    """raw/sink.c, built by the benchmark."""

    package = "gcc"

    def __init__(self, program: str, certificate: Certificate) -> None:
        super().__init__()
        self.program = program
        self._certificate = certificate
        self.port = self.tls_port = 0

    def configure(self) -> List[str]:
        self.port, self.tls_port = self._port(self.port), self._port(self.tls_port)
        return [str(self.port), str(self.tls_port), self._certificate.certificate, self._certificate.private_key]

    def ports(self) -> Sequence[int]:
        return [self.port, self.tls_port]


class Servers:
    """Context manager: the servers with their files in ``directory`` (a tmpfs, so that no disk is measured)."""

    def __init__(self, directory: str, sink: str) -> None:
        tempfile.tempdir = directory
        certificates = Authority.create(directory)
        certificate = certificates.issue("server")
        self.ca = certificates.path
        self.nginx = Nginx(certificate)
        self.mosquitto = QuietMosquitto(certificate, settings="max_inflight_messages 0")
        self.sink = Sink(sink, certificate)

    def __enter__(self) -> Servers:
        for server in (self.nginx, self.mosquitto, self.sink):
            server.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for server in (self.sink, self.mosquitto, self.nginx):
            server.close()

    def object(self, name: str, size: int) -> str:
        """Creates a file nginx offers as ``/name``; returns its path."""
        path = self.nginx.add_file(name, b"")
        block = os.urandom(1 << 20)
        with open(path, "wb") as f:
            for start in range(0, size, len(block)):
                f.write(block[: min(len(block), size - start)])
        return path
