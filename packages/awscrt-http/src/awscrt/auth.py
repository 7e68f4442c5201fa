"""AWS credentials, and signing of HTTP requests (AWS Signature Version 4)."""

from __future__ import annotations

from enum import IntEnum

import awscrt.exceptions  # noqa: F401  (users reach it through this module)
from awscrt import NativeResource, _http
from awscrt._http import AwsCredentials
from awscrt.http import HttpProxyOptions, HttpRequest
from awscrt.io import ClientBootstrap, ClientTlsContext

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    from concurrent.futures import Future
    from datetime import datetime
    from typing import Any, Callable, Iterable, List, NoReturn, Optional, Sequence, Tuple, TypeVar

    from awscrt.http import HttpHeaders

    _Provider = TypeVar("_Provider", bound="AwsCredentialsProviderBase")

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
    "presign_many",
    "ClientBootstrap",
    "ClientTlsContext",
    "HttpProxyOptions",
    "HttpRequest",
    "NativeResource",
]


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


def _construct(make: Callable[[], Any]) -> Any:
    """What ``make`` gives; its failures are those of a factory."""
    try:
        return make()
    except awscrt.exceptions.AwsCrtError as error:
        from awscrt._credentials.errors import refused

        raise refused(error.code, error.message, error) from error


class AwsCredentialsProviderBase(NativeResource):
    """Base of credentials providers. They may be shared between threads; a copy is the provider itself."""

    def __copy__(self: _Provider) -> _Provider:
        return self

    def __deepcopy__(self: _Provider, memo: Any) -> _Provider:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled: it may hold secrets")


class AwsCredentialsProvider(AwsCredentialsProviderBase):
    """A source of credentials; made by the ``new_...`` methods.

    Every query asks the source anew, except for that of :meth:`new_default_chain`, which remembers its answer. Sources
    that do I/O are asked on a worker thread, once for all who ask meanwhile. Their deadlines are in
    the guide to credentials.
    """

    def __init__(self, binding: Any) -> None:
        super().__init__()
        self._binding = binding

    @classmethod
    def new_default_chain(cls, client_bootstrap: Optional[ClientBootstrap] = None) -> AwsCredentialsProvider:
        """The first that delivers of: environment, profile, web identity, plugins, container or instance metadata.

        Which of them are configured is found out now. Credentials are remembered until 5 minutes before they expire;
        those without expiration for 15 minutes.

        :param client_bootstrap: None: the default one
        """
        assert client_bootstrap is None or isinstance(client_bootstrap, ClientBootstrap)
        from awscrt._credentials.cache import Cache
        from awscrt._credentials.default_chain import DefaultChain
        from awscrt._credentials.fetch import Route

        return cls(Cache(DefaultChain(Route(client_bootstrap))))

    @classmethod
    def new_static(
        cls, access_key_id: str, secret_access_key: str, session_token: Optional[str] = None
    ) -> AwsCredentialsProvider:
        """Always the same credentials.

        :raises RuntimeError: the key id or the secret is empty
        """
        return cls(AwsCredentials(access_key_id, secret_access_key, session_token))

    @classmethod
    def new_profile(
        cls,
        client_bootstrap: Optional[ClientBootstrap] = None,
        profile_name: Optional[str] = None,
        config_filepath: Optional[str] = None,
        credentials_filepath: Optional[str] = None,
    ) -> AwsCredentialsProvider:
        """What a profile in the files of the AWS CLI describes: keys, a role, a command, SSO or a login.

        :param client_bootstrap: for roles and SSO; None: the default one
        :param profile_name: None: AWS_PROFILE, else ``default``
        :param config_filepath: None: AWS_CONFIG_FILE, else ``~/.aws/config``
        :param credentials_filepath: None: AWS_SHARED_CREDENTIALS_FILE, else ``~/.aws/credentials``
        :raises RuntimeError: there is no such profile, or its settings do not go together; names file and line
        """
        assert client_bootstrap is None or isinstance(client_bootstrap, ClientBootstrap)
        for text in (profile_name, config_filepath, credentials_filepath):
            assert text is None or isinstance(text, str)
        from awscrt._credentials.fetch import Route
        from awscrt._credentials.profile import profile_source
        from awscrt._credentials.profile_file import Paths
        from awscrt._credentials.source import Queried

        paths = Paths(config_filepath, credentials_filepath)
        return cls(Queried(_construct(lambda: profile_source(profile_name, paths, Route(client_bootstrap)))))

    @classmethod
    def new_process(cls, profile_to_use: Optional[str] = None) -> AwsCredentialsProvider:
        """The output of the command that a profile in the config file names as ``credential_process``.

        The command runs at every query.

        :param profile_to_use: None: AWS_PROFILE, else ``default``
        :raises RuntimeError: no file, profile or key
        """
        assert profile_to_use is None or isinstance(profile_to_use, str)
        from awscrt._credentials.profile import process_source
        from awscrt._credentials.source import Queried

        return cls(Queried(_construct(lambda: process_source(profile_to_use))))

    @classmethod
    def new_environment(cls) -> AwsCredentialsProvider:
        """AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, read at every query.

        Missing ones fail the query with AWS_AUTH_CREDENTIALS_PROVIDER_INVALID_ENVIRONMENT.
        """
        from awscrt._credentials.simple import EnvironmentSource, Immediate

        return cls(Immediate(EnvironmentSource()))

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
        from awscrt._credentials.simple import Chain

        return cls(Chain([*chain]))

    @classmethod
    def new_delegate(cls, get_credentials: Callable[[], AwsCredentials]) -> AwsCredentialsProvider:
        """A function that returns :class:`AwsCredentials`.

        It is called on the thread that queries. What it raises goes to :func:`sys.unraisablehook`; the query fails
        with AWS_AUTH_CREDENTIALS_PROVIDER_DELEGATE_FAILURE.
        """
        assert callable(get_credentials)
        from awscrt._credentials.simple import Delegate, Immediate

        return cls(Immediate(Delegate(get_credentials)))

    @classmethod
    def new_cognito(
        cls,
        *,
        endpoint: str,
        identity: str,
        tls_ctx: ClientTlsContext,
        logins: Optional[Sequence[Tuple[str, str]]] = None,
        custom_role_arn: Optional[str] = None,
        client_bootstrap: Optional[ClientBootstrap] = None,
        http_proxy_options: Optional[HttpProxyOptions] = None,
    ) -> AwsCredentialsProvider:
        """Credentials of an Amazon Cognito identity.

        :param endpoint: host, e.g. ``cognito-identity.us-east-1.amazonaws.com``; may have a port
        :param identity: the identity's id
        :param tls_ctx: for the connection
        :param logins: pairs of identity provider and token
        :param custom_role_arn: the role, when several are possible
        :param client_bootstrap: None: the default one
        :param http_proxy_options: None: directly
        :raises RuntimeError: endpoint or identity is empty
        :raises TypeError: logins are not pairs of text
        """
        assert isinstance(endpoint, str) and isinstance(identity, str)
        assert custom_role_arn is None or isinstance(custom_role_arn, str)
        from awscrt._credentials.cognito import CognitoSource, Identity, checked_logins
        from awscrt._credentials.source import Queried

        route = _tls_route(client_bootstrap, tls_ctx, http_proxy_options)
        who = Identity(identity, checked_logins(logins), custom_role_arn)
        return cls(Queried(CognitoSource(endpoint, who, route)))

    @classmethod
    def new_x509(
        cls,
        *,
        endpoint: str,
        thing_name: str,
        role_alias: str,
        tls_ctx: ClientTlsContext,
        client_bootstrap: Optional[ClientBootstrap] = None,
        http_proxy_options: Optional[HttpProxyOptions] = None,
    ) -> AwsCredentialsProvider:
        """Credentials of the role that AWS IoT Core lends to a device with a certificate.

        :param endpoint: host of the credentials endpoint; may have a port
        :param thing_name: name of the device
        :param role_alias: which role
        :param tls_ctx: with the device's certificate
        :param client_bootstrap: None: the default one
        :param http_proxy_options: None: directly
        :raises RuntimeError: a text is empty
        """
        assert isinstance(endpoint, str) and isinstance(thing_name, str) and isinstance(role_alias, str)
        from awscrt._credentials.source import Queried
        from awscrt._credentials.x509 import X509Source

        route = _tls_route(client_bootstrap, tls_ctx, http_proxy_options)
        return cls(Queried(X509Source(endpoint, thing_name, role_alias, route)))

    def get_credentials(self) -> Future[AwsCredentials]:
        """Ask for credentials.

        :return: future of :class:`AwsCredentials`, or of why there are none; it is done when this returns for
            sources that need no I/O. Cancelling it does the query no harm: others may wait for it
        """
        source = self._binding
        if isinstance(source, AwsCredentials):
            from awscrt._credentials.flight import done

            return done(source)
        answer: Future[AwsCredentials] = source.get_credentials()
        return answer

    async def get_credentials_async(self) -> AwsCredentials:
        """Ask for credentials, from a coroutine; see :meth:`get_credentials`.

        :raises Exception: why there are none
        """
        from asyncio import wrap_future

        return await wrap_future(self.get_credentials())


def _tls_route(
    client_bootstrap: Optional[ClientBootstrap],
    tls_ctx: ClientTlsContext,
    http_proxy_options: Optional[HttpProxyOptions],
) -> Any:
    assert isinstance(tls_ctx, ClientTlsContext)
    assert client_bootstrap is None or isinstance(client_bootstrap, ClientBootstrap)
    assert http_proxy_options is None or isinstance(http_proxy_options, HttpProxyOptions)
    from awscrt._credentials.fetch import Route

    return Route(client_bootstrap, tls_ctx, http_proxy_options)


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


def presign_many(
    requests: Iterable[Tuple[str, str]],
    signing_config: AwsSigningConfig,
    headers: Optional[HttpHeaders] = None,
) -> Future[List[str]]:
    """Presign many URLs in one call: several times as fast as one by one.

    All are signed with the same credentials, asked for once, and at the same date. With credentials that need no I/O
    the URLs are signed when this returns; other threads run meanwhile.

    :param requests: pairs of method and absolute URL, ``("GET", "https://host/path?query")``. URLs must be
        percent-encoded and have neither a user name nor a fragment. The host, without the scheme's own port, is
        signed as the header Host
    :param signing_config: with signature type HTTP_REQUEST_QUERY_PARAMS. The payload hash is
        ``signed_body_value``, or that of no body; ``should_sign_header`` is asked once for all URLs
    :param headers: signed with every URL, and so to be sent with every request; a Host here replaces the URLs' hosts
    :return: future of the signed URLs in the order of the requests, or of why the first unusable one cannot be signed
    :raises TypeError: an argument of a wrong type
    :raises RuntimeError: region, service or provider is missing in the config, its signature type is another, or the
        delegate provider raised
    """
    return _http.presign(requests, signing_config, headers)
