"""Plugins: how features and third parties extend awscrt.

A distribution registers a module (or object) under the entry-point group ``awscrt``::

    [project.entry-points.awscrt]
    my-feature = "my_package.awscrt_plugin"

The module implements any of the hooks in :class:`Hooks`::

    from awscrt.plugins import FeatureInfo, hookimpl

    @hookimpl
    def awscrt_feature() -> FeatureInfo:
        return FeatureInfo(name="my-feature", version="1.0", abi="core 1.0", modules=("my_package",), summary="...")

Entry points are looked up when a hook is called for the first time, never at import. A plugin that fails is
reported as a warning and left out; the others go on.
"""

from __future__ import annotations

import sys
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Tuple

import pluggy

if TYPE_CHECKING:
    import argparse

__all__ = [
    "Command",
    "FeatureInfo",
    "Hooks",
    "PluginWarning",
    "commands",
    "credentials_provider",
    "features",
    "find_transport",
    "get_plugin_manager",
    "hookimpl",
    "register",
    "telemetry",
]

PROJECT = "awscrt"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class PluginWarning(UserWarning):
    """A plugin could not be loaded, or failed in a hook."""


@dataclass(frozen=True)
class FeatureInfo:
    """What a feature says about itself.

    :ivar name: short, e.g. ``"http"``
    :ivar version: of its distribution
    :ivar abi: of the C API it offers, e.g. ``"http 1.0"``; ``""`` for none
    :ivar modules: importable names it brings
    :ivar summary: one line
    """

    name: str
    version: str
    abi: str = ""
    modules: Tuple[str, ...] = ()
    summary: str = ""


@dataclass(frozen=True)
class Command:
    """A subcommand of ``python -m awscrt``.

    :ivar configure: adds the arguments to the subcommand's parser
    :ivar run: does the work; its result is the exit status (None is 0)
    """

    name: str
    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Optional[int]]


class Hooks:
    """The hooks a plugin may implement. All are optional."""

    @hookspec
    def awscrt_feature(self) -> Optional[FeatureInfo]:
        """Describe the feature, for ``awscrt info`` and for messages that say what to install."""

    @hookspec(firstresult=True)
    def awscrt_transport(self, name: str) -> Any:
        """Answer with a transport, or None for names that are not yours.

        :param name: ``"websocket"``, ``"http-tunnel"`` or a third party's
        :return: a PyCapsule named ``awscrt.transport`` that holds a ``crt_transport`` (``crt/transport.h``)
        """

    @hookspec
    def awscrt_commands(self) -> List[Command]:  # type: ignore[empty-body]
        """Subcommands of ``python -m awscrt``."""

    @hookspec(firstresult=True)
    def awscrt_credentials_provider(self, name: str) -> Any:
        """Answer with an ``awscrt.auth.AwsCredentialsProvider``, or None for names that are not yours.

        :param name: ``"default-chain"``: the default chain asks, behind environment, profile and web identity; any
            other: a profile has it as ``credential_source``
        """

    @hookspec
    def awscrt_telemetry(self) -> Any:
        """Answer with an object that observes the clients (see the telemetry guide)."""


_lock = threading.RLock()
_manager: Optional[pluggy.PluginManager] = None
_discovered = False


def _entry_points() -> List[Any]:
    from importlib import metadata

    if sys.version_info >= (3, 10):
        return list(metadata.entry_points(group=PROJECT))
    return list(metadata.entry_points().get(PROJECT, ()))


def _new_manager() -> pluggy.PluginManager:
    from awscrt import _core_plugin

    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    manager.register(_core_plugin, name="core")
    return manager


def get_plugin_manager(*, discover: bool = True) -> pluggy.PluginManager:
    """The process's plugin manager.

    :param discover: load the plugins of installed distributions first, if that was not done yet
    """
    global _manager, _discovered
    with _lock:
        if _manager is None:
            _manager = _new_manager()
        if discover and not _discovered:
            _discovered = True
            _discover(_manager)
        return _manager


def _discover(manager: pluggy.PluginManager) -> None:
    for entry_point in _entry_points():
        if manager.has_plugin(entry_point.name) or manager.is_blocked(entry_point.name):
            continue
        try:
            manager.register(entry_point.load(), name=entry_point.name)
        except Exception as error:  # whatever a third party's module does must not take the process down
            if manager.has_plugin(entry_point.name):  # older pluggy registers first and validates then
                manager.unregister(name=entry_point.name)
            _warn(f"plugin {entry_point.name!r} ({entry_point.value}) cannot be used", error)


def _warn(what: str, error: BaseException) -> None:
    warnings.warn(f"awscrt: {what}: {type(error).__name__}: {error}", PluginWarning, stacklevel=4)


def register(plugin: object, name: Optional[str] = None) -> None:
    """Add a plugin by hand: a module or object with hook implementations.

    :raises ValueError: registered already
    :raises pluggy.PluginValidationError: a hook or argument that does not exist
    """
    get_plugin_manager(discover=False).register(plugin, name=name)


def _answers(hook: str, **arguments: Any) -> Iterator[Any]:
    """What the plugins answer, the latest registered first; one that raises is reported and passed over."""
    caller = getattr(get_plugin_manager().hook, hook)
    for implementation in reversed(caller.get_hookimpls()):
        try:
            answer = implementation.function(*[arguments[name] for name in implementation.argnames])
        except Exception as error:
            _warn(f"plugin {implementation.plugin_name!r} failed in {hook}", error)
            continue
        if answer is not None:
            yield answer


def features() -> List[FeatureInfo]:
    """The installed features, core first."""
    found = list(_answers("awscrt_feature"))
    return sorted(found, key=lambda feature: (feature.name != "core", feature.name))


def commands() -> List[Command]:
    """The subcommands that plugins bring, in the order of their names."""
    by_name: Dict[str, Command] = {}
    for answer in _answers("awscrt_commands"):
        for command in answer:
            if command.name in by_name:
                warnings.warn(
                    f"awscrt: two plugins bring the command {command.name!r}; one is left out",
                    PluginWarning,
                    stacklevel=2,
                )
            by_name.setdefault(command.name, command)
    return [by_name[name] for name in sorted(by_name)]


def find_transport(name: str, *, hint: str = "") -> Any:
    """The native transport of that name, a PyCapsule.

    :param hint: who needs it and what to install, for the error message; e.g. ``"awscrt-mqtt needs the
        'websocket' transport, which no installed package provides: pip install 'awscrt-mqtt[websocket]'"``
    :raises RuntimeError: no plugin provides it
    """
    for transport in _answers("awscrt_transport", name=name):
        return transport
    raise RuntimeError(hint or f"no installed package provides the {name!r} transport")


def credentials_provider(name: str) -> Any:
    """The credentials provider that a plugin offers under that name, or None."""
    return next(_answers("awscrt_credentials_provider", name=name), None)


def telemetry() -> List[Any]:
    """The telemetry observers that plugins bring."""
    return list(_answers("awscrt_telemetry"))
