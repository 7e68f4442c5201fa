"""The default chain: its order, what takes part, and its error."""

import pytest

from awscrt import plugins
from awscrt.auth import AwsCredentials, AwsCredentialsProvider
from awscrt.testing.credentials import Fault

new_default_chain = AwsCredentialsProvider.new_default_chain
KEYS = "aws_access_key_id = PROFILE\naws_secret_access_key = SK\n"


class Plugin:
    """A third party's plugin."""

    def __init__(self, **providers):
        self.providers = providers
        self.asked = []

    @plugins.hookimpl
    def awscrt_credentials_provider(self, name):
        self.asked.append(name)
        return self.providers.get(name.replace("-", "_"))


@pytest.fixture
def install():
    """``install(plugin)``: registers a plugin until the test ends."""
    installed = []

    def register(plugin):
        plugins.register(plugin)
        installed.append(plugin)
        return plugin

    yield register
    for plugin in installed:
        plugins.get_plugin_manager().unregister(plugin)


@pytest.fixture
def everything(monkeypatch, write, sts, container, imds_service, tmp_path, install):
    """All sources are there."""
    token = tmp_path / "token"
    token.write_text("T")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
    write(credentials=f"[default]\n{KEYS}")
    monkeypatch.setenv("AWS_ROLE_ARN", "r")
    monkeypatch.setenv("AWS_REGION", "x-1")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    web = sts.document("AssumeRoleWithWebIdentity", AccessKeyId="WEB")
    sts.fail("AssumeRoleWithWebIdentity", Fault(body=web))
    install(Plugin(default_chain=AwsCredentialsProvider.new_static("PLUGIN", "SK")))
    container.document["AccessKeyId"] = "CONTAINER"
    imds_service.document["AccessKeyId"] = "IMDS"


def test_order(everything, monkeypatch, get, write, install):
    def first():
        return get(new_default_chain()).access_key_id

    assert first() == "ENV"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert first() == "PROFILE"
    write(credentials="")
    assert first() == "WEB"
    monkeypatch.delenv("AWS_ROLE_ARN")
    assert first() == "PLUGIN"
    install(Plugin(default_chain=AwsCredentialsProvider.new_delegate(lambda: AwsCredentials("LATER", "SK"))))
    assert first() == "LATER"  # of two plugins the one that was registered last
    monkeypatch.setattr(plugins, "_answers", lambda *args, **kwargs: iter(()))
    assert first() == "CONTAINER"
    monkeypatch.delenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    assert first() == "IMDS"
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    error = new_default_chain().get_credentials().exception(20)
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_INVALID_ENVIRONMENT"


def test_container_takes_the_place_of_instance_metadata(container, imds_service, failure):
    container.fail("credentials", Fault(status=404))
    error = failure(new_default_chain())
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_HTTP_STATUS_FAILURE"
    assert not imds_service.requests


def test_what_takes_part_is_decided_at_construction(imds_service, container, monkeypatch, get):
    imds_service.document["AccessKeyId"] = "IMDS"
    monkeypatch.delenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    provider = new_default_chain()
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert get(provider).access_key_id == "IMDS"


def test_environment_is_read_per_query(monkeypatch, get, clock):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    provider = new_default_chain()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "one")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
    assert get(provider).access_key_id == "one"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "two")
    assert get(provider).access_key_id == "one"  # remembered
    clock.now += 15 * 60
    assert get(provider).access_key_id == "two"


def test_two_chains_share_no_memory(imds_service, get):
    for _ in range(2):
        get(new_default_chain())
    assert imds_service.steps.count("role") == 2


def test_later_sources_are_not_asked(imds_service, monkeypatch, get):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
    get(new_default_chain())
    assert not imds_service.requests


def test_error_is_that_of_the_last_and_tells_of_the_others(imds_service, write, failure):
    paths = write(credentials="[default\n")
    imds_service.fail("role", Fault(body=b"no json"))
    error = failure(new_default_chain())
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_IMDS_SOURCE_FAILURE"
    assert "AWS_ACCESS_KEY_ID" in error.message
    assert f"{paths.credentials}, line 1" in error.message


def test_a_failing_source_gives_way_to_the_next(write, imds_service, get, served):
    write(credentials="[default]\naws_access_key_id = AK\n")
    served(get(new_default_chain()))


@pytest.mark.parametrize(
    "name, value",
    [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "nonsense://"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://[::"),
        ("AWS_ENDPOINT_URL", "http://h:x"),
    ],
)
def test_malformed_variables_leave_their_source_out(monkeypatch, failure, name, value, write, dead_port):
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{dead_port}")
    monkeypatch.setenv(name, value)
    write("[default]\nrole_arn = r\ncredential_source = Environment\n")
    assert name in failure(new_default_chain()).message


def test_arguments():
    with pytest.raises(AssertionError):
        new_default_chain(client_bootstrap=1)


# ---- plugins ----


def test_plugin_is_looked_for_at_the_first_query(install, get, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    provider = new_default_chain()
    plugin = install(Plugin(default_chain=AwsCredentialsProvider.new_static("PLUGIN", "SK")))
    assert get(provider).access_key_id == "PLUGIN"
    assert plugin.asked == ["default-chain"]


def test_plugin_that_gives_something_else(install, failure, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    install(Plugin(default_chain="credentials"))
    error = failure(new_default_chain())
    assert isinstance(error, TypeError) and "default-chain" in str(error)


def test_plugin_that_never_answers_meets_the_deadline(install, failure, monkeypatch):
    from awscrt._credentials import plugin
    from awscrt._futures import Future
    from awscrt.auth import AwsCredentialsProviderBase

    class Silent(AwsCredentialsProviderBase):
        def get_credentials(self):
            return Future()

    monkeypatch.setattr(plugin, "_PATIENCE", 0.05)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    install(Plugin(default_chain=Silent()))
    assert "default-chain" in failure(new_default_chain()).message


def test_plugin_that_fails_gives_way(install, get, imds_service, served, monkeypatch):
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    install(Plugin(default_chain=AwsCredentialsProvider.new_delegate(lambda: 1 / 0)))
    served(get(new_default_chain()))


def test_profile_names_a_plugin_as_its_credential_source(install, sts, write, get, served):
    install(Plugin(Vault=AwsCredentialsProvider.new_static("VAULT", "SK")))
    write("[default]\nrole_arn = r\ncredential_source = Vault\n")
    served(get(AwsCredentialsProvider.new_profile()), expires=None)
    assert "Credential=VAULT/" in sts.requests[0].header("Authorization")
