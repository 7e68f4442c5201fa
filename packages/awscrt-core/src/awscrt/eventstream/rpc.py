"""Client side of the event-stream RPC protocol: one connection, many bidirectional streams (continuations).

All callbacks of a connection, its continuations and their flushes run on the connection's event-loop thread, one after
the other. They are called with keyword arguments; implementations must accept additional ones (``**kwargs``).
"""

from __future__ import annotations

import os
from _thread import RLock  # type: ignore[attr-defined, unused-ignore]
from abc import ABC, abstractmethod
from enum import IntEnum

import awscrt.exceptions  # noqa: F401  (users reach it through this module)
from awscrt import NativeResource, _core
from awscrt.eventstream import Header
from awscrt.io import ClientBootstrap, SocketDomain, SocketOptions, TlsConnectionOptions

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Any, Callable, Dict, List, Optional, Sequence, Union


__all__ = [
    "MessageType",
    "MessageFlag",
    "ClientConnectionHandler",
    "ClientConnection",
    "ClientContinuation",
    "ClientContinuationHandler",
]

_AWS_ERROR_INVALID_STATE = 38
_AWS_ERROR_FILE_INVALID_PATH = 44
_AWS_IO_SOCKET_INVALID_ADDRESS = 1055
_RPC_CONNECTION_CLOSED = 4104
_RPC_PROTOCOL_ERROR = 4105
_RPC_STREAM_CLOSED = 4106
_RPC_STREAM_NOT_ACTIVATED = 4107
_AWS_ERROR_CRT_CALLBACK_EXCEPTION = 10240

_LOCAL_PATH_MAX = 107  # sun_path of sockaddr_un, less the terminator


class MessageType(IntEnum):
    """What a message is about. The two application types belong to streams, all others to the connection (stream 0)."""

    APPLICATION_MESSAGE = 0
    APPLICATION_ERROR = 1
    PING = 2
    PING_RESPONSE = 3
    CONNECT = 4
    CONNECT_ACK = 5
    PROTOCOL_ERROR = 6
    INTERNAL_ERROR = 7

    def __format__(self, format_spec: str) -> str:
        return str(self)


class MessageFlag:
    """Bits of a message's flags; combine them with ``|``."""

    NONE = 0
    CONNECTION_ACCEPTED = 0x1
    """In a CONNECT_ACK: the server takes the connection."""
    TERMINATE_STREAM = 0x2
    """The last message of its stream, in both directions."""

    def __format__(self, format_spec: str) -> str:
        return str(self)


_TYPES = tuple(MessageType)
_LAST_APPLICATION_TYPE = MessageType.APPLICATION_ERROR

# Stages of a connection.
_CONNECTING, _NOT_INTRODUCED, _CONNECT_SENT, _ACCEPTED, _CLOSED = range(5)


class ClientConnectionHandler(ABC):
    """What a connection tells. Derive from it."""

    @abstractmethod
    def on_connection_setup(self, connection: Any, error: Any, **kwargs: Any) -> None:
        """Connecting has ended; exactly one call, before all others.

        The transport is up then; the handshake of the protocol (CONNECT, CONNECT_ACK) is the application's to begin.
        An exception raised here closes the connection.

        :param connection: the :class:`ClientConnection`, or None
        :param error: why there is none, or None
        """

    @abstractmethod
    def on_connection_shutdown(self, reason: Optional[Exception], **kwargs: Any) -> None:
        """The connection is gone; exactly one call after a successful setup, behind all others.

        :param reason: None after :meth:`ClientConnection.close` or an orderly end, else the cause
        """

    @abstractmethod
    def on_protocol_message(
        self, headers: Sequence[Header], payload: bytes, message_type: MessageType, flags: int, **kwargs: Any
    ) -> None:
        """A message of the connection itself has come: CONNECT_ACK, PING, PROTOCOL_ERROR and the like.

        Nothing is answered on your behalf, neither a PING nor an error.

        :param headers: all of them, with those that begin with ``:``
        :param flags: see :class:`MessageFlag`
        """


class ClientContinuationHandler(ABC):
    """What a continuation tells. Derive from it."""

    @abstractmethod
    def on_continuation_message(
        self, headers: Sequence[Header], payload: bytes, message_type: MessageType, flags: int, **kwargs: Any
    ) -> None:
        """A message of the stream has come.

        :param headers: all of them, with those that begin with ``:``
        :param message_type: APPLICATION_MESSAGE or APPLICATION_ERROR
        :param flags: see :class:`MessageFlag`
        """

    @abstractmethod
    def on_continuation_closed(self, **kwargs: Any) -> None:
        """The stream has ended; exactly one call for each that was activated, behind its messages."""


def _new_future() -> Future[None]:
    from awscrt._futures import Future

    future: Future[None] = Future()
    future.set_running_or_notify_cancel()  # what is on its way cannot be called back
    return future


def _check_local_path(path: str) -> None:
    size = len(os.fsencode(path))
    if size > _LOCAL_PATH_MAX:
        _core.raise_error(_AWS_IO_SOCKET_INVALID_ADDRESS, f"The path has {size} bytes, {_LOCAL_PATH_MAX} are the most.")
    if not os.path.exists(path):
        _core.raise_error(_AWS_ERROR_FILE_INVALID_PATH, f"There is no socket {path!r}.")


class ClientConnection(NativeResource):
    """A connection to an event-stream RPC server, made by :meth:`connect`. It stays open without being referenced.

    :ivar host_name: as given to :meth:`connect`
    :ivar port: as given to :meth:`connect`
    :ivar shutdown_future: completes when the connection is gone, behind ``on_connection_shutdown``: None after
        :meth:`close` or an orderly end, else the cause
    """

    def __init__(self, host_name: str, port: int, handler: ClientConnectionHandler) -> None:
        super().__init__()
        self.host_name = host_name
        self.port = port
        self.shutdown_future = _new_future()
        self._connect_future = _new_future()
        self._handler = handler
        # Guards the stage and the streams, and keeps messages in the order of what is noted here. Handlers are called
        # without it; it is re-entrant because a finalizer may call us at any time.
        self._lock = RLock()
        self._stage = _CONNECTING
        self._streams: Dict[int, ClientContinuation] = {}
        self._last_stream_id = 0
        self._setup_exception: Optional[BaseException] = None

    @classmethod
    def connect(
        cls,
        *,
        handler: ClientConnectionHandler,
        host_name: str,
        port: int,
        bootstrap: ClientBootstrap = None,  # type: ignore[assignment]
        socket_options: Optional[SocketOptions] = None,
        tls_connection_options: Optional[TlsConnectionOptions] = None,
    ) -> Future[None]:
        """Connect. The connection is given to the handler's ``on_connection_setup``.

        :param host_name: name or address; a path with ``SocketDomain.Local``
        :param port: TCP port; ignored with ``SocketDomain.Local``
        :param bootstrap: event loops and resolver; None: the default ones of the process
        :param socket_options: None: the defaults
        :param tls_connection_options: None: clear text. Set its server name: ``host_name`` is not taken for it, and
            without one no certificate can be verified
        :return: future of None, which completes after ``on_connection_setup`` returned; it cannot be cancelled
        :raises TypeError: an argument of a wrong type
        :raises OverflowError: the port is not within 0 to 2**32 - 1
        :raises RuntimeError: there is no such local socket (AWS_ERROR_FILE_INVALID_PATH), or its path is too long
            (AWS_IO_SOCKET_INVALID_ADDRESS)
        """
        if not isinstance(host_name, str):
            raise TypeError(f"host_name must be a str, got {type(host_name).__name__}")
        if not isinstance(port, int):
            raise TypeError(f"port must be an int, got {type(port).__name__}")
        if getattr(socket_options, "domain", None) == SocketDomain.Local:
            _check_local_path(host_name)
        self = cls(host_name, port, handler)
        with self._lock:  # _on_setup, on its thread, waits until there is a _binding
            self._binding = _core._EventStreamChannel.connect(
                host_name,
                port,
                bootstrap,
                socket_options,
                tls_connection_options,
                self._on_setup,
                self._on_message,
                self._on_shutdown,
            )
        return self._connect_future

    def is_open(self) -> bool:
        """False before the setup, and as soon as the connection is closed or broken."""
        return self._stage in (_NOT_INTRODUCED, _CONNECT_SENT, _ACCEPTED)

    def close(self) -> Future[None]:
        """Close, behind what was sent before. Any thread and any callback may do that, repeatedly.

        :return: ``shutdown_future``
        """
        self._close(0)
        return self.shutdown_future

    def send_protocol_message(
        self,
        *,
        headers: Optional[Sequence[Header]] = None,
        payload: Optional[Union[bytes, bytearray]] = None,
        message_type: MessageType,
        flags: Optional[int] = None,
        on_flush: Callable[..., Any] = None,  # type: ignore[assignment]
    ) -> Future[None]:
        """Send a message of the connection itself. The first one has to be CONNECT; then wait for CONNECT_ACK.

        :param headers: any iterable of them
        :param payload: bytes; a str is sent as UTF-8
        :param flags: see :class:`MessageFlag`
        :param on_flush: called as ``on_flush(error=)`` before the future completes
        :return: future of None, which completes when the message was handed to the system; what breaks the handshake
            fails with AWS_ERROR_EVENT_STREAM_RPC_PROTOCOL_ERROR and closes the connection
        :raises ValueError: the name of a header, or a STRING, is too long
        :raises RuntimeError: another value, or the message, is too long
        :raises TypeError: an argument of a wrong type
        :raises AttributeError: an element of ``headers`` is no Header
        """
        message = _core.eventstream_encode_rpc(headers, payload, message_type, flags, 0)
        future = _new_future()
        with self._lock:
            status = self._note_sending(message_type)
            self._binding.send(message, status, future, None, on_flush, None)
            if status and not 0 <= message_type <= _LAST_APPLICATION_TYPE:
                self._close(status)
        return future

    def new_stream(self, handler: ClientContinuationHandler) -> ClientContinuation:
        """A continuation on this connection. Nothing is sent before its ``activate``."""
        return ClientContinuation(handler, self)

    # ---- closing and the handshake ----

    def _close(self, code: int) -> None:
        with self._lock:
            if self._stage in (_CONNECTING, _CLOSED):
                return
            self._stage = _CLOSED
            self._binding.close(code)

    def _violated(self, answer: Optional[MessageType], what: str) -> None:
        """The peer broke the protocol: say so where it may be said, and close."""
        with self._lock:
            if self._stage == _ACCEPTED and answer is not None:
                headers = [Header.from_string(":content-type", "application/json")]
                payload = f'{{"message": "{what}"}}'
                message = _core.eventstream_encode_rpc(headers, payload, answer, 0, 0)
                self._binding.send(message, 0, _new_future(), None, None, None)
            self._close(_RPC_PROTOCOL_ERROR)

    def _note_sending(self, message_type: int) -> int:
        """0, or the error of a message that breaks the handshake."""
        if self._stage == _NOT_INTRODUCED:
            if message_type == MessageType.CONNECT:
                self._stage = _CONNECT_SENT
                return 0
            return _RPC_PROTOCOL_ERROR
        if self._stage == _CONNECT_SENT:
            return _RPC_PROTOCOL_ERROR
        if self._stage == _ACCEPTED and message_type in (MessageType.CONNECT, MessageType.CONNECT_ACK):
            return _RPC_PROTOCOL_ERROR
        return 0

    def _note_accepted(self, message_type: Optional[int], stream_id: int) -> bool:
        """Whether a message received before the CONNECT_ACK is that one."""
        with self._lock:
            if self._stage != _CONNECT_SENT or message_type != MessageType.CONNECT_ACK or stream_id != 0:
                return False
            self._stage = _ACCEPTED
            return True

    # ---- called by the channel, on the event loop ----

    def _on_setup(self, error: Optional[Exception]) -> None:
        with self._lock:
            self._stage = _CLOSED if error else _NOT_INTRODUCED
        if error:
            _core.call_reporting(self._handler, "on_connection_setup", connection=None, error=error)
            self._connect_future.set_exception(error)
            return
        try:
            self._handler.on_connection_setup(connection=self, error=None)
        except BaseException as exception:
            self._setup_exception = exception
            self._close(_AWS_ERROR_CRT_CALLBACK_EXCEPTION)
        self._connect_future.set_result(None)

    def _on_message(
        self, headers: Optional[List[Header]], payload: bytes, message_type: Optional[int], flags: int, stream_id: int
    ) -> None:
        if self._stage != _ACCEPTED:
            if self._stage == _CLOSED:
                return
            if not self._note_accepted(message_type, stream_id):
                self._violated(None, "handshake")
                return
        elif message_type == MessageType.CONNECT_ACK and stream_id == 0:
            self._violated(MessageType.PROTOCOL_ERROR, "a second CONNECT_ACK")
            return
        if headers is None:
            self._violated(MessageType.INTERNAL_ERROR, "the headers cannot be parsed")
        elif message_type is None:
            self._violated(MessageType.PROTOCOL_ERROR, ":message-type, :message-flags or :stream-id is missing")
        elif stream_id:
            self._on_stream_message(headers, payload, message_type, flags, stream_id)
        elif _LAST_APPLICATION_TYPE < message_type < len(_TYPES):
            _core.call_reporting(
                self._handler,
                "on_protocol_message",
                headers=headers,
                payload=payload,
                message_type=_TYPES[message_type],
                flags=flags,
            )
        else:
            self._violated(MessageType.PROTOCOL_ERROR, f"type {message_type} is not for stream 0")

    def _on_stream_message(
        self, headers: List[Header], payload: bytes, message_type: int, flags: int, stream_id: int
    ) -> None:
        if not 0 <= message_type <= _LAST_APPLICATION_TYPE:
            self._violated(MessageType.PROTOCOL_ERROR, f"type {message_type} is only for stream 0")
        elif not 0 < stream_id <= self._last_stream_id:
            self._violated(MessageType.PROTOCOL_ERROR, f"stream {stream_id} was never opened")
        else:
            continuation = self._streams.get(stream_id)
            if continuation is not None:  # else it has ended, and the peer did not know yet
                continuation._on_message(headers, payload, _TYPES[message_type], flags)

    def _on_shutdown(self, error: Optional[Exception]) -> None:
        with self._lock:
            self._stage = _CLOSED
            streams = list(self._streams.values())
        for continuation in streams:
            continuation._on_end()
        if error is not None and self._setup_exception is not None:
            error.__cause__ = self._setup_exception
        self._setup_exception = None  # its traceback holds on to us
        _core.call_reporting(self._handler, "on_connection_shutdown", reason=error)
        if error is None:
            self.shutdown_future.set_result(None)
        else:
            self.shutdown_future.set_exception(error)


class ClientContinuation(NativeResource):
    """A stream of messages in both directions, made by :meth:`ClientConnection.new_stream`.

    Once activated, it lives until one side sends TERMINATE_STREAM or the connection is gone.

    :ivar connection: the :class:`ClientConnection` it belongs to
    :ivar closed_future: future of None, which completes behind ``on_continuation_closed``; never without
        :meth:`activate`
    """

    def __init__(self, handler: ClientContinuationHandler, connection: ClientConnection) -> None:
        super().__init__()
        self._binding = _core._EventStreamStream()
        self.connection = connection
        self.closed_future = _new_future()
        self._handler = handler
        self._stream_id = 0
        self._closed = False

    def activate(
        self,
        *,
        operation: str,
        headers: Sequence[Header] = None,  # type: ignore[assignment]
        payload: Union[bytes, bytearray] = None,  # type: ignore[assignment]
        message_type: MessageType,
        flags: int = None,  # type: ignore[assignment]
        on_flush: Callable[..., Any] = None,  # type: ignore[assignment]
    ) -> Future[None]:
        """Open the stream with its first message. When this raises, nothing was sent, and it may be tried again.

        :param operation: name of the operation, up to 32,767 bytes of UTF-8
        :param headers: any iterable of them
        :param payload: bytes; a str is sent as UTF-8
        :param flags: see :class:`MessageFlag`
        :param on_flush: called as ``on_flush(error=)`` before the future completes
        :return: future of None, which completes when the message was handed to the system
        :raises RuntimeError: the connection is not open or not accepted yet
            (AWS_ERROR_EVENT_STREAM_RPC_CONNECTION_CLOSED), the continuation is activated already, or something is
            too long
        :raises ValueError: the name of a header, or a STRING, is too long
        :raises TypeError: an argument of a wrong type
        :raises AttributeError: an element of ``headers`` is no Header
        """
        connection = self.connection
        given = None if headers is None else tuple(headers)
        future = _new_future()
        with connection._lock:
            stream_id = connection._last_stream_id + 1
            message = _core.eventstream_encode_rpc(given, payload, message_type, flags, stream_id, operation)
            if self._stream_id:
                if connection.is_open():
                    raise RuntimeError("this continuation is activated already")
                _core.raise_error(_AWS_ERROR_INVALID_STATE, "This continuation was activated already.")
            if connection._stage != _ACCEPTED:
                _core.raise_error(_RPC_CONNECTION_CLOSED, "A continuation needs a connection with a CONNECT_ACK.")
            connection._last_stream_id = self._stream_id = stream_id
            connection._streams[stream_id] = self
            self._send(message, flags, future, on_flush)
        return future

    def send_message(
        self,
        *,
        headers: Sequence[Header] = None,  # type: ignore[assignment]
        payload: Union[bytes, bytearray] = None,  # type: ignore[assignment]
        message_type: MessageType,
        flags: int = None,  # type: ignore[assignment]
        on_flush: Callable[..., Any] = None,  # type: ignore[assignment]
    ) -> Future[None]:
        """Send another message; the parameters are those of :meth:`activate`.

        :return: future of None, which completes when the message was handed to the system; it fails with
            AWS_ERROR_EVENT_STREAM_RPC_STREAM_CLOSED when the stream ends before that
        :raises RuntimeError: not activated (AWS_ERROR_EVENT_STREAM_RPC_STREAM_NOT_ACTIVATED), closed
            (AWS_ERROR_EVENT_STREAM_RPC_STREAM_CLOSED), or something is too long
        """
        if not self._stream_id:
            _core.raise_error(_RPC_STREAM_NOT_ACTIVATED)
        message = _core.eventstream_encode_rpc(headers, payload, message_type, flags, self._stream_id)
        future = _new_future()
        with self.connection._lock:
            if self._closed:
                _core.raise_error(_RPC_STREAM_CLOSED)
            self._send(message, flags, future, on_flush)
        return future

    def is_closed(self) -> bool:
        """True once the stream has ended; it stays False without :meth:`activate`."""
        return self._closed

    def _send(
        self, message: bytes, flags: Optional[int], future: Future[None], on_flush: Optional[Callable[..., Any]]
    ) -> None:
        terminates = flags is not None and flags & MessageFlag.TERMINATE_STREAM
        on_sent = self._on_end if terminates else None
        self.connection._binding.send(message, 0, future, on_sent, on_flush, self._binding)

    # ---- called on the event loop ----

    def _leave(self) -> bool:
        """Mark it closed; False when it was before."""
        with self.connection._lock:
            if self._closed:
                return False
            self._closed = True
            self._binding.end()
            self.connection._streams.pop(self._stream_id, None)
            return True

    def _on_message(self, headers: List[Header], payload: bytes, message_type: MessageType, flags: int) -> None:
        terminated = flags & MessageFlag.TERMINATE_STREAM and self._leave()
        _core.call_reporting(
            self._handler,
            "on_continuation_message",
            headers=headers,
            payload=payload,
            message_type=message_type,
            flags=flags,
        )
        if terminated:
            self._tell_closed()

    def _on_end(self) -> None:
        if self._leave():
            self._tell_closed()

    def _tell_closed(self) -> None:
        _core.call_reporting(self._handler, "on_continuation_closed")
        self.closed_future.set_result(None)
