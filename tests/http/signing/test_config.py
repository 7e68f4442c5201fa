"""AwsSigningConfig: defaults, copies, dates, wrong arguments."""

import datetime

import pytest

from awscrt import NativeResource
from awscrt.auth import (
    AwsSignatureType,
    AwsSignedBodyHeaderType,
    AwsSigningAlgorithm,
    AwsSigningConfig,
    aws_sign_request,
)

from .support import UTC, config, request, sign


def test_config_defaults():
    before = datetime.datetime.now(UTC).replace(microsecond=0)
    made = AwsSigningConfig()
    assert made.algorithm is AwsSigningAlgorithm.V4
    assert made.signature_type is AwsSignatureType.HTTP_REQUEST_HEADERS
    assert made.credentials_provider is None
    assert (made.region, made.service) == ("", "")
    assert before <= made.date <= datetime.datetime.now(UTC)
    assert made.date is made.date
    assert made.should_sign_header is None
    assert made.use_double_uri_encode is True and made.should_normalize_uri_path is True
    assert made.signed_body_value is None
    assert made.signed_body_header_type is AwsSignedBodyHeaderType.NONE
    assert made.expiration_in_seconds is None
    assert made.omit_session_token is False
    assert isinstance(made, NativeResource)
    with pytest.raises(AttributeError):
        made.region = "x"


def test_config_replace():
    made = config(expiration_in_seconds=5, should_sign_header=print)
    other = made.replace(region="eu-west-1", unknown=1, omit_session_token=True)
    assert (other.region, other.omit_session_token, made.region) == ("eu-west-1", True, "us-east-1")
    for name in ("algorithm", "credentials_provider", "service", "date", "should_sign_header", "expiration_in_seconds"):
        assert getattr(other, name) is getattr(made, name)
    assert AwsSigningConfig().replace(region="x").region == "x"


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": 0},
        {"signature_type": 1},
        {"credentials_provider": "x"},
        {"region": None},
        {"service": 1},
        {"should_sign_header": 1},
        {"signed_body_value": ""},
        {"signed_body_value": b"x"},
        {"signed_body_header_type": 1},
        {"expiration_in_seconds": 0},
        {"expiration_in_seconds": -1},
        {"algorithm": "V4"},
        {"algorithm": None},
        {"signature_type": AwsSigningAlgorithm.V4},
        {"signed_body_header_type": AwsSignatureType.HTTP_REQUEST_HEADERS},
        {"signed_body_header_type": None},
        {"credentials_provider": object()},
        {"region": b"us-east-1"},
        {"service": None},
        {"should_sign_header": "x"},
        {"signed_body_value": 0},
    ],
)
def test_config_wrong_types(changes):
    with pytest.raises(AssertionError):
        config(**changes)


def test_config_expiration_must_be_an_integer():
    with pytest.raises(TypeError):
        config(expiration_in_seconds=1.5)
    with pytest.raises(TypeError):
        config(expiration_in_seconds="60")


@pytest.mark.parametrize(
    "date, stamp",
    [
        (datetime.datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=UTC), "19691231T235959Z"),
        (datetime.datetime(2024, 2, 29, 1, 2, 3, 999999, tzinfo=UTC), "20240229T010203Z"),
        (datetime.datetime(1, 1, 1, tzinfo=UTC), "00010101T000000Z"),
        (datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "99991231T235959Z"),
    ],
)
def test_dates_have_second_resolution(date, stamp):
    made = config(date=date)
    assert made.date is date
    assert sign(request(), made).headers.get("X-Amz-Date") == stamp


@pytest.mark.parametrize("date", ["2015-08-30", 0, object(), datetime.date(2015, 8, 30)])
def test_date_must_be_a_datetime(date):
    with pytest.raises(AttributeError):
        config(date=date)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -float("inf"), 1e300, -1e16])
def test_date_that_is_out_of_range(seconds):
    class Date:
        def timestamp(self):
            return seconds

    with pytest.raises(OverflowError):
        config(date=Date())


def test_date_whose_timestamp_is_no_number():
    class Date:
        def timestamp(self):
            return "today"

    with pytest.raises(TypeError):
        config(date=Date())


@pytest.mark.parametrize("seconds", [253402300800, -62167219201, 9e14])
def test_date_without_four_digit_year(seconds):
    class Date:
        def timestamp(self):
            return seconds

    assert aws_sign_request(request(), config(date=Date())).exception(20).name == (
        "AWS_AUTH_SIGNING_INVALID_CONFIGURATION"
    )


def test_arguments_that_do_not_fit():
    with pytest.raises(OverflowError):
        config(expiration_in_seconds=2**64)
    with pytest.raises(UnicodeEncodeError):
        config(region="\ud800")
    with pytest.raises(TypeError):
        AwsSigningConfig(unknown=1)
    with pytest.raises(KeyError):
        config(omit_session_token=Undecided())


class Undecided:
    def __bool__(self):
        raise KeyError("neither")


def test_config_is_immutable():
    made = config()
    for name in ("algorithm", "date", "credentials_provider", "use_double_uri_encode", "expiration_in_seconds"):
        with pytest.raises(AttributeError):
            setattr(made, name, None)
    with pytest.raises(TypeError):
        made.__init__(region="other")
    assert made.region == "us-east-1"


def test_naive_dates_are_local_time():
    naive = datetime.datetime(2020, 1, 1, 12, 0, 0)
    stamp = naive.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    assert sign(request(), config(date=naive)).headers.get("X-Amz-Date") == stamp
