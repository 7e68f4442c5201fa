"""``@dataclass`` whose methods are generated when they are first used.

The standard decorator compiles three functions per class and imports half of :mod:`inspect`: 20 ms for the data
classes of MQTT 5, of which a program uses a handful, and 13 ms for the first one of any module. The result here is a
real dataclass all the same.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing is a large part of a small program's import time
if TYPE_CHECKING:
    from typing import Any, Type, TypeVar

    _T = TypeVar("_T")

__all__ = ["dataclass"]

_GENERATED = ("__init__", "__repr__", "__eq__", "__match_args__", "__dataclass_params__", "__dataclass_fields__")


class _Deferred:
    """Stands in a class for an attribute that dataclasses generates, until somebody looks it up."""

    __slots__ = ("_owner", "_name")

    def __init__(self, owner: Type[Any], name: str) -> None:
        self._owner = owner
        self._name = name

    def __get__(self, instance: Any, owner: Type[Any]) -> Any:
        _generate(self._owner)
        return getattr(owner if instance is None else instance, self._name)


def _generate(cls: Type[Any]) -> None:
    import dataclasses

    # On a scratch class, so that another thread never sees `cls` without the methods.
    fields = cls.__dict__.get("__annotations__", {})  # absent from classes without fields before Python 3.10
    names = ("__module__", "__doc__", "__annotations__", *fields)
    namespace = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
    namespace["__qualname__"] = cls.__qualname__
    generated: Type[Any] = dataclasses.dataclass(type(cls.__name__, (), namespace))
    for name in _GENERATED:
        if name in generated.__dict__:
            setattr(cls, name, generated.__dict__[name])
        elif isinstance(cls.__dict__.get(name), _Deferred):  # __match_args__ before Python 3.10
            delattr(cls, name)


def dataclass(cls: Type[_T]) -> Type[_T]:
    """Make ``cls`` a dataclass. Fields with a default must have a plain one (no ``field()``), as class attribute."""
    for name in _GENERATED:
        setattr(cls, name, _Deferred(cls, name))
    cls.__hash__ = None  # type: ignore[assignment,method-assign]  # as eq=True does
    return cls
