"""AWS credentials, and signing of HTTP requests (AWS Signature Version 4)."""

from __future__ import annotations

from enum import IntEnum

import awscrt.exceptions  # noqa: F401  (users reach it through this module)
from awscrt import NativeResource, _core, _http
from awscrt._http import AwsCredentials
from awscrt.http import HttpProxyOptions, HttpRequest
from awscrt.io import ClientBootstrap, ClientTlsContext

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    from concurrent.futures import Future
    from datetime import datetime
    from typing import Any, Callable, List, Optional, Sequence

__all__ = [
    "AwsCredentials",
    "AwsCredentialsProvider",
    "AwsCredentialsProviderBase",
    "AwsSignatureType",
    "AwsSignedBodyHeaderType",
    "AwsSignedBodyValue",
    "AwsSigningAlgorithm",
    "AwsSigningConfig",
    "aws_sign_request",
    "ClientBootstrap",
    "ClientTlsContext",
    "HttpProxyOptions",
    "HttpRequest",
    "NativeResource",
]

_INVALID_ENVIRONMENT = 6150
_DELEGATE_FAILURE = 6167


class AwsSigningAlgorithm(IntEnum):
    """How to sign."""

    V4 = 0
    """HMAC-SHA256 with a key derived for one day, region and service."""
    V4_ASYMMETRIC = 1
    """ECDSA over P-256, for several regions at once."""
    V4_S3EXPRESS = 2
    """V4 with the session token of S3 Express One Zone."""


class AwsSignatureType(IntEnum):
    """Where the signature goes."""

    HTTP_REQUEST_HEADERS = 0
    """The Authorization header."""
    HTTP_REQUEST_QUERY_PARAMS = 1
    """The query string: a presigned URL."""


class AwsSignedBodyValue:
    """Special values for the payload hash."""

    EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    """SHA-256 of nothing."""
    UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
    STREAMING_AWS4_HMAC_SHA256_PAYLOAD = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    STREAMING_AWS4_HMAC_SHA256_EVENTS = "STREAMING-AWS4-HMAC-SHA256-EVENTS"


class AwsSignedBodyHeaderType(IntEnum):
    """Whether the payload hash is also sent as a header."""

    NONE = 0
    X_AMZ_CONTENT_SHA_256 = 1


# ---- credentials providers ----


def _done(credentials: AwsCredentials) -> Future[AwsCredentials]:
    from awscrt._futures import Future

    future: Future[AwsCredentials] = Future()
    future.set_result(credentials)
    return future


def _failed(exception: BaseException) -> Future[AwsCredentials]:
    from awscrt._futures import Future

    future: Future[AwsCredentials] = Future()
    future.set_exception(exception)
    return future


def _runtime_error(code: int) -> RuntimeError:
    """What the runtime raises for a code, which it carries along for the signer."""
    try:
        _core.raise_error(code)
    except RuntimeError as error:
        error.code = code  # type: ignore[attr-defined]
        return error
    raise AssertionError("raise_error() raises")


class _Environment:
    """Reads the environment at every query."""

    def get_credentials(self) -> Future[AwsCredentials]:
        import os

        key_id = os.environ.get("AWS_ACCESS_KEY_ID")
        secret = os.environ.get("AWS_SECRET_ACCESS_KEY")
        if not key_id or not secret:
            return _failed(awscrt.exceptions.from_code(_INVALID_ENVIRONMENT))
        return _done(AwsCredentials(key_id, secret, os.environ.get("AWS_SESSION_TOKEN") or None))


class _Delegate:
    """Calls a function of the user at every query, on the thread of the query."""

    def __init__(self, function: Callable[[], AwsCredentials]) -> None:
        self._function = function

    def get_credentials(self) -> Future[AwsCredentials]:
        try:
            credentials = self._function()
            if not isinstance(credentials, AwsCredentials):
                raise TypeError(f"get_credentials must return AwsCredentials, got {type(credentials).__name__}")
        except BaseException as problem:
            return self._report(problem)
        return _done(credentials)

    def _report(self, problem: BaseException) -> Future[AwsCredentials]:
        _http.report_unraisable(problem, self._function)
        failure = _runtime_error(_DELEGATE_FAILURE)
        failure.__cause__ = problem
        return _failed(failure)


class _Chain:
    """Asks providers in order until one delivers; the failure of the last one is reported."""

    def __init__(self, providers: List[AwsCredentialsProvider]) -> None:
        self._providers = providers

    def get_credentials(self) -> Future[AwsCredentials]:
        from awscrt._futures import Future

        answer: Future[AwsCredentials] = Future()
        self._ask(0, answer)
        return answer

    def _ask(self, index: int, answer: Future[AwsCredentials]) -> None:
        def next_or_answer(future: Future[AwsCredentials]) -> None:
            exception = future.exception()
            if exception is None:
                answer.set_result(future.result())
            elif index + 1 < len(self._providers):
                self._ask(index + 1, answer)
            else:
                answer.set_exception(exception)

        self._providers[index].get_credentials().add_done_callback(next_or_answer)


class AwsCredentialsProviderBase(NativeResource):
    """Base of credentials providers."""


class AwsCredentialsProvider(AwsCredentialsProviderBase):
    """A source of credentials; made by the ``new_...`` methods.

    Every query asks the source anew.
    """

    def __init__(self, binding: Any) -> None:
        super().__init__()
        self._binding = binding

    @classmethod
    def new_static(
        cls, access_key_id: str, secret_access_key: str, session_token: Optional[str] = None
    ) -> AwsCredentialsProvider:
        """Always the same credentials.

        :raises RuntimeError: the key id or the secret is empty
        """
        return cls(AwsCredentials(access_key_id, secret_access_key, session_token))

    @classmethod
    def new_environment(cls) -> AwsCredentialsProvider:
        """AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, read at every query.

        Missing ones fail the query with AWS_AUTH_CREDENTIALS_PROVIDER_INVALID_ENVIRONMENT.
        """
        return cls(_Environment())

    @classmethod
    def new_chain(cls, providers: Sequence[AwsCredentialsProvider]) -> AwsCredentialsProvider:
        """The first of several providers that delivers.

        :raises ValueError: no providers
        :raises TypeError: not a sequence of providers
        """
        try:
            chain = list(providers) if hasattr(providers, "__getitem__") else None
        except TypeError:
            chain = None
        if chain is None:
            raise TypeError("Expected sequence of AwsCredentialsProviders")
        if not chain:
            raise ValueError("Must supply at least one AwsCredentialsProvider.")
        for provider in chain:
            if not isinstance(provider, AwsCredentialsProviderBase):
                raise TypeError(f"expected AwsCredentialsProvider, got {type(provider).__name__}")
        return cls(_Chain(chain))

    @classmethod
    def new_delegate(cls, get_credentials: Callable[[], AwsCredentials]) -> AwsCredentialsProvider:
        """A function that returns :class:`AwsCredentials`.

        It is called on the thread that queries. What it raises goes to :func:`sys.unraisablehook`; the query fails
        with AWS_AUTH_CREDENTIALS_PROVIDER_DELEGATE_FAILURE.
        """
        assert callable(get_credentials)
        return cls(_Delegate(get_credentials))

    def get_credentials(self) -> Future[AwsCredentials]:
        """Ask for credentials.

        :return: future of :class:`AwsCredentials`, or of why there are none; it is done when this returns for
            sources that need no I/O
        """
        source = self._binding
        if isinstance(source, AwsCredentials):
            return _done(source)
        answer: Future[AwsCredentials] = source.get_credentials()
        return answer


# ---- signing ----


class AwsSigningConfig(_http.SigningConfig):
    """How to sign. Immutable; see :meth:`replace`.

    :param algorithm: which algorithm to use
    :param signature_type: where the signature goes
    :param credentials_provider: asked once per signing
    :param region: AWS region; for V4_ASYMMETRIC a set such as ``us-*``
    :param service: name of the service in the credential scope, e.g. ``s3``
    :param date: date of the signature in whole seconds; naive ones are local time; None: now
    :param should_sign_header: called as ``f(name=)`` for each header of the request; a false answer leaves it out.
        What it raises goes to :func:`sys.unraisablehook`, and the header is signed
    :param use_double_uri_encode: percent-encode the path once more; every service but S3 wants that
    :param should_normalize_uri_path: resolve ``.``, ``..`` and empty segments; every service but S3 wants that
    :param signed_body_value: payload hash used verbatim; None: computed from the body, which must be seekable
    :param signed_body_header_type: whether to send the payload hash as x-amz-content-sha256
    :param expiration_in_seconds: validity of a presigned URL
    :param omit_session_token: add the session token without signing it
    :raises AssertionError: an argument of a wrong type
    """

    __slots__ = ()

    def __init__(
        self,
        algorithm: AwsSigningAlgorithm = AwsSigningAlgorithm.V4,
        signature_type: AwsSignatureType = AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider: Optional[AwsCredentialsProviderBase] = None,
        region: str = "",
        service: str = "",
        date: Optional[datetime] = None,
        should_sign_header: Optional[Callable[..., bool]] = None,
        use_double_uri_encode: bool = True,
        should_normalize_uri_path: bool = True,
        signed_body_value: Optional[str] = None,
        signed_body_header_type: AwsSignedBodyHeaderType = AwsSignedBodyHeaderType.NONE,
        expiration_in_seconds: Optional[int] = None,
        omit_session_token: bool = False,
    ) -> None:
        assert isinstance(algorithm, AwsSigningAlgorithm)
        assert isinstance(signature_type, AwsSignatureType)
        assert credentials_provider is None or isinstance(credentials_provider, AwsCredentialsProviderBase)
        assert isinstance(region, str)
        assert isinstance(service, str)
        assert should_sign_header is None or callable(should_sign_header)
        assert signed_body_value is None or (isinstance(signed_body_value, str) and signed_body_value)
        assert isinstance(signed_body_header_type, AwsSignedBodyHeaderType)
        assert expiration_in_seconds is None or expiration_in_seconds > 0
        super().__init__(
            algorithm,
            signature_type,
            credentials_provider,
            region,
            service,
            date,
            should_sign_header,
            use_double_uri_encode,
            should_normalize_uri_path,
            signed_body_value,
            signed_body_header_type,
            expiration_in_seconds,
            omit_session_token,
        )

    def replace(self, **kwargs: Any) -> AwsSigningConfig:
        """Return a copy with some fields changed; unknown names are ignored."""
        fields = {name: kwargs.get(name, getattr(self, name)) for name in _CONFIG_FIELDS}
        return AwsSigningConfig(**fields)


_CONFIG_FIELDS = (
    "algorithm",
    "signature_type",
    "credentials_provider",
    "region",
    "service",
    "date",
    "should_sign_header",
    "use_double_uri_encode",
    "should_normalize_uri_path",
    "signed_body_value",
    "signed_body_header_type",
    "expiration_in_seconds",
    "omit_session_token",
)


def aws_sign_request(http_request: HttpRequest, signing_config: AwsSigningConfig) -> Future[HttpRequest]:
    """Sign a request in place.

    With credentials that need no I/O the request is signed when this returns.

    :return: future of ``http_request``; on failure the request is unchanged
    :raises RuntimeError: region, service or provider is missing in the config, or the delegate provider raised
    """
    return _http.sign(http_request, signing_config)
