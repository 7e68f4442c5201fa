"""The memory of the default chain: when it asks, whom it lets wait, and that it asks once for all."""

import datetime
import threading

import pytest

from awscrt._credentials.cache import Cache
from awscrt._credentials.source import Queried, Source
from awscrt.auth import AwsCredentials, AwsCredentialsProvider

TIMEOUT = 20
MINUTE = 60


class Scripted(Source):
    """Credentials that last so many seconds (None: for ever), numbered; or failures."""

    def __init__(self, clock, lifetime=None):
        self.clock = clock
        self.lifetime = lifetime
        self.failure = None
        self.queries = 0
        self.started = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def query(self):
        self.queries += 1
        number, lifetime, failure = self.queries, self.lifetime, self.failure
        self.started.release()
        assert self.gate.wait(TIMEOUT)
        if failure is not None:
            raise failure
        expiration = None
        if lifetime is not None:
            expiration = datetime.datetime.fromtimestamp(self.clock.now + lifetime, datetime.timezone.utc)
        return AwsCredentials(f"key-{number}", "secret", None, expiration)


@pytest.fixture
def source(clock):
    return Scripted(clock)


@pytest.fixture
def provider(source):
    return AwsCredentialsProvider(Cache(source))


@pytest.fixture
def key(get):
    return lambda provider: get(provider).access_key_id


def test_without_expiration_for_15_minutes(provider, source, clock, key):
    assert key(provider) == "key-1"
    clock.now += 15 * MINUTE - 1
    assert provider.get_credentials().done()
    assert key(provider) == "key-1"
    clock.now += 1
    assert key(provider) == "key-2"
    assert source.queries == 2


def test_until_5_minutes_before_they_expire(provider, source, clock, key):
    clock.drawn = 0.0  # no jitter
    source.lifetime = 3600
    assert key(provider) == "key-1"
    clock.now += 55 * MINUTE - 1
    assert key(provider) == "key-1" and source.queries == 1
    clock.now += 1
    assert key(provider) == "key-2"


@pytest.mark.parametrize("lifetime", [-10, 0, 60, 299])
def test_credentials_that_are_about_to_expire_are_handed_out_once(provider, source, key, lifetime):
    source.lifetime = lifetime
    assert [key(provider) for _ in range(3)] == ["key-1", "key-2", "key-3"]


def test_failure_is_not_remembered(provider, source, key, failure):
    source.failure = ValueError("once")
    assert failure(provider) is source.failure
    source.failure = None
    assert key(provider) == "key-2"


# ---- ahead of time ----


def test_new_ones_are_fetched_ahead_of_time_while_nobody_waits(provider, source, clock, key, eventually):
    source.lifetime = 3600
    key(provider)
    assert clock.draws[-1] == (0, 60.0)  # the jitter; here all of it
    clock.now += 54 * MINUTE - 1
    key(provider)
    assert source.queries == 1
    clock.now += 1
    source.gate.clear()
    for _ in range(3):
        future = provider.get_credentials()
        assert future.done() and future.result().access_key_id == "key-1"
    assert source.started.acquire(timeout=TIMEOUT) and source.started.acquire(timeout=TIMEOUT)
    assert source.queries == 2  # one for all
    source.gate.set()
    eventually(lambda: provider.get_credentials().result(TIMEOUT).access_key_id == "key-2")
    assert source.queries == 2


@pytest.mark.parametrize("drawn", [0.0, 17.5, 60.0])
def test_the_moment_is_drawn_at_random(provider, source, clock, key, drawn, eventually):
    clock.drawn = drawn
    source.lifetime = 3600
    key(provider)
    clock.now += 55 * MINUTE - drawn - 0.5
    key(provider)
    assert source.queries == 1
    clock.now += 0.5
    provider.get_credentials()
    eventually(lambda: source.queries == 2)


def test_fetching_ahead_has_pauses(provider, source, clock, key, eventually):
    """A source that gives what it gave before is not asked at every call."""
    source.lifetime = 5 * MINUTE + 50
    key(provider)
    assert key(provider) == "key-1" and source.queries == 1
    clock.now += 29
    assert key(provider) == "key-1" and source.queries == 1
    clock.now += 1
    assert key(provider) == "key-1"
    eventually(lambda: source.queries == 2)


# ---- failures while credentials are valid ----


def test_valid_credentials_survive_a_failure(provider, source, clock, key, failure):
    source.lifetime = 3600
    key(provider)
    source.failure = ValueError("down")
    clock.now += 56 * MINUTE
    assert key(provider) == "key-1" and source.queries == 2
    assert key(provider) == "key-1" and source.queries == 2  # a pause of a minute
    clock.now += MINUTE
    assert key(provider) == "key-1" and source.queries == 3
    clock.now += 3 * MINUTE  # now they have expired
    assert failure(provider) is source.failure
    source.failure = None
    assert key(provider) == "key-5"


def test_credentials_without_expiration_do_not_survive(provider, source, clock, key, failure):
    key(provider)
    source.failure = ValueError("withdrawn")
    clock.now += 15 * MINUTE
    assert failure(provider) is source.failure


# ---- many callers ----


@pytest.mark.parametrize("wrap", [Cache, Queried])
def test_a_thousand_callers_are_served_by_one_query(source, wrap):
    provider = AwsCredentialsProvider(wrap(source))
    source.gate.clear()
    futures = []
    lock = threading.Lock()

    def ask():
        for _ in range(50):
            future = provider.get_credentials()
            with lock:
                futures.append(future)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(futures) == 1000 and not any(future.done() for future in futures)
    source.gate.set()
    made = {id(future.result(TIMEOUT)) for future in futures}
    assert len(made) == 1 and source.queries == 1


def test_one_failure_for_all_who_wait(provider, source):
    source.gate.clear()
    source.failure = ValueError("down")
    futures = [provider.get_credentials() for _ in range(10)]
    source.gate.set()
    assert all(future.exception(TIMEOUT) is source.failure for future in futures)
    assert source.queries == 1


def test_a_caller_that_cancels_leaves_the_others_alone(provider, source):
    source.gate.clear()
    futures = [provider.get_credentials() for _ in range(3)]
    assert futures[1].cancel()
    source.gate.set()
    assert futures[0].result(TIMEOUT) is futures[2].result(TIMEOUT)
    assert futures[1].cancelled() and source.queries == 1


def test_a_callback_that_asks_again_gets_an_answer(source):
    provider = AwsCredentialsProvider(Queried(source))
    answers = []
    done = threading.Event()

    def again(future):
        answers.append(future.result().access_key_id)
        if len(answers) == 3:
            done.set()
        else:
            provider.get_credentials().add_done_callback(again)

    provider.get_credentials().add_done_callback(again)
    assert done.wait(TIMEOUT)
    assert answers == ["key-1", "key-2", "key-3"]


def test_a_callback_that_blocks_does_not_hold_up_later_queries(source, get):
    provider = AwsCredentialsProvider(Queried(source))
    blocked, release = threading.Event(), threading.Event()

    def block(future):
        blocked.set()
        release.wait(TIMEOUT)

    source.gate.clear()
    provider.get_credentials().add_done_callback(block)
    source.gate.set()
    try:
        assert blocked.wait(TIMEOUT)
        assert get(provider).access_key_id == "key-2"
        assert not release.is_set()
    finally:
        release.set()


def test_provider_may_be_dropped_while_it_is_asked(source):
    provider = AwsCredentialsProvider(Queried(source))
    source.gate.clear()
    future = provider.get_credentials()
    del provider
    source.gate.set()
    assert future.result(TIMEOUT).access_key_id == "key-1"


def test_no_thread_to_be_had(source, failure, monkeypatch, get):
    from awscrt._credentials import workers

    provider = AwsCredentialsProvider(Queried(source))

    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(workers, "submit", refuse)
        assert "thread" in str(failure(provider))
    assert get(provider).access_key_id == "key-1"


def test_threads_are_used_again_and_end_when_idle(source, get, monkeypatch, eventually):
    from awscrt._credentials import workers

    monkeypatch.setattr(workers, "_IDLE_SECONDS", 0.05)
    monkeypatch.setattr(workers, "_pool", workers._Pool())
    others = set(threading.enumerate())
    provider = AwsCredentialsProvider(Queried(source))
    threads = set()
    for _ in range(5):
        future = provider.get_credentials()
        future.add_done_callback(lambda future: threads.add(threading.get_ident()))
        future.result(TIMEOUT)
    eventually(lambda: set(threading.enumerate()) <= others)
    assert 1 <= len(threads) <= 5
    assert get(provider).access_key_id == "key-6"
