"""CrossProcessLock."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from typing import Iterator

import pytest

from awscrt.s3 import CrossProcessLock

DIRECTORY = "/tmp/aws_crt_cross_process_lock"


@pytest.fixture
def name() -> Iterator[str]:
    unique = f"awscrt-test-{uuid.uuid4()}"
    yield unique
    path = f"{DIRECTORY}/{unique}.lock"
    if os.path.exists(path):
        os.unlink(path)


def test_lock_excludes_others_until_released(name: str) -> None:
    first, second = CrossProcessLock(name), CrossProcessLock(name)
    first.acquire()
    first.acquire()  # it has it already
    with pytest.raises(RuntimeError, match="19 .AWS_ERROR_MUTEX_CALLER_NOT_OWNER"):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_lock_is_released_with_its_object(name: str) -> None:
    lock = CrossProcessLock(name)
    lock.acquire()
    del lock
    with CrossProcessLock(name) as again:
        assert isinstance(again, CrossProcessLock)


def test_lock_is_a_file_lock_at_the_agreed_place(name: str) -> None:
    code = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)"
    path = f"{DIRECTORY}/{name}.lock"
    with CrossProcessLock(name.encode()):
        assert subprocess.run([sys.executable, "-c", code, path], capture_output=True).returncode != 0
        assert os.stat(DIRECTORY).st_mode & 0o7777 == 0o1777
    assert subprocess.run([sys.executable, "-c", code, path], capture_output=True).returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_does_not_unlock(name: str) -> None:
    code = f"""
import os
from awscrt.s3 import CrossProcessLock
lock = CrossProcessLock({name!r})
lock.acquire()
pid = os.fork()
if pid == 0:
    lock.release()
    os._exit(0)
os.waitpid(pid, 0)
try:
    CrossProcessLock({name!r}).acquire()
except RuntimeError:
    print("held")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "held"


def test_names(name: str) -> None:
    with pytest.raises(RuntimeError, match="44 .AWS_ERROR_FILE_INVALID_PATH"):
        CrossProcessLock("a/b").acquire()
    with pytest.raises(TypeError):
        CrossProcessLock(5)  # type: ignore[arg-type]
    with CrossProcessLock(""):
        pass
