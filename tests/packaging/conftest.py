"""Environments that hold nothing but wheels, made without an index and without a compiler on PATH."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"


class Environment:
    """A virtual environment; everything in it runs with an empty PATH."""

    def __init__(self, directory: Path, links: List[Path]) -> None:
        self.directory = directory
        venv.create(str(directory), with_pip=True)
        self.python = directory / "bin" / "python"
        self._links = [f"--find-links={path}" for path in links]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
        self.variables: Dict[str, str] = {**kept, "PATH": str(directory / "bin"), "PIP_NO_INPUT": "1"}

    def install(self, *requirements: str) -> None:
        pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index", "--only-binary=:all:"]
        done = self.run(*pip, *self._links, *requirements)
        assert done.returncode == 0, done.stdout

    def run(self, *arguments: object, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Runs its interpreter in an empty directory; standard output and error together."""
        return subprocess.run(
            [str(self.python), *(str(a) for a in arguments)],
            cwd=str(self.directory),
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )

    def run_program(self, name: str, *arguments: object) -> str:
        """Runs a program of the folder ``programs``; returns what it printed."""
        done = self.run(PROGRAMS / name, *arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout

    @property
    def site_packages(self) -> Path:
        (path,) = self.directory.glob("lib/python*/site-packages")
        return path


@pytest.fixture(scope="session")
def dist() -> Path:
    """The wheels and sdists that ``make wheels`` built."""
    directory = ROOT / "dist"
    assert list(directory.glob("awscrt-*.whl")), "no wheels in dist/: run `make wheels` first"
    return directory


@pytest.fixture(scope="session")
def links(dist: Path) -> List[Path]:
    """Where pip finds ours, and what ours need from others."""
    foreign = ROOT / ".cache" / "foreign-wheels"
    assert list(foreign.glob("pluggy-*.whl")), "no pluggy in .cache/foreign-wheels: run `make test-packaging`"
    return [dist, foreign]


@pytest.fixture(scope="session")
def environment_with(links: List[Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Environment]:
    """A function from requirements to an environment that has them; the same one for the same requirements."""
    made: Dict[Tuple[str, ...], Environment] = {}

    def get(*requirements: str) -> Environment:
        if requirements not in made:
            environment = Environment(tmp_path_factory.mktemp("environment") / "venv", links)
            environment.install(*requirements)
            made[requirements] = environment
        return made[requirements]

    return get
