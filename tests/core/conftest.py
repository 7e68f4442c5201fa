"""Fixtures of the core tests."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import awscrt
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup


def python_environment(**changes):
    """Environment in which a child interpreter finds the same awscrt."""
    parents = [str(Path(portion).parent) for portion in awscrt.__path__]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*parents, os.environ.get("PYTHONPATH", "")]), **changes}


@pytest.fixture
def run_python():
    """Run a program in a fresh interpreter; gives the CompletedProcess."""

    def run(program, *arguments, timeout=30, **environment):
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=python_environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture(scope="session")
def probe_directory(tmp_path_factory):
    """A directory with the extension of tests/core/probe, compiled against the exported headers."""
    directory = tmp_path_factory.mktemp("probe")
    for source in (Path(__file__).parent / "probe").iterdir():
        if source.is_file():
            shutil.copy(str(source), str(directory))
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=str(directory),
        env=python_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert built.returncode == 0, built.stdout
    return directory


@pytest.fixture(scope="session")
def probe(probe_directory):
    """That extension as a module."""
    (path,) = [*probe_directory.glob("awscrt_probe*.so"), *probe_directory.glob("awscrt_probe*.pyd")]
    spec = importlib.util.spec_from_file_location("awscrt_probe", str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bootstrap():
    """A bootstrap on a loop of its own."""
    group = EventLoopGroup(1)
    return ClientBootstrap(group, DefaultHostResolver(group))
