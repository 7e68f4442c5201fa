"""Profile files: ``~/.aws/config`` and ``~/.aws/credentials``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional, Tuple

__all__ = ["MalformedFile", "Profile", "ProfileFile", "Profiles", "Setting", "load", "parse", "profile_name", "read"]

_NAME = re.compile(r"[A-Za-z0-9\\_\-/.%@:+]+\Z")
_BLANKS = " \t\r\f\v"
_COMMENT_BEHIND = re.compile(r"[ \t\r\f\v][#;]")


class MalformedFile(Exception):
    """A profile file that cannot be used as a whole; says file and line."""


@dataclass
class Setting:
    """The value of a key, and where it stands."""

    key: str
    value: str
    file: str
    line: int
    sub: Dict[str, Setting] = field(default_factory=dict)  #: of keys like ``s3 =`` with indented lines below

    def __str__(self) -> str:
        return f"{self.key} in {self.file}, line {self.line}"


Profile = Dict[str, Setting]


@dataclass
class ProfileFile:
    """What stands in one file: sections by their names."""

    profiles: Dict[str, Profile] = field(default_factory=dict)
    sso_sessions: Dict[str, Profile] = field(default_factory=dict)
    services: Dict[str, Profile] = field(default_factory=dict)


@dataclass
class Profiles(ProfileFile):
    """Both files, one over the other, and why one of them is missing."""

    problems: List[str] = field(default_factory=list)
    paths: Tuple[str, str] = ("", "")


# ---- the grammar ----


class _Parser:
    def __init__(self, path: str, is_config: bool) -> None:
        self._path = path
        self._is_config = is_config
        self._file = ProfileFile()
        self._default_is_prefixed = False
        self._in_section = False  # a header was seen, perhaps one that does not count
        self._section: Optional[Profile] = None  # None: its lines do not count
        self._setting: Optional[Setting] = None  # that an indented line continues
        self._continuable = False  # a property line was seen in the section, perhaps one that does not count
        self._line = 0

    def parse(self, text: str) -> ProfileFile:
        for self._line, line in enumerate(text.split("\n"), 1):
            stripped = line.strip(_BLANKS)
            if not stripped or line[0] in "#;":
                continue
            if line[0] in _BLANKS:
                self._continuation(stripped)
            elif line[0] == "[":
                self._header(line)
            else:
                self._property(stripped)
        return self._file

    def _malformed(self, why: str) -> MalformedFile:
        return MalformedFile(f"{self._path}, line {self._line}: {why}")

    def _header(self, line: str) -> None:
        name, closing, _ = line[1:].partition("]")
        if not closing:
            raise self._malformed("the section's name has no closing bracket ']'")
        self._in_section = True
        self._setting = None
        self._continuable = False
        self._section = self._section_of(name.strip(_BLANKS))

    def _section_of(self, header: str) -> Optional[Profile]:
        if not self._is_config:
            return self._file.profiles.setdefault(header, {}) if _NAME.match(header) else None
        kind, _, name = header.replace("\t", " ").partition(" ")
        name = name.strip(_BLANKS)
        if kind == "default" and not name:
            # [profile default] counts, wherever it stands.
            return None if self._default_is_prefixed else self._file.profiles.setdefault("default", {})
        kinds = {
            "profile": self._file.profiles,
            "sso-session": self._file.sso_sessions,
            "services": self._file.services,
        }
        if kind not in kinds or not _NAME.match(name):
            return None
        if kind == "profile" and name == "default" and not self._default_is_prefixed:
            self._default_is_prefixed = True
            self._file.profiles["default"] = {}
        return kinds[kind].setdefault(name, {})

    def _property(self, line: str) -> None:
        if not self._in_section:
            raise self._malformed("a property stands before the first section")
        key, value = self._split(line)
        self._continuable = True
        self._setting = None
        if self._section is not None and _NAME.match(key):
            self._setting = Setting(key, _without_comment(value), self._path, self._line)
            self._section[key] = self._setting

    def _split(self, line: str) -> Tuple[str, str]:
        key, equals, value = line.partition("=")
        if not equals:
            raise self._malformed("a property needs '=' between key and value")
        key = key.strip(_BLANKS)
        if not key:
            raise self._malformed("there is no key before '='")
        return key, value

    def _continuation(self, line: str) -> None:
        if not self._continuable:
            raise self._malformed("an indented line continues a property, but there is none before it")
        setting = self._setting
        if setting is None:
            return
        if setting.value:
            setting.value += "\n" + line
            return
        key, value = self._split(line)
        if _NAME.match(key):
            setting.sub[key] = Setting(f"{setting.key}.{key}", _without_comment(value), self._path, self._line)


def _without_comment(value: str) -> str:
    found = _COMMENT_BEHIND.search(value)
    return (value[: found.start()] if found else value).strip(_BLANKS)


def parse(text: str, path: str, *, is_config: bool) -> ProfileFile:
    """Read the text of a profile file.

    :param path: for errors
    :param is_config: the config file's headers are expected, else those of the credentials file
    :raises MalformedFile: names file and line
    """
    return _Parser(path, is_config).parse(text)


# ---- files ----


def home() -> str:
    """The user's home directory: HOME, else what the platform says."""
    return os.environ.get("HOME") or os.path.expanduser("~")


def _path(given: Optional[str], variable: str, default: str) -> str:
    path = given or os.environ.get(variable) or default
    if path.startswith("~/") or (os.sep != "/" and path.startswith("~" + os.sep)):
        return os.path.join(home(), *path[2:].split("/"))
    return path


def config_path(given: Optional[str] = None) -> str:
    """The config file's path: the given one, AWS_CONFIG_FILE's, or ``~/.aws/config``."""
    return _path(given, "AWS_CONFIG_FILE", "~/.aws/config")


def credentials_path(given: Optional[str] = None) -> str:
    """The credentials file's path: the given one, AWS_SHARED_CREDENTIALS_FILE's, or ``~/.aws/credentials``."""
    return _path(given, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")


def profile_name(given: Optional[str] = None) -> str:
    """The profile to use: the given one, AWS_PROFILE, or ``default``."""
    return given or os.environ.get("AWS_PROFILE") or "default"


def read(path: str, *, is_config: bool) -> ProfileFile:
    """Read a profile file.

    :raises MalformedFile: it cannot be read, or not used; names file and line
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read()
    except (OSError, ValueError) as error:
        raise MalformedFile(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MalformedFile(f"{path}, line {line}: this is not UTF-8") from error
    return parse(text, path, is_config=is_config)


class Paths(NamedTuple):
    """Where the files are; None: the usual places."""

    config: Optional[str] = None
    credentials: Optional[str] = None


def load(paths: Paths = Paths()) -> Profiles:  # noqa: B008
    """Both files; what the credentials file says wins. One that cannot be used leaves its reason in ``problems``."""
    both = (config_path(paths.config), credentials_path(paths.credentials))
    merged = Profiles(paths=both)
    for path, is_config in zip(both, (True, False)):
        try:
            file = read(path, is_config=is_config)
        except MalformedFile as problem:
            merged.problems.append(str(problem))
            continue
        for name, profile in file.profiles.items():
            merged.profiles.setdefault(name, {}).update(profile)
        merged.sso_sessions.update(file.sso_sessions)
        merged.services.update(file.services)
    return merged
