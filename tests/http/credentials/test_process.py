"""Providers and the process they live in: forks, its end, threads, asyncio, imports, copies."""

import asyncio
import copy
import os
import pickle
import subprocess
import sys
import threading
import time

import pytest

import awscrt
from awscrt._credentials.flight import Flight
from awscrt.auth import (
    AwsCredentials,
    AwsCredentialsProvider,
    AwsCredentialsProviderBase,
    AwsSigningConfig,
    aws_sign_request,
)
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.testing.credentials import KEY_ID, ContainerEndpoint, Fault

TIMEOUT = 20
PATHS = os.pathsep.join(os.path.dirname(portion) for portion in awscrt.__path__)


def run(program, *arguments, **variables):
    environment = {**os.environ, "PYTHONPATH": PATHS, **variables}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        timeout=TIMEOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )


# ---- imports ----


def test_importing_auth_brings_no_provider_along():
    program = "import sys, awscrt.auth; print([n for n in sys.modules if '_credentials' in n or n == 'threading'])"
    assert run(program).stdout == b"[]\n"


# ---- fork ----


def in_child(work):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork(container, get):
    provider = AwsCredentialsProvider.new_default_chain()
    assert get(provider).access_key_id == KEY_ID
    fresh = AwsCredentialsProvider.new_default_chain()

    def child():
        assert provider.get_credentials().result(TIMEOUT).access_key_id == KEY_ID  # remembered
        assert fresh.get_credentials().result(TIMEOUT).access_key_id == KEY_ID  # asked by the child's own runtime

    assert in_child(child) == 0
    assert get(fresh).access_key_id == KEY_ID
    assert len(container.requests) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_during_a_query(container, get):
    container.fail("credentials", Fault(stall=True), times=1)
    provider = AwsCredentialsProvider.new_default_chain()
    waiting = provider.get_credentials()
    deadline = time.monotonic() + TIMEOUT
    while not container.requests:
        assert time.monotonic() < deadline
        time.sleep(0.005)

    def child():  # which has not the thread that asks
        assert provider.get_credentials().result(TIMEOUT).access_key_id == KEY_ID

    assert in_child(child) == 0
    container._ended.set()  # the parent's request ends, and is tried again
    assert waiting.result(TIMEOUT).access_key_id == KEY_ID


# ---- the end of the process ----

PROGRAM = """
import sys
from awscrt.auth import AwsCredentialsProvider
provider = AwsCredentialsProvider.new_default_chain()
future = provider.get_credentials()
if sys.argv[1] == "done":
    assert future.result(20).access_key_id
elif sys.argv[1] == "exit":
    import atexit
    atexit.register(provider.get_credentials)
"""


@pytest.mark.parametrize("how", ["done", "running", "exit"])
def test_process_ends_promptly(how):
    with ContainerEndpoint() as service:
        if how != "done":
            service.fail("credentials", Fault(stall=True))
        program = run(PROGRAM, how, AWS_CONTAINER_CREDENTIALS_FULL_URI=service.url)
        assert (program.returncode, program.stdout) == (0, b"")


def test_query_at_the_very_end_is_answered_or_refused():
    program = """
import weakref
from awscrt.auth import AwsCredentialsProvider
provider = AwsCredentialsProvider.new_default_chain()
class Late:
    def __del__(self):
        future = provider.get_credentials()
late = Late()
late.cycle = late
"""
    done = run(program, AWS_EC2_METADATA_DISABLED="true")
    assert done.returncode == 0


# ---- asyncio ----


def test_asyncio(container):
    provider = AwsCredentialsProvider.new_default_chain()

    async def main():
        made = await asyncio.gather(*(provider.get_credentials_async() for _ in range(100)))
        return {credentials.access_key_id for credentials in made}

    assert asyncio.run(main()) == {KEY_ID}
    assert len(container.requests) == 1


def test_asyncio_failure_and_cancellation(container):
    container.fail("credentials", Fault(status=404), times=1)
    provider = AwsCredentialsProvider.new_default_chain()

    async def main():
        with pytest.raises(Exception, match="404"):
            await provider.get_credentials_async()
        waiting = [asyncio.ensure_future(provider.get_credentials_async()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        assert (await waiting[1]).access_key_id == KEY_ID
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]

    asyncio.run(main())


# ---- signing asks through the native seam ----


def request():
    return HttpRequest("GET", "/", HttpHeaders([("Host", "h")]))


def test_signing_with_a_provider_that_does_io(container):
    config = AwsSigningConfig(credentials_provider=AwsCredentialsProvider.new_default_chain(), region="r", service="s")
    futures = [aws_sign_request(request(), config) for _ in range(50)]
    for future in futures:
        assert f"Credential={KEY_ID}/" in future.result(TIMEOUT).headers.get("Authorization")
    assert len(container.requests) == 1
    assert aws_sign_request(request(), config).done()  # remembered


def test_signing_without_credentials(monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    config = AwsSigningConfig(credentials_provider=AwsCredentialsProvider.new_default_chain(), region="r", service="s")
    signed = request()
    error = aws_sign_request(signed, config).exception(TIMEOUT)
    assert error.name == "AWS_AUTH_SIGNING_NO_CREDENTIALS"
    assert "AWS_ACCESS_KEY_ID" in error.__cause__.message  # the provider's own words
    assert list(signed.headers) == [("Host", "h")]


def test_cause_of_a_signature_that_failed_is_the_exception_of_the_provider():
    problem = ValueError("mine")
    inner = AwsSigningConfig(credentials_provider=AwsCredentialsProvider.new_environment(), region="r", service="s")
    causes = []

    class Mine(AwsCredentialsProviderBase):
        def get_credentials(self):
            causes.append(aws_sign_request(request(), inner).exception(TIMEOUT).__cause__)  # one query inside another
            raise problem

    config = AwsSigningConfig(credentials_provider=Mine(), region="r", service="s")
    assert aws_sign_request(request(), config).exception(TIMEOUT).__cause__ is problem
    assert causes[0].name == "AWS_AUTH_CREDENTIALS_PROVIDER_INVALID_ENVIRONMENT"


# ---- chains of providers ----


def test_chain_goes_on_behind_a_provider_that_does_io(container, get, monkeypatch):
    container.fail("credentials", Fault(status=404))
    slow = AwsCredentialsProvider.new_default_chain()
    chain = AwsCredentialsProvider.new_chain([slow, AwsCredentialsProvider.new_static("static", "s")])
    assert get(chain).access_key_id == "static"


def test_long_chains(failure, get):
    environment = AwsCredentialsProvider.new_environment()
    static = AwsCredentialsProvider.new_static("static", "s")
    assert get(AwsCredentialsProvider.new_chain([environment] * 5000 + [static])).access_key_id == "static"
    assert failure(AwsCredentialsProvider.new_chain([environment] * 5000)) is not None


def test_cancelled_chain(container):
    container.fail("credentials", Fault(status=404))
    slow = AwsCredentialsProvider.new_default_chain()
    asked = threading.Event()
    last = AwsCredentialsProvider.new_delegate(lambda: asked.set() or AwsCredentials("a", "b"))
    future = AwsCredentialsProvider.new_chain([slow, last]).get_credentials()
    future.cancel()
    assert asked.wait(TIMEOUT)


# ---- copies ----


def every_kind():
    return AwsCredentialsProvider.new_static("a", "b"), AwsCredentialsProvider.new_default_chain()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_providers_cannot_be_pickled(protocol):
    for provider in every_kind():
        with pytest.raises(TypeError, match="AwsCredentialsProvider"):
            pickle.dumps(provider, protocol)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_are_the_provider(duplicate):
    for provider in every_kind():
        assert duplicate(provider) is provider


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_credentials_cannot_be_pickled(protocol):
    with pytest.raises(TypeError):
        pickle.dumps(AwsCredentials("a", "b"), protocol)


# ---- flights ----


def test_a_query_that_raises_anything_is_answered():
    def query():
        raise SystemExit(3)

    assert isinstance(Flight(query).get_credentials().exception(TIMEOUT), SystemExit)
