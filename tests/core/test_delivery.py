"""Events reach Python in order: through a loop's outbox, or through the mailbox of an asyncio loop."""

import asyncio
import gc
import os
import threading
import time
import weakref

import pytest

from awscrt._futures import Future
from awscrt.exceptions import AwsCrtError

COUNT = 1000


def test_outbox_delivers_in_order_on_the_loop_thread(probe, bootstrap):
    numbers, threads, done = [], set(), threading.Event()

    def callback(number):
        numbers.append(number)
        threads.add(threading.get_ident())
        if number == COUNT - 1:
            done.set()

    probe.call_on_loop(bootstrap, callback, COUNT)
    assert done.wait(10)
    assert numbers == list(range(COUNT))
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_every_batch_runs_with_the_same_thread_state(probe, bootstrap):
    local = threading.local()
    seen, done = [], threading.Event()

    def callback(number):
        local.count = getattr(local, "count", 0) + 1
        seen.append(local.count)
        done.set()

    for _ in range(3):
        done.clear()
        probe.call_on_loop(bootstrap, callback, 1)
        assert done.wait(10)
    assert seen == [1, 2, 3]


def test_events_made_in_a_callback_are_delivered_too(probe, bootstrap):
    done = threading.Event()
    probe.call_on_loop(bootstrap, lambda _: probe.call_on_loop(bootstrap, lambda _: done.set(), 1), 1)
    assert done.wait(10)


def test_callback_that_raises_does_not_stop_the_others(probe, bootstrap, monkeypatch):
    unraisable, done = [], threading.Event()
    monkeypatch.setattr("sys.unraisablehook", lambda args: unraisable.append(args.exc_type))

    def callback(number):
        if number == 0:
            raise KeyError("first")
        done.set()

    probe.call_on_loop(bootstrap, callback, 2)
    assert done.wait(10)
    assert unraisable == [KeyError]


def test_future_is_completed_from_the_loop(probe, bootstrap):
    future = probe.complete(bootstrap, 0)
    assert isinstance(future, Future)
    assert future.result(timeout=10) is True


def test_future_fails_with_the_error_of_the_code(probe, bootstrap):
    error = probe.complete(bootstrap, 1047).exception(timeout=10)
    assert isinstance(error, AwsCrtError)
    assert (error.code, error.name) == (1047, "AWS_IO_SOCKET_CONNECTION_REFUSED")
    assert error.message.endswith("while probing")


def test_waiting_on_a_loop_thread_is_refused(probe, bootstrap):
    outcome = Future()

    def callback(number):
        try:
            Future().result(timeout=10)
        except BaseException as error:
            outcome.set_result(error)

    probe.call_on_loop(bootstrap, callback, 1)
    error = outcome.result(timeout=10)
    assert isinstance(error, RuntimeError)
    assert "event-loop thread" in str(error)


def test_mailbox_delivers_in_order_on_the_asyncio_thread(probe, bootstrap):
    async def main():
        numbers, threads, done = [], set(), asyncio.Event()

        def callback(number):
            numbers.append(number)
            threads.add(threading.get_ident())
            if number == COUNT - 1:
                done.set()

        probe.call_in_asyncio(bootstrap, asyncio.get_running_loop(), callback, COUNT)
        await asyncio.wait_for(done.wait(), 10)
        return numbers, threads

    numbers, threads = asyncio.run(main())
    assert numbers == list(range(COUNT))
    assert threads == {threading.get_ident()}


def test_one_mailbox_serves_an_asyncio_loop(probe, bootstrap):
    descriptors = "/proc/self/fd"
    if not os.path.isdir(descriptors):
        pytest.skip("counts descriptors through /proc")

    async def main():
        loop, arrived = asyncio.get_running_loop(), asyncio.Queue()
        probe.call_in_asyncio(bootstrap, loop, arrived.put_nowait, 1)
        await asyncio.wait_for(arrived.get(), 10)
        before = len(os.listdir(descriptors))
        for _ in range(50):
            probe.call_in_asyncio(bootstrap, loop, arrived.put_nowait, 1)
            await asyncio.wait_for(arrived.get(), 10)
        return len(os.listdir(descriptors)) - before

    # Groups of earlier tests may close theirs meanwhile, so not exactly 0.
    assert asyncio.run(main()) <= 0


def test_pushes_from_many_threads_all_arrive(probe, bootstrap):
    async def main():
        loop, arrived = asyncio.get_running_loop(), []
        held = [probe.hold_in_asyncio(loop, arrived.append, COUNT) for _ in range(4)]
        threads = [threading.Thread(target=held.pop) for _ in range(4)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 10
        while len(arrived) < 4 * COUNT and time.monotonic() < deadline:
            await asyncio.sleep(0.001)
        for thread in threads:
            thread.join()
        return arrived

    assert sorted(asyncio.run(main())) == sorted(list(range(COUNT)) * 4)


def test_events_waiting_when_the_asyncio_loop_closes_are_delivered(probe):
    loop = asyncio.new_event_loop()
    arrived = []
    held = probe.hold_in_asyncio(loop, arrived.append, 3)
    del held
    assert arrived == []
    loop.close()
    assert arrived == [0, 1, 2]


def test_events_after_the_asyncio_loop_closed_are_delivered_by_their_thread(probe, bootstrap):
    loop = asyncio.new_event_loop()
    arrived = []
    held = probe.hold_in_asyncio(loop, arrived.append, 3)
    loop.close()
    del held
    assert arrived == [0, 1, 2]


def test_mailbox_does_not_keep_its_asyncio_loop(probe):
    loop = asyncio.new_event_loop()
    del_me = probe.hold_in_asyncio(loop, lambda number: None, 1)
    del del_me
    loop.close()
    seen = weakref.ref(loop)
    del loop
    gc.collect()
    assert seen() is None


def test_mailbox_needs_an_asyncio_loop(probe):
    with pytest.raises((AttributeError, TypeError)):
        probe.hold_in_asyncio(object(), print, 1)
