"""Fixtures of the credentials tests: a bare environment, profile files, a clock that only tests move."""

import os
from types import SimpleNamespace

import pytest

from awscrt._credentials import clock as clock_module
from awscrt._credentials import imds
from awscrt.testing import credentials as services

TIMEOUT = 20  # seconds; far more than anything here takes


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    """No variable of AWS, an empty home, nothing known about IMDS."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    imds.forget_absence()
    yield home
    imds.forget_absence()


@pytest.fixture
def home(bare_environment):
    return bare_environment


@pytest.fixture
def write(home):
    """``write(config=..., credentials=...)``: the profile files in the home directory; gives their paths."""

    def write_files(config=None, credentials=None):
        for name, text in (("config", config), ("credentials", credentials)):
            if text is not None:
                (home / ".aws" / name).write_text(text)
        return SimpleNamespace(config=str(home / ".aws" / "config"), credentials=str(home / ".aws" / "credentials"))

    return write_files


class Clock:
    """Time that stands still until a test moves it; pauses take none."""

    def __init__(self):
        self.now = 1_800_000_000.0
        self.pauses = []
        self.draws = []
        self.drawn = None  # what uniform() gives; None: the upper end

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds

    def uniform(self, low, high):
        self.draws.append((low, high))
        return high if self.drawn is None else self.drawn


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(clock_module, "time", made.time)
    monkeypatch.setattr(clock_module, "monotonic", made.time)
    monkeypatch.setattr(clock_module, "sleep", made.sleep)
    monkeypatch.setattr(clock_module, "uniform", made.uniform)
    return made


@pytest.fixture
def get():
    """``get(provider)``: its credentials."""
    return lambda provider: provider.get_credentials().result(TIMEOUT)


@pytest.fixture
def failure():
    """``failure(provider)``: why it has none."""

    def wait(provider):
        error = provider.get_credentials().exception(TIMEOUT)
        assert error is not None
        return error

    return wait


@pytest.fixture
def imds_service(monkeypatch):
    with services.InstanceMetadata() as service:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
        yield service


@pytest.fixture
def container(monkeypatch):
    with services.ContainerEndpoint() as service:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", service.url + "/creds/x?y=1")
        yield service


@pytest.fixture
def sts(monkeypatch):
    with services.SecurityTokenService() as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)
        yield service


@pytest.fixture
def served():
    """``served(credentials)``: checks that they are those of the test services."""

    def check(credentials, expires=services.EXPIRATION):
        assert (credentials.access_key_id, credentials.secret_access_key, credentials.session_token) == (
            services.KEY_ID,
            services.SECRET,
            services.TOKEN,
        )
        if expires is not None:
            assert credentials.expiration.strftime("%Y-%m-%dT%H:%M:%SZ") == expires

    return check


@pytest.fixture
def dead_port():
    """A port that refuses connections."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
