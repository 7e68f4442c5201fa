"""Threads on which credentials sources may block: started when needed, ended when idle."""

from __future__ import annotations

import os
import sys
import threading
from queue import Empty, SimpleQueue
from typing import Callable, Optional

__all__ = ["submit"]

_IDLE_SECONDS = 10.0  # that a thread waits for another job before it ends


class _Pool:
    """Threads that take jobs; every job has a thread at once, because some wait for others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle = 0  # threads that wait and have no job assigned

    def submit(self, job: Callable[[], None]) -> None:
        if sys.is_finalizing():  # a thread would not run any more, and start() would wait for it for ever
            raise RuntimeError("credentials cannot be asked for while the interpreter ends")
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._jobs.put(job)
                return
        # Daemon: the end of the process must not wait for a service that does not answer.
        threading.Thread(target=self._work, args=(job,), name="awscrt-credentials", daemon=True).start()

    def _work(self, first: Callable[[], None]) -> None:
        job: Optional[Callable[[], None]] = first
        del first  # it holds its provider
        while job is not None:
            job()
            job = None
            with self._lock:
                self._idle += 1
            job = self._next()

    def _next(self) -> Optional[Callable[[], None]]:
        while True:
            try:
                return self._jobs.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._lock:
                    # A job that was put since then is meant for one of those who wait.
                    if self._jobs.empty():
                        self._idle -= 1
                        return None


_pool = _Pool()


def submit(job: Callable[[], None]) -> None:
    """Run ``job``, which must not raise, on a thread that may block.

    :raises RuntimeError: no thread can be started
    """
    _pool.submit(job)


def _renew() -> None:
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
