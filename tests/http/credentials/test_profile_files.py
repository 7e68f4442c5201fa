"""The grammar of profile files."""

import configparser
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awscrt._credentials import profile_file
from awscrt._credentials.profile_file import MalformedFile, Paths, load, parse


def values(profile):
    return {key: setting.value for key, setting in profile.items()}


def credentials(text):
    return {name: values(profile) for name, profile in parse(text, "file", is_config=False).profiles.items()}


def config(text):
    return {name: values(profile) for name, profile in parse(text, "file", is_config=True).profiles.items()}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", {}),
        ("[a]", {"a": {}}),
        ("[a]\nk=v", {"a": {"k": "v"}}),
        ("[a]\r\nk = v\r\n", {"a": {"k": "v"}}),
        ("\n \t\n[a]\n\nk=v\n", {"a": {"k": "v"}}),
        ("[ a\t]\nk\t=  v w  \n", {"a": {"k": "v w"}}),
        ("[a]\nk=\n", {"a": {"k": ""}}),
        ("[a]\nk=v=w\n", {"a": {"k": "v=w"}}),
        # comments
        ("# c\n; c\n[a]\n#k=v\n;k=v\nk=v", {"a": {"k": "v"}}),
        ("[a]#c\nk=v", {"a": {"k": "v"}}),
        ("[a] ; c\nk=v", {"a": {"k": "v"}}),
        ("[a] behind\nk=v", {"a": {"k": "v"}}),
        ("[a]\nk=v#w", {"a": {"k": "v#w"}}),
        ("[a]\nk=v #w", {"a": {"k": "v"}}),
        ("[a]\nk=v\t;w", {"a": {"k": "v"}}),
        ("[a]\nk= #w", {"a": {"k": ""}}),
        # continuations
        ("[a]\nk=v\n  w\n\tx # y", {"a": {"k": "v\nw\nx # y"}}),
        ("[a]\nk=v\n\n w", {"a": {"k": "v\nw"}}),
        ("[a]\nbad key=v\n w\nk=v", {"a": {"k": "v"}}),
        # repetitions
        ("[a]\nk=v\nk=w", {"a": {"k": "w"}}),
        ("[a]\nk=v\n[b]\n[a]\nl=w", {"a": {"k": "v", "l": "w"}, "b": {}}),
        # names
        ("[A-Za-z0-9\\_-/.%@:+]\nk=v", {"A-Za-z0-9\\_-/.%@:+": {"k": "v"}}),
        ("[two words]\nk=v\n[a]", {"a": {}}),
        ("[]\nk=v\n[a]", {"a": {}}),
        ("[profile a]\nk=v", {}),
        ("[a]\nk y=v\n\u00e9=v\nk=v", {"a": {"k": "v"}}),
        ("[DEFAULT]\nK=v\n[default]\nk=w", {"DEFAULT": {"K": "v"}, "default": {"k": "w"}}),
    ],
)
def test_credentials_file(text, expected):
    assert credentials(text) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("[default]\nk=v", {"default": {"k": "v"}}),
        ("[profile a]\nk=v", {"a": {"k": "v"}}),
        ("[\tprofile \t a ]\nk=v", {"a": {"k": "v"}}),
        ("[a]\nk=v", {}),
        ("[profilea]\nk=v", {}),
        ("[profile]\nk=v", {}),
        ('[profile "a"]\nk=v', {}),
        ("[profile a b]\nk=v", {}),
        ("[Profile a]\nk=v", {}),
        ("[plugins]\nx=\n  y=z\n[profile a]", {"a": {}}),
        ("[default]\nk=v\nl=v\n[profile default]\nk=w", {"default": {"k": "w"}}),
        ("[profile default]\nk=w\n[default]\nk=v\nl=v", {"default": {"k": "w"}}),
    ],
)
def test_config_file(text, expected):
    assert config(text) == expected


def test_other_sections():
    file = parse(
        "[sso-session s]\nsso_region=r\n[services x]\nsts =\n  endpoint_url = u # c\n  b y=1\n", "f", is_config=True
    )
    assert values(file.sso_sessions["s"]) == {"sso_region": "r"}
    assert values(file.services["x"]["sts"].sub) == {"endpoint_url": "u"}
    assert not file.profiles


@pytest.mark.parametrize(
    "text, line",
    [
        ("k=v", 1),
        ("\n# c\nk=v\n[a]", 3),
        ("[a", 1),
        ("[a]\nk=v\n[b\n", 3),
        ("[a]\nkey", 2),
        ("[a]\n=v", 2),
        ("[a]\n = v", 2),
        (" k=v", 1),
        (" [a]", 1),
        ("[a]\n  v", 2),
        ("[a]\nk=v\n[b]\n  w", 4),
        ("[a]\nk=\n  v", 3),
        ("[a]\nk=\n  =v", 3),
        ("[bad name]\nkey", 2),
    ],
)
def test_malformed_files_are_told_by_their_line(text, line):
    with pytest.raises(MalformedFile, match=f"^file, line {line}: "):
        parse(text, "file", is_config=False)


def test_settings_know_where_they_stand():
    profile = parse("[a]\n\nk=v\ns=\n  t=u\n", "file", is_config=False).profiles["a"]
    assert str(profile["k"]) == "k in file, line 3"
    assert str(profile["s"].sub["t"]) == "s.t in file, line 5"


@settings(max_examples=300)
@given(st.text())
def test_any_text_is_read_or_refused(text):
    for is_config in (False, True):
        try:
            parse(text, "file", is_config=is_config)
        except MalformedFile as error:
            number = int(re.match(r"file, line (\d+): ", str(error)).group(1))
            assert 1 <= number <= text.count("\n") + 1


NAME = st.text(string.ascii_letters + string.digits + "_-/.%@:+", min_size=1, max_size=12)
VALUE = st.text(string.ascii_letters + string.digits + "/+=._-", max_size=20)
SECTIONS = st.dictionaries(NAME, st.dictionaries(NAME, VALUE, max_size=4), max_size=4)
BLANK = st.sampled_from(["", " ", "\t", "  "])


@given(SECTIONS, BLANK, st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "# c", "; c"]))
def test_what_is_written_is_read(sections, blank, newline, comment):
    lines = []
    for name, profile in sections.items():
        lines += [f"[{blank}{name}{blank}]{blank}{comment}", comment, blank]
        lines += [f"{key}{blank}={blank}{value}{blank and comment and ' ' + comment}" for key, value in profile.items()]
    assert credentials(newline.join(lines)) == sections


KEY = st.text(string.ascii_lowercase + string.digits + "_-", min_size=1, max_size=12)


@given(st.dictionaries(KEY.filter(lambda name: name != "default"), st.dictionaries(KEY, VALUE.map(str), max_size=4)))
def test_plain_files_mean_what_they_mean_to_configparser(sections):
    """Which is what botocore reads them with."""
    text = "".join(
        f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in profile.items()) for name, profile in sections.items()
    )
    other = configparser.RawConfigParser(default_section="\0")
    other.read_string(text)
    assert credentials(text) == {name: dict(other[name]) for name in other.sections()}


# ---- files ----


def test_credentials_file_wins(tmp_path):
    (tmp_path / "config").write_text("[profile a]\nk=config\nonly=config\n")
    (tmp_path / "credentials").write_text("[a]\nk=credentials\n[b]\nk=v\n")
    merged = load(Paths(str(tmp_path / "config"), str(tmp_path / "credentials")))
    assert {name: values(profile) for name, profile in merged.profiles.items()} == {
        "a": {"k": "credentials", "only": "config"},
        "b": {"k": "v"},
    }
    assert merged.problems == []


def test_a_malformed_file_counts_as_none(tmp_path):
    (tmp_path / "config").write_text("x = 1\n")
    (tmp_path / "credentials").write_text("[a]\nk=v\n")
    merged = load(Paths(str(tmp_path / "config"), str(tmp_path / "credentials")))
    assert list(merged.profiles) == ["a"]
    assert merged.problems == [f"{tmp_path / 'config'}, line 1: a property stands before the first section"]


@pytest.mark.parametrize("content", [b"[a]\nk=\xff\n", None, "directory"])
def test_files_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "credentials"
    if content == "directory":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(MalformedFile, match=re.escape(str(path))) as caught:
        profile_file.read(str(path), is_config=False)
    assert content != b"[a]\nk=\xff\n" or "line 2" in str(caught.value)


def test_byte_order_mark(tmp_path):
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbf[a]\nk=v\n")
    assert "a" in profile_file.read(str(tmp_path / "f"), is_config=False).profiles


def test_paths(home, monkeypatch):
    assert profile_file.config_path() == str(home / ".aws" / "config")
    assert profile_file.credentials_path() == str(home / ".aws" / "credentials")
    monkeypatch.setenv("AWS_CONFIG_FILE", "~/c/d")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/e")
    assert profile_file.config_path() == str(home / "c" / "d")
    assert profile_file.credentials_path() == "/e"
    assert profile_file.config_path("given~/x") == "given~/x"


def test_profile_name(monkeypatch):
    assert profile_file.profile_name() == "default"
    monkeypatch.setenv("AWS_PROFILE", "")
    assert profile_file.profile_name() == "default"
    monkeypatch.setenv("AWS_PROFILE", "env")
    assert (profile_file.profile_name(), profile_file.profile_name("given")) == ("env", "given")
