"""What services, users and files send: read, or refused with a plain error, whatever it is."""

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awscrt._credentials import sts
from awscrt._credentials.document import Names, credentials_of, from_epoch, json_object, parse_time
from awscrt._credentials.endpoint import Endpoint, host_and_port, parse_url
from awscrt._credentials.errors import UNEXPECTED_RESPONSE
from awscrt._credentials.fetch import Response
from awscrt.exceptions import AwsCrtError

UTC = datetime.timezone.utc


# ---- times ----


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2030-01-02T03:04:05Z", (2030, 1, 2, 3, 4, 5)),
        ("2030-01-02T03:04:05.999999999Z", (2030, 1, 2, 3, 4, 5)),
        ("2030-01-02t03:04:05z", (2030, 1, 2, 3, 4, 5)),
        ("2030-01-02T03:04:05UTC", (2030, 1, 2, 3, 4, 5)),
        ("2030-01-02T03:04:05", (2030, 1, 2, 3, 4, 5)),
        ("20300102T030405Z", (2030, 1, 2, 3, 4, 5)),
        ("2030-01-02T03:04:05+01:30", (2030, 1, 2, 1, 34, 5)),
        ("2030-01-02T03:04:05-0100", (2030, 1, 2, 4, 4, 5)),
        ("2030-01-02", None),
        ("2030-02-30T00:00:00Z", None),
        ("1969-12-31T23:59:59Z", None),
        ("0001-01-01T00:00:00+23:00", None),
        ("2030-01-02T03:04:05Zx", None),
        ("\u0662030-01-02T03:04:05Z", None),
        ("", None),
    ],
)
def test_times(text, expected):
    assert parse_time(text) == (datetime.datetime(*expected, tzinfo=UTC) if expected else None)


@given(st.datetimes(datetime.datetime(1970, 1, 2), timezones=st.just(UTC)))
def test_every_time_is_read(time):
    assert parse_time(time.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")) == time.replace(microsecond=0)


@given(st.text())
def test_any_text_is_a_time_or_none(text):
    parse_time(text)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()))
def test_any_number_is_a_time_or_none(value):
    time = from_epoch(value)
    assert time is None or time.timestamp() == pytest.approx(value, abs=1)


# ---- documents ----

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["AccessKeyId", "TOKEN", "expiration"]), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["AccessKeyId", "SecretAccessKey", "Token", "Expiration"]), JSON),
    st.sampled_from(["", "t", "e", "te"]),
)
def test_any_document_gives_credentials_or_an_error(document, required):
    try:
        lowered = json_object(json.dumps(document), UNEXPECTED_RESPONSE, "it")
        made = credentials_of(lowered, Names(required=required), UNEXPECTED_RESPONSE, "it")
    except AwsCrtError as error:
        assert error.code == UNEXPECTED_RESPONSE and "it" in error.message
    else:
        assert made.access_key_id == document["AccessKeyId"]


@given(st.binary())
def test_any_bytes_are_json_or_not(data):
    try:
        json_object(data, UNEXPECTED_RESPONSE, "it")
    except AwsCrtError as error:
        assert error.code == UNEXPECTED_RESPONSE


@given(st.one_of(st.binary(), st.text("<>/aAR=\"'&;! ?x").map(str.encode)))
def test_any_bytes_are_xml_or_not(data):
    try:
        sts._credentials(Response(200, data), "AssumeRole", UNEXPECTED_RESPONSE, Endpoint(True, "h", 443))
    except AwsCrtError as error:
        assert error.code == UNEXPECTED_RESPONSE
    assert sts._error_code(Response(400, data)) == ""


# ---- endpoints ----


@pytest.mark.parametrize(
    "url, expected, header",
    [
        ("http://h", Endpoint(False, "h", 80, "/"), "h"),
        ("https://h:443/a?b=c", Endpoint(True, "h", 443, "/a?b=c"), "h"),
        ("http://h:8080/", Endpoint(False, "h", 8080, "/"), "h:8080"),
        ("HTTPS://H", Endpoint(True, "h", 443, "/"), "h"),
        ("http://[fd00:ec2::254]:80/x", Endpoint(False, "fd00:ec2::254", 80, "/x"), "[fd00:ec2::254]"),
        ("bare.host", Endpoint(True, "bare.host", 443, "/"), "bare.host"),
        ("bare.host:8443/p", Endpoint(True, "bare.host", 8443, "/p"), "bare.host:8443"),
    ],
)
def test_urls(url, expected, header):
    assert parse_url(url, "it") == expected
    assert expected.host_header == header


@given(st.one_of(st.text(), st.text("htps:/@[]?#.%019 ").map(lambda tail: "http://" + tail)))
def test_any_text_is_a_url_or_an_error(text):
    try:
        endpoint = parse_url(text, "THE_VARIABLE")
    except AwsCrtError as error:
        assert (error.code, error.name) == (34, "AWS_ERROR_INVALID_ARGUMENT")
        assert "THE_VARIABLE" in error.message
    else:
        assert endpoint.host and 0 < endpoint.port < 65536 and endpoint.path.startswith("/")


@pytest.mark.parametrize(
    "text, host, port",
    [("h", "h", 443), ("h:8443", "h", 8443), ("h:0", "h:0", 443), ("h:x", "h:x", 443), ("::1", "::1", 443)],
)
def test_host_and_port(text, host, port):
    assert host_and_port(text) == Endpoint(True, host, port)
