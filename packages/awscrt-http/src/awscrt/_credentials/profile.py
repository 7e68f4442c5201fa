"""Credentials of a profile: which source its keys ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple, Optional

from awscrt._credentials import profile_file
from awscrt._credentials.errors import (
    INVALID_ARGUMENT,
    PROFILE_CYCLE,
    PROFILE_SOURCE_FAILURE,
    failed,
    refused,
)
from awscrt._credentials.fetch import Route
from awscrt._credentials.profile_file import Paths, Profile, Profiles, Setting
from awscrt._credentials.source import Source

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentials

__all__ = ["StaticSource", "process_source", "profile_source"]

_KEY_ID, _SECRET, _TOKEN = "aws_access_key_id", "aws_secret_access_key", "aws_session_token"


class StaticSource(Source):
    """The keys that stand in a profile; the files are read at every query."""

    name = "profile"

    def __init__(self, paths: Paths, profile: str) -> None:
        self._paths = paths
        self._profile = profile

    def query(self) -> AwsCredentials:
        from awscrt.auth import AwsCredentials

        profiles = profile_file.load(self._paths)
        profile = _profile(profiles, self._profile)
        if profile is None:
            raise failed(PROFILE_SOURCE_FAILURE, _absent(profiles, self._profile))
        for key in (_KEY_ID, _SECRET):
            setting = profile.get(key)
            if setting is None:
                problems = f" {'; '.join(profiles.problems)}." if profiles.problems else ""
                raise failed(
                    PROFILE_SOURCE_FAILURE,
                    f"The profile {self._profile} has no {key} (files: {', '.join(profiles.paths)}).{problems}",
                )
            if not setting.value:
                raise failed(PROFILE_SOURCE_FAILURE, f"{setting} is empty.")
        token = profile.get(_TOKEN)
        try:
            return AwsCredentials(
                profile[_KEY_ID].value, profile[_SECRET].value, token.value if token is not None else None
            )
        except (ValueError, RuntimeError) as error:
            raise failed(PROFILE_SOURCE_FAILURE, f"{profile[_KEY_ID]}: {error}.", error) from error


def _profile(profiles: Profiles, name: str) -> Optional[Profile]:
    return profiles.profiles.get(name)


def _absent(profiles: Profiles, name: str) -> str:
    problems = f" {'; '.join(profiles.problems)}." if profiles.problems else ""
    return f"There is no profile {name} in {' or '.join(profiles.paths)}.{problems}"


def _has_keys(profile: Profile) -> bool:
    return _KEY_ID in profile and _SECRET in profile


class _Chain(NamedTuple):
    """A chain of profiles, each of which names the next as ``source_profile``."""

    profiles: Profiles
    paths: Paths
    route: Route
    visited: List[str]


def profile_source(name: Optional[str], paths: Paths, route: Route) -> Source:
    """The source that a profile describes.

    :param name: None: AWS_PROFILE or ``default``
    :raises RuntimeError: the profile does not exist, or its settings do not go together; names file and line
    """
    profiles = profile_file.load(paths)
    return _source(_Chain(profiles, paths, route, []), profile_file.profile_name(name))


def _source(chain: _Chain, name: str) -> Source:
    profile = _profile(chain.profiles, name)
    if profile is None:
        raise refused(PROFILE_SOURCE_FAILURE, _absent(chain.profiles, name))
    _check_cycle(chain, name, profile)
    is_first = not chain.visited
    chain.visited.append(name)
    if "role_arn" in profile and (is_first or not _has_keys(profile)):
        return _role(chain, profile)
    if "credential_process" in profile and not _has_keys(profile):
        return _process(profile["credential_process"])
    if _KEY_ID not in profile and _SECRET not in profile:
        interactive = _interactive(chain, profile, name)
        if interactive is not None:
            return interactive
    return StaticSource(chain.paths, name)


def _check_cycle(chain: _Chain, name: str, profile: Profile) -> None:
    # A profile may be its own source once, with its keys.
    if name in chain.visited and not (chain.visited == [name] and _has_keys(profile)):
        way = " -> ".join([*chain.visited, name])
        raise refused(PROFILE_CYCLE, f"source_profile goes round in circles: {way}.")


def _process(setting: Setting) -> Source:
    from awscrt._credentials.process import ProcessSource

    if not setting.value:
        raise refused(PROFILE_SOURCE_FAILURE, f"{setting} is empty.")
    return ProcessSource(setting.value, str(setting))


def _interactive(chain: _Chain, profile: Profile, name: str) -> Optional[Source]:
    """Sources for which somebody logs in with a command of the AWS CLI."""
    from awscrt._credentials.sso import sso, uses_sso

    if uses_sso(profile):
        return sso(chain.profiles, profile, name, chain.route)
    if "login_session" in profile:
        from awscrt._credentials.login import login

        return login(chain.profiles, profile, chain.route)
    return None


# ---- roles ----


def _role(chain: _Chain, profile: Profile) -> Source:
    from awscrt._credentials import sts

    if not profile["role_arn"].value:
        raise refused(PROFILE_SOURCE_FAILURE, f"{profile['role_arn']} is empty.")
    if "source_profile" in profile:
        source = _source(chain, profile["source_profile"].value)
    elif "credential_source" in profile:
        source = _credential_source(profile["credential_source"], chain.route)
    elif "web_identity_token_file" in profile:
        return sts.web_identity(chain.profiles, profile, chain.route, prefer_profile=True)
    else:
        raise refused(
            PROFILE_SOURCE_FAILURE,
            f"{profile['role_arn']} needs source_profile, credential_source or web_identity_token_file.",
        )
    external_id = profile.get("external_id")
    role = sts.Role(
        profile["role_arn"].value,
        sts.session_name_of(profile),
        external_id.value if external_id is not None and external_id.value else None,
    )
    endpoint, region = sts.sts_endpoint(chain.profiles, profile)
    return sts.AssumeRoleSource(role, source, endpoint, region, chain.route)


def _credential_source(setting: Setting, route: Route) -> Source:
    kind = setting.value.lower()
    if kind == "environment":
        from awscrt._credentials.simple import EnvironmentSource

        return EnvironmentSource()
    if kind == "ecscontainer":
        from awscrt._credentials.ecs import ecs

        return ecs(route)
    if kind == "ec2instancemetadata":
        from awscrt._credentials.imds import imds

        return imds(route)
    from awscrt._credentials.plugin import PluginSource

    plugin = PluginSource.find(setting.value)
    if plugin is not None:
        return plugin
    raise refused(
        INVALID_ARGUMENT,
        f"{setting} is {setting.value!r}, neither Ec2InstanceMetadata, Environment, EcsContainer nor the name of a "
        "plugin's provider.",
    )


# ---- credential_process as a source of its own ----


def process_source(name: Optional[str]) -> Source:
    """The command of a profile in the config file.

    :raises RuntimeError: no file, profile or key
    """
    path = profile_file.config_path()
    try:
        file = profile_file.read(path, is_config=True)
    except profile_file.MalformedFile as problem:
        raise refused(PROFILE_SOURCE_FAILURE, f"{problem}.", problem) from problem
    chosen = profile_file.profile_name(name)
    setting = file.profiles.get(chosen, {}).get("credential_process")
    if setting is None:
        raise refused(PROFILE_SOURCE_FAILURE, f"The profile {chosen} in {path} has no credential_process.")
    return _process(setting)
