"""Hashes, message authentication codes and keys.

Data arguments are any contiguous buffer (bytes, bytearray, memoryview, arrays) and are read in place; hashes, HMAC and
PEM take str as UTF-8 as well. Keys may be used by several threads at once and by forked children; a :class:`Hash` or
:class:`HMAC` belongs to one thread at a time. Nothing here can be pickled.
"""

from __future__ import annotations

from collections import namedtuple
from enum import IntEnum

from awscrt import NativeResource, _core
from awscrt._core import HMAC, Hash, hmac_sha256, md5, sha1, sha256

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    from typing import Any, NamedTuple, Union

__all__ = [
    "EC",
    "ECExportFormat",
    "ECPublicCoords",
    "ECRawSignature",
    "ECType",
    "ED25519",
    "ED25519ExportFormat",
    "HMAC",
    "Hash",
    "NativeResource",
    "RSA",
    "RSAEncryptionAlgorithm",
    "RSASignatureAlgorithm",
    "hmac_sha256",
    "md5",
    "sha1",
    "sha256",
]


# ---- RSA ----


class RSAEncryptionAlgorithm(IntEnum):
    """Padding of RSA encryption (RFC 8017 section 7)."""

    PKCS1_5 = 0
    """RSAES-PKCS1-v1_5, for peers that know nothing else. Never tell a peer whether a decryption failed: that lets it
    decrypt other messages (Bleichenbacher)."""
    OAEP_SHA256 = 1
    """RSAES-OAEP with SHA-256, MGF1 with SHA-256, empty label."""
    OAEP_SHA512 = 2
    """RSAES-OAEP with SHA-512, MGF1 with SHA-512, empty label."""


class RSASignatureAlgorithm(IntEnum):
    """Padding and hash of RSA signatures (RFC 8017 section 8)."""

    PKCS1_5_SHA256 = 0
    """RSASSA-PKCS1-v1_5 of a SHA-256 digest."""
    PKCS1_5_SHA1 = 1
    """RSASSA-PKCS1-v1_5 of a SHA-1 digest, for old peers."""
    PSS_SHA256 = 2
    """RSASSA-PSS of a SHA-256 digest: MGF1 with SHA-256, 32 bytes of salt."""


class RSA(NativeResource):
    """An RSA key. One made of a private key does everything, one made of a public key :meth:`encrypt` and
    :meth:`verify`.

    Besides what the methods say, they raise TypeError for arguments of a wrong type and RuntimeError with
    AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM for an unknown algorithm.
    """

    def __init__(self, binding: Any) -> None:
        super().__init__()
        self._binding = binding

    @staticmethod
    def new_private_key_from_pem_data(pem_data: Union[str, bytes, bytearray, memoryview]) -> RSA:
        """The first ``RSA PRIVATE KEY`` (PKCS#1) or ``PRIVATE KEY`` (PKCS#8) block of the text; others are skipped.

        :raises ValueError: there are only blocks of other kinds, or encrypted ones
        :raises RuntimeError: no block, or a damaged one (AWS_ERROR_PEM_MALFORMED); a block whose contents are no RSA
            key (AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED, AWS_ERROR_CAL_UNSUPPORTED_KEY_FORMAT,
            AWS_ERROR_CAL_MALFORMED_ASN1_ENCOUNTERED)
        """
        return RSA(_core.rsa_private_pem(pem_data))

    @staticmethod
    def new_public_key_from_pem_data(pem_data: Union[str, bytes, bytearray, memoryview]) -> RSA:
        """The first ``RSA PUBLIC KEY`` (PKCS#1) block of the text; others are skipped.

        :raises ValueError: there are only blocks of other kinds (``PUBLIC KEY`` is one)
        :raises RuntimeError: no block, or a damaged one (AWS_ERROR_PEM_MALFORMED); a block whose contents are no RSA
            key (AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED)
        """
        return RSA(_core.rsa_public_pem(pem_data))

    @staticmethod
    def new_private_key_from_der_data(der_data: Union[bytes, bytearray, memoryview]) -> RSA:
        """From PKCS#1 (RFC 8017 appendix A.1.2); bytes behind it are ignored.

        :raises RuntimeError: not such a key, or one whose numbers contradict each other
            (AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED)
        """
        return RSA(_core.rsa_private_der(der_data))

    @staticmethod
    def new_public_key_from_der_data(der_data: Union[bytes, bytearray, memoryview]) -> RSA:
        """From PKCS#1 (RFC 8017 appendix A.1.1); bytes behind it are ignored.

        :raises RuntimeError: not such a key (AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED)
        """
        return RSA(_core.rsa_public_der(der_data))

    def encrypt(
        self, encryption_algorithm: RSAEncryptionAlgorithm, plaintext: Union[bytes, bytearray, memoryview]
    ) -> bytes:
        """The ciphertext, as long as the modulus of k bytes.

        :param plaintext: at most k - 11 (PKCS1_5), k - 66 (OAEP_SHA256) or k - 130 (OAEP_SHA512) bytes
        :raises RuntimeError: longer plaintext (AWS_ERROR_CAL_BUFFER_TOO_LARGE_FOR_ALGORITHM)
        """
        return _core.rsa_encrypt(self._binding, encryption_algorithm, plaintext)

    def decrypt(
        self, encryption_algorithm: RSAEncryptionAlgorithm, ciphertext: Union[bytes, bytearray, memoryview]
    ) -> bytes:
        """The plaintext.

        :raises RuntimeError: ciphertext that is not as long as the modulus (AWS_ERROR_INVALID_ARGUMENT), wrong padding
            or a public key (AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED)
        """
        return _core.rsa_decrypt(self._binding, encryption_algorithm, ciphertext)

    def sign(self, signature_algorithm: RSASignatureAlgorithm, digest: Union[bytes, bytearray, memoryview]) -> bytes:
        """The signature, as long as the modulus.

        :param digest: the hash of the message: 32 bytes, with PKCS1_5_SHA1 20
        :raises RuntimeError: more than 32 bytes (AWS_ERROR_INVALID_ARGUMENT), another wrong length, or a public key
            (AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED)
        """
        return _core.rsa_sign(self._binding, signature_algorithm, digest)

    def verify(
        self,
        signature_algorithm: RSASignatureAlgorithm,
        digest: Union[bytes, bytearray, memoryview],
        signature: Union[bytes, bytearray, memoryview],
    ) -> bool:
        """True when the signature is one of this key for the digest; False for whatever is wrong with either."""
        return _core.rsa_verify(self._binding, signature_algorithm, digest, signature)


# ---- EC ----


class ECType(IntEnum):
    """Curves (FIPS 186-5)."""

    P_256 = 0
    P_384 = 1


class ECExportFormat(IntEnum):
    """DER encodings of EC keys."""

    SEC1 = 0
    """Private key: ECPrivateKey (RFC 5915)."""
    PKCS8 = 1
    """Private key: PrivateKeyInfo (RFC 5208)."""
    SPKI = 2
    """Public key: SubjectPublicKeyInfo (RFC 5480)."""


if TYPE_CHECKING:

    class ECRawSignature(NamedTuple):
        r: bytes
        s: bytes

    class ECPublicCoords(NamedTuple):
        x: bytes
        y: bytes

else:
    ECRawSignature = namedtuple("ECRawSignature", ("r", "s"))
    ECRawSignature.__doc__ = "The two numbers of an ECDSA signature, big-endian."
    ECPublicCoords = namedtuple("ECPublicCoords", ("x", "y"))
    ECPublicCoords.__doc__ = "A public point, big-endian, each as wide as the curve: 32 or 48 bytes."


class EC(NativeResource):
    """An ECDSA key on P-256 or P-384: a private one, or a public one that only verifies.

    Besides what the methods say, they raise TypeError for arguments of a wrong type.
    """

    def __init__(self, binding: Any) -> None:
        super().__init__()
        self._binding = binding

    @staticmethod
    def new_generate(type: ECType) -> EC:
        """A new private key.

        :raises RuntimeError: unknown curve (AWS_ERROR_CAL_UNSUPPORTED_ALGORITHM)
        """
        return EC(_core.ec_generate(type))

    @staticmethod
    def new_key_from_der_data(der_data: Union[bytes, bytearray, memoryview]) -> EC:
        """From SubjectPublicKeyInfo, PKCS#8 or SEC 1; named curves and uncompressed points.

        :raises RuntimeError: not DER, or bytes behind it (AWS_ERROR_CAL_MALFORMED_ASN1_ENCOUNTERED); something else
            in DER (AWS_ERROR_CAL_UNSUPPORTED_KEY_FORMAT); a point that is not on the curve or not that of the private
            number (AWS_ERROR_CAL_CRYPTO_OPERATION_FAILED)
        """
        return EC(_core.ec_load(der_data))

    @staticmethod
    def decode_der_signature(signature: bytes) -> ECRawSignature:
        """r and s of a DER signature (RFC 3279 section 2.2.3), big-endian without leading zeros.

        :raises RuntimeError: not such a signature (AWS_ERROR_CAL_MALFORMED_ASN1_ENCOUNTERED)
        """
        return ECRawSignature(*_core.ec_decode_signature(signature))

    @staticmethod
    def decode_der_signature_to_padded_pair(signature: bytes, pad_to: int) -> bytes:
        """r and s of a DER signature, both filled up with zeros in front to ``pad_to`` bytes, one after the other.

        :raises RuntimeError: not such a signature (AWS_ERROR_CAL_MALFORMED_ASN1_ENCOUNTERED); pad_to is shorter than
            r or s, or more than 256 (AWS_ERROR_INVALID_ARGUMENT)
        """
        return _core.ec_decode_signature_padded(signature, pad_to)

    @staticmethod
    def encode_raw_signature(signature: ECRawSignature) -> bytes:
        """The DER signature of r and s; zeros in front of them do not matter.

        :raises RuntimeError: r and s have more than 224 bytes together (AWS_ERROR_INVALID_ARGUMENT)
        """
        return _core.ec_encode_signature(signature.r, signature.s)

    def export_key(self, export_format: ECExportFormat) -> bytes:
        """The key in DER.

        :raises RuntimeError: a private format of a public key (AWS_ERROR_CAL_MISSING_REQUIRED_KEY_COMPONENT); unknown
            format (AWS_ERROR_UNSUPPORTED_OPERATION)
        """
        return _core.ec_export(self._binding, export_format)

    def get_public_coords(self) -> ECPublicCoords:
        """The public point."""
        return ECPublicCoords(*_core.ec_public_coordinates(self._binding))

    def sign(self, digest: Union[bytes, bytearray, memoryview]) -> bytes:
        """A DER signature; another one each time.

        :param digest: the hash of the message; of one that is longer than the curve is wide, the first bytes count
        :raises RuntimeError: this is a public key (AWS_ERROR_INVALID_ARGUMENT)
        """
        return _core.ec_sign(self._binding, digest)

    def verify(
        self, digest: Union[bytes, bytearray, memoryview], signature: Union[bytes, bytearray, memoryview]
    ) -> bool:
        """True when the DER signature is one of this key for the digest; False for whatever is wrong with either."""
        return _core.ec_verify(self._binding, digest, signature)


# ---- Ed25519 ----


class ED25519ExportFormat(IntEnum):
    """Encodings of Ed25519 keys."""

    RAW = 0
    """32 bytes: the seed, or the public point (RFC 8032)."""
    OPENSSH_B64 = 1
    """Base64 text without line breaks: what stands between the lines of an OpenSSH key file, and behind
    ``ssh-ed25519`` in a public one."""


class ED25519(NativeResource):
    """An Ed25519 key pair, for SSH.

    Methods raise TypeError for a format that is no int, RuntimeError with AWS_ERROR_CAL_UNSUPPORTED_KEY_FORMAT for an
    unknown one.
    """

    def __init__(self, binding: Any) -> None:
        super().__init__()
        self._binding = binding

    @staticmethod
    def new_generate() -> ED25519:
        """A new key pair."""
        return ED25519(_core.ed25519_generate())

    def export_public_key(self, export_format: ED25519ExportFormat) -> bytes:
        """The public key."""
        return _core.ed25519_export_public(self._binding, export_format)

    def export_private_key(self, export_format: ED25519ExportFormat) -> bytes:
        """The private key, unencrypted. Two exports in OPENSSH_B64 differ in their random check words."""
        return _core.ed25519_export_private(self._binding, export_format)
