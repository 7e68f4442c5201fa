"""The public names and signatures of core, held against recorded facts (surface_core.json) of the awscrt package 0.38.

In the facts a callable's parameters are written as in its definition, without the receiver; of a method the first entry
says what it is. More names, and more parameters with defaults, are allowed.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import logging
from pathlib import Path

import pytest

from awscrt import exceptions
from awscrt import logging as crt_logging

FACTS = json.loads((Path(__file__).parent / "surface_core.json").read_text())
MODULES = FACTS["modules"]


def facts(kind):
    """(module, name, fact) of everything of one kind."""
    return [(module, name, fact) for module in MODULES for name, fact in MODULES[module].get(kind, {}).items()]


def resolve(module, dotted):
    value = importlib.import_module(module)
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


def notation(value):
    """A default as the facts write it: members of enums without their module."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    return repr(value)


def written(function, receiver):
    """(positional, keyword-only, stars) parameters of ours, by what stands in the facts for them."""
    parameters = list(inspect.signature(function).parameters.values())[1 if receiver else 0 :]
    groups = {"positional": [], "keyword": [], "stars": []}
    for each in parameters:
        text = each.name if each.default is each.empty else f"{each.name}={notation(each.default)}"
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            groups["stars"].append("*" if each.kind is each.VAR_POSITIONAL else "**")
        else:
            groups["keyword" if each.kind is each.KEYWORD_ONLY else "positional"].append(text)
    return groups


def assert_takes(function, wanted, receiver=False):
    ours = written(function, receiver)
    star = next((i for i, text in enumerate(wanted) if text.startswith("*")), len(wanted))
    positional, rest = wanted[:star], wanted[star:]
    keyword = [text for text in rest if not text.startswith("*")]
    assert ours["positional"][: len(positional)] == positional
    assert set(keyword) <= set(ours["keyword"])
    for text in rest:
        if text.startswith("*") and text != "*":
            assert ("**" if text.startswith("**") else "*") in ours["stars"]
    extra = ours["positional"][len(positional) :] + [text for text in ours["keyword"] if text not in keyword]
    assert all("=" in text for text in extra), f"required beyond the facts: {extra}"


# ---- modules ----


@pytest.mark.parametrize("module", MODULES)
def test_modules_offer_what_they_list(module):
    imported = importlib.import_module(module)
    assert set(MODULES[module].get("all", ())) <= set(getattr(imported, "__all__", dir(imported)))
    for name in getattr(imported, "__all__", ()):
        if module != "awscrt":  # whose list names submodules
            assert hasattr(imported, name), name


@pytest.mark.parametrize("module", [module for module in MODULES if "loads" in MODULES[module]])
def test_modules_load_the_modules_that_programs_then_use(module, run_python):
    done = run_python(f"import sys, {module}\nprint(*sys.modules)")
    assert set(MODULES[module]["loads"]) <= set(done.stdout.split())


@pytest.mark.parametrize("module, name, origin", facts("reexports"))
def test_reexports(module, name, origin):
    owner, _, attribute = origin.rpartition(".")
    assert resolve(module, name) is resolve(owner, attribute)


@pytest.mark.parametrize("module, name, value", facts("constants"))
def test_constants(module, name, value):
    assert notation(resolve(module, name)) == value


@pytest.mark.parametrize("module, name, wanted", facts("functions"))
def test_functions(module, name, wanted):
    assert_takes(resolve(module, name), wanted)


# ---- classes ----


@pytest.mark.parametrize("module, name, fact", facts("classes"))
def test_classes(module, name, fact):
    cls = resolve(module, name)
    for base in fact["bases"]:
        owner, _, attribute = base.rpartition(".")
        assert issubclass(cls, resolve(owner or "builtins", attribute))
    if "members" in fact:
        ours = {key: member.value for key, member in cls.__members__.items()}
        assert {key: ours.get(key) for key in fact["members"]} == fact["members"]
        return
    assert bool(cls.__dictoffset__) or not fact["instance_dict"]
    assert bool(cls.__weakrefoffset__) or not fact["weakref"]
    assert cls.__hash__ is not None
    type("Subclass", (cls,), {})
    assert set(getattr(cls, "__abstractmethods__", ())) == set(fact.get("abstract", ()))
    assert list(getattr(cls, "_fields", ())) == fact.get("fields", [])
    for key, value in fact.get("attributes", {}).items():
        assert notation(getattr(cls, key)) == value
    for key in fact.get("properties", ()):
        assert inspect.isdatadescriptor(inspect.getattr_static(cls, key)), key


@pytest.mark.parametrize("module, name, fact", [each for each in facts("classes") if "starts_as" in each[2]])
def test_new_objects_start_with(module, name, fact):
    instance = resolve(module, name)()
    assert {key: notation(getattr(instance, key)) for key in fact["starts_as"]} == fact["starts_as"]


GENERIC = object.__init__.__text_signature__

METHODS = [
    (module, f"{name}.{method}", wanted)
    for module, name, fact in facts("classes")
    for method, wanted in fact.get("methods", {}).items()
]


@pytest.mark.parametrize("module, name, wanted", METHODS)
def test_methods(module, name, wanted):
    owner, _, method = name.rpartition(".")
    cls = resolve(module, owner)
    kind, parameters = wanted[0], wanted[1:]
    assert isinstance(inspect.getattr_static(cls, method), staticmethod) == (kind == "static")
    if kind == "class":
        assert getattr(cls, method).__self__ is cls
    if method == "__init__" and getattr(cls.__init__, "__text_signature__", None) == GENERIC:
        assert_takes(cls, parameters)  # what __new__ takes
    else:
        assert_takes(getattr(cls, method), parameters, receiver=kind == "instance")


# ---- numbers ----


@pytest.mark.parametrize("code, name", FACTS["errors"].items())
def test_error_codes(code, name):
    error = exceptions.from_code(int(code))
    if name.isupper():
        assert (type(error), error.code, error.name) == (exceptions.AwsCrtError, int(code), name)
    else:
        assert type(error).__name__ == name


def test_log_subjects():
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    root = logging.getLogger("awscrt")
    root.addHandler(handler)
    crt_logging.reconfigure(logging.ERROR)
    try:
        for subject in FACTS["log_subjects"]:
            crt_logging.log(logging.ERROR, int(subject), subject)
    finally:
        crt_logging.close()
        root.removeHandler(handler)
        root.setLevel(logging.NOTSET)
    assert {record.getMessage(): record.name for record in records} == FACTS["log_subjects"]
