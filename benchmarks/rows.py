"""What a suite is made of: rows, and the place where their servers live."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Sequence, Type

from servers import Servers

from awscrt.testing.servers import Server, find_program

HERE = os.path.dirname(os.path.abspath(__file__))
Run = Dict[str, Any]  # what a worker prints: units, unit, seconds, cpu, rss_mib


@dataclass(frozen=True)
class Competitor:
    """What users would take instead: a package from PyPI, run in an environment that holds all of them."""

    name: str
    packages: Sequence[str] = ()  # none for the standard library


@dataclass
class Row:
    """One workload: the worker, its parameters, and the goal it is held against.

    The worker is told by ``params["api"]`` what to measure: ``awscrt`` (ours and the reference's) or the name of a
    competitor.
    """

    name: str
    worker: str
    params: Dict[str, Any]
    goal: str = ""
    rounds: int = 5
    competitors: Sequence[Competitor] = ()
    raw: Optional[Callable[[], Run]] = None  # a client that does next to nothing: the ceiling
    prepare: Optional[Callable[[], None]] = None  # before each run
    in_reference: bool = True  # False where the reference lacks or breaks it
    runs: Dict[str, List[Run]] = field(default_factory=dict)


def run_json(command: Sequence[str]) -> Run:
    """Runs a program; its last line is the result."""
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=900, check=True)
    result: Run = json.loads(done.stdout.splitlines()[-1])
    return result


def run_wrk(port: int, path: str, in_flight: int, tls: bool) -> Run:
    """wrk as the raw client of small requests: requests per second."""
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}{path}"
    done = subprocess.run(
        [find_program("wrk", "wrk"), "-t1", f"-c{in_flight}", "-d2s", url], stdout=subprocess.PIPE, check=True
    )
    for line in done.stdout.decode().splitlines():
        if line.startswith("Requests/sec:"):
            return {"units": float(line.split()[1]), "seconds": 1.0, "cpu": 0.0, "rss_mib": 0.0}
    raise SystemExit("wrk printed no rate")


class Context:
    """Context manager: what suites share. Servers and C programs come into being when a suite asks for them.

    :param directory: a tmpfs, so that no disk is measured
    :param gib: size of the objects of the transfer rows
    """

    def __init__(self, directory: str, gib: int) -> None:
        self.directory = directory
        self.gib = gib
        self._stack = contextlib.ExitStack()
        self._servers: Optional[Servers] = None
        self._objects: Dict[str, str] = {}

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._stack.close()

    @property
    def servers(self) -> Servers:
        """nginx, mosquitto and the sink, running."""
        if self._servers is None:
            self._servers = self._stack.enter_context(Servers(self.directory, self.program("sink")))
        return self._servers

    def start(self, server: Server) -> None:
        """Starts a server of one suite; it ends with the context."""
        server.start()
        self._stack.callback(server.close)

    def program(self, name: str) -> str:
        """Compiles ``raw/<name>.c`` on first use; the path of the program."""
        binary = os.path.join(self.directory, name)
        if not os.path.exists(binary):
            source = os.path.join(HERE, "raw", name + ".c")
            subprocess.run(["cc", "-O2", "-o", binary, source, "-lssl", "-lcrypto", "-lpthread"], check=True)
        return binary

    def object(self, name: str, size: int) -> str:
        """A file that nginx offers as ``/name``, made on first use; its path."""
        if name not in self._objects:
            self._objects[name] = self.servers.object(name, size)
        return self._objects[name]


def command_of(*command: str) -> Callable[[], Run]:
    """A raw client that prints its result like a worker."""
    return partial(run_json, command)
