"""The default chain: where credentials are looked for when nobody says where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, List, Optional

from awscrt._credentials import ecs, imds, log
from awscrt._credentials.fetch import Route
from awscrt._credentials.plugin import DEFAULT_CHAIN, PluginSource
from awscrt._credentials.profile_file import Paths
from awscrt._credentials.simple import EnvironmentSource
from awscrt._credentials.source import Source
from awscrt.exceptions import AwsCrtError

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentials

__all__ = ["DefaultChain"]


def _web_identity(route: Route) -> Source:
    from awscrt._credentials import profile_file, sts

    profiles = profile_file.load()
    profile = profiles.profiles.get(profile_file.profile_name())
    return sts.web_identity(profiles, profile, route)


def _profile(route: Route) -> Source:
    from awscrt._credentials.profile import profile_source

    return profile_source(None, Paths(), route)


class _Plugins(Source):
    """The provider of a plugin, looked for at the first query: scanning entry points takes a while."""

    name = "plugin"

    def __init__(self) -> None:
        self._found: Optional[PluginSource] = None
        self._looked = False

    @property
    def is_absent(self) -> bool:
        """True when there is no such plugin."""
        if not self._looked:
            self._found = PluginSource.find(DEFAULT_CHAIN)
            self._looked = True
        return self._found is None

    def query(self) -> AwsCredentials:
        assert self._found is not None
        return self._found.query()


class DefaultChain(Source):
    """Environment, profile, web identity, plugins, then the container's or the machine's endpoint.

    Which of them take part is decided here; those that are not configured are left out.
    """

    name = "default chain"

    def __init__(self, route: Route) -> None:
        self._left_out: List[str] = []
        self._sources: List[Source] = [EnvironmentSource()]
        self._add("profile", lambda: _profile(route))
        self._add("web identity", lambda: _web_identity(route))
        self._sources.append(_Plugins())
        if ecs.configured():
            self._add("container", lambda: ecs.ecs(route))
        elif imds.enabled():
            self._add("instance metadata", lambda: imds.imds(route))

    def _add(self, name: str, make: Callable[[], Source]) -> None:
        try:
            self._sources.append(make())
        except (RuntimeError, AwsCrtError, TypeError) as error:
            self._left_out.append(f"{name}: {error}")

    def query(self) -> AwsCredentials:
        failures: List[str] = []
        last: Optional[Exception] = None
        name = ""  # of the source that failed last
        for source in self._sources:
            try:
                if isinstance(source, _Plugins) and source.is_absent:
                    continue
                credentials = source.query()
                log.debug(f"the default chain has credentials of the source: {source.name}")
                return credentials
            except Exception as error:
                if last is not None:
                    failures.append(f"{name}: {last}")
                last, name = error, source.name
        assert last is not None  # the environment is always asked
        others = [*self._left_out, *failures]
        if not others or not isinstance(last, AwsCrtError):
            raise last
        # The failure of the last source, and in its message what the others said.
        raise AwsCrtError(last.code, last.name, f"{last.message} Tried before: {' | '.join(others)}") from last
