"""The servers under the benchmarks: nginx (one worker) and mosquitto from the test kit, with their files on a tmpfs.

nginx plays the S3 endpoint: static objects with ranges and ETags for GET; for uploads it stores each part through
WebDAV and answers the multipart calls with fixed XML, so that the client's work is what is measured.
"""

from __future__ import annotations

import os
import tempfile

from awscrt.testing.certs import Authority
from awscrt.testing.servers import Mosquitto, Nginx

UPLOADS = """
    location /put/ {
      root ROOT; client_body_buffer_size 512k; add_header ETag '"e"' always;
      set $multipart $request_method:$args;
      if ($multipart = "POST:uploads") {
        return 200 '<?xml version="1.0"?><InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>';
      }
      if ($multipart ~ "^POST:uploadId=") {
        return 200 '<?xml version="1.0"?><CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>';
      }
      dav_methods PUT DELETE; create_full_put_path on;
    }
"""


class UploadNginx(Nginx):
    """nginx that also takes uploads under ``/put/``."""

    def configure(self) -> "list[str]":
        self._locations = UPLOADS.replace("ROOT", self.root)
        return super().configure()


class QuietMosquitto(Mosquitto):
    """mosquitto without a log line per packet."""

    def configure(self) -> "list[str]":
        arguments = super().configure()
        with open(arguments[-1], encoding="utf-8") as f:
            text = f.read()
        self._write("mosquitto.conf", text.replace("log_type all", "log_type error"))
        return arguments


class Servers:
    """Context manager: both servers with their files in ``directory`` (a tmpfs, so that no disk is measured)."""

    def __init__(self, directory: str) -> None:
        tempfile.tempdir = directory
        certificates = Authority.create(directory)
        certificate = certificates.issue("server")
        self.ca = certificates.path
        self.nginx = UploadNginx(certificate)
        self.mosquitto = QuietMosquitto(certificate, settings="max_inflight_messages 0")

    def __enter__(self) -> Servers:
        self.nginx.start()
        self.mosquitto.start()
        self.nginx.add_file("put/object", b"-")  # so that uploads get 204 (replaced), not 201, which S3 never sends
        return self

    def __exit__(self, *exc: object) -> None:
        self.mosquitto.close()
        self.nginx.close()

    def object(self, name: str, size: int) -> str:
        """Creates a file the server offers as ``/name``; returns its path."""
        path = self.nginx.add_file(name, b"")
        block = os.urandom(1 << 20)
        with open(path, "wb") as f:
            for start in range(0, size, len(block)):
                f.write(block[: min(len(block), size - start)])
        return path
