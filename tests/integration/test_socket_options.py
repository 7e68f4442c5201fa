"""Socket options from Python to the socket, over HTTP connections."""

from __future__ import annotations

import socket
import sys
import threading
from typing import Any, Iterator

import pytest

from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpClientConnection
from awscrt.io import SocketDomain, SocketOptions


def options(**changes: Any) -> SocketOptions:
    made = SocketOptions()
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def outcome(host: str, port: int, socket_options: SocketOptions) -> Any:
    return HttpClientConnection.new(host, port, socket_options=socket_options).exception(timeout=30)


class Listener:
    """Accepts connections and keeps them until it is closed."""

    def __init__(self, family: int, address: Any) -> None:
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.bind(address)
        self.socket.listen(8)
        self.accepted = 0
        self._kept: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            peer, _ = self.socket.accept()
            self._kept.append(peer)
            if peer.recv(1) == b"!":  # close() says so
                return
            self.accepted += 1

    def close(self) -> None:
        with socket.socket(self.socket.family, socket.SOCK_STREAM) as last:
            last.connect(self.socket.getsockname())
            last.sendall(b"!")
            self._thread.join()
        for each in [self.socket, *self._kept]:
            each.close()


@pytest.fixture
def tcp_listener() -> Iterator[Listener]:
    listener = Listener(socket.AF_INET, ("127.0.0.1", 0))
    yield listener
    listener.close()


def connect_and_close(host: str, port: int, socket_options: SocketOptions) -> None:
    connection = HttpClientConnection.new(host, port, socket_options=socket_options).result(timeout=30)
    connection.close().result(timeout=30)


def test_unix_socket(tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    listener = Listener(socket.AF_UNIX, path)
    try:
        connect_and_close(path, 0, options(domain=SocketDomain.Local))
    finally:
        listener.close()
    assert listener.accepted == 1


def test_missing_unix_socket_is_named(tmp_path: Any) -> None:
    path = str(tmp_path / "nobody")
    error = outcome(path, 0, options(domain=SocketDomain.Local))
    assert isinstance(error, FileNotFoundError)
    assert path in str(error)


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
def test_abstract_unix_socket(tmp_path: Any) -> None:
    name = f"awscrt-test-{tmp_path.name}-{id(tmp_path)}"
    listener = Listener(socket.AF_UNIX, "\0" + name)
    try:
        connect_and_close("@" + name, 0, options(domain=SocketDomain.Local))
    finally:
        listener.close()
    assert listener.accepted == 1


@pytest.mark.parametrize("cid, name", [("host", "AWS_IO_SOCKET_INVALID_ADDRESS"), ("4000000000", None)])
def test_vsock_that_leads_nowhere(cid: str, name: str) -> None:
    error = outcome(cid, 5000, options(domain=SocketDomain.VSock, connect_timeout_ms=50))
    assert isinstance(error, AwsCrtError)  # which one, kernels say differently
    assert name is None or error.name == name
    if sys.platform == "linux":
        assert f"connecting to vsock {cid}:5000" in error.message


@pytest.mark.skipif(sys.platform != "linux", reason="the loopback interface is named lo")
def test_interface_that_exists(tcp_listener: Listener) -> None:
    connect_and_close("127.0.0.1", tcp_listener.socket.getsockname()[1], options(interface_name="lo"))


def test_interface_that_does_not_exist(tcp_listener: Listener) -> None:
    port = tcp_listener.socket.getsockname()[1]
    error = outcome("127.0.0.1", port, options(interface_name="nosuch0"))
    assert isinstance(error, AwsCrtError)
    assert error.name == "AWS_IO_SOCKET_INVALID_OPTIONS"
    assert f"127.0.0.1:{port}" in error.message


@pytest.mark.parametrize("name, kind", [("", ValueError), (b"lo", TypeError), ("x" * 16, ValueError)])
def test_name_that_is_none(name: Any, kind: type) -> None:
    with pytest.raises(kind):
        HttpClientConnection.new("127.0.0.1", 1, socket_options=options(interface_name=name)).result(timeout=30)
