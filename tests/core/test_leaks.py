"""awscrt._test: native memory comes back when everything is released."""

import os
import platform
import re

import pytest

PROGRAM = """
import io as python_io, sys
sys.path.append(sys.argv[1])
from awscrt import NativeResource, io
from awscrt._test import check_for_leaks, dump_native_memory, native_memory_usage
NativeResource._track_lifetime = True
import awscrt_probe
"""


@pytest.fixture
def run_traced(run_python, probe, probe_directory):
    def run(program, tracing="2"):
        return run_python(PROGRAM + program, str(probe_directory), AWS_CRT_MEMORY_TRACING=tracing)

    return run


def test_everything_comes_back(run_traced):
    done = run_traced("""
import asyncio
bootstrap = io.ClientBootstrap.get_or_create_static_default()
assert awscrt_probe.complete(None, 0).result(timeout=10)
assert awscrt_probe.complete(None, 1048).exception(timeout=10)
assert awscrt_probe.read_all(None, io.InputStream(python_io.BytesIO(bytes(9999))), 100, True).result(timeout=10)
assert awscrt_probe.buffer_source_bytes(b"x") == (b"x", 1)
context = io.ClientTlsContext(io.TlsContextOptions())
options = context.new_connection_options()
options.set_server_name("a")
options.set_server_name("b")
options.set_alpn_list(["h2"])
async def main():
    arrived = asyncio.Queue()
    awscrt_probe.call_in_asyncio(None, asyncio.get_running_loop(), arrived.put_nowait, 5)
    for _ in range(5):
        await asyncio.wait_for(arrived.get(), 10)
asyncio.run(main())
assert native_memory_usage() > 0
dump_native_memory()
del bootstrap, context, options
check_for_leaks()
assert native_memory_usage() == 0
""")
    assert done.returncode == 0, done.stdout + done.stderr


def test_living_resource_is_reported(run_traced):
    done = run_traced("""
group = io.EventLoopGroup(1)
try:
    check_for_leaks(timeout_sec=0.01)
except RuntimeError:
    pass
else:
    raise SystemExit("no report")
""")
    assert done.returncode == 0, done.stderr
    assert "EventLoopGroup" in done.stdout


def test_dump_names_the_places_that_allocated(run_traced):
    program = """
io.init_logging(io.LogLevel.Trace, "stdout")
resolver = io.DefaultHostResolver(io.EventLoopGroup(1))
dump_native_memory()
"""
    with_stacks, sizes_only = run_traced(program), run_traced(program, tracing="1")
    for done in (with_stacks, sizes_only):
        assert done.returncode == 0, done.stderr
        assert re.search(r"\[TRACE\].*native memory in use: \d+ blocks, [1-9]\d* bytes traced", done.stdout)
    assert "allocated by" not in sizes_only.stdout
    places = [int(size) for size in re.findall(r"(\d+) bytes in \d+ block\(s\), allocated by", with_stacks.stdout)]
    assert places and places == sorted(places, reverse=True)
    if platform.libc_ver()[0] == "glibc":
        assert "_core" in with_stacks.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_traced_memory_in_a_forked_child(run_traced):
    done = run_traced("""
import os
group = io.EventLoopGroup(4)
pid = os.fork()
if not pid:
    own = io.EventLoopGroup(1)
    event = own.shutdown_event
    del own
    os._exit(0 if event.wait(10) and native_memory_usage() > 0 else 1)
assert os.waitpid(pid, 0)[1] == 0
del group
check_for_leaks()
""")
    assert done.returncode == 0, done.stdout + done.stderr


CYCLES = """
import gc, os
from awscrt.common import join_all_native_threads

def state():
    gc.collect()
    assert join_all_native_threads(timeout_sec=10)
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), native_memory_usage()

def make_group():
    return io.EventLoopGroup(1)

def make_resolver():
    return io.DefaultHostResolver(io.EventLoopGroup(1))

def make_bootstrap():
    group = io.EventLoopGroup(1)
    return io.ClientBootstrap(group, io.DefaultHostResolver(group))

def make_statics():
    io.ClientBootstrap.get_or_create_static_default()
    for kind in (io.ClientBootstrap, io.DefaultHostResolver, io.EventLoopGroup):
        kind.release_static_default()

context_options = io.TlsContextOptions()
context_options.verify_peer = False  # the system's certificates are not what is measured

def make_context():
    return io.ClientTlsContext(context_options)

shared_context = io.ClientTlsContext(context_options)

def make_connection_options():
    options = shared_context.new_connection_options()
    options.set_server_name("example.com")
    return options

def make_stream():
    return io.InputStream(python_io.BytesIO(b"x"))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
@pytest.mark.parametrize(
    "kind", ["group", "resolver", "bootstrap", "statics", "context", "connection_options", "stream"]
)
def test_a_thousand_cycles_leave_nothing_behind(run_traced, kind):
    done = run_traced(
        CYCLES
        + f"""
make_{kind}()  # what is made once
before = state()
for _ in range(1000):
    make_{kind}()
assert state() == before, (before, state())
""",
        tracing="1",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_needs_tracing(run_traced):
    done = run_traced(
        """
try:
    check_for_leaks()
except RuntimeError as error:
    print(error)
assert native_memory_usage() == 0
""",
        tracing="0",
    )
    assert done.returncode == 0, done.stderr
    assert "AWS_CRT_MEMORY_TRACING=2" in done.stdout
