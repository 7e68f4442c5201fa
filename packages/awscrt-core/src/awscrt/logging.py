"""The native log as part of Python's :mod:`logging`.

Records of native threads arrive in batches on one thread of the log, with the time and the thread they were made at;
the thread that logs never waits for a handler. When handlers cannot keep up, records are dropped, and a record
``"N messages dropped"`` says how many. What Python code logs with :func:`log` is emitted at once, on its own thread,
unless that is an event loop's.

Each native subject has its logger, ``awscrt.<module>.<subject>``, such as ``awscrt.io.dns``.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from enum import IntEnum
from functools import lru_cache

from awscrt import _core, io
from awscrt.io import LogLevel

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    from typing import Optional, Tuple, Union

__all__ = [
    "CRT_LOG_FORMAT",
    "LogSubject",
    "close",
    "dropped_messages",
    "flush",
    "init_logging",
    "log",
    "logf",
    "reconfigure",
    "set_log_level",
]

#: A format for handlers that shows the native thread (``AwsEventLoop1``) and the subject.
CRT_LOG_FORMAT = "%(asctime)s [%(threadName)s] %(levelname)s %(name)s - %(message)s"

_AWS_ERROR_INVALID_STATE = 38


class LogSubject(IntEnum):
    """Subjects to give to :func:`log`. The logger is named after the number: some share theirs with another name."""

    COMMON_GENERAL = 0
    COMMON_TASK_SCHEDULER = 1

    IO_GENERAL = 0x400
    IO_EVENT_LOOP = 0x401
    IO_SOCKET = 0x402
    IO_SOCKET_HANDLER = 0x403
    IO_TLS = 0x404
    IO_ALPN = 0x405
    IO_DNS = 0x406
    IO_PKI = 0x407
    IO_CHANNEL = 0x408
    IO_CHANNEL_BOOTSTRAP = 0x409
    IO_FILE_UTILS = 0x40A
    IO_SHARED_LIBRARY = 0x40B

    HTTP_GENERAL = 0x800
    HTTP_CONNECTION = 0x801
    HTTP_SERVER = 0x802
    HTTP_STREAM = 0x803
    HTTP_CONNECTION_MANAGER = 0x804
    HTTP_WEBSOCKET = 0x805
    HTTP_WEBSOCKET_SETUP = 0x806

    EVENT_STREAM_GENERAL = 0x1000
    EVENT_STREAM_CHANNEL_HANDLER = 0x1001
    EVENT_STREAM_RPC_SERVER = 0x1002
    EVENT_STREAM_RPC_CLIENT = 0x1003

    MQTT_GENERAL = 0x1400
    MQTT_CLIENT = 0x1401
    MQTT_TOPIC_TREE = 0x1402

    AUTH_GENERAL = 0x1800
    AUTH_PROFILE = 0x1801
    AUTH_CREDENTIALS_PROVIDER = 0x1802
    AUTH_SIGNING = 0x1803

    CAL_GENERAL = 0x1C00
    CAL_ECC = 0x1C01
    CAL_HASH = 0x1C02
    CAL_HMAC = 0x1C03
    CAL_DER = 0x1C04
    CAL_LIBCRYPTO_RESOLVE = 0x1C05
    CAL_RSA = 0x1C06
    CAL_ED25519 = 0x1C07

    S3_GENERAL = 0x3800
    S3_CLIENT = 0x3801

    SDKUTILS_GENERAL = 0x3C00
    SDKUTILS_PROFILE = 0x3C01
    SDKUTILS_ENDPOINTS_PARSING = 0x3C02
    SDKUTILS_ENDPOINTS_RESOLVE = 0x3C03
    SDKUTILS_ENDPOINTS_GENERAL = 0x3C04
    SDKUTILS_PARTITIONS_PARSING = 0x3C05
    SDKUTILS_ENDPOINTS_REGEX = 0x3C06


# DEBUG stands for all there is: native Trace has no level of its own in Python.
_NATIVE_LEVELS = {
    logging.CRITICAL: LogLevel.Fatal,
    logging.ERROR: LogLevel.Error,
    logging.WARNING: LogLevel.Warn,
    logging.INFO: LogLevel.Info,
    logging.DEBUG: LogLevel.Trace,
    logging.NOTSET: LogLevel.NoLogs,
}

_PYTHON_LEVELS = {
    int(LogLevel.Fatal): logging.CRITICAL,
    int(LogLevel.Error): logging.ERROR,
    int(LogLevel.Warn): logging.WARNING,
    int(LogLevel.Info): logging.INFO,
    int(LogLevel.Debug): logging.DEBUG,
    int(LogLevel.Trace): logging.DEBUG,
}

# By package, the upper bits of a subject.
_MODULES = {
    0: "common",
    1: "io",
    2: "http",
    4: "event-stream",
    5: "mqtt",
    6: "auth",
    7: "cal",
    14: "s3",
    15: "sdkutils",
}


def _native_level(level: object) -> int:
    try:
        return int(_NATIVE_LEVELS[level])  # type: ignore[index]
    except (KeyError, TypeError):
        raise ValueError(
            f"log level {level!r} is none of logging.DEBUG, INFO, WARNING, ERROR, CRITICAL and NOTSET"
        ) from None


def _use_python(level: int, native_level: int) -> None:
    root = logging.getLogger("awscrt")
    if root.level == logging.NOTSET:
        root.setLevel(level)
    _core.log_to_python(native_level)


# ---- configuration ----


def init_logging(level: int = logging.DEBUG) -> None:
    """Send the native log to Python's logging.

    Once per process, here or in :func:`awscrt.io.init_logging`; :func:`reconfigure` works at any time. Sets the level
    of the logger ``awscrt`` too, unless it has one.

    :param level: ``logging.DEBUG`` (everything), ``INFO``, ``WARNING``, ``ERROR``, ``CRITICAL``; ``NOTSET`` is nothing
    :raises ValueError: another level
    :raises RuntimeError: logging is on already (AWS_ERROR_INVALID_STATE)
    """
    native_level = _native_level(level)
    with io._logging_lock:
        if io._logging_initialized:
            _core.raise_error(
                _AWS_ERROR_INVALID_STATE,
                "Logging was initialized before; set_log_level() changes its level, reconfigure() all of it.",
            )
        _use_python(level, native_level)
        io._logging_initialized = True


def reconfigure(level: int = logging.DEBUG, destination: Optional[Union[str, os.PathLike[str]]] = None) -> None:
    """Choose where the native log goes, and how much of it; at any time, whether logging is on or not.

    The former destination gets what was logged until now; should it take nothing for a second, the rest goes to the
    new one. To follow a rotated log file, call this with its path again.

    :param level: as in :func:`init_logging`
    :param destination: None for Python's logging, or ``"stdout"``, ``"stderr"``, a path opened for append
    :raises ValueError: another level
    :raises TypeError: the destination is no path
    :raises RuntimeError: the file cannot be opened (AWS_ERROR_FILE_INVALID_PATH); everything stays as it was
    """
    native_level = _native_level(level)
    with io._logging_lock:
        if destination is None:
            _use_python(level, native_level)
        else:
            _core.log_to_file(native_level, os.fspath(destination))
        io._logging_initialized = True


def close() -> None:
    """Write what was logged until now, waiting for at most a second, and stop logging.

    As before the first call: either ``init_logging`` may be called again. Does nothing when logging is off.
    """
    with io._logging_lock:
        _core.log_close()
        io._logging_initialized = False


def set_log_level(level: int) -> None:
    """Change how much is logged, whichever way logging was started. Levels of Python's loggers stay as they are.

    :param level: as in :func:`init_logging`
    :raises ValueError: another level
    :raises RuntimeError: logging is off
    """
    native_level = _native_level(level)
    if not io._logging_initialized:
        raise RuntimeError("logging is not initialized; call init_logging() first")
    _core.set_log_level(native_level)


def flush(timeout_sec: float = 1.0) -> bool:
    """Wait until handlers or file got what was logged until now.

    :param timeout_sec: seconds
    :return: False when time ran out, and in a handler, where waiting would be for ever
    """
    return _core.log_flush(timeout_sec)


def dropped_messages() -> int:
    """How many messages were lost since the process started, because handlers or file could not keep up."""
    return _core.log_dropped()


# ---- logging ----


def log(level: int, subject: LogSubject, message: str) -> None:
    """Log a message, as native code does. Does nothing while logging is off.

    :param level: as in :func:`init_logging`
    :param subject: number of a subject, not necessarily one of :class:`LogSubject`
    :raises TypeError: the message is no str
    :raises ValueError: another level, or a message with a NUL character
    :raises OverflowError: a subject beyond 32 bits
    """
    _core.log(_native_level(level), int(subject), message)


logf = log


@lru_cache(maxsize=256)
def _logger_of(subject: int) -> logging.Logger:
    return logging.getLogger(f"awscrt.{_MODULES.get(subject >> 10, 'unknown')}.{_core.log_subject_name(subject)}")


def _thread_name(thread_id: int, native_name: str) -> str:
    # The system knows a program's own threads by its name only.
    if not native_name.startswith(("Aws", "Evnt")):
        for thread in threading.enumerate():
            if thread.ident == thread_id:
                return thread.name
    return native_name


def _emit(level: int, subject: int, message: str, origin: Optional[Tuple[int, int, str]] = None) -> None:
    """Called by the native log; `origin`: time in nanoseconds, thread and its name, unless they are the caller's."""
    logger = _logger_of(subject)
    python_level = _PYTHON_LEVELS.get(level, logging.DEBUG)
    if not logger.isEnabledFor(python_level):
        return
    record = logger.makeRecord(logger.name, python_level, "(native)", 0, "%s", (message,), None)
    if origin is not None:
        time_ns, thread_id, thread_name = origin
        created = time_ns / 1e9
        record.relativeCreated -= (record.created - created) * 1000
        record.created = created
        record.msecs = float(time_ns // 1_000_000 % 1000)
        if record.thread is not None:  # logging.logThreads
            record.thread = thread_id
            record.threadName = _thread_name(thread_id, thread_name)
    logger.handle(record)


# Before the handlers are closed: logging registered their end when it was imported above.
atexit.register(_core.log_close)
