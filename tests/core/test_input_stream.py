"""InputStream lets native code read any Python stream, and maps what goes wrong."""

import io as python_io
import threading

import pytest

from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup, InputStream

DATA = bytes(range(256)) * 300


class Only:
    """A stream with a single read method."""

    def __init__(self, name, data=DATA, answer=None):
        self._inner = python_io.BytesIO(data)
        self.calls = []
        setattr(self, name, answer or getattr(self, "_" + name))

    def _read(self, size):
        self.calls.append(size)
        return self._inner.read(size)

    def read(self, size):
        raise AssertionError("the preferred method was not used")

    def _readinto(self, view):
        self.calls.append(len(view))
        return self._inner.readinto(view)

    _read1 = _read
    _readinto1 = _readinto


def read_all(probe, bootstrap, stream, chunk=1000, rewind=False):
    return probe.read_all(bootstrap, InputStream(stream), chunk, rewind).result(timeout=10)


@pytest.mark.parametrize("method", ["readinto1", "readinto", "read1", "read"])
def test_reads_with_the_method_there_is(probe, bootstrap, method):
    stream = Only(method)
    assert read_all(probe, bootstrap, stream) == DATA
    assert set(stream.calls) == {1000}


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_reads_files_and_memory(probe, bootstrap, tmp_path, chunk):
    data = DATA[:1000]
    path = tmp_path / "data"
    path.write_bytes(data)
    with path.open("rb") as file:
        assert read_all(probe, bootstrap, file, chunk) == data
    with path.open("rb", buffering=0) as file:
        assert read_all(probe, bootstrap, file, chunk) == data
    assert read_all(probe, bootstrap, python_io.BytesIO(data), chunk) == data


def test_reads_run_on_the_loop_thread(probe, bootstrap):
    threads = set()

    class Stream:
        def read(self, size):
            threads.add(threading.get_ident())
            return b""

    read_all(probe, bootstrap, Stream())
    assert threads and threading.get_ident() not in threads


def test_rewinding_reads_again_from_the_start(probe, bootstrap):
    assert read_all(probe, bootstrap, python_io.BytesIO(DATA), rewind=True) == DATA


def test_stream_that_cannot_seek_cannot_be_rewound(probe, bootstrap, capfd):
    class Pipe:
        def read(self, size):
            return b""

        def seek(self, offset, whence):
            raise python_io.UnsupportedOperation("seek")

    with pytest.raises(Exception, match="AWS_ERROR_UNKNOWN"):
        read_all(probe, bootstrap, Pipe(), rewind=True)
    capfd.readouterr()


def test_nothing_for_now_is_not_the_end(probe, bootstrap):
    class Slow:
        def __init__(self):
            self.answers = [BlockingIOError, b"one", BlockingIOError, BlockingIOError, b"two", b""]

        def read(self, size):
            answer = self.answers.pop(0)
            if answer is BlockingIOError:
                raise BlockingIOError
            return answer

    class SlowInto:
        def __init__(self):
            self.answers = [None, b"one", None, b"two", b""]

        def read(self, size):
            raise AssertionError

        def readinto(self, view):
            answer = self.answers.pop(0)
            if answer is None:
                return None
            view[: len(answer)] = answer
            return len(answer)

    assert read_all(probe, bootstrap, Slow()) == b"onetwo"
    assert read_all(probe, bootstrap, SlowInto()) == b"onetwo"


def test_a_loop_that_ends_ends_the_waiting_as_well(probe):
    asked = threading.Event()

    class Never:
        def read(self, size):
            asked.set()
            raise BlockingIOError

    group = EventLoopGroup(1)
    ended = group.shutdown_event
    bootstrap = ClientBootstrap(group, DefaultHostResolver(group))
    future = probe.read_all(bootstrap, InputStream(Never()), 10, False, False)
    assert asked.wait(10)
    del group, bootstrap
    assert future.exception(10).name == "AWS_IO_EVENT_LOOP_SHUTDOWN"
    assert ended.wait(10)


def test_the_end_is_remembered_until_a_rewind(probe, bootstrap):
    class Once:
        def __init__(self):
            self.reads = 0

        def read(self, size):
            self.reads += 1
            return b""

        def seek(self, offset, whence):
            return 0

    stream = Once()
    assert read_all(probe, bootstrap, stream, rewind=True) == b""
    assert stream.reads == 2


@pytest.mark.parametrize(
    "raised, expected",
    [
        (ValueError("x"), ValueError),
        (TypeError("x"), ValueError),
        (IndexError(), IndexError),
        (NotImplementedError(), NotImplementedError),
        (FileNotFoundError(), FileNotFoundError),
        (BrokenPipeError(), BrokenPipeError),
        (MemoryError(), MemoryError),
        (OverflowError(), OverflowError),
    ],
)
def test_exceptions_of_the_stream_fail_the_read(probe, bootstrap, capfd, raised, expected):
    class Broken:
        def read(self, size):
            raise raised

    with pytest.raises(expected):
        read_all(probe, bootstrap, Broken())
    assert type(raised).__name__ in capfd.readouterr().err


@pytest.mark.parametrize(
    "method, answer",
    [
        ("read", lambda size: None),
        ("read", lambda size: "text"),
        ("read", lambda size: bytes(size + 1)),
        ("readinto", lambda view: len(view) + 1),
        ("readinto", lambda view: -1),
        ("readinto", lambda view: "1"),
        ("readinto", lambda view: 2**70),
    ],
)
def test_broken_answers_fail_the_read(probe, bootstrap, capfd, method, answer):
    with pytest.raises((ValueError, OverflowError)):
        read_all(probe, bootstrap, Only(method, answer=answer))
    capfd.readouterr()


def test_a_view_that_the_stream_keeps_is_dead(probe, bootstrap):
    kept = []

    class Hoarder:
        def read(self, size):
            raise AssertionError

        def readinto(self, view):
            kept.append(view)
            return 0

    read_all(probe, bootstrap, Hoarder())
    with pytest.raises(ValueError):
        kept[0][0]


@pytest.mark.parametrize("wrong", [None, "text", b"bytes", object(), InputStream(python_io.BytesIO())])
def test_needs_a_read_method(wrong):
    with pytest.raises(TypeError):
        InputStream(wrong)


def test_wrap():
    stream = InputStream(python_io.BytesIO())
    assert InputStream.wrap(stream) is stream
    assert InputStream.wrap(None, allow_none=True) is None
    assert isinstance(InputStream.wrap(python_io.BytesIO()), InputStream)
    with pytest.raises(TypeError):
        InputStream.wrap(None)


def test_stream_is_released_with_its_source(probe, bootstrap):
    import gc
    import time
    import weakref

    stream = python_io.BytesIO(DATA)
    seen = weakref.ref(stream)
    read_all(probe, bootstrap, stream)
    del stream
    deadline = time.monotonic() + 10
    while seen() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.001)
    assert seen() is None
