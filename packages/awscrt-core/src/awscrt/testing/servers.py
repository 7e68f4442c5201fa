"""Real servers for tests, on free ports of the loopback interface, ended with their context.

    with Nginx(certificate=pair) as nginx:
        nginx.add_file("hello.txt", b"hello")
        ...  # nginx.port, nginx.tls_port

Each runs in the foreground as a child of this process with a configuration of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Dict, List, Mapping, Optional, Sequence, Type, TypeVar

if TYPE_CHECKING:
    from awscrt.testing.certs import Certificate

__all__ = ["MissingProgram", "Mosquitto", "Nghttpd", "Nginx", "Server", "Tinyproxy", "free_port"]

_SYSTEM_PATH = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin", "/opt/homebrew/bin", "/usr/local/bin")
_START_SECONDS = 10.0
_S = TypeVar("_S", bound="Server")


class MissingProgram(RuntimeError):
    """A program that the test kit starts is not installed."""

    def __init__(self, program: str, package: str) -> None:
        super().__init__(
            f"{program} is not installed; install the package {package!r} (apt, dnf, apk or brew) and run again"
        )
        self.program = program
        self.package = package


def find_program(program: str, package: str) -> str:
    """The path of a program, also looked for where daemons live. Raises MissingProgram."""
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_PATH])
    found = shutil.which(program, path=search)
    if found is None:
        raise MissingProgram(program, package)
    return found


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A child process that listens. Subclasses write its configuration."""

    program = ""
    package = ""

    def __init__(self) -> None:
        self._process: Optional[subprocess.Popen[bytes]] = None
        self.directory = ""

    def configure(self) -> List[str]:
        """Chooses ports, writes the configuration into ``self.directory`` and returns the arguments."""
        raise NotImplementedError

    def ports(self) -> Sequence[int]:
        """The ports that must accept before the server counts as started."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        assert self._process is not None, "not running"
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server printed so far."""
        with open(os.path.join(self.directory, "output"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def start(self: _S) -> _S:
        """Starts the server and waits until it accepts connections.

        :raises MissingProgram: the program is not installed
        :raises RuntimeError: it ended or did not listen in time, with its output
        """
        path = find_program(self.program, self.package)
        self.directory = tempfile.mkdtemp(prefix=f"{self.program}-")
        os.chmod(self.directory, 0o755)  # some servers drop their privileges
        try:
            for last in (False, False, True):  # a free port may be taken by another process meanwhile
                if self._try_start(path, last):
                    return self
        except BaseException:
            self.close()
            raise
        raise AssertionError("unreachable")

    def _try_start(self, path: str, last: bool) -> bool:
        arguments = self.configure()
        with open(os.path.join(self.directory, "output"), "wb") as output:
            self._process = subprocess.Popen(
                [path, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
            )
        deadline = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if all(_accepts(port) for port in self.ports()):
                return True
            time.sleep(0.01)
        self._end_process()
        if last:
            raise RuntimeError(
                f"{self.program} did not start listening on {list(self.ports())}. Its output:\n{self.log}"
            )
        return False

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()

    def stop(self) -> None:
        """Ends the process but keeps the ports and the configuration, for tests of reconnection."""
        self._end_process()

    def restart(self) -> None:
        """Starts the process again after ``stop`` on the same ports."""
        self._restarting = True
        try:
            self._try_start(find_program(self.program, self.package), True)
        finally:
            self._restarting = False

    _restarting = False

    def close(self) -> None:
        """Ends the process and removes its directory."""
        self._end_process()
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = ""

    def __enter__(self: _S) -> _S:
        return self.start()

    def __exit__(
        self, exc_type: Optional[Type[BaseException]], exc: Optional[BaseException], traceback: object
    ) -> None:
        self.close()

    def _write(self, name: str, text: str) -> str:
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _port(self, current: int) -> int:
        return current if self._restarting and current else free_port()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Nginx(Server):
    """nginx serving a directory over HTTP/1.1, and over TLS with HTTP/2 when given a certificate.

    :param client_authority: CA file; the TLS port then demands client certificates
    :param locations: further ``location`` blocks of the configuration
    """

    program = "nginx"
    package = "nginx-light"

    def __init__(
        self, certificate: Optional[Certificate] = None, *, client_authority: Optional[str] = None, locations: str = ""
    ) -> None:
        super().__init__()
        self._certificate = certificate
        self._client_authority = client_authority
        self._locations = locations
        self._files: Dict[str, bytes] = {}
        self.port = 0
        self.tls_port = 0

    def configure(self) -> List[str]:
        self.port = self._port(self.port)
        listen = f"listen 127.0.0.1:{self.port};"
        if self._certificate is not None:
            self.tls_port = self._port(self.tls_port)
            listen += f"""
    listen 127.0.0.1:{self.tls_port} ssl http2;
    ssl_certificate {self._certificate.certificate};
    ssl_certificate_key {self._certificate.private_key};
    ssl_protocols TLSv1.2 TLSv1.3;"""
        if self._client_authority is not None:
            listen += f"\n    ssl_client_certificate {self._client_authority};\n    ssl_verify_client on;"
        os.makedirs(self.root, exist_ok=True)
        temporary = "".join(
            f"  {name}_temp_path {self.directory}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.name == "posix" and os.geteuid() == 0 else ""
        config = f"""daemon off; master_process off; {user}
pid {self.directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
{temporary}  access_log off; sendfile on; keepalive_requests 1000000; client_max_body_size 0;
  server {{
    {listen}
    server_name localhost;
    location / {{ root {self.root}; }}
    {self._locations}
  }}
}}
"""
        return ["-p", self.directory, "-c", self._write("nginx.conf", config), "-e", "stderr"]

    def ports(self) -> Sequence[int]:
        return [self.port] + ([self.tls_port] if self._certificate is not None else [])

    @property
    def root(self) -> str:
        """The directory that is served."""
        return os.path.join(self.directory, "root")

    def add_file(self, name: str, data: bytes) -> str:
        """Serves ``data`` at ``/name``; returns its path on disk."""
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        return path


class Nghttpd(Server):
    """nghttpd: HTTP/2 only, over TLS with a certificate, else in clear text. Answers uploads with what it got.

    :param max_streams: streams that a client may have open at once
    """

    program = "nghttpd"
    package = "nghttp2-server"

    def __init__(self, certificate: Optional[Certificate] = None, *, max_streams: int = 100) -> None:
        super().__init__()
        self._certificate = certificate
        self._max_streams = max_streams
        self.port = 0

    def configure(self) -> List[str]:
        self.port = self._port(self.port)
        os.makedirs(self.root, exist_ok=True)
        arguments = ["-a", "127.0.0.1", "-d", self.root, "--echo-upload", "-m", str(self._max_streams)]
        if self._certificate is None:
            return [*arguments, "--no-tls", str(self.port)]
        return [*arguments, str(self.port), self._certificate.private_key, self._certificate.certificate]

    def ports(self) -> Sequence[int]:
        return [self.port]

    @property
    def root(self) -> str:
        """The directory that is served."""
        return os.path.join(self.directory, "root")

    def add_file(self, name: str, data: bytes) -> str:
        """Serves ``data`` at ``/name``; returns its path on disk."""
        path = os.path.join(self.root, name)
        with open(path, "wb") as file:
            file.write(data)
        return path


class Mosquitto(Server):
    """mosquitto 2.x: MQTT 3.1.1 and 5 plain, over TLS (with a certificate) and over WebSocket.

    :param certificate: server certificate for ``tls_port`` and, with ``authority``, ``mutual_tls_port``
    :param authority: CA file whose clients ``mutual_tls_port`` accepts
    :param users: user name -> password; None: anonymous clients are welcome
    :param websockets: also listen on ``websocket_port``
    :param settings: further lines of the global configuration, e.g. ``"max_packet_size 1024"``
    """

    program = "mosquitto"
    package = "mosquitto"

    def __init__(
        self,
        certificate: Optional[Certificate] = None,
        *,
        authority: Optional[str] = None,
        users: Optional[Mapping[str, str]] = None,
        websockets: bool = True,
        settings: str = "",
    ) -> None:
        super().__init__()
        self._certificate = certificate
        self._authority = authority
        self._users = users
        self._websockets = websockets
        self._settings = settings
        self.port = 0
        self.tls_port = 0
        self.mutual_tls_port = 0
        self.websocket_port = 0

    def configure(self) -> List[str]:
        self.port = self._port(self.port)
        lines = [
            "per_listener_settings false",
            "persistence false",
            "log_dest stderr",
            "log_type all",
            "max_queued_messages 0",
        ]
        if os.name == "posix" and os.geteuid() == 0:
            lines.append("user root")  # else it drops to a user who cannot read the test's keys
        lines += [self._authentication(), self._settings, f"listener {self.port} 127.0.0.1"]
        if self._websockets:
            self.websocket_port = self._port(self.websocket_port)
            lines += [f"listener {self.websocket_port} 127.0.0.1", "protocol websockets"]
        if self._certificate is not None:
            pair = [f"certfile {self._certificate.certificate}", f"keyfile {self._certificate.private_key}"]
            self.tls_port = self._port(self.tls_port)
            lines += [f"listener {self.tls_port} 127.0.0.1", *pair]
            if self._authority is not None:
                self.mutual_tls_port = self._port(self.mutual_tls_port)
                lines += [f"listener {self.mutual_tls_port} 127.0.0.1", *pair]
                lines += [f"cafile {self._authority}", "require_certificate true"]
        return ["-c", self._write("mosquitto.conf", "\n".join(lines) + "\n")]

    def _authentication(self) -> str:
        if self._users is None:
            return "allow_anonymous true"
        text = "".join(f"{name}:{password}\n" for name, password in self._users.items())
        path = self._write("passwords", text)
        subprocess.run(
            [find_program("mosquitto_passwd", self.package), "-U", path], check=True, stdin=subprocess.DEVNULL
        )
        return f"allow_anonymous false\npassword_file {path}"

    def ports(self) -> Sequence[int]:
        return [p for p in (self.port, self.websocket_port, self.tls_port, self.mutual_tls_port) if p]


class Tinyproxy(Server):
    """tinyproxy: an HTTP proxy that forwards and tunnels to the loopback interface.

    :param users: user name -> password for basic authentication
    """

    program = "tinyproxy"
    package = "tinyproxy"

    def __init__(self, *, users: Optional[Mapping[str, str]] = None) -> None:
        super().__init__()
        self._users = users or {}
        self.port = 0

    def configure(self) -> List[str]:
        self.port = self._port(self.port)
        lines = [
            f"Port {self.port}",
            "Listen 127.0.0.1",
            "Allow 127.0.0.1",
            "Timeout 60",
            "MaxClients 64",
            "LogLevel Info",
        ]
        lines += [f'PidFile "{self.directory}/tinyproxy.pid"', f'LogFile "{self.directory}/output"']
        lines += [f"BasicAuth {name} {password}" for name, password in self._users.items()]
        return ["-d", "-c", self._write("tinyproxy.conf", "\n".join(lines) + "\n")]

    def ports(self) -> Sequence[int]:
        return [self.port]
