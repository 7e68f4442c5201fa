"""What type checkers see: the packages are marked as typed, their public API is strict, and the stubs are true."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import awscrt

PROGRAMS = Path(__file__).resolve().parents[1] / "typing"
EXPECTATION = re.compile(r"# (R|E): (.+)$")
ANSWER = re.compile(
    r"^(?P<file>[^:]+):(?P<line>\d+): (?:note: Revealed type is \"(?P<type>.+)\"|error: .*\[(?P<code>.+)\])$"
)


def test_the_package_is_marked_as_typed():
    assert any((Path(portion) / "py.typed").is_file() for portion in awscrt.__path__)


# ---- programs ----


@pytest.fixture(scope="session")
def one_tree(tmp_path_factory):
    """The package in a single directory, as if installed there: a checker does not join portions."""
    root = tmp_path_factory.mktemp("merged")
    for portion in awscrt.__path__:
        for source in sorted(Path(portion).rglob("*.py*")):
            if source.suffix in (".py", ".pyi"):
                link = root / "awscrt" / source.relative_to(portion)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(source)
    return root


def expected(program):
    found = set()
    for number, line in enumerate(program.read_text().splitlines(), 1):
        match = EXPECTATION.search(line)
        if match and match[1] == "R":
            found.add((number, "type", match[2]))
        elif match:
            found.update((number, "error", code) for code in match[2].split(", "))
    return found


def answered(output, program):
    found = set()
    for line in output.splitlines():
        match = ANSWER.match(line)
        assert not match or match["file"] == program.name, line  # the packages themselves have no errors
        if match and match["type"]:
            found.add((int(match["line"]), "type", match["type"]))
        elif match:
            found.add((int(match["line"]), "error", match["code"]))
        else:
            assert ": note: " in line, line  # an error's explanation
    return found


@pytest.mark.parametrize("program", sorted(PROGRAMS.glob("*.py")), ids=lambda path: path.stem)
def test_programs_are_checked_as_they_say(program, one_tree, tmp_path):
    pytest.importorskip("mypy", reason="mypy is among the development requirements only")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file=",
            f"--cache-dir={tmp_path}",
            "--follow-imports=silent",
        ]
        + ["--no-error-summary", "--hide-error-context", "--no-pretty", program.name],
        cwd=str(PROGRAMS),
        env={"MYPYPATH": str(one_tree), "PATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.stderr == ""
    wanted = expected(program)
    assert wanted
    assert answered(done.stdout, program) == wanted


# ---- stubs ----


def stub_of(module):
    """Names that the stub declares, and for each class those of its members."""
    name = module.__name__.rpartition(".")[2]
    (path,) = [
        Path(portion) / f"{name}.pyi" for portion in awscrt.__path__ if (Path(portion) / f"{name}.pyi").is_file()
    ]
    return declared(ast.parse(path.read_text()).body)


def declared(body):
    names = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            names[node.name] = set(declared(node.body))
        elif isinstance(node, ast.FunctionDef):
            names[node.name] = None
        elif isinstance(node, ast.AnnAssign):
            names[node.target.id] = None
    return names


def test_the_stub_of_the_extension_names_what_there_is():
    module = importlib.import_module("awscrt._core")
    # Single underscores aside from what the stub declares are internal caches of the extension.
    assert {name for name in vars(module) if not name.startswith("_")} - set(stub_of(module)) == set()


def test_the_stub_of_the_extension_names_nothing_else():
    module = importlib.import_module("awscrt._core")
    assert set(stub_of(module)) - set(vars(module)) == set()


def test_members_of_native_classes_are_those_of_the_stub():
    module = importlib.import_module("awscrt._core")
    for name, members in stub_of(module).items():
        if members is not None:
            native = {member for member in vars(getattr(module, name)) if not member.startswith("_")}
            assert native - members == set(), name
            assert {member for member in members if not hasattr(getattr(module, name), member)} == set(), name
