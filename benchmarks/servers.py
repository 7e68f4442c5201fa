"""The servers under the benchmarks: nginx (one worker) and mosquitto, on loopback, with a throwaway CA.

nginx plays the S3 endpoint: static objects with ranges and ETags for GET; for uploads it stores each part through
WebDAV and answers the multipart calls with fixed XML, so that the client's work is what is measured.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from typing import Any, List, Optional

NGINX_CONF = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx-error.log warn; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000000; client_max_body_size 0;
  client_body_temp_path {dir}/temp; client_body_buffer_size 512k; types {{ }} default_type application/octet-stream;
  ssl_certificate {dir}/server.pem; ssl_certificate_key {dir}/server.key; ssl_session_cache off;
  server {{
    listen 127.0.0.1:{plain}; listen [::1]:{plain};
    listen 127.0.0.1:{tls} ssl; listen [::1]:{tls} ssl;
    root {dir}/www;
    location / {{ }}
    location /put/ {{
      set $multipart $request_method:$args;
      if ($multipart = "POST:uploads") {{
        return 200 '<?xml version="1.0"?><InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>';
      }}
      if ($multipart ~ "^POST:uploadId=") {{
        return 200 '<?xml version="1.0"?><CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>';
      }}
      dav_methods PUT DELETE; create_full_put_path on; add_header ETag '"e"' always;
    }}
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_for_port(port: int, process: "subprocess.Popen[Any]") -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{process.args!r} did not come up on port {port}") from None
            time.sleep(0.05)


def program(name: str, package: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if not found:
        raise SystemExit(f"{name} is missing: apt-get install {package}")
    return found


def make_certificates(directory: str) -> str:
    """A CA and a server certificate for localhost; returns the CA's path."""

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], check=True, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout",
            "ca.key", "-out", "ca.pem", "-subj", "/CN=benchmark CA")  # fmt: skip
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key", "-out",
            "server.csr", "-subj", "/CN=localhost")  # fmt: skip
    with open(os.path.join(directory, "san.cnf"), "w", encoding="ascii") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "san.cnf", "-out", "server.pem")  # fmt: skip
    return os.path.join(directory, "ca.pem")


class Servers:
    """Context manager: both servers with their files in ``directory`` (a tmpfs, so that no disk is measured)."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.plain_port, self.tls_port, self.mqtt_port = free_port(), free_port(), free_port()
        self.ca: Optional[str] = None
        self._processes: List["subprocess.Popen[Any]"] = []

    def __enter__(self) -> "Servers":
        d = self.directory
        for name in ("temp", "www/put"):
            os.makedirs(os.path.join(d, name))
        self.object("put/object", 1)  # so that nginx answers uploads with 204 (replaced), not 201, which S3 never sends
        self.ca = make_certificates(d)
        with open(os.path.join(d, "nginx.conf"), "w", encoding="ascii") as f:
            user = "user root;" if os.geteuid() == 0 else ""
            f.write(NGINX_CONF.format(dir=d, plain=self.plain_port, tls=self.tls_port, user=user))
        with open(os.path.join(d, "mosquitto.conf"), "w", encoding="ascii") as f:
            f.write(f"listener {self.mqtt_port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 0\n"
                    f"max_queued_messages 0\nlog_type error\n")  # fmt: skip
        self._start([program("nginx", "nginx-light"), "-e", f"{d}/nginx-error.log", "-c", f"{d}/nginx.conf"], self.plain_port)
        self._start([program("mosquitto", "mosquitto"), "-c", f"{d}/mosquitto.conf"], self.mqtt_port)
        return self

    def _start(self, command: List[str], port: int) -> None:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._processes.append(process)
        wait_for_port(port, process)

    def __exit__(self, *exc: object) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(10)

    def object(self, name: str, size: int) -> str:
        """Creates a file the server offers as ``/name``; returns its path."""
        path = os.path.join(self.directory, "www", name)
        block = os.urandom(1 << 20)
        with open(path, "wb") as f:
            for start in range(0, size, len(block)):
                f.write(block[: min(len(block), size - start)])
        return path
