"""Amazon S3: fast transfers of objects of any size.

Objects are fetched by ranges and stored by multipart upload over many connections at once; every HTTP request is
signed and retried on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from awscrt import NativeResource, _s3
from awscrt._s3_lock import CrossProcessLock
from awscrt._s3_platform import (
    get_ec2_instance_type,
    get_optimized_platforms,
    get_recommended_throughput_target_gbps,
    is_optimized_for_system,
)
from awscrt.auth import (
    AwsCredentials,
    AwsCredentialsProvider,
    AwsSignatureType,
    AwsSignedBodyHeaderType,
    AwsSignedBodyValue,
    AwsSigningAlgorithm,
    AwsSigningConfig,
)
from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpRequest
from awscrt.io import (
    ClientBootstrap,
    ClientTlsContext,
    ExponentialBackoffJitterMode,
    TlsConnectionOptions,
    TlsContextOptions,
)

TYPE_CHECKING = False  # typing and dataclasses are a large part of a small program's import time
if TYPE_CHECKING:
    import asyncio
    import threading
    from concurrent.futures import Future
    from dataclasses import dataclass
    from typing import Any, Callable, List, Optional, Tuple

    Headers = List[Tuple[str, str]]
    OnHeaders = Callable[..., Any]
    OnBody = Callable[..., Any]
    OnProgress = Callable[[int], Any]
    OnDone = Callable[..., Any]
else:
    from awscrt._dataclass import dataclass

__all__ = [
    "AwsCredentialsProvider",
    "AwsSignatureType",
    "AwsSignedBodyHeaderType",
    "AwsSignedBodyValue",
    "AwsSigningAlgorithm",
    "AwsSigningConfig",
    "ClientBootstrap",
    "CrossProcessLock",
    "ExponentialBackoffJitterMode",
    "Future",
    "HttpRequest",
    "NativeResource",
    "S3ChecksumAlgorithm",
    "S3ChecksumConfig",
    "S3ChecksumLocation",
    "S3ChecksumValidationMode",
    "S3Client",
    "S3FileIoOptions",
    "S3Request",
    "S3RequestTlsMode",
    "S3RequestType",
    "S3ResponseError",
    "S3RetryConfig",
    "S3RetryMode",
    "TlsConnectionOptions",
    "create_default_s3_signing_config",
    "get_ec2_instance_type",
    "get_optimized_platforms",
    "get_recommended_throughput_target_gbps",
    "is_optimized_for_system",
]

_INVALID_ARGUMENT = 34
# One connection is planned to carry this much, see S3Client's throughput_target_gbps.
_GBPS_PER_CONNECTION = 0.4


def __getattr__(name: str) -> Any:
    if name == "Future":  # late, because concurrent.futures is slow to import
        from concurrent.futures import Future

        return Future
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# ---- choices ----


class S3RequestType(IntEnum):
    """What a transfer does."""

    DEFAULT = 0
    """One HTTP request, sent as it is."""
    GET_OBJECT = 1
    """Download, in ranges when the object is large."""
    PUT_OBJECT = 2
    """Upload, in parts when the body is large or of unknown length."""


class S3RequestTlsMode(IntEnum):
    """Whether a client uses TLS."""

    ENABLED = 0
    DISABLED = 1


class S3ChecksumAlgorithm(IntEnum):
    """Checksums that S3 knows."""

    CRC32C = 1
    CRC32 = 2
    SHA1 = 3
    SHA256 = 4
    CRC64NVME = 5
    SHA512 = 6
    XXHASH64 = 7
    XXHASH3 = 8
    XXHASH128 = 9


class S3ChecksumLocation(IntEnum):
    """Where the checksum of an upload goes."""

    HEADER = 1
    TRAILER = 2


class S3ChecksumValidationMode(IntEnum):
    """What the checksum of a download is computed over."""

    DEFAULT = 0
    """As FULL_OBJECT."""
    REQUEST_ONLY = 1
    """Each response by itself."""
    FULL_OBJECT = 2
    """Each response, and the whole object."""


class S3RetryMode(IntEnum):
    """How failed HTTP requests are repeated."""

    STANDARD = 0
    """Growing pauses, within the limits of a token bucket per host."""
    ADAPTIVE = 1
    """As STANDARD, and a slower pace after throttling."""
    EXPONENTIAL_BACKOFF = 2
    """Growing pauses only."""
    NONE = 3
    """Not at all."""


@dataclass
class S3ChecksumConfig:
    """Checksums of a transfer.

    :ivar algorithm: of the checksums sent with an upload
    :ivar location: where they are sent; None: not at all
    :ivar validate_response: verify downloads against the checksums the server sends
    :ivar expected_checksum: of a download, base64; it is verified
    :ivar expected_checksum_algorithm: of ``expected_checksum``
    :ivar response_validation_mode: what to verify
    """

    algorithm: Optional[S3ChecksumAlgorithm] = None
    location: Optional[S3ChecksumLocation] = None
    validate_response: bool = False
    expected_checksum: Optional[str] = None
    expected_checksum_algorithm: Optional[S3ChecksumAlgorithm] = None
    response_validation_mode: Optional[S3ChecksumValidationMode] = None


@dataclass
class S3FileIoOptions:
    """How files are read and written.

    Uploads from a file are always streamed: no part is loaded into memory.

    :ivar should_stream: with ``disk_throughput_gbps``: use no more connections than the disk can feed
    :ivar disk_throughput_gbps: what the disk can do, in Gbps; 0: unknown
    :ivar direct_io: bypass the page cache (not supported)
    """

    should_stream: bool = False
    disk_throughput_gbps: Optional[float] = 0.0
    direct_io: bool = False


@dataclass
class S3RetryConfig:
    """How failed HTTP requests are repeated. 0 anywhere means the default.

    :ivar max_retries: per HTTP request; default 5
    :ivar backoff_scale_factor_ms: first pause in milliseconds, doubled each time; default 500
    :ivar max_backoff_secs: longest pause in seconds; default 20
    :ivar jitter_mode: an :class:`awscrt.io.ExponentialBackoffJitterMode`; default FULL
    :ivar initial_bucket_capacity: tokens per host; a retry takes 5 or 10, a success gives back; default 500
    :ivar retry_mode: an :class:`S3RetryMode`
    :ivar fast_fail_if_no_token: ADAPTIVE: fail instead of waiting for a token
    """

    max_retries: int = 0
    backoff_scale_factor_ms: int = 0
    max_backoff_secs: int = 0
    jitter_mode: int = 0
    initial_bucket_capacity: int = 0
    retry_mode: S3RetryMode = S3RetryMode.STANDARD
    fast_fail_if_no_token: bool = False


class S3ResponseError(AwsCrtError):
    """S3 answered with an error.

    :ivar status_code: of the HTTP response
    :ivar headers: of the HTTP response, (name, value) pairs
    :ivar body: of the HTTP response, usually XML; None when there was none
    :ivar operation_name: of the HTTP request that failed, e.g. ``"UploadPart"``
    """

    def __init__(
        self,
        *,
        code: int,
        name: str,
        message: str,
        status_code: Optional[int] = None,
        headers: Optional[Headers] = None,
        body: Optional[bytes] = None,
        operation_name: Optional[str] = None,
    ) -> None:
        super().__init__(code, name, message)
        self.status_code = status_code
        self.headers = headers
        self.body = body
        self.operation_name = operation_name


# ---- signing ----


def create_default_s3_signing_config(
    *, region: str, credential_provider: AwsCredentialsProvider, **kwargs: Any
) -> AwsSigningConfig:
    """The signing configuration that S3 wants: Signature Version 4 with an unsigned payload.

    :param region: AWS region of the bucket
    :param credential_provider: asked once per HTTP request
    """
    return AwsSigningConfig(
        algorithm=AwsSigningAlgorithm.V4,
        signature_type=AwsSignatureType.HTTP_REQUEST_HEADERS,
        service="s3",
        signed_body_header_type=AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        signed_body_value=AwsSignedBodyValue.UNSIGNED_PAYLOAD,
        region=region,
        credentials_provider=credential_provider,
        use_double_uri_encode=False,
        should_normalize_uri_path=False,
    )


def _invalid_argument(detail: str) -> RuntimeError:
    return RuntimeError(f"{_INVALID_ARGUMENT} (AWS_ERROR_INVALID_ARGUMENT): {detail}")


def _check_checksums(config: Optional[S3ChecksumConfig]) -> None:
    if config is None:
        return
    algorithm = config.algorithm.name if config.algorithm is not None else None
    if config.location is not None and algorithm is None:
        raise _invalid_argument("checksum_config has a location but no algorithm")
    if config.location is not None or config.validate_response or config.expected_checksum is not None:
        raise NotImplementedError("checksums of S3 transfers are not supported; use checksum_config=None")


def _check_file_options(options: Optional[S3FileIoOptions]) -> None:
    if options is None:
        return
    if options.disk_throughput_gbps is None:
        raise TypeError("fio_options.disk_throughput_gbps must be a number, got None")
    if options.direct_io:
        raise NotImplementedError("fio_options.direct_io is not supported; leave it False")


def _disk_connections(options: Optional[S3FileIoOptions], throughput_gbps: float) -> int:
    """Connections that a disk can feed; 0: no limit."""
    if options is None or not options.should_stream:
        return 0
    import math

    gbps = options.disk_throughput_gbps or throughput_gbps
    return max(1, math.ceil(gbps / _GBPS_PER_CONNECTION))


def _smallest(*limits: int) -> int:
    """The smallest of the limits that are given (not 0); 0 when none is."""
    return min((limit for limit in limits if limit), default=0)


# ---- client ----


class S3Client(NativeResource):
    """Connections to S3, shared by the transfers made with it.

    A client ends when it is dropped and its last transfer is over.

    :param bootstrap: event loops and resolver; None: the static default
    :param region: AWS region to sign for
    :param tls_mode: an :class:`S3RequestTlsMode`; None: ENABLED
    :param signing_config: how to sign; None and no ``credential_provider``: requests are not signed
    :param credential_provider: shorthand for :func:`create_default_s3_signing_config`
    :param tls_connection_options: None: the system's trust store, peers are verified
    :param part_size: bytes per part; None: 8 MiB, and larger for downloads of objects stored in larger parts
    :param multipart_upload_threshold: bodies longer than this are uploaded in parts; None: the part size, at least
        5 MiB
    :param throughput_target_gbps: what to aim for, in Gbps; one connection per 0.4 Gbps, at least 10. None: 10
    :param enable_s3express: allow signing with V4_S3EXPRESS
    :param memory_limit: bytes for part buffers plus 128 MiB; at least 256 MiB. None: the environment's
        AWS_CRT_S3_MEMORY_LIMIT_IN_MB or AWS_CRT_S3_MEMORY_LIMIT_IN_GIB, else by ``throughput_target_gbps``
    :param network_interface_names: not supported
    :param fio_options: how files are read and written
    :param max_active_connections_override: lowers the number of connections
    :param retry_config: how failed HTTP requests are repeated
    :param connect_timeout_ms: milliseconds; None: 3000
    :ivar shutdown_event: :class:`threading.Event`, set when the client and all its connections are gone
    :raises RuntimeError: an argument is out of range
    """

    __slots__ = (
        "shutdown_event",
        "_region",
        "_signing_config",
        "_enable_s3express",
        "_fio_options",
        "_throughput_gbps",
    )

    shutdown_event: threading.Event

    def __init__(
        self,
        *,
        bootstrap: Optional[ClientBootstrap] = None,
        region: str,
        tls_mode: Optional[S3RequestTlsMode] = None,
        signing_config: Optional[AwsSigningConfig] = None,
        credential_provider: Optional[AwsCredentialsProvider] = None,
        tls_connection_options: Optional[TlsConnectionOptions] = None,
        part_size: Optional[int] = None,
        multipart_upload_threshold: Optional[int] = None,
        throughput_target_gbps: Optional[float] = None,
        enable_s3express: Optional[bool] = False,
        memory_limit: Optional[int] = None,
        network_interface_names: Optional[Sequence[str]] = None,
        fio_options: Optional[S3FileIoOptions] = None,
        max_active_connections_override: Optional[int] = None,
        retry_config: Optional[S3RetryConfig] = None,
        connect_timeout_ms: Optional[int] = None,
    ) -> None:
        from threading import Event

        assert isinstance(bootstrap, ClientBootstrap) or bootstrap is None
        assert isinstance(region, str)
        assert isinstance(signing_config, AwsSigningConfig) or signing_config is None
        assert isinstance(credential_provider, AwsCredentialsProvider) or credential_provider is None
        assert isinstance(tls_connection_options, TlsConnectionOptions) or tls_connection_options is None
        assert isinstance(part_size, int) or part_size is None
        assert isinstance(throughput_target_gbps, (int, float)) or throughput_target_gbps is None
        assert isinstance(enable_s3express, bool) or enable_s3express is None
        assert isinstance(network_interface_names, Sequence) or network_interface_names is None
        assert isinstance(fio_options, S3FileIoOptions) or fio_options is None
        assert isinstance(max_active_connections_override, int) or max_active_connections_override is None
        assert isinstance(retry_config, S3RetryConfig) or retry_config is None
        assert isinstance(connect_timeout_ms, int) or connect_timeout_ms is None
        super().__init__()
        if signing_config is not None and credential_provider is not None:
            raise ValueError("give either signing_config or credential_provider, not both")
        if network_interface_names:
            raise NotImplementedError("network_interface_names is not supported; leave it None")
        _check_file_options(fio_options)

        self._region = region
        self._enable_s3express = bool(enable_s3express)
        self._fio_options = fio_options
        self._throughput_gbps = float(throughput_target_gbps or 10.0)
        self._signing_config = self._client_signing_config(signing_config, credential_provider)
        self.shutdown_event = Event()
        retry = retry_config or S3RetryConfig()
        self._binding = _s3.client_new(
            bootstrap or ClientBootstrap.get_or_create_static_default(),
            self._tls_options(tls_mode, tls_connection_options),
            part_size or 0,
            multipart_upload_threshold or 0,
            throughput_target_gbps or 0.0,
            memory_limit or 0,
            max_active_connections_override or 0,
            connect_timeout_ms or 0,
            retry.max_retries,
            retry.backoff_scale_factor_ms,
            retry.max_backoff_secs,
            retry.initial_bucket_capacity,
            retry.jitter_mode,
            retry.retry_mode,
            self.shutdown_event.set,
        )

    def _client_signing_config(
        self, signing_config: Optional[AwsSigningConfig], provider: Optional[AwsCredentialsProvider]
    ) -> Optional[AwsSigningConfig]:
        if provider is not None:
            return create_default_s3_signing_config(region=self._region, credential_provider=provider)
        if signing_config is not None:
            if signing_config.credentials_provider is None:
                raise _invalid_argument("signing_config has no credentials_provider")
            self._check_algorithm(signing_config)
        return signing_config

    def _check_algorithm(self, signing_config: AwsSigningConfig) -> None:
        if signing_config.algorithm != AwsSigningAlgorithm.V4_S3EXPRESS:
            return
        if not self._enable_s3express:
            raise _invalid_argument("V4_S3EXPRESS needs a client with enable_s3express=True")
        raise NotImplementedError("signing with V4_S3EXPRESS is not supported")

    @staticmethod
    def _tls_options(mode: Optional[int], options: Optional[TlsConnectionOptions]) -> Optional[TlsConnectionOptions]:
        if mode == S3RequestTlsMode.DISABLED:
            return None
        return options or ClientTlsContext(TlsContextOptions()).new_connection_options()

    def make_request(
        self,
        *,
        type: S3RequestType,
        request: HttpRequest,
        operation_name: Optional[str] = None,
        recv_filepath: Optional[str] = None,
        send_filepath: Optional[str] = None,
        signing_config: Optional[AwsSigningConfig] = None,
        credential_provider: Optional[AwsCredentialsProvider] = None,
        checksum_config: Optional[S3ChecksumConfig] = None,
        part_size: Optional[int] = None,
        multipart_upload_threshold: Optional[int] = None,
        fio_options: Optional[S3FileIoOptions] = None,
        max_active_connections_override: Optional[int] = None,
        on_headers: Optional[OnHeaders] = None,
        on_body: Optional[OnBody] = None,
        on_done: Optional[OnDone] = None,
        on_progress: Optional[OnProgress] = None,
    ) -> S3Request:
        """Start a transfer.

        :param type: what to do
        :param request: method, path, headers (``Host`` names the endpoint) and body; never changed
        :param operation_name: of the S3 API, for type DEFAULT
        :param recv_filepath: the response body goes to this file, which is created or truncated now
        :param send_filepath: the request body comes from this file
        :param signing_config: replaces the client's; without a provider it uses the client's
        :param credential_provider: replaces the client's signing_config
        :param checksum_config: checksums of this transfer
        :param part_size: bytes per part, for this transfer
        :param multipart_upload_threshold: bodies longer than this are uploaded in parts
        :param fio_options: replaces the client's
        :param max_active_connections_override: lowers the number of connections of this transfer
        :param on_headers: ``f(status_code=int, headers=[(name, value), ...])``, at most once
        :param on_body: ``f(chunk=bytes, offset=int)``, in order; not with ``recv_filepath``
        :param on_done: ``f(error=, error_headers=, error_body=, error_operation_name=, status_code=,
            did_validate_checksum=, checksum_validation_algorithm=)``, once, last
        :param on_progress: ``f(bytes since the last call)``, about once a second
        :raises RuntimeError: the request cannot be made (AWS_ERROR_INVALID_ARGUMENT), a file cannot be opened
            (AWS_ERROR_FILE_INVALID_PATH), or a part would need too much memory
        :raises ValueError: type DEFAULT without operation_name

        Callbacks run on an event-loop thread. An exception in on_headers or on_body ends the transfer and becomes
        its error; one in on_progress or on_done goes to :func:`sys.unraisablehook`.
        """
        return S3Request(
            client=self,
            type=type,
            request=request,
            operation_name=operation_name,
            recv_filepath=recv_filepath,
            send_filepath=send_filepath,
            signing_config=signing_config,
            credential_provider=credential_provider,
            checksum_config=checksum_config,
            part_size=part_size,
            multipart_upload_threshold=multipart_upload_threshold,
            fio_options=fio_options,
            max_active_connections_override=max_active_connections_override,
            on_headers=on_headers,
            on_body=on_body,
            on_done=on_done,
            on_progress=on_progress,
            region=self._region,
        )

    def _signing_for(
        self, config: Optional[AwsSigningConfig], provider: Optional[AwsCredentialsProvider]
    ) -> Tuple[Optional[AwsSigningConfig], Any]:
        """Configuration and provider of one transfer."""
        own = self._signing_config
        if provider is not None:
            return create_default_s3_signing_config(region=self._region, credential_provider=provider), provider
        if config is None:
            return own, own.credentials_provider if own is not None else None
        self._check_algorithm(config)
        chosen = config.credentials_provider
        if chosen is None and own is not None:
            chosen = own.credentials_provider
        return (config, chosen) if chosen is not None else (None, None)

    def _start(
        self,
        *,
        type: int,
        request: HttpRequest,
        future: Any,
        operation_name: Optional[str] = None,
        recv_filepath: Optional[str] = None,
        send_filepath: Optional[str] = None,
        signing_config: Optional[AwsSigningConfig] = None,
        credential_provider: Optional[AwsCredentialsProvider] = None,
        part_size: Optional[int] = None,
        multipart_upload_threshold: Optional[int] = None,
        fio_options: Optional[S3FileIoOptions] = None,
        max_active_connections_override: Optional[int] = None,
        on_headers: Optional[OnHeaders] = None,
        on_body: Optional[OnBody] = None,
        on_done: Optional[OnDone] = None,
        on_progress: Optional[OnProgress] = None,
        on_gone: Optional[Callable[[], Any]] = None,
        loop: Optional[asyncio.AbstractEventLoop] = None,
        whole_body: bool = False,
        body: Optional[Any] = None,
    ) -> Any:
        """Make the native transfer.

        :param on_gone: called when the transfer is over and its handle is gone
        :param loop: where callbacks run; None: on an event loop of the runtime
        :param whole_body: ``future`` gets the body of the response as one bytes object
        :param body: buffer to send instead of the request's own body
        :return: its handle
        """
        config, provider = self._signing_for(signing_config, credential_provider)
        # A provider that holds the credentials themselves need not be asked for them.
        static = getattr(provider, "_binding", None)
        credentials = static if isinstance(static, AwsCredentials) else None
        disk = _disk_connections(fio_options or self._fio_options, self._throughput_gbps)
        return _s3.transfer_new(
            self._binding,
            type,
            request,
            operation_name,
            recv_filepath,
            send_filepath,
            config,
            credentials,
            provider,
            self._region,
            part_size or 0,
            multipart_upload_threshold or 0,
            _smallest(max_active_connections_override or 0, disk),
            future,
            on_headers,
            on_body,
            on_done,
            on_progress,
            on_gone,
            loop,
            whole_body,
            body,
        )


class S3Request(NativeResource):
    """A transfer; made by :meth:`S3Client.make_request`.

    Dropping it does not end the transfer.

    :ivar shutdown_event: :class:`threading.Event`, set when the transfer is over and this object is gone
    """

    __slots__ = ("_finished_future", "shutdown_event")

    _finished_future: Future[None]
    shutdown_event: threading.Event

    def __init__(
        self,
        *,
        client: S3Client,
        type: S3RequestType,
        request: HttpRequest,
        operation_name: Optional[str] = None,
        recv_filepath: Optional[str] = None,
        send_filepath: Optional[str] = None,
        signing_config: Optional[AwsSigningConfig] = None,
        credential_provider: Optional[AwsCredentialsProvider] = None,
        checksum_config: Optional[S3ChecksumConfig] = None,
        part_size: Optional[int] = None,
        multipart_upload_threshold: Optional[int] = None,
        fio_options: Optional[S3FileIoOptions] = None,
        max_active_connections_override: Optional[int] = None,
        on_headers: Optional[OnHeaders] = None,
        on_body: Optional[OnBody] = None,
        on_done: Optional[OnDone] = None,
        on_progress: Optional[OnProgress] = None,
        region: Optional[str] = None,
    ) -> None:
        from threading import Event

        from awscrt._futures import Future

        assert isinstance(client, S3Client)
        assert isinstance(request, HttpRequest)
        assert callable(on_headers) or on_headers is None
        assert callable(on_body) or on_body is None
        assert callable(on_done) or on_done is None
        assert callable(on_progress) or on_progress is None
        assert isinstance(part_size, int) or part_size is None
        assert isinstance(multipart_upload_threshold, int) or multipart_upload_threshold is None
        assert isinstance(fio_options, S3FileIoOptions) or fio_options is None
        assert isinstance(max_active_connections_override, int) or max_active_connections_override is None
        if type == S3RequestType.DEFAULT and not operation_name:
            raise ValueError("type DEFAULT needs an operation_name")
        _check_checksums(checksum_config)
        _check_file_options(fio_options)
        super().__init__()
        self._finished_future = Future()
        self.shutdown_event = Event()
        self._binding = client._start(
            type=type,
            request=request,
            operation_name=operation_name,
            recv_filepath=recv_filepath,
            send_filepath=send_filepath,
            signing_config=signing_config,
            credential_provider=credential_provider,
            part_size=part_size,
            multipart_upload_threshold=multipart_upload_threshold,
            fio_options=fio_options,
            max_active_connections_override=max_active_connections_override,
            future=self._finished_future,
            on_headers=on_headers,
            on_body=on_body,
            on_done=on_done,
            on_progress=on_progress,
            on_gone=self.shutdown_event.set,
        )

    @property
    def finished_future(self) -> Future[None]:
        """Done when the transfer is over, before ``on_done`` is called.

        Its exception is an :class:`S3ResponseError` when S3 refused, else an
        :class:`~awscrt.exceptions.AwsCrtError` or a built-in exception, or what a callback raised.
        """
        return self._finished_future

    def cancel(self) -> None:
        """End the transfer with AWS_ERROR_S3_CANCELED; a multipart upload is aborted first.

        Thread-safe, returns at once, does nothing when the transfer is over.
        """
        _s3.transfer_cancel(self._binding)
