"""TLS of :mod:`awscrt.io`, which is where its names are public."""

from __future__ import annotations

from enum import IntEnum

from awscrt import NativeResource, _core
from awscrt._pkcs11 import identity_of, set_identity

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    from typing import Any, Iterable, Optional, Union

    from awscrt._pkcs11 import Pkcs11Lib

_AWS_ERROR_FILE_INVALID_PATH = 44
_AWS_IO_TLS_CTX_ERROR = 1033
_MAX_TIMEOUT_MS = 2**32 - 1


class TlsVersion(IntEnum):
    """Oldest protocol version to accept; the newest is always TLS 1.3."""

    SSLv3 = 0
    TLSv1 = 1
    TLSv1_1 = 2
    TLSv1_2 = 3
    TLSv1_3 = 4
    DEFAULT = 128


class TlsCipherPref(IntEnum):
    """Cipher policies. Anything but DEFAULT replaces what ``min_tls_ver`` chose."""

    DEFAULT = 0
    PQ_TLSv1_0_2021_05 = 6
    PQ_DEFAULT = 8
    TLSv1_2_2025_07 = 9

    def is_supported(self) -> bool:
        """True when this build can use it."""
        return _core.tls_cipher_pref_is_supported(self.value)


class _CertificateSource(IntEnum):
    CERTIFICATE_FILES = 0
    PKCS11 = 1
    WINDOWS_CERT_STORE = 2
    PKCS12_FILE = 4


def _read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _read_pkcs12(path: str) -> bytes:
    if not isinstance(path, str):
        raise TypeError(f"TlsContextOptions.pkcs12_filepath must be str, got {type(path).__name__}")
    try:
        return _read_file(path)
    except OSError as error:
        _core.raise_error(
            _AWS_ERROR_FILE_INVALID_PATH, f"The PKCS#12 archive '{path}' cannot be read: {error.strerror}."
        )
        raise


def _alpn_text(names: Iterable[str]) -> str:
    # A str is an iterable of str too, and would offer one protocol per letter.
    assert not isinstance(names, str)
    listed = list(names)
    text = ";".join(listed)
    if "" in listed:
        _core.raise_error(_AWS_IO_TLS_CTX_ERROR, "An ALPN protocol name is empty (RFC 7301, 3.1).")
    return text


class TlsContextOptions:
    """What a TLS context is made from. Plain data: checked by :class:`ClientTlsContext`.

    :ivar min_tls_ver: oldest protocol version to accept
    :ivar cipher_pref: cipher policy
    :ivar verify_peer: check the server's chain, dates and name
    :ivar no_certificate_revocation: do not ask for stapled OCSP responses
    :ivar alpn_list: protocol names to offer, most preferred first; at most 4 of 127 bytes each
    :ivar ca_dirpath: directory of trusted certificates, files named by subject hash (``openssl rehash``)
    :ivar ca_buffer: trusted certificates, PEM
    :ivar certificate_buffer: the client's certificate, may be followed by its chain, PEM; counts before PKCS#12
    :ivar private_key_buffer: its key, PEM, not encrypted
    :ivar pkcs12_filepath: archive with certificate and key (RFC 7292), read by :class:`ClientTlsContext`
    :ivar pkcs12_buffer: the same as bytes
    :ivar pkcs12_password: its password; None means the empty one
    """

    __slots__ = (
        "min_tls_ver",
        "ca_dirpath",
        "ca_buffer",
        "cipher_pref",
        "alpn_list",
        "certificate_buffer",
        "private_key_buffer",
        "pkcs12_filepath",
        "pkcs12_buffer",
        "pkcs12_password",
        "verify_peer",
        "no_certificate_revocation",
        "_windows_cert_store_path",
        "_certificate_source",
        "_pkcs11_lib",
        "_pkcs11_user_pin",
        "_pkcs11_slot_id",
        "_pkcs11_token_label",
        "_pkcs11_private_key_label",
        "_pkcs11_cert_file_path",
        "_pkcs11_cert_file_contents",
    )

    def __init__(self) -> None:
        self.min_tls_ver = TlsVersion.DEFAULT
        self.cipher_pref = TlsCipherPref.DEFAULT
        self.verify_peer = True
        self.no_certificate_revocation = False
        self.ca_dirpath: Optional[str] = None
        self.ca_buffer: Optional[bytes] = None
        self.alpn_list: Optional[Iterable[str]] = None
        self.certificate_buffer: Optional[bytes] = None
        self.private_key_buffer: Optional[bytes] = None
        self.pkcs12_filepath: Optional[str] = None
        self.pkcs12_buffer: Optional[bytes] = None
        self.pkcs12_password: Optional[str] = None
        self._windows_cert_store_path: Optional[str] = None
        self._certificate_source: Optional[_CertificateSource] = None
        self._pkcs11_lib: Optional[Pkcs11Lib] = None
        self._pkcs11_user_pin: Optional[str] = None
        self._pkcs11_slot_id: Optional[int] = None
        self._pkcs11_token_label: Optional[str] = None
        self._pkcs11_private_key_label: Optional[str] = None
        self._pkcs11_cert_file_path: Optional[str] = None
        self._pkcs11_cert_file_contents: Any = None

    @staticmethod
    def create_client_with_mtls_from_path(cert_filepath: str, pk_filepath: str) -> TlsContextOptions:
        """Options for a client with a certificate (mutual TLS), from PEM files that are read now.

        :raises OSError: a file cannot be read
        """
        assert isinstance(cert_filepath, str)
        assert isinstance(pk_filepath, str)
        return TlsContextOptions.create_client_with_mtls(_read_file(cert_filepath), _read_file(pk_filepath))

    @staticmethod
    def create_client_with_mtls(cert_buffer: bytes, key_buffer: bytes) -> TlsContextOptions:
        """Options for a client with a certificate (mutual TLS).

        :param cert_buffer: PEM certificate, may be followed by its chain
        :param key_buffer: PEM private key, not encrypted
        """
        assert isinstance(cert_buffer, bytes)
        assert isinstance(key_buffer, bytes)
        options = TlsContextOptions()
        options.certificate_buffer = cert_buffer
        options.private_key_buffer = key_buffer
        options._certificate_source = _CertificateSource.CERTIFICATE_FILES
        return options

    @staticmethod
    def create_client_with_mtls_pkcs11(
        *,
        pkcs11_lib: Pkcs11Lib,
        user_pin: Union[str, None],
        slot_id: int = None,  # type: ignore[assignment]
        token_label: str = None,  # type: ignore[assignment]
        private_key_label: str = None,  # type: ignore[assignment]
        cert_file_path: str = None,  # type: ignore[assignment]
        cert_file_contents: Any = None,
    ) -> TlsContextOptions:
        """Options for a client whose private key stays on a PKCS#11 token (mutual TLS, up to TLS 1.2).

        :param pkcs11_lib: the token's module
        :param user_pin: PIN to log in with; None: the token has a keypad of its own
        :param slot_id: slot of the token; needed, or the label, when there are several
        :param token_label: label of the token
        :param private_key_label: label of the key; needed when the token has several private keys
        :param cert_file_path: PEM file with the key's certificate, may be followed by its chain
        :param cert_file_contents: the same as str or bytes; exactly one of the two is needed
        """
        options = TlsContextOptions()
        set_identity(
            options,
            pkcs11_lib,
            user_pin,
            slot_id,
            token_label,
            private_key_label,
            cert_file_path,
            cert_file_contents,
        )
        options._certificate_source = _CertificateSource.PKCS11
        return options

    @staticmethod
    def create_client_with_mtls_pkcs12(pkcs12_filepath: str, pkcs12_password: str) -> TlsContextOptions:
        """Options for a client with a certificate (mutual TLS) from a PKCS#12 archive.

        :param pkcs12_filepath: the archive, read when the context is made
        :param pkcs12_password: ``""`` for none
        """
        assert isinstance(pkcs12_filepath, str)
        assert isinstance(pkcs12_password, str)
        options = TlsContextOptions()
        options.pkcs12_filepath = pkcs12_filepath
        options.pkcs12_password = pkcs12_password
        options._certificate_source = _CertificateSource.PKCS12_FILE
        return options

    @staticmethod
    def create_client_with_mtls_pkcs12_from_bytes(pkcs12_buffer: bytes, pkcs12_password: str) -> TlsContextOptions:
        """The same from an archive in memory."""
        assert isinstance(pkcs12_buffer, bytes)
        assert isinstance(pkcs12_password, str)
        options = TlsContextOptions()
        options.pkcs12_buffer = pkcs12_buffer
        options.pkcs12_password = pkcs12_password
        options._certificate_source = _CertificateSource.PKCS12_FILE
        return options

    @staticmethod
    def create_client_with_mtls_windows_cert_store_path(cert_path: str) -> TlsContextOptions:
        r"""Options for a client with a certificate (mutual TLS) of a Windows certificate store.

        A context can be made from them on Windows only (else AWS_ERROR_PLATFORM_NOT_SUPPORTED).

        :param cert_path: ``CurrentUser\MY\<thumbprint>``
        """
        assert isinstance(cert_path, str)
        options = TlsContextOptions()
        options._windows_cert_store_path = cert_path
        options._certificate_source = _CertificateSource.WINDOWS_CERT_STORE
        return options

    @staticmethod
    def create_server_from_path(cert_filepath: str, pk_filepath: str) -> TlsContextOptions:
        """Options with a server's certificate and key, from PEM files that are read now; peers are not verified.

        :raises OSError: a file cannot be read
        """
        assert isinstance(cert_filepath, str)
        assert isinstance(pk_filepath, str)
        return TlsContextOptions.create_server(_read_file(cert_filepath), _read_file(pk_filepath))

    @staticmethod
    def create_server(cert_buffer: bytes, key_buffer: bytes) -> TlsContextOptions:
        """Options with a server's PEM certificate and key; peers are not verified."""
        assert isinstance(cert_buffer, bytes)
        assert isinstance(key_buffer, bytes)
        options = TlsContextOptions()
        options.certificate_buffer = cert_buffer
        options.private_key_buffer = key_buffer
        options.verify_peer = False
        return options

    @staticmethod
    def create_server_pkcs12(pkcs12_filepath: str, pkcs12_password: str) -> TlsContextOptions:
        """Options with a server's certificate and key from a PKCS#12 archive; peers are not verified."""
        assert isinstance(pkcs12_filepath, str)
        assert isinstance(pkcs12_password, str)
        options = TlsContextOptions()
        options.pkcs12_filepath = pkcs12_filepath
        options.pkcs12_password = pkcs12_password
        options.verify_peer = False
        return options

    def override_default_trust_store_from_path(
        self, ca_dirpath: Optional[str] = None, ca_filepath: Optional[str] = None
    ) -> None:
        """Trust these certificate authorities instead of the system's.

        :param ca_dirpath: directory of hashed certificates (``openssl rehash``)
        :param ca_filepath: PEM file, read now
        :raises OSError: the file cannot be read
        """
        assert isinstance(ca_dirpath, str) or ca_dirpath is None
        assert isinstance(ca_filepath, str) or ca_filepath is None
        if ca_filepath:
            self.ca_buffer = _read_file(ca_filepath)
        self.ca_dirpath = ca_dirpath

    def override_default_trust_store(self, rootca_buffer: bytes) -> None:
        """Trust the certificate authorities in this PEM text instead of the system's."""
        assert isinstance(rootca_buffer, bytes)
        self.ca_buffer = rootca_buffer

    def _pkcs12(self) -> Optional[bytes]:
        if self.certificate_buffer is not None:
            return None
        if self.pkcs12_buffer is None and self.pkcs12_filepath is not None:
            return _read_pkcs12(self.pkcs12_filepath)
        return self.pkcs12_buffer


class ClientTlsContext(NativeResource):
    """A TLS context: immutable, thread-safe, costly to make; share one between connections.

    The system's trust roots are loaded once per process, on a thread of their own; handshakes wait for them.

    :raises RuntimeError: AWS_ERROR_INVALID_ARGUMENT (no complete PEM block), AWS_IO_FILE_VALIDATION_FAILURE (a PEM
        block is not text), AWS_IO_TLS_CTX_ERROR (key and certificate do not match, wrong PKCS#12 password, bad ALPN
        list), AWS_IO_TLS_CIPHER_PREF_UNSUPPORTED, AWS_ERROR_FILE_INVALID_PATH (no such PKCS#12 archive),
        AWS_IO_TLS_ERROR_DEFAULT_TRUST_STORE_NOT_FOUND, AWS_ERROR_PLATFORM_NOT_SUPPORTED (Windows store);
        with PKCS#11 also AWS_ERROR_PKCS11_TOKEN_NOT_FOUND, AWS_ERROR_PKCS11_KEY_NOT_FOUND,
        AWS_ERROR_PKCS11_KEY_TYPE_UNSUPPORTED, AWS_ERROR_PKCS11_CKR_*, AWS_ERROR_FILE_INVALID_PATH (no certificate),
        AWS_IO_TLS_VERSION_UNSUPPORTED (TLS 1.3 as the oldest version)
    :raises ValueError: the slot's number is not within 0 to 2**64 - 1
    :raises TypeError: an option of another type than documented
    """

    __slots__ = ("_min_tls_ver", "_cipher_pref", "_certificate_source")

    def __init__(self, options: TlsContextOptions) -> None:
        assert isinstance(options, TlsContextOptions)
        super().__init__()
        self._min_tls_ver = options.min_tls_ver
        self._cipher_pref = options.cipher_pref
        self._certificate_source = options._certificate_source
        self._binding = _core.tls_context_new(
            options.min_tls_ver.value,
            options.cipher_pref.value,
            bool(options.verify_peer),
            bool(options.no_certificate_revocation),
            options.ca_buffer,
            options.ca_dirpath,
            options.certificate_buffer,
            options.private_key_buffer,
            _alpn_text(options.alpn_list) if options.alpn_list else None,
            options._pkcs12(),
            options.pkcs12_password,
            options._windows_cert_store_path,
            identity_of(options),
        )

    def new_connection_options(self) -> TlsConnectionOptions:
        """Options for connections that use this context."""
        return TlsConnectionOptions(self)


class TlsConnectionOptions(NativeResource):
    """What may differ between connections of one context. Cheap; copied when a connection is made.

    :ivar tls_ctx: the context, kept alive
    """

    __slots__ = ("tls_ctx",)

    def __init__(self, tls_ctx: ClientTlsContext) -> None:
        assert isinstance(tls_ctx, ClientTlsContext)
        super().__init__()
        self.tls_ctx = tls_ctx
        self._binding = _core.tls_options_new(tls_ctx)

    def set_alpn_list(self, alpn_list: Iterable[str]) -> None:
        """Offer these protocols instead of the context's, most preferred first.

        At most 4 of 127 bytes each; more make the connection fail (AWS_IO_TLS_CTX_ERROR).

        :raises TypeError: None, empty, or an item that is not a str
        :raises RuntimeError: an empty name (AWS_IO_TLS_CTX_ERROR)
        """
        if not alpn_list:
            raise TypeError("alpn_list must name at least one protocol")
        _core.tls_options_set_alpn(self, _alpn_text(alpn_list))

    def set_server_name(self, server_name: str) -> None:
        """Name for SNI (RFC 6066) and for the check of the server's certificate; ``""`` unsets it.

        Clients that know the host fill it in themselves. An IP address is checked against the addresses in the
        certificate, and not sent: RFC 6066 (section 3) allows only names.
        """
        _core.tls_options_set_server_name(self, server_name)

    def set_negotiation_timeout_ms(self, timeout_ms: int) -> None:
        """Limit the TLS handshake: milliseconds from the established connection on; 10,000 unless set.

        Then the connection fails with AWS_IO_TLS_NEGOTIATION_TIMEOUT.

        :raises ValueError: not within 1 to 4,294,967,295
        """
        if not isinstance(timeout_ms, int):
            raise TypeError(f"timeout_ms must be an int, got {type(timeout_ms).__name__}")
        if not 1 <= timeout_ms <= _MAX_TIMEOUT_MS:
            raise ValueError(f"timeout_ms must be within 1 to {_MAX_TIMEOUT_MS}, got {timeout_ms}")
        _core.tls_options_set_timeout(self, timeout_ms)


def is_alpn_available() -> bool:
    """True when TLS connections can negotiate a protocol (RFC 7301); so with every TLS stack there is."""
    return True


for _public in (TlsVersion, TlsCipherPref, TlsContextOptions, ClientTlsContext, TlsConnectionOptions):
    _public.__module__ = "awscrt.io"
_CertificateSource.__module__ = is_alpn_available.__module__ = "awscrt.io"
