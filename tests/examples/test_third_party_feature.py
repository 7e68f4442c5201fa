"""The example of a third party's feature: built from an installed core in an environment of its own, and run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from awscrt.testing.scripted import ScriptedServer

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "third_party_feature"

ASK = """
import asyncio, sys
from awscrt_echo import ask
from awscrt.io import ClientTlsContext, TlsContextOptions

async def main():
    port, authority = int(sys.argv[1]), sys.argv[2]
    tls = None
    if authority:
        options = TlsContextOptions()
        options.override_default_trust_store_from_path(ca_filepath=authority)
        tls = ClientTlsContext(options).new_connection_options()
    lines = [b"one", b"two", b"x" * 60000]
    replies = await asyncio.gather(*(ask("localhost", port, line, tls_connection_options=tls) for line in lines))
    print([reply == line.upper() + b"\\n" for line, reply in zip(lines, replies)])

asyncio.run(main())
"""

FAIL = """
import asyncio, sys
from awscrt_echo import ask
from awscrt.exceptions import AwsCrtError

try:
    asyncio.run(ask("127.0.0.1", int(sys.argv[1]), b"x", timeout=float(sys.argv[2])))
except AwsCrtError as error:
    print(error.name)
"""


class Python:
    """An environment with core from its wheel and the example built against it."""

    def __init__(self, directory: Path) -> None:
        venv.create(str(directory), with_pip=True)
        self._path = directory / "bin" / "python"
        kept = {n: v for n, v in os.environ.items() if not n.startswith("PYTHON") and n != "PIP_FIND_LINKS"}
        self._variables = {**kept, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def run(self, *arguments: object) -> str:
        done = subprocess.run(
            [str(self._path), *(str(a) for a in arguments)],
            env=self._variables,
            cwd=str(self._path.parent),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Python:
    dist, foreign = ROOT / "dist", ROOT / ".cache" / "foreign-wheels"
    assert list(dist.glob("awscrt_core-*.whl")), "no wheels in dist/: run `make wheels` first"
    directory = tmp_path_factory.mktemp("third-party")
    source = directory / "source"  # elsewhere, so that nothing of the checkout can help
    ignored = shutil.ignore_patterns("build", "*.egg-info", "*.so", "__pycache__")
    shutil.copytree(str(EXAMPLE), str(source), ignore=ignored)
    made = Python(directory / "venv")
    pip = ["-m", "pip", "install", "-q", f"--find-links={dist}", f"--find-links={foreign}"]
    made.run(*pip, "awscrt-core", "setuptools", "wheel")
    made.run(*pip, "--no-build-isolation", source)
    return made


def upper(peer):
    peer.send(peer.receive_until(b"\n").upper())


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_lines_come_back(python, tls_certs, tls):
    context = tls_certs.authority.server_context(tls_certs.server) if tls else None
    with ScriptedServer(upper, context=context) as server:
        printed = python.run("-c", ASK, server.port, tls_certs.ca_path if tls else "")
        assert printed.strip() == "[True, True, True]"
        assert server.connections == 3


def test_failures_are_errors_of_the_runtime(python):
    with ScriptedServer(lambda peer: peer.send(b"no newline")) as server:
        assert python.run("-c", FAIL, server.port, 10).strip() == "AWS_IO_SOCKET_CLOSED"
    with ScriptedServer(lambda peer: peer.receive_all()) as server:
        assert python.run("-c", FAIL, server.port, 0.05).strip() == "AWS_IO_SOCKET_TIMEOUT"
    assert python.run("-c", FAIL, server.port, 10).strip() == "AWS_IO_SOCKET_CONNECTION_REFUSED"


def test_it_is_a_plugin_with_a_command(python):
    features = json.loads(python.run("-m", "awscrt", "info", "--json"))["features"]
    assert [feature["name"] for feature in features] == ["core", "echo"]
    with ScriptedServer(upper) as server:
        assert python.run("-m", "awscrt", "echo", "localhost", server.port, "hello") == "HELLO\n"
