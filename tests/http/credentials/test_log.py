"""What the log gets to know: why there are no credentials, and no secret."""

import logging

import pytest

import awscrt.logging
from awscrt.auth import AwsCredentialsProvider, AwsSigningConfig, aws_sign_request
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.testing.credentials import KEY_ID, SECRET, TOKEN, Fault

TIMEOUT = 20


@pytest.fixture
def logged(tmp_path):
    """``logged()``: what was logged so far."""
    path = tmp_path / "log"
    awscrt.logging.reconfigure(logging.DEBUG, path)

    def read():
        assert awscrt.logging.flush(TIMEOUT)
        return path.read_text()

    yield read
    awscrt.logging.close()


def test_signing_tells_the_log_why_there_are_no_credentials(container, logged, write):
    paths = write(credentials="[default\n")
    container.fail("credentials", Fault(status=404, body=b"because"))
    config = AwsSigningConfig(credentials_provider=AwsCredentialsProvider.new_default_chain(), region="r", service="s")
    error = aws_sign_request(HttpRequest("GET", "/", HttpHeaders([("Host", "h")])), config).exception(TIMEOUT)
    assert error.name == "AWS_AUTH_SIGNING_NO_CREDENTIALS"
    text = logged()
    assert "[AuthCredentialsProvider]" in text and "[WARN]" in text
    assert "because" in text and f"{paths.credentials}, line 1" in text


def test_which_source_delivered(container, logged, get):
    get(AwsCredentialsProvider.new_default_chain())
    assert "source: container" in logged()


def test_failure_that_callers_do_not_notice(container, logged, get, clock):
    container.document["Expiration"] = "2027-01-15T09:00:00Z"
    clock.now = 1_800_000_000.0  # an hour before
    provider = AwsCredentialsProvider.new_default_chain()
    get(provider)
    container.fail("credentials", Fault(status=404, body=b"because"))
    clock.now += 56 * 60
    assert get(provider).access_key_id == KEY_ID
    text = logged()
    assert "used on" in text and "because" in text


def test_no_secret_is_logged(container, imds_service, sts, logged, get, write, monkeypatch):
    write("[default]\nrole_arn = r\ncredential_source = EcsContainer\n")
    get(AwsCredentialsProvider.new_profile())
    get(AwsCredentialsProvider.new_default_chain())
    monkeypatch.delenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    write("")
    get(AwsCredentialsProvider.new_default_chain())
    text = logged()
    assert imds_service.requests and sts.requests and "source: instance metadata" in text
    assert SECRET not in text and TOKEN not in text


def test_password_of_an_endpoint_is_not_told(monkeypatch, write):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:password@host")
    write("[default]\nrole_arn = r\ncredential_source = Environment\n")
    with pytest.raises(RuntimeError, match="AWS_ENDPOINT_URL") as caught:
        AwsCredentialsProvider.new_profile()
    assert "password@" not in str(caught.value)
