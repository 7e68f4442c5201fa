"""The data classes are dataclasses in every respect, although their methods are made on first use."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys

import pytest

from awscrt import mqtt5

EVERYTHING = [value for _, value in sorted(vars(mqtt5).items())]
CLASSES = [value for value in EVERYTHING if inspect.isclass(value) and dataclasses.is_dataclass(value)]


def test_there_are_as_many_as_the_module_documents():
    assert len(CLASSES) == 22


@pytest.mark.parametrize("cls", CLASSES)
def test_behaves_as_one_made_by_the_standard_decorator(cls):
    names = [field.name for field in dataclasses.fields(cls)]
    assert names == list(inspect.signature(cls).parameters) == list(cls.__dict__.get("__annotations__", ()))
    required = {field.name: "x" for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING}
    first, second = cls(**required), cls(**required)
    assert first == second and repr(first) == repr(second) and repr(first).startswith(cls.__name__ + "(")
    assert dataclasses.replace(first) == first and copy.copy(first) == first
    assert pickle.loads(pickle.dumps(first)) == first
    assert first != object()
    with pytest.raises(TypeError):
        hash(first)
    with pytest.raises(TypeError):
        cls(no_such_field=1)


def test_subclasses():
    @dataclasses.dataclass
    class Tagged(mqtt5.UserProperty):
        tag: int = 0

    assert Tagged("a", "b", 3) == Tagged(name="a", value="b", tag=3)


def test_many_threads_may_use_a_class_for_the_first_time():
    program = """if True:
        import threading
        from awscrt import mqtt5
        gate, made = threading.Barrier(8), []
        def first_use():
            gate.wait()
            made.append(mqtt5.PublishPacket(topic="t"))
        threads = [threading.Thread(target=first_use) for _ in range(8)]
        [t.start() for t in threads]; [t.join() for t in threads]
        assert len(made) == 8 and all(m == made[0] for m in made)
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_import_stays_light():
    heavy = {"inspect", "dataclasses", "typing", "asyncio", "awscrt.http"}
    program = f"import sys, awscrt.mqtt5; sys.exit(str({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert result.stderr.strip() == "set()"
