"""awscrt._futures.Future keeps the contract of concurrent.futures.Future."""

import asyncio
import concurrent.futures
import gc
import logging
import signal
import threading
import time
import weakref

import pytest

from awscrt._futures import Future


def complete_later(future, action, waiting):
    """Run `action` on another thread once `waiting()` holds."""

    def body():
        deadline = time.monotonic() + 10
        while not waiting() and time.monotonic() < deadline:
            time.sleep(0.001)
        action()

    thread = threading.Thread(target=body)
    thread.start()
    return thread


def test_is_a_standard_future():
    assert isinstance(Future(), concurrent.futures.Future)


def test_takes_no_arguments():
    with pytest.raises(TypeError):
        Future(1)


def test_new_future_is_pending():
    future = Future()
    assert (future.done(), future.running(), future.cancelled()) == (False, False, False)
    assert "pending" in repr(future)


def test_result_of_finished_future():
    future = Future()
    value = object()
    future.set_result(value)
    assert future.result() is value
    assert future.exception() is None
    assert future.done() and not future.cancelled()


def test_exception_is_raised_by_result_and_returned_by_exception():
    future = Future()
    error = ValueError("x")
    future.set_exception(error)
    with pytest.raises(ValueError) as caught:
        future.result()
    assert caught.value is error
    assert future.exception() is error


def test_set_exception_needs_an_exception():
    with pytest.raises(TypeError):
        Future().set_exception("no exception")


@pytest.mark.parametrize("again", [lambda f: f.set_result(2), lambda f: f.set_exception(ValueError())])
def test_completing_twice_is_an_error(again):
    future = Future()
    future.set_result(1)
    with pytest.raises(concurrent.futures.InvalidStateError):
        again(future)
    assert future.result() == 1


@pytest.mark.parametrize("timeout", [0, 0.01, -1])
def test_pending_future_times_out(timeout):
    with pytest.raises(concurrent.futures.TimeoutError):
        Future().result(timeout)
    with pytest.raises(concurrent.futures.TimeoutError):
        Future().exception(timeout=timeout)


def test_timeout_must_be_a_number():
    with pytest.raises(TypeError):
        Future().result("soon")


def test_huge_timeout_is_for_ever():
    future = Future()
    thread = complete_later(future, lambda: future.set_result(1), lambda: True)
    assert future.result(timeout=1e300) == 1
    thread.join()


def test_result_wakes_every_waiting_thread():
    future = Future()
    results = []
    started = threading.Barrier(5)

    def wait():
        started.wait()
        results.append(future.result(timeout=10))

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    future.set_result("done")
    for thread in threads:
        thread.join()
    assert results == ["done"] * 4


def test_timed_out_wait_leaves_the_future_usable():
    future = Future()
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.001)
    future.set_result(5)
    assert future.result(0) == 5


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_signal_handler_interrupts_a_wait():
    class Interrupt(Exception):
        pass

    def handler(signum, frame):
        raise Interrupt

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(Interrupt):
            Future().result(timeout=10)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_signal_handler_that_returns_does_not_end_a_wait():
    seen = []
    previous = signal.signal(signal.SIGALRM, lambda signum, frame: seen.append(signum))
    future = Future()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        thread = complete_later(future, lambda: future.set_result(7), lambda: seen)
        assert future.result(timeout=10) == 7
        thread.join()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert seen


def test_cancel_pending():
    future = Future()
    assert future.cancel()
    assert future.cancel()
    assert future.cancelled() and future.done()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    with pytest.raises(concurrent.futures.CancelledError):
        future.exception()


def test_running_or_finished_cannot_be_cancelled():
    running, finished = Future(), Future()
    assert running.set_running_or_notify_cancel()
    finished.set_result(None)
    assert running.running()
    assert not running.cancel()
    assert not finished.cancel()


def test_set_running_tells_of_a_cancelled_future():
    future = Future()
    future.cancel()
    assert not future.set_running_or_notify_cancel()
    with pytest.raises(RuntimeError):
        future.set_running_or_notify_cancel()


def test_callbacks_run_in_order_once_done_and_at_once_afterwards():
    future = Future()
    calls = []
    future.add_done_callback(lambda f: calls.append(("first", f)))
    future.add_done_callback(fn=lambda f: calls.append(("second", f)))
    assert calls == []
    future.set_result(1)
    future.add_done_callback(lambda f: calls.append(("late", f)))
    assert calls == [("first", future), ("second", future), ("late", future)]


def test_cancel_runs_callbacks():
    future = Future()
    calls = []
    future.add_done_callback(calls.append)
    future.cancel()
    assert calls == [future]


def test_callback_that_raises_is_logged_and_the_others_run(caplog):
    future = Future()
    calls = []
    future.add_done_callback(lambda f: 1 / 0)
    future.add_done_callback(calls.append)
    with caplog.at_level(logging.ERROR, logger="concurrent.futures"):
        future.set_result(1)
    assert calls == [future]
    assert "exception calling callback" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("return_when", [concurrent.futures.FIRST_COMPLETED, concurrent.futures.ALL_COMPLETED])
def test_wait_with_done_futures(return_when):
    futures = [Future(), Future()]
    for future in futures:
        future.set_result(1)
    done, pending = concurrent.futures.wait(futures, timeout=10, return_when=return_when)
    assert done == set(futures) and not pending


def test_wait_for_all_is_woken_by_the_last():
    futures = [Future() for _ in range(20)]
    futures[0].set_result(0)

    def finish():
        for future in futures[1:]:
            future.set_result(1)

    thread = complete_later(None, finish, lambda: futures[-1]._waiters)
    done, pending = concurrent.futures.wait(futures, timeout=10)
    thread.join()
    assert done == set(futures) and not pending


def test_wait_returns_at_the_first_exception():
    good, bad, never = Future(), Future(), Future()
    thread = complete_later(None, lambda: (good.set_result(1), bad.set_exception(OSError())), lambda: never._waiters)
    done, pending = concurrent.futures.wait(
        [good, bad, never], timeout=10, return_when=concurrent.futures.FIRST_EXCEPTION
    )
    thread.join()
    assert bad in done and pending == {never}


def test_wait_sees_a_cancelled_future_once_its_operation_has_ended():
    future = Future()
    future.cancel()
    thread = complete_later(None, future.set_running_or_notify_cancel, lambda: future._waiters)
    done, _ = concurrent.futures.wait([future], timeout=10)
    thread.join()
    assert done == {future}


def test_as_completed_yields_each_future():
    futures = [Future() for _ in range(10)]

    def finish():
        for future in futures:
            future.set_result(None)

    thread = complete_later(None, finish, lambda: futures[-1]._waiters)
    assert set(concurrent.futures.as_completed(futures, timeout=10)) == set(futures)
    thread.join()


def test_wait_races_with_completion():
    for _ in range(200):
        futures = [Future() for _ in range(8)]
        threads = [threading.Thread(target=future.set_result, args=(1,)) for future in futures]
        for thread in threads:
            thread.start()
        done, pending = concurrent.futures.wait(futures, timeout=10)
        assert not pending and len(done) == 8
        for thread in threads:
            thread.join()


def test_wrap_future_in_asyncio():
    async def main():
        future = Future()
        thread = complete_later(None, lambda: future.set_result("value"), lambda: future._done_callbacks)
        result = await asyncio.wait_for(asyncio.wrap_future(future), timeout=10)
        thread.join()
        return result

    assert asyncio.run(main()) == "value"


def test_cancelling_the_asyncio_future_cancels_ours():
    async def main():
        future = Future()
        wrapped = asyncio.wrap_future(future)
        wrapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped
        return future

    assert asyncio.run(main()).cancelled()


def test_future_in_a_cycle_is_collected():
    future = Future()
    future.set_result([future])
    seen = weakref.ref(future)
    del future
    gc.collect()
    assert seen() is None


def test_lazy_attributes_are_built_once():
    future = Future()
    assert future._condition is future._condition
    assert future._waiters is future._waiters
