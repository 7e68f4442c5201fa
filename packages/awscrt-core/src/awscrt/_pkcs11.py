"""PKCS#11 modules and the keys on their tokens; public through :mod:`awscrt.io`."""

from __future__ import annotations

import os
from enum import IntEnum

from awscrt import NativeResource, _core

TYPE_CHECKING = False  # as in awscrt.io
if TYPE_CHECKING:
    from typing import Any, Optional

    from awscrt.io import TlsContextOptions

__all__ = ["Pkcs11Lib"]


class _InitializeFinalizeBehavior(IntEnum):
    """Who calls ``C_Initialize`` and ``C_Finalize``, of which a process may do each once.

    DEFAULT: this object initializes, unless that was done before, and nobody finalizes. OMIT: the program does both.
    STRICT: this object must be the first to initialize, and finalizes when it and everything made with it are gone.
    """

    DEFAULT = 0
    OMIT = 1
    STRICT = 2


_InitializeFinalizeBehavior.__name__ = "InitializeFinalizeBehavior"
_InitializeFinalizeBehavior.__qualname__ = "Pkcs11Lib.InitializeFinalizeBehavior"
_InitializeFinalizeBehavior.__module__ = "awscrt.io"


class Pkcs11Lib(NativeResource):
    """A PKCS#11 module (v2.20 to v2.40): the driver of an HSM, a TPM or a smart card.

    :param file: path of the shared library
    :param behavior: who initializes and finalizes; None is DEFAULT
    :raises RuntimeError: AWS_IO_SHARED_LIBRARY_LOAD_FAILURE, AWS_IO_SHARED_LIBRARY_FIND_SYMBOL_FAILURE (no PKCS#11
        module), AWS_ERROR_PKCS11_VERSION_UNSUPPORTED, AWS_ERROR_PKCS11_CKR_CRYPTOKI_ALREADY_INITIALIZED (STRICT),
        AWS_ERROR_PKCS11_CKR_CRYPTOKI_NOT_INITIALIZED (OMIT) or another AWS_ERROR_PKCS11_CKR_*,
        AWS_ERROR_INVALID_ARGUMENT (behavior)
    """

    InitializeFinalizeBehavior = _InitializeFinalizeBehavior

    def __init__(self, *, file: str, behavior: Optional[_InitializeFinalizeBehavior] = None) -> None:
        super().__init__()
        if behavior is None:
            behavior = _InitializeFinalizeBehavior.DEFAULT
        self._binding = _core.pkcs11_lib_new(file, behavior)


Pkcs11Lib.__module__ = "awscrt.io"


def set_identity(
    options: TlsContextOptions,
    pkcs11_lib: Pkcs11Lib,
    user_pin: Optional[str],
    slot_id: Optional[int],
    token_label: Optional[str],
    private_key_label: Optional[str],
    cert_file_path: Optional[str],
    cert_file_contents: Any,
) -> None:
    """Fills in the PKCS#11 part of options; types are checked now, everything else with the context."""
    assert isinstance(pkcs11_lib, Pkcs11Lib)
    assert isinstance(slot_id, int) or slot_id is None
    for text in (user_pin, token_label, private_key_label, cert_file_path):
        assert isinstance(text, str) or text is None
    options._pkcs11_lib = pkcs11_lib
    options._pkcs11_user_pin = user_pin
    options._pkcs11_slot_id = slot_id
    options._pkcs11_token_label = token_label
    options._pkcs11_private_key_label = private_key_label
    options._pkcs11_cert_file_path = cert_file_path
    options._pkcs11_cert_file_contents = cert_file_contents


def _utf8(text: Optional[str]) -> Optional[bytes]:
    return None if text is None else text.encode()


def identity_of(options: TlsContextOptions) -> Optional[tuple[Any, ...]]:
    """The PKCS#11 part of options as :func:`awscrt._core.tls_context_new` takes it; None: there is none.

    :raises ValueError: the slot's number is not within 0 to 2**64 - 1
    :raises TypeError: the certificate is neither str nor bytes
    """
    if options._pkcs11_lib is None:
        return None
    slot_id, path, contents = (
        options._pkcs11_slot_id,
        options._pkcs11_cert_file_path,
        options._pkcs11_cert_file_contents,
    )
    if slot_id is not None and not 0 <= slot_id < 1 << 64:
        raise ValueError(f"slot_id must be within 0 and 2**64 - 1, got {slot_id}")
    if isinstance(contents, str):
        contents = contents.encode()
    elif contents is not None:
        contents = memoryview(contents).tobytes()
    return (
        options._pkcs11_lib,
        _utf8(options._pkcs11_user_pin),
        slot_id,
        _utf8(options._pkcs11_token_label),
        _utf8(options._pkcs11_private_key_label),
        None if path is None else os.fsencode(path),
        contents,
    )
