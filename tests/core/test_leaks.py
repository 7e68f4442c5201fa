"""awscrt._test: native memory comes back when everything is released."""

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
