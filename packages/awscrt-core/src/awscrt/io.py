"""Event loops, host resolution, sockets, TLS and byte streams: what every client is built on."""

from __future__ import annotations

import os
from _thread import RLock  # type: ignore[attr-defined, unused-ignore]
from enum import IntEnum

from awscrt import NativeResource, _core
from awscrt._pkcs11 import Pkcs11Lib
from awscrt._tls import (
    ClientTlsContext,
    TlsCipherPref,
    TlsConnectionOptions,
    TlsContextOptions,
    TlsVersion,
    is_alpn_available,
)
from awscrt._tls import (
    _CertificateSource as _CertificateSource,
)

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    import threading
    from typing import Any, Callable, Dict, Optional, Type, TypeVar

    _Resource = TypeVar("_Resource", bound=NativeResource)

__all__ = [
    "ClientBootstrap",
    "ClientTlsContext",
    "DefaultHostResolver",
    "EventLoopGroup",
    "ExponentialBackoffJitterMode",
    "HostResolverBase",
    "InputStream",
    "LogLevel",
    "NativeResource",
    "Pkcs11Lib",
    "SocketDomain",
    "SocketOptions",
    "SocketType",
    "TlsCipherPref",
    "TlsConnectionOptions",
    "TlsContextOptions",
    "TlsVersion",
    "default_loop_count",
    "init_logging",
    "is_alpn_available",
    "set_log_level",
]

_AWS_ERROR_INVALID_ARGUMENT = 34


# ---- logging ----


class LogLevel(IntEnum):
    """Verbosity of the native log: messages of this level and the more severe ones are written."""

    NoLogs = 0
    Fatal = 1
    Error = 2
    Warn = 3
    Info = 4
    Debug = 5
    Trace = 6


# One sink per process, chosen once by this module's init_logging or that of awscrt.logging.
_logging_lock = RLock()
_logging_initialized = False


def _log_level_argument(level: object) -> int:
    if not isinstance(level, int) or not 0 <= level <= 255:
        raise ValueError
    return int(level)


def init_logging(log_level: LogLevel, file_name: str) -> None:
    """Start writing the native log, on a thread of its own: nobody waits for the file.

    Once per process, here or in :mod:`awscrt.logging`; :func:`awscrt.logging.reconfigure` changes everything later.

    :param log_level: most verbose level that is written
    :param file_name: ``"stdout"``, ``"stderr"`` or a path opened for append (``"./stdout"`` is a file of that name)
    :raises RuntimeError: logging is on already, or the file cannot be opened (AWS_ERROR_FILE_INVALID_PATH)
    :raises ValueError: an argument of the wrong type, or a level outside 0 to 255
    """
    global _logging_initialized
    assert log_level is not None
    assert file_name is not None
    level = _log_level_argument(log_level)
    if not isinstance(file_name, str):
        raise ValueError
    with _logging_lock:
        if _logging_initialized:
            raise RuntimeError(
                "logging was initialized before; set_log_level() changes its level, "
                "awscrt.logging.reconfigure() all of it"
            )
        _core.log_to_file(level, file_name)
        _logging_initialized = True


def set_log_level(log_level: LogLevel) -> None:
    """Change the level of the log, whichever way it was started.

    :raises RuntimeError: logging was not initialized
    """
    assert log_level is not None
    level = _log_level_argument(log_level)
    if not _logging_initialized:
        raise RuntimeError("logging is not initialized; call init_logging() first")
    _core.set_log_level(level)


# ---- the static defaults ----

_defaults: Dict[Type[Any], NativeResource] = {}
_defaults_lock = RLock()


def _default(kind: Type[_Resource], make: Callable[[], _Resource]) -> _Resource:
    with _defaults_lock:
        found = _defaults.get(kind)
        if found is None:
            found = _defaults[kind] = make()
        return found  # type: ignore[return-value]


def _release_default(kind: Type[NativeResource]) -> None:
    with _defaults_lock:
        released = _defaults.pop(kind, None)
    del released  # outside the lock: whatever its end sets in motion must not wait for us


def _forget_defaults() -> None:
    # In a forked child: those are the parent's, and a thread that is not here may hold the lock.
    global _defaults_lock, _logging_lock
    _defaults_lock = RLock()
    _logging_lock = RLock()
    _defaults.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_defaults)


# ---- event loops, resolver, bootstrap ----

# Beyond this, more loops only cost memory: one loop moves gigabytes per second.
_MAX_DEFAULT_LOOPS = 96


def default_loop_count() -> int:
    """Event loops of the static default group."""
    return min(_MAX_DEFAULT_LOOPS, max(1, _core.cpu_count() // 2))


class _Ending:
    """What the runtime calls when something has ended, and the event that says so, made for those who ask."""

    __slots__ = ("_ended", "_event")

    def __init__(self) -> None:
        self._ended = False
        self._event: Optional[threading.Event] = None

    def __call__(self) -> None:
        self._ended = True
        if self._event is not None:
            self._event.set()

    def event(self) -> threading.Event:
        from threading import Event

        with _defaults_lock:
            if self._event is None:
                self._event = Event()
        if self._ended:  # looked at after the event is in its place, so that one of the two sides sees the other
            self._event.set()
        return self._event


class EventLoopGroup(NativeResource):
    """A group of event-loop threads. An object that does I/O stays on one loop for its whole life.

    :param num_threads: loops; None or 0 means half of the usable processors, at least 1
    :param cpu_group: NUMA node whose processors the threads stay on
    :raises RuntimeError: no such cpu_group (AWS_ERROR_INVALID_ARGUMENT), or threads cannot be started
    :raises OverflowError: num_threads is not within 0 to 65535
    """

    __slots__ = ("_ending",)

    def __init__(self, num_threads: Optional[int] = None, cpu_group: Optional[int] = None) -> None:
        super().__init__()
        if cpu_group is not None:
            self._check_cpu_group(cpu_group)
        self._ending = _Ending()
        self._binding = _core.event_loop_group_new(
            0 if num_threads is None else num_threads,
            -1 if cpu_group is None else cpu_group,
            self._ending,
        )

    @property
    def shutdown_event(self) -> threading.Event:
        """Set after all threads have ended; that begins when the last owner (this object, resolvers, bootstraps,
        connections) is gone."""
        return self._ending.event()

    @staticmethod
    def _check_cpu_group(cpu_group: int) -> None:
        from awscrt.common import get_cpu_count_for_group

        if not isinstance(cpu_group, int):
            raise TypeError(f"cpu_group must be an int, got {type(cpu_group).__name__}")
        if not 0 <= cpu_group <= 65535 or get_cpu_count_for_group(cpu_group) == 0:
            _core.raise_error(_AWS_ERROR_INVALID_ARGUMENT, f"There is no cpu_group {cpu_group} on this machine.")

    @staticmethod
    def get_or_create_static_default() -> EventLoopGroup:
        """The group that everything uses for which no other is named; made on first use."""
        return _default(EventLoopGroup, EventLoopGroup._new_default)

    @staticmethod
    def _new_default() -> EventLoopGroup:
        return EventLoopGroup(default_loop_count())

    @staticmethod
    def release_static_default() -> None:
        """Let go of the static default; it ends when nobody else uses it."""
        _release_default(EventLoopGroup)


class HostResolverBase(NativeResource):
    """Base of host resolvers."""

    __slots__ = ()


class DefaultHostResolver(HostResolverBase):
    """Resolves host names through the system and caches the addresses for 30 s.

    :param event_loop_group: kept alive as long as this
    :param max_hosts: how many hosts to expect (a hint)
    :raises ValueError: max_hosts < 1
    """

    __slots__ = ()

    def __init__(self, event_loop_group: EventLoopGroup, max_hosts: int = 16) -> None:
        assert isinstance(event_loop_group, EventLoopGroup)
        super().__init__()
        if max_hosts < 1:
            raise ValueError(f"max_hosts must be at least 1, got {max_hosts}")
        self._binding = _core.host_resolver_new(event_loop_group, max_hosts)

    @staticmethod
    def get_or_create_static_default() -> DefaultHostResolver:
        """The resolver that everything uses for which no other is named; made on first use."""
        return _default(DefaultHostResolver, DefaultHostResolver._new_default)

    @staticmethod
    def _new_default() -> DefaultHostResolver:
        return DefaultHostResolver(EventLoopGroup.get_or_create_static_default())

    @staticmethod
    def release_static_default() -> None:
        """Let go of the static default; it ends when nobody else uses it."""
        _release_default(DefaultHostResolver)


class ClientBootstrap(NativeResource):
    """The event loops and the resolver that client connections use.

    :param event_loop_group: kept alive as long as this and every connection made with it
    :param host_resolver: likewise
    """

    __slots__ = ("_ending",)

    def __init__(self, event_loop_group: EventLoopGroup, host_resolver: HostResolverBase) -> None:
        assert isinstance(event_loop_group, EventLoopGroup)
        assert isinstance(host_resolver, HostResolverBase)
        super().__init__()
        self._ending = _Ending()
        self._binding = _core.client_bootstrap_new(event_loop_group, host_resolver, self._ending)

    @property
    def shutdown_event(self) -> threading.Event:
        """Set when this and every connection made with it are gone."""
        return self._ending.event()

    @staticmethod
    def get_or_create_static_default() -> ClientBootstrap:
        """The bootstrap that every client uses for which no other is named; made on first use."""
        return _default(ClientBootstrap, ClientBootstrap._new_default)

    @staticmethod
    def _new_default() -> ClientBootstrap:
        return ClientBootstrap(
            EventLoopGroup.get_or_create_static_default(), DefaultHostResolver.get_or_create_static_default()
        )

    @staticmethod
    def release_static_default() -> None:
        """Let go of the static default; it ends when nobody else uses it."""
        _release_default(ClientBootstrap)


# ---- sockets ----


class SocketDomain(IntEnum):
    """Kind of address."""

    IPv4 = 0
    IPv6 = 1
    Local = 2
    VSock = 3


class SocketType(IntEnum):
    """Kind of socket; clients need Stream."""

    Stream = 0
    DGram = 1


class SocketOptions:
    """How sockets are opened. Checked when a connection is made.

    :ivar domain: IPv4 and IPv6 both try both families; Local is a Unix socket whose path (or, on Linux, abstract
        name after an ``@``) is the host name; VSock (Linux) reaches a virtual machine or, from inside one, its host:
        the host name is the CID, e.g. ``"2"`` for the host
    :ivar connect_timeout_ms: milliseconds for each attempt to reach an address, DNS and TLS not included
    :ivar keep_alive: send TCP keep-alive probes
    :ivar keep_alive_interval_secs: idle seconds before the first probe; needs keep_alive_timeout_secs as well
    :ivar keep_alive_timeout_secs: seconds between probes; needs keep_alive_interval_secs as well
    :ivar keep_alive_max_probes: unanswered probes after which the connection is lost; 0: the system's default
    :ivar interface_name: network interface that IP sockets are bound to, e.g. ``"eth0"``; None: any
    """

    __slots__ = (
        "domain",
        "type",
        "connect_timeout_ms",
        "keep_alive",
        "keep_alive_timeout_secs",
        "keep_alive_interval_secs",
        "keep_alive_max_probes",
        "interface_name",
    )

    def __init__(self) -> None:
        self.domain = SocketDomain.IPv6
        self.type = SocketType.Stream
        self.connect_timeout_ms = 5000
        self.keep_alive = False
        self.keep_alive_interval_secs = 0
        self.keep_alive_timeout_secs = 0
        self.keep_alive_max_probes = 0
        self.interface_name: Optional[str] = None


class ExponentialBackoffJitterMode(IntEnum):
    """How the pauses between retries are spread.

    NONE: d = min(scale * 2**i, maximum). FULL (and DEFAULT): uniform in [0, d). DECORRELATED: uniform in
    [scale, min(maximum, 3 * previous)).
    """

    DEFAULT = 0
    NONE = 1
    FULL = 2
    DECORRELATED = 3


# ---- byte streams ----


class InputStream(NativeResource):
    """Lets native code read a Python binary stream, e.g. a request body.

    Reads call, whichever exists first, ``readinto1``, ``readinto``, ``read1`` or ``read``, on an event-loop
    thread. None (from ``readinto*``) or BlockingIOError means "nothing now": the read is repeated a little later.
    The stream is not closed.

    :raises TypeError: no callable ``read``
    """

    __slots__ = ()

    def __init__(self, stream: Any) -> None:
        if not callable(getattr(stream, "read", None)):
            raise TypeError(f"expected a binary stream with a read() method, got {type(stream).__name__}")
        super().__init__()
        self._binding = _core.input_stream_new(stream)

    @classmethod
    def wrap(cls, stream: Any, allow_none: bool = False) -> Optional[InputStream]:
        """Return ``stream`` itself when it is an InputStream, else wrap it.

        :param allow_none: let None through
        """
        if isinstance(stream, InputStream):
            return stream
        if stream is None and allow_none:
            return None
        return cls(stream)
