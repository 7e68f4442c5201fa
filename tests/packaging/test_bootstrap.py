"""tools/bootstrap.sh on a machine that lacks things and gives no right to install them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bootstrap(tmp_path: Path):
    """Runs the script with these programs replaced: name -> body of a shell script."""

    def run(**programs: str) -> subprocess.CompletedProcess[str]:
        for name, body in programs.items():
            script = tmp_path / name.replace("_", "-")
            script.write_text(f"#!/bin/sh\n{body}\n")
            script.chmod(0o755)
        return subprocess.run(
            [str(ROOT / "tools" / "bootstrap.sh")],
            env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return run


def test_prints_the_packages_when_it_may_not_install(bootstrap):
    done = bootstrap(pkg_config="exit 1", id="echo 1000", sudo="exit 1", apt_get="echo apt-get was called")
    assert done.returncode == 1
    assert "apt-get was called" not in done.stdout
    for words in (
        "apt-get install --no-install-recommends libuv1-dev libssl-dev libexpat1-dev libnghttp2-dev zlib1g-dev "
        "libxxhash-dev libcmocka-dev",
        "dnf install libuv-devel openssl-devel expat-devel libnghttp2-devel zlib-devel xxhash-devel libcmocka-devel",
        "brew install libuv openssl@3 expat libnghttp2 zlib xxhash cmocka",
        "apk add libuv-dev openssl-dev expat-dev nghttp2-dev zlib-dev xxhash-dev cmocka-dev",
    ):
        assert words in done.stdout


def test_installs_what_is_missing_and_nothing_else(bootstrap, tmp_path):
    log = tmp_path / "log"
    done = bootstrap(
        pkg_config=f'case "$2" in libuv*) exit 1;; esac; exec "{which("pkg-config")}" "$@"',
        id="echo 1000",
        sudo='[ "$1" = -n ] && shift; exec "$@"',
        apt_get=f'echo "$@" >>{log}',
        tee="cat >/dev/null",
        chmod="exit 0",
        rm="exit 0",
    )
    assert done.returncode == 0, done.stdout
    update, install = log.read_text().splitlines()
    assert update.startswith("update")
    assert install.split()[-1] == "libuv1-dev"
    assert "--no-install-recommends" in install


def which(program: str) -> str:
    return subprocess.run(["which", program], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def test_says_nothing_when_nothing_is_missing(bootstrap):
    done = bootstrap()
    assert (done.returncode, done.stdout) == (0, "")
