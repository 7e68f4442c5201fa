"""A TCP server that plays a script written in the test: for peers that misbehave in ways no real server does.

def script(peer):
    peer.receive_until(b"\\r\\n\\r\\n")
    peer.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nhalf")
    peer.reset()

with ScriptedServer(script) as server:
    ...  # connect to server.port
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from typing import Callable, List, Optional, Type

__all__ = ["Peer", "ScriptedServer"]

_PATIENCE = 30.0  # seconds a script waits for the client before it fails


class Peer:
    """The server's end of one connection, with blocking calls."""

    def __init__(self, connection: socket.socket, number: int) -> None:
        self.socket = connection
        self.number = number  #: 0 for the first connection
        self._buffer = b""

    def send(self, data: bytes) -> None:
        """Sends all of it."""
        self.socket.sendall(data)

    def receive_until(self, marker: bytes) -> bytes:
        """Everything up to and including the marker. Raises EOFError when the client closes first."""
        while marker not in self._buffer:
            self._fill()
        head, _, self._buffer = self._buffer.partition(marker)
        return head + marker

    def receive_exactly(self, count: int) -> bytes:
        """So many bytes. Raises EOFError when the client closes first."""
        pieces, size = [self._buffer], len(self._buffer)
        self._buffer = b""
        while size < count:
            self._fill()
            pieces.append(self._buffer)
            size += len(self._buffer)
            self._buffer = b""
        data = b"".join(pieces)
        self._buffer = data[count:]
        return data[:count]

    def receive_all(self) -> bytes:
        """Everything until the client closes."""
        try:
            while True:
                self._fill()
        except EOFError:
            data, self._buffer = self._buffer, b""
            return data

    def _fill(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"the client closed connection {self.number} after {len(self._buffer)} unread bytes")
        self._buffer += data

    def close(self) -> None:
        """Closes in an orderly way."""
        self.socket.close()

    def reset(self) -> None:
        """Closes with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class ScriptedServer:
    """Runs ``script(peer)`` on a thread for each connection, and closes the connection when it returns.

    :param context: makes it a TLS server
    :param path: listens on a Unix socket there; ``port`` is 0 then
    """

    def __init__(
        self,
        script: Callable[[Peer], None],
        *,
        context: Optional[ssl.SSLContext] = None,
        path: Optional[str] = None,
    ) -> None:
        self._script = script
        self._context = context
        self._path = path
        if path is None:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        else:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(path)
            self._listener.listen(128)
        self._threads: List[threading.Thread] = []
        self._peers: List[Peer] = []
        self._closing = False
        self.port: int = 0 if path is not None else self._listener.getsockname()[1]
        self.errors: List[BaseException] = []  #: what scripts raised, besides the client hanging up

    @property
    def connections(self) -> int:
        """How many have been accepted."""
        return len(self._peers)

    def __enter__(self) -> ScriptedServer:
        self._acceptor = threading.Thread(target=self._accept, name="scripted-server", daemon=True)
        self._acceptor.start()
        return self

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._closing:
                connection.close()
                return
            connection.settimeout(_PATIENCE)
            peer = Peer(connection, len(self._peers))
            self._peers.append(peer)
            thread = threading.Thread(target=self._play, args=(peer,), name=f"scripted-{peer.number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _play(self, peer: Peer) -> None:
        try:
            if self._context is not None:
                peer.socket = self._context.wrap_socket(peer.socket, server_side=True)
            self._script(peer)
        except (ConnectionError, EOFError, ssl.SSLError) as error:
            if not self._closing and isinstance(error, EOFError):
                self.errors.append(error)
        except BaseException as error:
            if not self._closing:
                self.errors.append(error)
        finally:
            peer.socket.close()

    def _dial(self) -> None:
        if self._path is None:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        else:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
                caller.connect(self._path)

    def close(self) -> None:
        """Breaks all connections and waits for the scripts."""
        if self._closing:
            return
        self._closing = True
        try:
            self._dial()  # wakes accept()
        except OSError:
            pass
        self._listener.close()
        self._acceptor.join()
        for peer in self._peers:
            try:
                peer.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(timeout=_PATIENCE)

    def __exit__(
        self, exc_type: Optional[Type[BaseException]], exc: Optional[BaseException], traceback: object
    ) -> None:
        self.close()
        if exc_type is None and self.errors:
            raise AssertionError(f"the server's script failed: {self.errors[0]!r}") from self.errors[0]
