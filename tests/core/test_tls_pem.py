"""PEM texts of all kinds: whatever surrounds and formats the blocks, the verdict is about what they contain."""

from __future__ import annotations

import base64
import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from awscrt.io import ClientTlsContext, TlsContextOptions

KNOWN_CODES = ("34 (", "1033 (", "1038 (")
relaxed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def ders(tls_certs):
    def decode(pem):
        return base64.b64decode(b"".join(pem.splitlines()[1:-1]))

    client = tls_certs.client
    return {"CERTIFICATE": decode(client.certificate_pem), "PRIVATE KEY": decode(client.private_key_pem)}


def block(label, der, width, end_of_line, indent):
    lines = textwrap.wrap(base64.b64encode(der).decode(), width)
    return "".join(
        indent + line + end_of_line for line in [f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"]
    )


def verdict(certificate, key):
    """ "" or the message of the error."""
    try:
        ClientTlsContext(TlsContextOptions.create_client_with_mtls(certificate, key))
    except RuntimeError as error:
        assert str(error).startswith(KNOWN_CODES)
        return str(error)
    return ""


# Anything but the beginning of another block.
surroundings = st.binary(max_size=60).filter(lambda data: b"-----BEGIN" not in data)
formats = st.fixed_dictionaries(
    {
        "width": st.sampled_from([1, 3, 64, 76, 5000]),
        "end_of_line": st.sampled_from(["\n", "\r\n", "\r", " \n", "\n\n", "\t\n"]),
        "indent": st.sampled_from(["", " ", "\t"]),
    }
)


@relaxed
@given(before=surroundings, after=surroundings, cert_format=formats, key_format=formats)
def test_any_surroundings_and_any_format(ders, before, after, cert_format, key_format):
    certificate = before + block("CERTIFICATE", ders["CERTIFICATE"], **cert_format).encode() + after
    key = after + block("PRIVATE KEY", ders["PRIVATE KEY"], **key_format).encode() + before
    assert verdict(certificate, key) == ""


@relaxed
@given(data=st.data())
def test_a_cut_or_a_changed_byte_is_told_or_harmless(tls_certs, data):
    certificate, key = tls_certs.client.certificate_pem, bytearray(tls_certs.client.private_key_pem)
    at = data.draw(st.integers(0, len(key) - 1))
    if data.draw(st.booleans()):
        del key[at:]
    else:
        key[at] = data.draw(st.integers(0, 255))
    verdict(certificate, bytes(key))  # checks that only documented errors come


pieces = st.sampled_from(
    [b"-----BEGIN ", b"-----END ", b"-----", b"CERTIFICATE", b"PRIVATE KEY", b"\n", b"\r"]
    + [b"MIIB", b"====", b"\0", b"\xff", b"Proc-Type: 4,ENCRYPTED"]
)


@relaxed
@given(text=st.lists(pieces, max_size=24))
def test_pieces_of_pem_in_any_order(text):
    assert verdict(b"".join(text), b"".join(text)) != ""


@pytest.mark.parametrize(
    "change, code",
    [
        (lambda pem: b"", 34),
        (lambda pem: b"text", 34),
        (lambda pem: pem[: len(pem) // 2], 34),
        (lambda pem: pem + pem[: len(pem) // 2], 34),
        (lambda pem: pem.replace(b"MII", b"M\xffI", 1), 1038),
        (lambda pem: pem + pem.replace(b"MII", b"M\xffI", 1), 1038),
        (lambda pem: pem.replace(b"MII", b"M!I", 1), 1033),
        (lambda pem: pem.replace(b"END CERTIFICATE", b"END KEY"), 1033),
        (lambda pem: b"-----BEGIN CERTIFICATE-----\n" + pem, 1033),
        (lambda pem: pem.replace(b"CERTIFICATE", b"C" * 60), 1033),
        (lambda pem: pem + b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", 1033),
    ],
)
def test_damage_has_a_code(tls_certs, change, code):
    certificate = change(tls_certs.client.certificate_pem)
    assert verdict(certificate, tls_certs.client.private_key_pem).startswith(f"{code} (")
    options = TlsContextOptions()
    options.override_default_trust_store(certificate)
    with pytest.raises(RuntimeError, match=rf"^{code} \("):
        ClientTlsContext(options)


@pytest.mark.parametrize("change", [lambda pem: pem + b"\0", lambda pem: pem + pem, lambda pem: pem.rstrip()])
def test_harmless_things(tls_certs, change):
    assert verdict(change(tls_certs.client.certificate_pem), tls_certs.client.private_key_pem) == ""
