"""Event loops, resolver, bootstrap, options and logging."""

import os
import queue
import sys
import threading

import pytest

from awscrt import NativeResource, io
from awscrt.common import get_cpu_count_for_group, get_cpu_group_count, join_all_native_threads


def gone(event):
    return event.wait(10)


# ---- lifetimes ----


def test_group_ends_when_dropped():
    group = io.EventLoopGroup(2)
    event = group.shutdown_event
    assert not event.is_set()
    del group
    assert gone(event)


def test_resolver_keeps_its_group():
    group = io.EventLoopGroup(1)
    event = group.shutdown_event
    resolver = io.DefaultHostResolver(group)
    del group
    assert not event.wait(0.05)
    del resolver
    assert gone(event)


def test_bootstrap_shuts_down_on_the_dropping_thread_before_its_group():
    group = io.EventLoopGroup(1)
    group_event = group.shutdown_event
    bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
    event = bootstrap.shutdown_event
    del group
    assert not event.is_set() and not group_event.is_set()
    del bootstrap
    assert event.is_set()
    assert gone(group_event)


def test_bootstrap_lives_as_long_as_what_uses_it(probe):
    group = io.EventLoopGroup(1)
    bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
    event, group_event = bootstrap.shutdown_event, group.shutdown_event
    entered, go_on = threading.Event(), threading.Event()

    class Stream:
        def read(self, size):
            entered.set()
            go_on.wait(10)
            return b""

    future = probe.read_all(bootstrap, io.InputStream(Stream()), 10, False)
    del bootstrap, group
    assert entered.wait(10)
    assert not event.is_set() and not group_event.is_set()
    go_on.set()
    assert future.result(10) == b""
    assert gone(event) and gone(group_event)


def test_all_threads_can_be_joined(run_python):
    done = run_python("""
from awscrt import io
from awscrt.common import join_all_native_threads
group = io.EventLoopGroup(3)
bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
del group, bootstrap
assert join_all_native_threads(timeout_sec=10)
""")
    assert done.returncode == 0, done.stderr


def test_join_without_an_end_is_refused_on_a_native_thread(probe, bootstrap):
    outcome = queue.Queue()

    def join(number):
        try:
            outcome.put(join_all_native_threads(timeout_sec=0.001))
            outcome.put(join_all_native_threads())
        except RuntimeError as error:
            outcome.put(str(error))

    probe.call_on_loop(bootstrap, join, 1)
    assert outcome.get(timeout=10) is False
    assert "would wait for itself" in outcome.get(timeout=10)


@pytest.mark.skipif(sys.platform == "win32", reason="needs setrlimit()")
def test_group_that_cannot_be_made_leaves_nothing_behind(run_python):
    done = run_python("""
import os, resource
from awscrt import io
from awscrt.common import join_all_native_threads
io.EventLoopGroup(1)
assert join_all_native_threads(timeout_sec=10)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
before = len(os.listdir("/dev/fd"))
for attempt in range(1, 4):
    try:
        io.EventLoopGroup(100)
    except RuntimeError as error:
        print(str(error).split(":")[0])
    assert join_all_native_threads(timeout_sec=10)
    # libuv 1.44 itself loses the descriptor of the one loop that fails in the making.
    assert len(os.listdir("/dev/fd")) <= before + attempt
group = io.EventLoopGroup(1)
""")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:3] == ["46 (AWS_ERROR_SYS_CALL_FAILURE)"] * 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity()")
def test_groups_keep_to_the_affinity_mask(run_python):
    done = run_python("""
import os
from awscrt import io
allowed = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {allowed})
from awscrt import _core
assert _core.cpu_count() == 1
for group in (io.EventLoopGroup(), io.EventLoopGroup(5, cpu_group=0)):
    assert _core.event_loop_group_size(group) == 1
tasks = [int(task) for task in os.listdir("/proc/self/task")]
assert len(tasks) == 3
assert all(os.sched_getaffinity(task) == {allowed} for task in tasks)
""")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("timeout", ["1", None, object(), float("nan")])
def test_join_needs_a_number(timeout):
    with pytest.raises(ValueError):
        join_all_native_threads(timeout_sec=timeout)


def test_lifetime_tracking():
    NativeResource._track_lifetime = True
    try:
        group = io.EventLoopGroup(1)
        assert group in NativeResource._living
        del group
        assert not [r for r in NativeResource._living if isinstance(r, io.EventLoopGroup)]
    finally:
        NativeResource._track_lifetime = False


# ---- static defaults ----


@pytest.mark.parametrize("kind", [io.EventLoopGroup, io.DefaultHostResolver, io.ClientBootstrap])
def test_static_default(kind):
    first = kind.get_or_create_static_default()
    assert kind.get_or_create_static_default() is first
    kind.release_static_default()
    kind.release_static_default()
    second = kind.get_or_create_static_default()
    assert second is not first
    for each in (io.ClientBootstrap, io.DefaultHostResolver, io.EventLoopGroup):
        each.release_static_default()


def test_released_static_group_lives_with_the_static_bootstrap():
    bootstrap = io.ClientBootstrap.get_or_create_static_default()
    event = io.EventLoopGroup.get_or_create_static_default().shutdown_event
    io.EventLoopGroup.release_static_default()
    io.DefaultHostResolver.release_static_default()
    assert not event.wait(0.05)
    del bootstrap
    io.ClientBootstrap.release_static_default()
    assert gone(event)


def test_one_static_default_for_all_threads():
    found, start = [], threading.Barrier(8)

    def get():
        start.wait()
        found.append(io.ClientBootstrap.get_or_create_static_default())

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    for kind in (io.ClientBootstrap, io.DefaultHostResolver, io.EventLoopGroup):
        kind.release_static_default()


def test_none_means_the_static_default(probe):
    done = threading.Event()
    probe.call_on_loop(None, lambda _: done.set(), 1)
    assert done.wait(10)
    for kind in (io.ClientBootstrap, io.DefaultHostResolver, io.EventLoopGroup):
        kind.release_static_default()


# ---- arguments ----


@pytest.mark.parametrize(
    "threads, error", [("2", TypeError), (1.5, TypeError), (-1, OverflowError), (65536, OverflowError)]
)
def test_bad_thread_counts(threads, error):
    with pytest.raises(error):
        io.EventLoopGroup(threads)


@pytest.mark.parametrize("cpu_group", [get_cpu_group_count() + 100, -1, 65536])
def test_unknown_cpu_group(cpu_group):
    with pytest.raises(RuntimeError, match=r"^34 \(AWS_ERROR_INVALID_ARGUMENT\)"):
        io.EventLoopGroup(cpu_group=cpu_group)


def test_cpu_group_must_be_an_int():
    with pytest.raises(TypeError):
        io.EventLoopGroup(cpu_group="0")


def test_cpu_groups():
    assert get_cpu_group_count() >= 1
    assert get_cpu_count_for_group(0) >= 1
    assert get_cpu_count_for_group(65536) == get_cpu_count_for_group(0)
    assert get_cpu_count_for_group(60000) == 0
    with pytest.raises(TypeError):
        get_cpu_count_for_group("0")


def test_resolver_arguments():
    group = io.EventLoopGroup(1)
    with pytest.raises(ValueError):
        io.DefaultHostResolver(group, 0)
    with pytest.raises(TypeError):
        io.DefaultHostResolver(group, "1")
    with pytest.raises(AssertionError):
        io.DefaultHostResolver(None)


@pytest.mark.parametrize("wrong", [None, object(), 1])
def test_bootstrap_arguments(wrong):
    group = io.EventLoopGroup(1)
    with pytest.raises(AssertionError):
        io.ClientBootstrap(group, wrong)
    with pytest.raises(AssertionError):
        io.ClientBootstrap(wrong, io.DefaultHostResolver(group))


class Impostor:
    _binding = "no handle"


def test_wrong_objects_are_type_errors(probe):
    group = io.EventLoopGroup(1)
    for wrong in (object(), Impostor(), group):
        with pytest.raises(TypeError, match="expected ClientBootstrap"):
            probe.call_on_loop(wrong, print, 1)


def test_resources_are_slotted_and_weakly_referable():
    import weakref

    group = io.EventLoopGroup(1)
    assert weakref.ref(group)() is group
    with pytest.raises(AttributeError):
        group.foo = 1
    with pytest.raises(AttributeError):
        getattr(NativeResource(), "_binding")  # noqa: B009


# ---- socket options ----


def test_socket_option_defaults(probe):
    assert probe.socket_options(io.SocketOptions()) == (1, 5000, 0, 0, 0, 0)
    assert probe.socket_options(None) == (1, 5000, 0, 0, 0, 0)


def test_socket_options_are_passed_on(probe):
    options = io.SocketOptions()
    options.domain = io.SocketDomain.Local
    options.connect_timeout_ms = 7
    options.keep_alive = "yes"
    options.keep_alive_timeout_secs = 1
    options.keep_alive_interval_secs = 2
    options.keep_alive_max_probes = 3
    assert probe.socket_options(options) == (2, 7, 1, 1, 2, 3)


@pytest.mark.parametrize(
    "name, value, error",
    [
        ("domain", None, TypeError),
        ("domain", "IPv4", TypeError),
        ("domain", 4, OverflowError),
        ("connect_timeout_ms", 1.5, TypeError),
        ("connect_timeout_ms", -1, OverflowError),
        ("connect_timeout_ms", 2**32, OverflowError),
        ("keep_alive_timeout_secs", 65536, OverflowError),
        ("keep_alive_max_probes", 2**80, OverflowError),
        ("type", io.SocketType.DGram, RuntimeError),
        ("interface_name", "", ValueError),
        ("interface_name", "x" * 16, ValueError),
        ("interface_name", "a\0b", ValueError),
        ("interface_name", b"lo", TypeError),
        ("interface_name", "\ud800", UnicodeEncodeError),
    ],
)
def test_bad_socket_options(probe, name, value, error):
    options = io.SocketOptions()
    setattr(options, name, value)
    with pytest.raises(error):
        probe.socket_options(options)


def test_socket_options_of_another_class(probe):
    with pytest.raises(AttributeError):
        probe.socket_options(object())
    with pytest.raises(AttributeError):
        io.SocketOptions().unknown = 1


# ---- buffers ----


def test_buffer_source_keeps_the_buffer_locked_until_it_is_gone(probe):
    data = bytearray(b"payload")
    assert probe.buffer_source_bytes(data) == (b"payload", 7)
    data.append(1)
    with pytest.raises(TypeError):
        probe.buffer_source_bytes("text")


# ---- logging ----

LOGGING = """
import sys
from awscrt import io
for call in (lambda: io.init_logging(None, "stderr"), lambda: io.init_logging(io.LogLevel.Info, None)):
    try: call()
    except AssertionError: pass
    else: raise SystemExit("no AssertionError")
for call in (lambda: io.init_logging("x", "stderr"), lambda: io.init_logging(256, "stderr"),
             lambda: io.init_logging(io.LogLevel.Info, 1)):
    try: call()
    except ValueError: pass
    else: raise SystemExit("no ValueError")
for call in (lambda: io.set_log_level(io.LogLevel.Info), lambda: io.init_logging(io.LogLevel.Info, "/no/such/file")):
    try: call()
    except RuntimeError: pass
    else: raise SystemExit("no RuntimeError")
io.init_logging(io.LogLevel.Trace, sys.argv[1])
try: io.init_logging(io.LogLevel.Trace, "stderr")
except RuntimeError: pass
else: raise SystemExit("initialized twice")
io.set_log_level(io.LogLevel.Debug)
from awscrt import _core
_core.log(io.LogLevel.Info, 0x400, "a line of the test")
_core.log(io.LogLevel.Trace, 0x400, "too detailed")
"""


def test_logging_to_a_file(run_python, tmp_path):
    path = tmp_path / "crt.log"
    done = run_python(LOGGING, str(path))
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    assert "a line of the test" in text and "[INFO]" in text
    assert "too detailed" not in text


def test_logging_to_stderr(run_python):
    done = run_python(LOGGING, "stderr")
    assert done.returncode == 0
    assert "a line of the test" in done.stderr


# ---- imports ----


@pytest.mark.parametrize("module", ["awscrt", "awscrt.exceptions", "awscrt.io", "awscrt.checksums", "awscrt.common"])
def test_imports_are_lean(run_python, module):
    heavy = [
        "asyncio",
        "concurrent.futures",
        "dataclasses",
        "importlib.metadata",
        "inspect",
        "logging",
        "pkgutil",
        "pluggy",
        "setuptools",
        "typing_extensions",
    ]
    done = run_python(f"import sys, {module}\nprint([name for name in {heavy!r} if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_star_import_gives_what_is_installed(run_python):
    done = run_python("from awscrt import *\nimport awscrt\nassert 'io' in awscrt.__all__\nprint(io.LogLevel.Info)")
    assert done.returncode == 0, done.stderr


def test_enum_values():
    assert [level.value for level in io.LogLevel] == list(range(7))
    assert {v.name: v.value for v in io.TlsVersion} == {
        "SSLv3": 0,
        "TLSv1": 1,
        "TLSv1_1": 2,
        "TLSv1_2": 3,
        "TLSv1_3": 4,
        "DEFAULT": 128,
    }
    assert {v.name: v.value for v in io.ExponentialBackoffJitterMode} == {
        "DEFAULT": 0,
        "NONE": 1,
        "FULL": 2,
        "DECORRELATED": 3,
    }
