"""Builds from the sdist: which libcrypto is linked, and what is said when a library is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Dict, List

import pytest

SWITCHES = ("AWS_CRT_BUILD_USE_SYSTEM_LIBCRYPTO", "AWS_CRT_BUILD_FORCE_STATIC_LIBS")


@pytest.fixture
def core_source(dist: Path, tmp_path: Path) -> Path:
    """An unpacked sdist of awscrt-core."""
    (sdist,) = dist.glob("awscrt_core-*.tar.gz")
    with tarfile.open(str(sdist)) as archive:
        archive.extractall(str(tmp_path))
    (source,) = tmp_path.glob("awscrt_core-*")
    return source


def build(source: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    kept: Dict[str, str] = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    return subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=str(source),
        env={**kept, "CFLAGS": "-O0", **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def libraries_of(source: Path) -> List[str]:
    """The shared libraries that the built extension names."""
    (extension,) = source.glob("src/awscrt/_core*.so")
    done = subprocess.run(["readelf", "-d", str(extension)], stdout=subprocess.PIPE, text=True, check=True)
    return [line.split("[")[1].split("]")[0] for line in done.stdout.splitlines() if "(NEEDED)" in line]


@pytest.mark.parametrize(
    "variables, system_libcrypto",
    [
        ({"AWS_CRT_BUILD_USE_SYSTEM_LIBCRYPTO": "1"}, True),
        ({"AWS_CRT_BUILD_FORCE_STATIC_LIBS": "1"}, False),
    ],
)
def test_switches_choose_the_libcrypto(core_source, variables, system_libcrypto):
    done = build(core_source, **variables)
    assert done.returncode == 0, done.stdout
    assert any(name.startswith("libcrypto.") for name in libraries_of(core_source)) is system_libcrypto


def test_missing_library_is_named_with_its_packages(core_source):
    done = build(core_source, PKG_CONFIG_LIBDIR="/nonexistent", PKG_CONFIG_PATH="/nonexistent")
    assert done.returncode != 0
    for word in ("libuv >= 1.44", "libuv1-dev", "libuv-devel", "brew install libuv", "libuv-dev"):
        assert word in done.stdout
    assert "Traceback" not in done.stdout
