"""Credentials and the providers that need no network."""

import copy
import datetime
import gc
import sys
import threading
import weakref

import pytest

from awscrt import NativeResource
from awscrt.auth import AwsCredentials, AwsCredentialsProvider, AwsCredentialsProviderBase

UTC = datetime.timezone.utc


def get(provider):
    future = provider.get_credentials()
    assert future.done()
    return future.result(0)


# ---- AwsCredentials ----


def test_properties():
    made = AwsCredentials("id", "secret", "token")
    assert (made.access_key_id, made.secret_access_key, made.session_token) == ("id", "secret", "token")
    assert made.expiration is None
    assert isinstance(made, NativeResource)
    for name in ("access_key_id", "secret_access_key", "session_token", "expiration"):
        with pytest.raises(AttributeError):
            setattr(made, name, "x")


@pytest.mark.parametrize("token", [None, ""])
def test_no_token(token):
    assert AwsCredentials("id", "secret", token).session_token is None


@pytest.mark.parametrize("arguments", [(1, "s"), ("i", None), (b"i", "s"), ("i", "s", 1)])
def test_types(arguments):
    with pytest.raises(AssertionError):
        AwsCredentials(*arguments)


@pytest.mark.parametrize("arguments", [("", "s"), ("i", "")])
def test_empty(arguments):
    with pytest.raises(RuntimeError, match=r"^34 \(AWS_ERROR_INVALID_ARGUMENT\)"):
        AwsCredentials(*arguments)


def test_expiration():
    when = datetime.datetime(2030, 1, 2, 3, 4, 5, 999999, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    made = AwsCredentials("id", "secret", expiration=when)
    assert made.expiration == when.replace(microsecond=0)
    assert made.expiration.tzinfo is UTC
    naive = datetime.datetime(2030, 1, 1)
    assert AwsCredentials("id", "secret", None, naive).expiration == naive.astimezone(UTC)


def test_expiration_out_of_range():
    with pytest.raises(OverflowError, match="^expiration datetime out of range$"):
        AwsCredentials("id", "secret", expiration=datetime.datetime(1969, 1, 1, tzinfo=UTC))
    with pytest.raises(AttributeError):
        AwsCredentials("id", "secret", expiration=5)


def test_copies_are_the_object():
    made = AwsCredentials("id", "secret")
    assert copy.deepcopy(made) is made and copy.copy(made) is made


def test_unfinished_credentials_are_refused():
    made = AwsCredentials.__new__(AwsCredentials)
    for name in ("access_key_id", "session_token", "expiration"):
        with pytest.raises(TypeError):
            getattr(made, name)


def test_immutable():
    made = AwsCredentials("id", "secret")
    with pytest.raises(TypeError):
        made.__init__("other", "secret")
    assert made.access_key_id == "id"


# ---- providers ----


def test_static():
    made = get(AwsCredentialsProvider.new_static("id", "secret", "token"))
    assert (made.access_key_id, made.secret_access_key, made.session_token) == ("id", "secret", "token")
    with pytest.raises(RuntimeError, match="^34 "):
        AwsCredentialsProvider.new_static("", "secret")
    with pytest.raises(AssertionError):
        AwsCredentialsProvider.new_static(1, "secret")


def test_environment_is_read_at_every_call(monkeypatch):
    provider = AwsCredentialsProvider.new_environment()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert provider.get_credentials().exception(0).name == "AWS_AUTH_CREDENTIALS_PROVIDER_INVALID_ENVIRONMENT"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    assert provider.get_credentials().exception(0).name == "AWS_AUTH_CREDENTIALS_PROVIDER_INVALID_ENVIRONMENT"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert (get(provider).access_key_id, get(provider).session_token) == ("id", None)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert get(provider).session_token == "token"


def test_delegate_is_called_each_time_on_the_callers_thread():
    calls = []

    def source():
        calls.append(threading.get_ident())
        return AwsCredentials("id", f"secret{len(calls)}")

    provider = AwsCredentialsProvider.new_delegate(source)
    assert [get(provider).secret_access_key for _ in range(2)] == ["secret1", "secret2"]
    assert calls == [threading.get_ident()] * 2
    with pytest.raises(AssertionError):
        AwsCredentialsProvider.new_delegate("x")


@pytest.mark.parametrize("source", [lambda: None, lambda: 1 / 0, lambda: sys.exit(3)])
def test_delegate_that_fails(source, monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_value))
    error = AwsCredentialsProvider.new_delegate(source).get_credentials().exception(0)
    assert type(error) is RuntimeError
    assert str(error).startswith("6167 (AWS_AUTH_CREDENTIALS_PROVIDER_DELEGATE_FAILURE)")
    assert len(reported) == 1 and error.__cause__ is reported[0]


def test_chain(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setattr(sys, "unraisablehook", lambda args: None)
    environment = AwsCredentialsProvider.new_environment()
    static = AwsCredentialsProvider.new_static("id", "secret")
    bad = AwsCredentialsProvider.new_delegate(lambda: 1 / 0)
    assert get(AwsCredentialsProvider.new_chain([environment, bad, static])).access_key_id == "id"
    last = AwsCredentialsProvider.new_chain((bad, environment)).get_credentials().exception(0)
    assert last.name == "AWS_AUTH_CREDENTIALS_PROVIDER_INVALID_ENVIRONMENT"


def test_chain_arguments():
    with pytest.raises(ValueError, match=r"^Must supply at least one AwsCredentialsProvider\.$"):
        AwsCredentialsProvider.new_chain([])
    for wrong in (None, 1, iter([])):
        with pytest.raises(TypeError, match="^Expected sequence of AwsCredentialsProviders$"):
            AwsCredentialsProvider.new_chain(wrong)
    with pytest.raises(TypeError):
        AwsCredentialsProvider.new_chain([AwsCredentialsProvider.new_static("i", "s"), "x"])


def test_providers_are_native_resources():
    provider = AwsCredentialsProvider.new_static("id", "secret")
    assert isinstance(provider, AwsCredentialsProviderBase) and isinstance(provider, NativeResource)


def test_chain_keeps_its_providers():
    first = AwsCredentialsProvider.new_static("id", "secret")
    chain = AwsCredentialsProvider.new_chain([first])
    reference = weakref.ref(first)
    del first
    assert get(chain).access_key_id == "id"
    del chain
    gc.collect()
    assert reference() is None
