"""The profile provider: which source the keys of a profile ask for."""

import os
import re

import botocore.session
import pytest

from awscrt._credentials import process as process_module
from awscrt.auth import AwsCredentialsProvider

new_profile = AwsCredentialsProvider.new_profile
KEYS = "aws_access_key_id = AK\naws_secret_access_key = SK\n"
PROCESS = """credential_process = echo '{"Version":1,"AccessKeyId":"P","SecretAccessKey":"Q"}'\n"""


def kinds(provider):
    """The sources behind a provider, from the one that is asked to the one that is asked first."""
    source, names = provider._binding.source, []
    while source is not None:
        names.append(source.name)
        source = getattr(source, "_source", None)
    return names


def test_keys(write, get):
    write(
        credentials=f"[default]\n{KEYS}aws_session_token = ST\n"
        "[other]\naws_access_key_id = A2\naws_secret_access_key = S2\n"
    )
    made = get(new_profile())
    assert (made.access_key_id, made.secret_access_key, made.session_token, made.expiration) == ("AK", "SK", "ST", None)
    assert get(new_profile(profile_name="other")).session_token is None


def test_files_are_read_at_each_query(write, get, failure):
    paths = write(credentials=f"[default]\n{KEYS}")
    provider = new_profile()
    write(credentials=f"[default]\n{KEYS.replace('AK', 'NEW')}")
    assert get(provider).access_key_id == "NEW"
    write(credentials="[default\n")
    error = failure(provider)
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_PROFILE_SOURCE_FAILURE"
    assert f"{paths.credentials}, line 1" in error.message


def test_given_paths_and_names(tmp_path, get, monkeypatch):
    (tmp_path / "a").write_text(f"[profile p]\n{KEYS}")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/none")
    monkeypatch.setenv("AWS_PROFILE", "none")
    assert get(new_profile(None, "p", str(tmp_path / "a"), "/none")).access_key_id == "AK"


@pytest.mark.parametrize("option", ["profile_name", "config_filepath", "credentials_filepath", "client_bootstrap"])
def test_arguments(option):
    with pytest.raises(AssertionError):
        new_profile(**{option: 1})


@pytest.mark.parametrize(
    "present, missing",
    [
        ("aws_access_key_id = AK", "aws_secret_access_key"),
        ("aws_secret_access_key = SK", "aws_access_key_id"),
        ("", "aws_access_key_id"),
    ],
)
def test_incomplete_keys(write, failure, present, missing):
    write(credentials=f"[default]\n{present}\n")
    error = failure(new_profile())
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_PROFILE_SOURCE_FAILURE" and missing in error.message


def test_empty_key(write, failure):
    paths = write(credentials="[default]\naws_access_key_id =\naws_secret_access_key = SK\n")
    assert f"aws_access_key_id in {paths.credentials}, line 2 is empty" in failure(new_profile()).message


def test_no_files(write):
    paths = write()
    with pytest.raises(RuntimeError) as caught:
        new_profile()
    assert paths.config in str(caught.value) and paths.credentials in str(caught.value)


def test_no_such_profile(write):
    write(credentials=f"[default]\n{KEYS}")
    with pytest.raises(RuntimeError, match="no profile nobody"):
        new_profile(profile_name="nobody")


# ---- which source ----


@pytest.mark.parametrize(
    "profile, expected",
    [
        (KEYS, ["profile"]),
        (PROCESS, ["process"]),
        (PROCESS + KEYS, ["profile"]),
        (PROCESS + "aws_access_key_id = AK\n", ["process"]),
        ("role_arn = r\nsource_profile = base\n" + KEYS, ["assume role", "profile"]),
        ("role_arn = r\nsource_profile = base\n" + PROCESS, ["assume role", "profile"]),
        ("role_arn = r\ncredential_source = Environment\n", ["assume role", "environment"]),
        ("role_arn = r\ncredential_source = ENVIRONMENT\n", ["assume role", "environment"]),
        ("role_arn = r\ncredential_source = Ec2InstanceMetadata\n", ["assume role", "instance metadata"]),
        ("role_arn = r\nsource_profile = base\ncredential_source = Environment\n", ["assume role", "profile"]),
        ("role_arn = r\nregion = x\nweb_identity_token_file = f\n", ["web identity"]),
        (
            "role_arn = r\ncredential_source = Environment\nweb_identity_token_file = f\n",
            ["assume role", "environment"],
        ),
        ("role_arn = r\nsource_profile = default\n" + KEYS, ["assume role", "profile"]),
        ("role_arn = r\nsource_profile = rolekeys\n", ["assume role", "profile"]),
        ("role_arn = r\nsource_profile = process\n", ["assume role", "process"]),
        ("role_arn = r\nsource_profile = role\n", ["assume role", "assume role", "profile"]),
        ("sso_session = s\nsso_account_id = 1\nsso_role_name = r\n", ["SSO"]),
        ("sso_session = s\nsso_account_id = 1\nsso_role_name = r\n" + KEYS, ["profile"]),
        ("sso_session = s\nsso_account_id = 1\nsso_role_name = r\n" + PROCESS, ["process"]),
        ("login_session = s\n", ["login"]),
        ("login_session = s\n" + KEYS, ["profile"]),
        ("login_session = s\n" + PROCESS, ["process"]),
        ("role_arn = r\nsource_profile = sso\n", ["assume role", "SSO"]),
    ],
)
def test_precedence(write, profile, expected):
    write(
        f"[default]\n{profile}[profile base]\n{KEYS}[profile process]\n{PROCESS}"
        f"[profile role]\nrole_arn = r\nsource_profile = base\n"
        f"[profile rolekeys]\nrole_arn = r\nsource_profile = nobody\n{KEYS}"
        "[profile sso]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n"
        "[sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://u\n"
    )
    assert kinds(new_profile()) == expected


def test_container_as_credential_source(write, container):
    write("[default]\nrole_arn = r\ncredential_source = EcsContainer\n")
    assert kinds(new_profile()) == ["assume role", "container"]


@pytest.mark.parametrize(
    "profile, message",
    [
        ("role_arn = r\n" + KEYS, "^6152 .*role_arn in .*line 2"),
        ("role_arn =\n", "^6152 .*line 2"),
        ("role_arn = r\ncredential_source = Nowhere\n", "^34 .*credential_source in .*line 3.*Nowhere"),
        ("role_arn = r\ncredential_source = EcsContainer\n", "^34 .*AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ("role_arn = r\nsource_profile = nobody\n", "^6152 .*nobody"),
        ("role_arn = r\nweb_identity_token_file = f\n", "^6152 .*region"),
        ("credential_process =\n", "^6152 .*line 2"),
        ("sso_session = none\nsso_account_id = 1\nsso_role_name = r\n", r"^6152 .*\[sso-session none\]"),
        ("sso_session = s\nsso_role_name = r\n", "^6152 .*sso_account_id"),
        ("sso_account_id = 1\nsso_role_name = r\n", "^6152 .*sso_region"),
        ("sso_session = s\nsso_account_id = 1\nsso_role_name = r\nsso_region = other\n", "^6152 .*line 5.*line"),
        ("login_session =\n", "^6179 .*line 2"),
    ],
)
def test_settings_that_do_not_go_together(write, profile, message):
    write(f"[default]\n{profile}[sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://u\n")
    with pytest.raises(RuntimeError, match=re.compile(message, re.DOTALL)):
        new_profile()


@pytest.mark.parametrize(
    "config",
    [
        "[default]\nrole_arn = r\nsource_profile = default\n",
        "[default]\nrole_arn = r\nsource_profile = a\n[profile a]\nrole_arn = r\nsource_profile = default\n",
        "[default]\nrole_arn = r\nsource_profile = a\n[profile a]\nrole_arn = r\nsource_profile = a\n",
        f"[default]\nrole_arn = r\nsource_profile = a\n{KEYS}[profile a]\nrole_arn = r\nsource_profile = default\n",
    ],
)
def test_circles(write, config):
    write(config)
    with pytest.raises(RuntimeError, match="^6173 .* -> "):
        new_profile()


def test_both_files_make_one_profile(write, get):
    write("[default]\naws_secret_access_key = SK\n", "[default]\naws_access_key_id = AK\n")
    assert get(new_profile()).access_key_id == "AK"


# ---- botocore reads the same files ----


@pytest.mark.parametrize(
    "config, credentials",
    [
        ("", f"[default]\n{KEYS}"),
        (f"[default]\n{KEYS}", ""),
        (f"[profile p]\n{KEYS}aws_session_token = T\n", ""),
        ("[profile p]\nregion = x\n", f"[p]\n{KEYS}"),
        (f"[profile p]\n{KEYS}", f"[p]\n{KEYS.replace('AK', 'OTHER')}"),
        (f"[profile p]\n{PROCESS}", ""),
    ],
)
def test_as_botocore(write, monkeypatch, get, config, credentials):
    paths = write(config, credentials)
    monkeypatch.setenv("AWS_CONFIG_FILE", paths.config)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", paths.credentials)
    monkeypatch.setenv("AWS_PROFILE", "p" if "p]" in config else "default")
    theirs = botocore.session.Session().get_credentials()
    ours = get(new_profile())
    assert (ours.access_key_id, ours.secret_access_key, ours.session_token) == (
        theirs.access_key,
        theirs.secret_key,
        theirs.token,
    )


# ---- credential_process ----

new_process = AwsCredentialsProvider.new_process


def process(write, command, name="default"):
    return write(f"[{name}]\ncredential_process = {command}\n")


def test_process(write, get):
    process(
        write,
        """echo '{"Version": 1, "AccessKeyId": "P", "SecretAccessKey": "Q", "SessionToken": "T", """
        """"Expiration": "2040-01-02T03:04:05+01:00", "AccountId": "1"}'; echo noise >&2""",
    )
    made = get(new_process())
    assert (made.access_key_id, made.secret_access_key, made.session_token) == ("P", "Q", "T")
    assert made.expiration.isoformat() == "2040-01-02T02:04:05+00:00"


def test_process_keys_in_any_case_and_bad_expiration(write, get):
    process(write, """echo '{"ACCESSKEYID": "P", "secretaccesskey": "Q", "expiration": "soon"}'""")
    assert get(new_process()).expiration is None


def test_process_runs_at_every_query_and_not_on_the_callers_thread(write, get, tmp_path):
    gate = tmp_path / "gate"
    command = f"while [ ! -e {gate} ]; do sleep 0.01; done; echo x >> {gate}; "
    process(write, command + """echo '{"AccessKeyId": "P", "SecretAccessKey": "Q"}'""")
    provider = new_process()
    future = provider.get_credentials()  # does not wait for the command
    assert not future.done()
    gate.write_text("")
    assert future.result(20).access_key_id == "P"
    get(provider)
    assert gate.read_text() == "x\nx\n"


def test_process_of_a_profile(write, get, monkeypatch):
    process(write, """echo '{"AccessKeyId": "P", "SecretAccessKey": "Q"}'""", name="profile p")
    assert get(new_process("p")).access_key_id == "P"
    monkeypatch.setenv("AWS_PROFILE", "p")
    assert get(new_process()).access_key_id == "P"
    with pytest.raises(RuntimeError, match="default"):
        new_process("default")


def test_process_of_the_credentials_file_does_not_count(write):
    write("[default]\nregion = x\n", f"[default]\n{PROCESS}")
    with pytest.raises(RuntimeError, match="credential_process"):
        new_process()


def test_process_without_file(write):
    with pytest.raises(RuntimeError, match="config"):
        new_process()
    with pytest.raises(AssertionError):
        new_process(1)


@pytest.mark.parametrize(
    "command, name, said",
    [
        ("exit 3", "PROCESS_SOURCE_FAILURE", "status 3"),
        ("true", "PROCESS_SOURCE_FAILURE", "empty"),
        ("/no/such/command", "PROCESS_SOURCE_FAILURE", "status 127"),
        ("echo no json", "PROCESS_SOURCE_FAILURE", "JSON"),
        ("echo []", "PROCESS_SOURCE_FAILURE", "list"),
        ("""printf '\\377'""", "PROCESS_SOURCE_FAILURE", "JSON"),
        ("kill -9 $$", "PROCESS_SOURCE_FAILURE", "-9"),
        ("echo {}", "AWS_AUTH_PROVIDER_PARSER_UNEXPECTED_RESPONSE", "AccessKeyId"),
        ("""echo '{"AccessKeyId": "P"}'""", "AWS_AUTH_PROVIDER_PARSER_UNEXPECTED_RESPONSE", "SecretAccessKey"),
        ("""echo '{"AccessKeyId": "P", "SecretAccessKey": 5}'""", "UNEXPECTED_RESPONSE", "SecretAccessKey"),
    ],
)
def test_process_failures(write, failure, command, name, said):
    paths = process(write, command)
    error = failure(new_process())
    assert error.name.endswith(name) and said in error.message
    assert f"{paths.config}, line 2" in error.message


def test_process_that_does_not_end_meets_the_deadline(write, failure, monkeypatch, tmp_path):
    monkeypatch.setattr(process_module, "_PATIENCE", 0.1)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process(write, f"cat {fifo}")
    try:
        error = failure(new_process())
        assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_PROCESS_SOURCE_FAILURE" and "0.1 s" in error.message
    finally:
        os.close(os.open(fifo, os.O_RDWR))  # a reader that was left behind ends
