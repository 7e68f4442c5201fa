"""What happens at exit and across fork()."""

import os
import sys

import pytest

EXIT = """
import sys, threading
from awscrt import io
group = io.EventLoopGroup(2)
bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
static = io.ClientBootstrap.get_or_create_static_default()
"""


@pytest.fixture
def run_with_probe(run_python, probe, probe_directory):
    def run(program, **options):
        # Forking with threads is what these programs are about; 3.12 and later warn of it.
        return run_python(
            f"import sys; sys.path.append({str(probe_directory)!r}); import awscrt_probe\n" + program,
            PYTHONWARNINGS="ignore::DeprecationWarning",
            **options,
        )

    return run


def test_exit_with_live_groups(run_python):
    done = run_python(EXIT, timeout=10)
    assert (done.returncode, done.stderr) == (0, "")


def test_exit_while_events_keep_coming(run_with_probe):
    done = run_with_probe(
        EXIT
        + """
seen = threading.Event()
def again(number):
    seen.set()
    awscrt_probe.call_on_loop(bootstrap, again, 1)
for _ in range(50):
    awscrt_probe.call_on_loop(bootstrap, again, 10)
assert seen.wait(10)
""",
        timeout=20,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_exit_with_a_callback_that_does_not_return(run_with_probe):
    done = run_with_probe(
        EXIT
        + """
entered = threading.Event()
def stuck(number):
    entered.set()
    threading.Event().wait()
awscrt_probe.call_on_loop(bootstrap, stuck, 1)
assert entered.wait(10)
""",
        timeout=20,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_exit_with_an_open_mailbox(run_with_probe):
    done = run_with_probe(
        EXIT
        + """
import asyncio
async def main():
    arrived = asyncio.Queue()
    for _ in range(20):
        awscrt_probe.call_in_asyncio(bootstrap, asyncio.get_running_loop(), arrived.put_nowait, 100)
    await arrived.get()
asyncio.run(main())
""",
        timeout=20,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_waiting_after_the_exit_hook_is_an_error_instead_of_a_hang(run_python, probe, probe_directory):
    done = run_python(f"""
import atexit, sys
def late():
    try:
        future.result(timeout=10)
    except RuntimeError as error:
        print(error)
atexit.register(late)  # before the runtime registers its own, so this runs after it
sys.path.append({str(probe_directory)!r})
import awscrt_probe
from awscrt._futures import Future
future = Future()
""")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the interpreter is exiting: this future will not complete any more\n"


FORK = """
import os, sys
from awscrt import io
from awscrt.common import join_all_native_threads

def in_child(body):
    pid = os.fork()
    if pid:
        status = os.waitpid(pid, 0)[1]
        assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, status
        return
    code = 1
    try:
        body()
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
class TestFork:
    def test_child_makes_its_own_group(self, run_with_probe):
        done = run_with_probe(
            FORK
            + EXIT
            + """
def child():
    mine = io.ClientBootstrap.get_or_create_static_default()
    assert mine is not static
    for target in (mine, None):
        assert awscrt_probe.complete(target, 0).result(timeout=10) is True
in_child(child)
assert awscrt_probe.complete(bootstrap, 0).result(timeout=10) is True
assert awscrt_probe.complete(static, 0).result(timeout=10) is True
"""
        )
        assert (done.returncode, done.stderr) == (0, "")

    def test_objects_of_the_parent_are_refused_and_may_be_dropped(self, run_with_probe):
        done = run_with_probe(
            FORK
            + EXIT
            + """
import gc
def child():
    global group, bootstrap, static
    for use in (lambda: awscrt_probe.complete(bootstrap, 0), lambda: io.DefaultHostResolver(group)):
        try:
            use()
        except RuntimeError as error:
            assert "before fork()" in str(error), error
        else:
            raise SystemExit("used an object of the parent")
    del group, bootstrap, static
    gc.collect()
    assert awscrt_probe.complete(None, 0).result(timeout=10) is True
in_child(child)
assert awscrt_probe.complete(bootstrap, 0).result(timeout=10) is True
"""
        )
        assert (done.returncode, done.stderr) == (0, "")

    def test_fork_in_a_child(self, run_with_probe):
        done = run_with_probe(
            FORK
            + """
def child():
    assert awscrt_probe.complete(None, 0).result(timeout=10) is True
    in_child(grandchild)
    assert awscrt_probe.complete(None, 0).result(timeout=10) is True
def grandchild():
    assert awscrt_probe.complete(None, 0).result(timeout=10) is True
in_child(child)
"""
        )
        assert (done.returncode, done.stderr) == (0, "")

    def test_child_exits_in_the_ordinary_way(self, run_with_probe):
        done = run_with_probe(
            EXIT
            + """
import os
assert awscrt_probe.complete(bootstrap, 0).result(timeout=10) is True
pid = os.fork()
if not pid:
    assert awscrt_probe.complete(None, 0).result(timeout=10) is True
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
""",
            timeout=20,
        )
        assert (done.returncode, done.stderr) == (0, "")

    def test_fork_after_everything_was_joined(self, run_with_probe):
        done = run_with_probe(
            FORK
            + """
group = io.EventLoopGroup(2)
del group
assert join_all_native_threads(timeout_sec=10)
def child():
    assert awscrt_probe.complete(None, 0).result(timeout=10) is True
in_child(child)
"""
        )
        assert (done.returncode, done.stderr) == (0, "")

    def test_fork_while_callbacks_run(self, run_with_probe):
        done = run_with_probe(
            FORK
            + EXIT
            + """
running = True
def again(number):
    if running:
        awscrt_probe.call_on_loop(bootstrap, again, 1)
awscrt_probe.call_on_loop(bootstrap, again, 1)
def child():
    assert awscrt_probe.complete(None, 0).result(timeout=10) is True
for _ in range(10):
    in_child(child)
running = False
"""
        )
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.skipif(sys.platform == "darwin", reason="fork is not multiprocessing's method there")
    def test_multiprocessing_fork(self, run_with_probe):
        done = run_with_probe(
            EXIT
            + """
import multiprocessing
def work(number):
    return awscrt_probe.complete(None, 0).result(timeout=10) and number
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(work, range(8)) == list(range(8))
""",
            timeout=30,
        )
        assert done.returncode == 0, done.stderr


# ---- crashes ----

CRASH = """
import ctypes, os, resource, signal, sys, threading
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import awscrt.io
ways = {
    "abort": os.abort,
    "segv": lambda: ctypes.string_at(8),
    "ill": lambda: os.kill(os.getpid(), signal.SIGILL),
    "bus": lambda: os.kill(os.getpid(), signal.SIGBUS),
}
ways[sys.argv[1]]()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("way, name", [("abort", "SIGABRT"), ("segv", "SIGSEGV"), ("ill", "SIGILL"), ("bus", "SIGBUS")])
def test_crash_handler_prints_a_backtrace(run_python, way, name):
    done = run_python(CRASH, way, AWS_CRT_CRASH_HANDLER="1")
    assert done.returncode == 255
    first, *frames = done.stderr.strip().splitlines()
    assert first == f"awscrt: crashed with {name}; backtrace, innermost first:"
    assert any("_core" in frame for frame in frames)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("value", ["", "0", "2", "true"])
def test_crashes_are_the_systems_business_otherwise(run_python, value):
    done = run_python(CRASH, "abort", AWS_CRT_CRASH_HANDLER=value)
    assert done.returncode == -6
    assert "backtrace, innermost first" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_crash_on_a_loop_thread_is_caught_as_well(run_with_probe):
    done = run_with_probe(
        """
import ctypes, resource, threading
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
awscrt_probe.call_on_loop(None, lambda number: ctypes.string_at(8), 1)
threading.Event().wait(20)
""",
        AWS_CRT_CRASH_HANDLER="1",
    )
    assert done.returncode == 255
    assert "SIGSEGV" in done.stderr


def test_second_interpreter_is_refused(run_python):
    done = run_python("""
import awscrt._core
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    try:
        import _interpreters as interpreters
    except ImportError:
        raise SystemExit(0)
interpreter = interpreters.create()
program = "try:\\n import awscrt._core\\nexcept ImportError: pass\\nelse: raise SystemExit('imported twice')"
try:
    failure = interpreters.run_string(interpreter, program)
finally:
    interpreters.destroy(interpreter)
assert failure is None, failure
""")
    assert done.returncode == 0, done.stderr
