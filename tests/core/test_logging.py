"""The native log: as a file, and as part of Python's logging."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time

import pytest

from awscrt import io
from awscrt import logging as crt_logging
from awscrt.io import LogLevel
from awscrt.logging import LogSubject

LINE = re.compile(r"\[(\w+)\] \[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\] \[[0-9a-f]{16}\] \[([^]]+)\] - (.*)")


class Keep(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)

    def messages(self):
        return [record.getMessage() for record in self.records]


@pytest.fixture
def handler():
    """A handler of the logger ``awscrt``; afterwards logging is off and as it was."""
    root, keep = logging.getLogger("awscrt"), Keep()
    root.addHandler(keep)
    yield keep
    crt_logging.close()
    root.removeHandler(keep)
    root.setLevel(logging.NOTSET)


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def lines_of(path):
    return [LINE.match(line).groups() for line in path.read_text().splitlines()]


def log_on_loop(probe, bootstrap, *messages, subject=LogSubject.IO_DNS, level=logging.ERROR):
    """Log on an event loop's thread."""
    done = threading.Event()

    def run(number):
        for message in messages:
            crt_logging.log(level, subject, message)
        done.set()

    probe.call_on_loop(bootstrap, run, 1)
    assert done.wait(20)


# ---- Python's logging ----


def test_constants():
    assert crt_logging.CRT_LOG_FORMAT == "%(asctime)s [%(threadName)s] %(levelname)s %(name)s - %(message)s"
    assert {"init_logging", "set_log_level", "logf", "LogSubject", "CRT_LOG_FORMAT"} <= set(crt_logging.__all__)
    assert crt_logging.logf is crt_logging.log
    assert crt_logging.LogLevel is LogLevel


def test_star_import():
    names: dict = {}
    exec("from awscrt.logging import *", names)
    assert names["LogSubject"] is LogSubject


@pytest.mark.parametrize(
    "level, passed",
    [
        (logging.CRITICAL, 1),
        (logging.ERROR, 2),
        (logging.WARNING, 3),
        (logging.INFO, 4),
        (logging.DEBUG, 5),
        (logging.NOTSET, 0),
    ],
)
def test_level_decides_what_is_logged(handler, level, passed):
    logging.getLogger("awscrt").setLevel(1)
    crt_logging.init_logging(level)
    for each in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, logging.NOTSET):
        crt_logging.log(each, LogSubject.IO_DNS, "message")
    levels = [logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG]
    assert [record.levelno for record in handler.records] == levels[:passed]


def test_debug_stands_for_everything_native(handler):
    from awscrt import _core

    crt_logging.init_logging(logging.DEBUG)
    assert _core.log_level() == LogLevel.Trace
    for level in range(1, 7):
        _core.log(level, LogSubject.IO_DNS, "message")
    assert [record.levelname for record in handler.records] == "CRITICAL ERROR WARNING INFO DEBUG DEBUG".split()


@pytest.mark.parametrize("wrong", [11, "INFO", None, True, [], 60])
@pytest.mark.parametrize("call", ["init_logging", "set_log_level", "log", "reconfigure"])
def test_other_levels_are_refused_before_anything_happens(handler, call, wrong):
    arguments = (LogSubject.IO_DNS, "message") if call == "log" else ()
    with pytest.raises(ValueError, match="log level"):
        getattr(crt_logging, call)(wrong, *arguments)
    crt_logging.init_logging()  # still possible


def test_logger_gets_the_level_unless_it_has_one(handler):
    root = logging.getLogger("awscrt")
    crt_logging.init_logging(logging.WARNING)
    assert root.level == logging.WARNING
    crt_logging.set_log_level(logging.DEBUG)
    assert root.level == logging.WARNING
    crt_logging.reconfigure(logging.ERROR)
    assert root.level == logging.WARNING


@pytest.mark.parametrize(
    "subject, name",
    [
        (0, "awscrt.common.aws-c-common"),
        (LogSubject.IO_DNS, "awscrt.io.dns"),
        (LogSubject.HTTP_SERVER, "awscrt.http.http-encoder"),
        (LogSubject.HTTP_WEBSOCKET, "awscrt.http.http-stream"),
        (LogSubject.EVENT_STREAM_GENERAL, "awscrt.event-stream.event-stream-general"),
        (0x1404, "awscrt.mqtt.mqtt5-client"),
        (LogSubject.AUTH_SIGNING, "awscrt.auth.AuthSigning"),
        (LogSubject.CAL_ED25519, "awscrt.cal.ed25519"),
        (0x3804, "awscrt.s3.S3MetaRequest"),
        (15367, "awscrt.sdkutils.AwsChunkedDecoder"),
        (99999, "awscrt.unknown.Unknown"),
        (-1, "awscrt.unknown.Unknown"),
        (0x3FF, "awscrt.common.Unknown"),
    ],
)
def test_loggers_are_named_after_the_number(handler, subject, name):
    crt_logging.init_logging()
    crt_logging.log(logging.ERROR, subject, "message")
    assert [record.name for record in handler.records] == [name]


def test_the_hierarchy_decides(handler):
    dns = logging.getLogger("awscrt.io.dns")
    crt_logging.init_logging()
    dns.setLevel(logging.ERROR)
    try:
        crt_logging.log(logging.WARNING, LogSubject.IO_DNS, "no")
        crt_logging.log(logging.WARNING, LogSubject.IO_SOCKET, "yes")
        crt_logging.log(logging.ERROR, LogSubject.IO_DNS, "yes, too")
    finally:
        dns.setLevel(logging.NOTSET)
    assert handler.messages() == ["yes", "yes, too"]


def test_own_records_are_emitted_at_once_on_their_thread(handler):
    crt_logging.init_logging()
    crt_logging.log(logging.INFO, LogSubject.IO_DNS, "100 % of %s \u20ac")
    (record,) = handler.records
    assert record.getMessage() == "100 % of %s \u20ac"
    assert (record.thread, record.threadName) == (threading.get_ident(), threading.current_thread().name)


def test_records_of_native_threads_know_their_thread_and_time(handler, probe, bootstrap):
    crt_logging.init_logging()
    before = time.time()
    log_on_loop(probe, bootstrap, "one", "two", "3 % of %d")
    after = time.time()
    assert crt_logging.flush(20)
    mine = [record for record in handler.records if record.name == "awscrt.io.dns"]
    assert [record.getMessage() for record in mine] == ["one", "two", "3 % of %d"]
    for record in mine:
        assert record.threadName == "AwsEventLoop1"
        assert record.thread != threading.get_ident()
        assert before - 0.001 <= record.created <= after + 0.001
        assert abs(record.msecs - record.created * 1000 % 1000) < 2
        assert 0 < record.relativeCreated


def test_native_code_is_heard(handler, probe):
    crt_logging.init_logging()
    group = io.EventLoopGroup(1)
    assert crt_logging.flush(20)
    started = [record for record in handler.records if record.name == "awscrt.io.event-loop"]
    assert [record.levelname for record in started] == ["INFO"]
    assert started[0].threadName == threading.current_thread().name  # group and record were made here
    del group


def test_threads_stay_unnamed_where_logging_says_so(handler, probe, bootstrap, monkeypatch):
    monkeypatch.setattr(logging, "logThreads", False)
    crt_logging.init_logging()
    log_on_loop(probe, bootstrap, "message")
    assert crt_logging.flush(20)
    assert {(record.thread, record.threadName) for record in handler.records} == {(None, None)}


# ---- handlers that fail, wait or come back to us ----


def test_a_handler_that_raises_fails_nobody(handler, probe, bootstrap, monkeypatch):
    def fail(record):
        raise LookupError

    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: unraisable.append(type(report.exc_value)))
    monkeypatch.setattr(handler, "emit", fail)
    crt_logging.init_logging(logging.ERROR)
    crt_logging.log(logging.ERROR, LogSubject.IO_DNS, "here")
    assert unraisable == [LookupError]
    log_on_loop(probe, bootstrap, "there", "and there")
    assert crt_logging.flush(20)
    assert unraisable == [LookupError] * 3


def test_an_interrupt_is_not_swallowed(handler, monkeypatch):
    def interrupt(record):
        raise KeyboardInterrupt

    crt_logging.init_logging()
    monkeypatch.setattr(handler, "emit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        crt_logging.log(logging.ERROR, LogSubject.IO_DNS, "message")


def test_a_slow_handler_holds_up_nobody_and_dropped_messages_are_told(handler, probe, bootstrap, monkeypatch):
    taken, go_on = threading.Event(), threading.Event()
    keep = handler.emit

    def wait(record):
        taken.set()
        assert go_on.wait(20)
        keep(record)

    monkeypatch.setattr(handler, "emit", wait)
    crt_logging.init_logging(logging.ERROR)
    before = crt_logging.dropped_messages()
    log_on_loop(probe, bootstrap, "first")
    assert taken.wait(20)
    assert not crt_logging.flush(0)
    sent = 1
    while crt_logging.dropped_messages() == before:
        log_on_loop(probe, bootstrap, *["x" * 50_000] * 10)
        sent += 10
    dropped = crt_logging.dropped_messages() - before
    go_on.set()
    assert crt_logging.flush(20)
    assert len([record for record in handler.records if record.name == "awscrt.io.dns"]) == sent - dropped


def test_the_number_of_dropped_messages_is_a_record(handler, probe, bootstrap, monkeypatch):
    go_on = threading.Event()
    keep = handler.emit
    monkeypatch.setattr(handler, "emit", lambda record: (go_on.wait(20), keep(record)))
    crt_logging.init_logging(logging.WARNING)
    before = crt_logging.dropped_messages()
    while crt_logging.dropped_messages() == before:
        log_on_loop(probe, bootstrap, *["x" * 50_000] * 10)
    dropped = crt_logging.dropped_messages() - before
    go_on.set()
    assert crt_logging.flush(20)
    notes = [record for record in handler.records if record.name == "awscrt.common.aws-c-common"]
    assert [(note.levelname, note.getMessage()) for note in notes] == [("WARNING", f"{dropped} messages dropped")]


def test_a_handler_may_log_flush_and_reconfigure(handler, probe, bootstrap, tmp_path, monkeypatch):
    keep = handler.emit
    flushed = []

    def busy(record):
        keep(record)
        if record.getMessage() == "go":
            crt_logging.log(logging.ERROR, LogSubject.IO_DNS, "from the handler")
            flushed.append(crt_logging.flush(20))
            crt_logging.reconfigure(logging.ERROR, tmp_path / "log")

    monkeypatch.setattr(handler, "emit", busy)
    crt_logging.init_logging(logging.ERROR)
    log_on_loop(probe, bootstrap, "go")
    wait_until(lambda: flushed and (tmp_path / "log").exists())
    assert flushed == [False]  # it would have waited for itself
    assert handler.messages() == ["go", "from the handler"]
    crt_logging.log(logging.ERROR, LogSubject.IO_DNS, "to the file")
    assert crt_logging.flush(20)
    assert lines_of(tmp_path / "log") == [("ERROR", "dns", "to the file")]


# ---- what may be called when ----


@pytest.mark.parametrize(
    "arguments, error",
    [
        ((logging.ERROR, LogSubject.IO_DNS, b"bytes"), TypeError),
        ((logging.ERROR, LogSubject.IO_DNS, None), TypeError),
        ((logging.ERROR, LogSubject.IO_DNS, "a\0b"), ValueError),
        ((logging.ERROR, LogSubject.IO_DNS, "\udc80"), ValueError),
        ((logging.ERROR, 2**31, "message"), OverflowError),
        ((logging.ERROR, "dns", "message"), ValueError),
        ((logging.ERROR, None, "message"), TypeError),
    ],
)
@pytest.mark.parametrize("on", [False, True])
def test_bad_records(handler, on, arguments, error):
    if on:
        crt_logging.init_logging()
    with pytest.raises(error):
        crt_logging.log(*arguments)
    assert handler.records == []


def test_logging_before_it_is_on_does_nothing(handler):
    crt_logging.log(logging.CRITICAL, LogSubject.IO_DNS, "message")
    with pytest.raises(RuntimeError, match="init_logging"):
        crt_logging.set_log_level(logging.INFO)
    with pytest.raises(RuntimeError, match="init_logging"):
        io.set_log_level(LogLevel.Info)
    assert crt_logging.flush(0)
    crt_logging.close()
    assert handler.records == []


def test_either_of_the_two_may_start_logging_once(handler, tmp_path):
    for start in (crt_logging.init_logging, lambda: io.init_logging(LogLevel.Info, str(tmp_path / "log"))):
        start()
        with pytest.raises(RuntimeError, match=r"^38 \(AWS_ERROR_INVALID_STATE\): .*reconfigure"):
            crt_logging.init_logging()
        with pytest.raises(RuntimeError, match="^logging was initialized before.*reconfigure"):
            io.init_logging(LogLevel.Info, "stderr")
        crt_logging.close()
        crt_logging.close()


def test_both_set_log_levels_work_whichever_way_logging_started(handler, tmp_path):
    crt_logging.init_logging()
    io.set_log_level(LogLevel.Error)
    crt_logging.log(logging.WARNING, LogSubject.IO_DNS, "no")
    crt_logging.set_log_level(logging.WARNING)
    crt_logging.log(logging.WARNING, LogSubject.IO_DNS, "yes")
    io.set_log_level(200)
    crt_logging.log(logging.DEBUG, LogSubject.IO_DNS, "yes")
    assert len(handler.records) == 2
    crt_logging.close()
    io.init_logging(LogLevel.Error, str(tmp_path / "log"))
    crt_logging.set_log_level(logging.INFO)
    crt_logging.log(logging.INFO, LogSubject.IO_DNS, "yes")
    assert crt_logging.flush(20)
    assert lines_of(tmp_path / "log") == [("INFO", "dns", "yes")]


# ---- files ----


def test_lines_of_a_file(handler, tmp_path):
    io.init_logging(LogLevel.Trace, str(tmp_path / "log"))
    for level in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG):
        crt_logging.log(level, LogSubject.IO_DNS, "\u20ac %d")
    assert crt_logging.flush(20)
    words = ["FATAL", "ERROR", "WARN", "INFO", "TRACE"]
    assert lines_of(tmp_path / "log") == [(word, "dns", "\u20ac %d") for word in words]
    assert handler.records == []


def test_a_file_is_continued(handler, tmp_path):
    (tmp_path / "log").write_text("earlier\n")
    crt_logging.reconfigure(logging.INFO, tmp_path / "log")
    crt_logging.log(logging.INFO, LogSubject.IO_DNS, "later")
    assert crt_logging.flush(20)
    assert (tmp_path / "log").read_text().startswith("earlier\n[INFO] ")


@pytest.mark.parametrize("name", ["stdout.log", "stderrX", "./stdout", "std", "n\u00e4me", "l\udcffg"])
def test_names_are_compared_whole(handler, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    io.init_logging(LogLevel.Info, name)
    crt_logging.log(logging.INFO, LogSubject.IO_DNS, "message")
    assert crt_logging.flush(20)
    assert lines_of(tmp_path / name) == [("INFO", "dns", "message")]


@pytest.mark.parametrize("path", ["", "/no/such/directory/log", "/"])
def test_impossible_files_leave_logging_off(handler, path):
    for start in (lambda: io.init_logging(LogLevel.Info, path), lambda: crt_logging.reconfigure(logging.INFO, path)):
        with pytest.raises(RuntimeError, match=r"^44 \(AWS_ERROR_FILE_INVALID_PATH\): .*'" + re.escape(path) + "'"):
            start()
    crt_logging.init_logging()


@pytest.mark.parametrize(
    "arguments, error",
    [
        ((None, "stderr"), AssertionError),
        ((LogLevel.Info, None), AssertionError),
        (("Info", "stderr"), ValueError),
        ((1.5, "stderr"), ValueError),
        ((-1, "stderr"), ValueError),
        ((256, "stderr"), ValueError),
        ((LogLevel.Info, b"stderr"), ValueError),
        ((LogLevel.Info, "a\0b"), ValueError),
    ],
)
def test_bad_arguments_of_init_logging(handler, arguments, error):
    with pytest.raises(error):
        io.init_logging(*arguments)
    crt_logging.init_logging()


@pytest.mark.parametrize("wrong, error", [(1, TypeError), (object(), TypeError), ("a\0b", ValueError)])
def test_bad_destinations_of_reconfigure(handler, wrong, error):
    with pytest.raises(error):
        crt_logging.reconfigure(logging.INFO, wrong)


# ---- changes ----


def test_reconfiguring_at_any_time(handler, tmp_path):
    crt_logging.reconfigure(logging.INFO, tmp_path / "first")
    crt_logging.log(logging.INFO, LogSubject.IO_DNS, "one")
    crt_logging.reconfigure(logging.WARNING)
    crt_logging.log(logging.INFO, LogSubject.IO_DNS, "nobody's")
    crt_logging.log(logging.WARNING, LogSubject.IO_DNS, "two")
    crt_logging.reconfigure(logging.INFO, tmp_path / "second")
    crt_logging.log(logging.INFO, LogSubject.IO_DNS, "three")
    crt_logging.close()
    crt_logging.log(logging.CRITICAL, LogSubject.IO_DNS, "nobody's")
    assert lines_of(tmp_path / "first") == [("INFO", "dns", "one")]
    assert handler.messages() == ["two"]
    assert lines_of(tmp_path / "second") == [("INFO", "dns", "three")]
    crt_logging.init_logging()


def test_a_failed_change_changes_nothing(handler, tmp_path):
    crt_logging.reconfigure(logging.INFO, tmp_path / "log")
    with pytest.raises(RuntimeError):
        crt_logging.reconfigure(logging.ERROR, "/no/such/directory/log")
    crt_logging.log(logging.INFO, LogSubject.IO_DNS, "message")
    crt_logging.close()
    assert lines_of(tmp_path / "log") == [("INFO", "dns", "message")]


def test_a_rotated_file_is_followed(handler, tmp_path):
    path = tmp_path / "log"
    crt_logging.reconfigure(logging.INFO, path)
    crt_logging.log(logging.INFO, LogSubject.IO_DNS, "old")
    path.rename(tmp_path / "log.1")
    crt_logging.log(logging.INFO, LogSubject.IO_DNS, "still old")
    crt_logging.reconfigure(logging.INFO, path)
    crt_logging.log(logging.INFO, LogSubject.IO_DNS, "new")
    crt_logging.close()
    assert [message for _, _, message in lines_of(tmp_path / "log.1")] == ["old", "still old"]
    assert [message for _, _, message in lines_of(path)] == ["new"]


# ---- processes ----

PROCESS = """
import logging, os, sys
from awscrt import io, logging as crt_logging
from awscrt.logging import LogSubject
def say(text):
    crt_logging.log(logging.ERROR, LogSubject.IO_DNS, text)
"""


def test_what_is_queued_at_exit_reaches_the_handlers(run_python, probe, probe_directory):
    done = run_python(
        PROCESS
        + """
import threading
sys.path.append(sys.argv[1])
import awscrt_probe
logging.basicConfig(stream=sys.stdout, format="%(threadName)s %(message)s")
crt_logging.init_logging(logging.ERROR)
done = threading.Event()
awscrt_probe.call_on_loop(None, lambda n: (say(f"message {n}"), n == 499 and done.set()), 500)
assert done.wait(20)
""",
        str(probe_directory),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"AwsEventLoop1 message {n}" for n in range(500)]
    assert done.stderr == ""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_standard_streams(run_python, stream):
    done = run_python(PROCESS + f"io.init_logging(io.LogLevel.Error, {stream!r})\nsay('message')")
    assert done.returncode == 0, done.stderr
    assert LINE.match(getattr(done, stream)).groups() == ("ERROR", "dns", "message")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_survived(run_python):
    done = run_python(
        PROCESS
        + """
io.init_logging(io.LogLevel.Trace, "/dev/full")
for n in range(1000):
    say("message")
assert crt_logging.flush(20)
print(crt_logging.dropped_messages())
"""
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1000\n", "")


def test_a_handler_that_does_not_return_does_not_hold_up_exit(run_python, probe, probe_directory):
    done = run_python(
        PROCESS
        + """
import threading
sys.path.append(sys.argv[1])
import awscrt_probe
entered = threading.Event()
class Stuck(logging.Handler):
    def handle(self, record):  # not emit(): logging itself waits for its lock at exit
        entered.set()
        threading.Event().wait()
logging.getLogger("awscrt").addHandler(Stuck())
crt_logging.init_logging(logging.ERROR)
awscrt_probe.call_on_loop(None, lambda n: say("message"), 1)
assert entered.wait(20)
""",
        str(probe_directory),
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_a_child_logs_on(run_python, tmp_path):
    done = run_python(
        PROCESS
        + """
import warnings
warnings.simplefilter("ignore")  # forking with threads is what this is about
class Keep(logging.Handler):
    def emit(self, record):
        seen.append((record.getMessage(), record.threadName))
seen = []
logging.getLogger("awscrt").addHandler(Keep())
crt_logging.init_logging(logging.INFO)
group = io.EventLoopGroup(1)
assert crt_logging.flush(20) and len(seen) == 1, seen
def in_child(body):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            body()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
def to_python():
    mine = io.EventLoopGroup(1)
    say("child")
    assert crt_logging.flush(20)
    assert sorted(text for text, _ in seen[1:]) == ["child", "started 1 event loop(s)"], seen
def to_file():
    crt_logging.reconfigure(logging.ERROR, sys.argv[1])
    say("child's file")
    assert crt_logging.flush(20)
in_child(to_python)
in_child(to_file)
say("parent")
assert [text for text, _ in seen[1:]] == ["parent"], seen
""",
        str(tmp_path / "log"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert lines_of(tmp_path / "log") == [("ERROR", "dns", "child's file")]


def test_memory_of_the_process_can_be_logged(handler):
    from awscrt._test import dump_native_memory

    crt_logging.init_logging()
    dump_native_memory()
    assert crt_logging.flush(20)
    (message,) = handler.messages()
    assert re.fullmatch(r"native memory in use: \d+ blocks, \d+ bytes traced", message)
