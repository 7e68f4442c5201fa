"""The package ``awscrt`` with some of its features installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import awscrt

FEATURES = ["auth", "aws_iot_metrics", "http", "mqtt", "mqtt5", "mqtt_request_response", "s3", "websocket"]
CORE = ["aio", "crypto", "io", "logging"]


@pytest.fixture
def core_alone(tmp_path):
    """Run a program in an interpreter that finds core and nothing else."""
    package = tmp_path / "awscrt"
    package.mkdir()
    for portion in awscrt.__path__:
        for libraries in Path(portion).parent.glob("awscrt_core.libs"):  # beside the package in a repaired wheel
            (tmp_path / libraries.name).symlink_to(libraries)
        for entry in Path(portion).iterdir():
            link = package / entry.name
            if entry.name.partition(".")[0] not in [*FEATURES, "__pycache__"] and not link.exists():
                link.symlink_to(entry)

    def run(program):
        return subprocess.run(
            # -S: without the site directories, where features may be
            [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def test_star_import_gives_the_features_that_are_installed(core_alone):
    done = core_alone("""
from awscrt import *
import awscrt
print(*awscrt.__all__)
print(io.LogLevel.Info.name, crypto, logging, aio)
""")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split() == CORE


def test_a_feature_that_is_not_installed_is_named_with_its_distribution(core_alone):
    done = core_alone("""
import awscrt
try:
    awscrt.s3
except AttributeError as error:
    print(error)
try:
    import awscrt.s3
except ModuleNotFoundError as error:
    print(error.name)
print(hasattr(awscrt, "mqtt5"))
""")
    assert done.returncode == 0, done.stderr
    told, missing, has = done.stdout.splitlines()
    assert "import awscrt.s3" in told and "pip install awscrt-s3" in told
    assert (missing, has) == ("awscrt.s3", "False")


def test_other_names_are_plain_attribute_errors():
    with pytest.raises(AttributeError, match=r"^module 'awscrt' has no attribute 'nothing'$"):
        getattr(awscrt, "nothing")  # noqa: B009


def test_importing_the_package_starts_nothing(run_python):
    done = run_python("import sys, threading, awscrt\nprint('awscrt._core' in sys.modules, threading.active_count())")
    assert done.stdout.split() == ["False", "1"], done.stderr


# ---- NativeResource ----


def test_native_resources_are_slotted():
    assert awscrt.NativeResource.__slots__ == ("_binding", "__weakref__")
    resource = awscrt.NativeResource()
    with pytest.raises(AttributeError):
        resource.other = 1
    with pytest.raises(AttributeError):
        resource._binding  # noqa: B018


def test_lifetimes_are_tracked_on_request_only():
    assert awscrt.NativeResource._track_lifetime is False
    untracked = awscrt.NativeResource()
    awscrt.NativeResource._track_lifetime = True
    try:
        tracked = awscrt.NativeResource()
    finally:
        awscrt.NativeResource._track_lifetime = False
    living = awscrt.NativeResource._living
    assert tracked in living and untracked not in living
    before = len(living)
    del tracked
    assert len(living) == before - 1
