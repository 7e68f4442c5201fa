"""One run of a blocking query for all who ask while it is under way."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Callable, List
from weakref import WeakSet

from awscrt._credentials import log, workers
from awscrt._futures import Future, InvalidStateError

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentials

__all__ = ["Flight", "done"]


def done(credentials: AwsCredentials) -> Future[AwsCredentials]:
    """A future that is complete."""
    future: Future[AwsCredentials] = Future()
    future.set_result(credentials)
    return future


class Flight:
    """Runs ``query`` on a worker thread; whoever asks meanwhile gets the same answer.

    A caller that cancels its future leaves; the run goes on for the others.
    """

    def __init__(self, query: Callable[[], AwsCredentials]) -> None:
        self._query = query
        self._renew()
        _flights.add(self)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._running = False
        self._waiting: List[Future[AwsCredentials]] = []

    def get_credentials(self) -> Future[AwsCredentials]:
        """Future of what the query gives."""
        future: Future[AwsCredentials] = Future()
        self._start([future])
        return future

    def start(self) -> None:
        """See to it that a run is under way."""
        self._start([])

    def _start(self, waiting: List[Future[AwsCredentials]]) -> None:
        with self._lock:
            self._waiting += waiting
            if self._running:
                return
            self._running = True
        try:
            workers.submit(self._run)
        except RuntimeError as error:  # no thread to be had: out of them, or the interpreter ends
            self._land(None, error)

    def _run(self) -> None:
        try:
            credentials = self._query()
        except BaseException as error:  # whoever waits must hear of it
            log.warn(f"no credentials: {error}")  # signing tells only that there are none
            self._land(None, error)
        else:
            self._land(credentials, None)

    def _land(self, credentials: object, error: object) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
            self._running = False
        for future in waiting:
            try:
                if error is not None:
                    future.set_exception(error)  # type: ignore[arg-type]
                else:
                    future.set_result(credentials)  # type: ignore[arg-type]
            except InvalidStateError:
                pass  # its owner cancelled it


_flights: WeakSet[Flight] = WeakSet()


def _renew_all() -> None:
    # In a forked child: the threads of the parent are not here, one of them may have held a lock.
    for flight in list(_flights):
        flight._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
