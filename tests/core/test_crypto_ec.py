"""EC keys, ECDSA signatures and their encodings against RFC 6979 and OpenSSL."""

import base64
import hashlib
import os
import pickle
import shutil
import subprocess
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awscrt import NativeResource
from awscrt.crypto import EC, ED25519, RSA, ECExportFormat, ECPublicCoords, ECRawSignature, ECType, ED25519ExportFormat

from .crypto_support import BUFFERS, NO_BUFFERS, raises_code, vectors

VECTORS = vectors("crypto_ec.json")
KEYS = VECTORS["keys"]
WIDTH = {ECType.P_256: 32, ECType.P_384: 48}
EXPORT_LENGTH = {ECType.P_256: (121, 138, 91), ECType.P_384: (167, 185, 120)}

UNSUPPORTED_OPERATION = 6
INVALID_ARGUMENT = 34
MISSING_COMPONENT = 7169
MALFORMED_ASN1 = 7172
UNSUPPORTED_ALGORITHM = 7174
UNSUPPORTED_KEY_FORMAT = 7178
OPERATION_FAILED = 7179


def key_id(key):
    return key.get("what", key["curve"])


def load(key, form="PKCS8"):
    return EC.new_key_from_der_data(bytes.fromhex(key[form]))


@pytest.fixture(scope="module", params=ECType, ids=lambda t: t.name)
def generated(request):
    return request.param, EC.new_generate(request.param)


@pytest.fixture(scope="module")
def key():
    return load(KEYS[0])


@pytest.fixture(scope="module")
def public():
    return load(KEYS[0], "SPKI")


# ---- import and export ----


@pytest.mark.parametrize("key", KEYS, ids=key_id)
@pytest.mark.parametrize("form", ECExportFormat, ids=str)
def test_exports_are_those_of_openssl(key, form):
    loaded = load(key, form.name)
    assert isinstance(loaded, NativeResource)
    assert loaded.export_key(ECExportFormat.SPKI).hex() == key["SPKI"]
    if form == ECExportFormat.SPKI:
        for private in (ECExportFormat.SEC1, ECExportFormat.PKCS8):
            with raises_code(MISSING_COMPONENT):
                loaded.export_key(private)
    else:
        for private in (ECExportFormat.SEC1, ECExportFormat.PKCS8):
            assert loaded.export_key(private).hex() == key[private.name]


@pytest.mark.parametrize("key", KEYS, ids=key_id)
def test_coordinates_have_the_width_of_the_curve(key):
    coordinates = load(key, "SPKI").get_public_coords()
    assert isinstance(coordinates, ECPublicCoords)
    assert (coordinates.x.hex(), coordinates.y.hex()) == (key["x"], key["y"])


def test_generated_keys(generated):
    type_, key = generated
    exports = [key.export_key(form) for form in ECExportFormat]
    assert tuple(map(len, exports)) == EXPORT_LENGTH[type_]
    coordinates = key.get_public_coords()
    assert len(coordinates.x) == len(coordinates.y) == WIDTH[type_]
    for export in exports:
        again = EC.new_key_from_der_data(export)
        assert again.get_public_coords() == coordinates
        assert again.export_key(ECExportFormat.SPKI) == exports[2]
    for export in exports[:2]:
        assert [EC.new_key_from_der_data(export).export_key(form) for form in ECExportFormat] == exports
    assert EC.new_generate(type_).export_key(ECExportFormat.SEC1) != exports[0]


@pytest.mark.parametrize("what", VECTORS["accepted"])
def test_variants_that_are_accepted(what):
    key = EC.new_key_from_der_data(bytes.fromhex(VECTORS["accepted"][what]))
    same = EC.new_key_from_der_data(key.export_key(ECExportFormat.SPKI))
    assert same.get_public_coords() == key.get_public_coords()
    if what.startswith("PKCS#8"):
        assert same.verify(b"digest", key.sign(b"digest"))


@pytest.mark.parametrize("code, what", [(code, what) for code, cases in VECTORS["refused"].items() for what in cases])
def test_refused_encodings(code, what):
    with raises_code(code):
        EC.new_key_from_der_data(bytes.fromhex(VECTORS["refused"][code][what]))


def test_pem_text_is_not_der():
    text = (
        b"-----BEGIN PUBLIC KEY-----\n"
        + base64.b64encode(bytes.fromhex(KEYS[0]["SPKI"]))
        + b"\n-----END PUBLIC KEY-----"
    )
    with raises_code(MALFORMED_ASN1):
        EC.new_key_from_der_data(text)


@pytest.mark.parametrize("form", ECExportFormat, ids=str)
@pytest.mark.parametrize("key", KEYS[:2], ids=key_id)
def test_cut_off_keys(key, form):
    der = bytes.fromhex(key[form.name])
    for size in range(1, len(der)):
        with raises_code(MALFORMED_ASN1):
            EC.new_key_from_der_data(der[:size])


@settings(max_examples=400, deadline=None)
@given(
    which=st.sampled_from(KEYS[:2]),
    form=st.sampled_from(ECExportFormat),
    at=st.integers(0, 200),
    value=st.integers(1, 255),
)
def test_damaged_keys(which, form, at, value):
    """Refused, or another key whose parts fit: never one that claims to be the old one."""
    der = bytearray.fromhex(which[form.name])
    der[at % len(der)] ^= value
    try:
        loaded = EC.new_key_from_der_data(der)
    except RuntimeError as error:
        assert int(str(error).split()[0]) in (MALFORMED_ASN1, UNSUPPORTED_KEY_FORMAT, OPERATION_FAILED)
        return
    if form != ECExportFormat.SPKI:
        assert loaded.verify(b"digest", loaded.sign(b"digest"))


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=100))
def test_arbitrary_bytes(data):
    with pytest.raises(RuntimeError, match="^71(72|78) "):
        EC.new_key_from_der_data(data)
    with raises_code(MALFORMED_ASN1):
        EC.decode_der_signature(b"\x00" + data)


@pytest.mark.parametrize("type_", [-1, 2, 255, 2**31, 2**64, -(2**70)])
def test_unknown_curves(type_):
    with raises_code(UNSUPPORTED_ALGORITHM):
        EC.new_generate(type_)


@pytest.mark.parametrize("form", [-1, 3, 255, 2**64])
def test_unknown_formats(key, public, form):
    for loaded in (key, public):
        with raises_code(UNSUPPORTED_OPERATION):
            loaded.export_key(form)


# ---- signatures ----


@pytest.mark.parametrize("key", KEYS[:2], ids=key_id)
@pytest.mark.parametrize("form", ECExportFormat, ids=str)
def test_known_signatures(key, form):
    loaded = load(key, form.name)
    for case in key["valid"]:
        assert loaded.verify(bytes.fromhex(case["digest"]), bytes.fromhex(case["signature"])) is True, case["what"]
    for case in key["invalid"]:
        assert loaded.verify(bytes.fromhex(case["digest"]), bytes.fromhex(case["signature"])) is False, case["what"]


@settings(max_examples=100, deadline=None)
@given(digest=st.binary(max_size=100), flip=st.integers(0, 10**6))
def test_sign_and_verify(generated, digest, flip):
    type_, key = generated
    signature = key.sign(digest)
    public = EC.new_key_from_der_data(key.export_key(ECExportFormat.SPKI))
    assert public.verify(digest, signature) is True
    altered = bytearray(signature)
    altered[flip // 8 % len(altered)] ^= 1 << flip % 8
    assert public.verify(digest, altered) is False


def test_the_leftmost_bits_count(generated):
    """ECDSA uses as many bits of the digest as the order has (FIPS 186-5 section 6.4.1)."""
    type_, key = generated
    digest = bytes(range(1, WIDTH[type_] + 1))
    signature = key.sign(digest + b"beyond")
    assert key.verify(digest, signature) is True
    assert key.verify(digest + b"other", signature) is True
    assert key.verify(digest[:-1] + b"\xff", signature) is False


@pytest.mark.parametrize("size", [0, 1, 20, 31, 32, 33, 48, 49, 64, 100000])
def test_digests_of_every_length(generated, size):
    type_, key = generated
    digest = b"\x5a" * size
    signature = key.sign(digest)
    assert key.verify(digest, signature) is True
    assert key.sign(digest) != signature
    assert key.verify(b"\x5b" * max(size, 1), signature) is False


def test_a_public_key_does_not_sign(public):
    with raises_code(INVALID_ARGUMENT):
        public.sign(bytes(32))


def test_other_keys_do_not_verify(key):
    signature = key.sign(b"digest")
    assert EC.new_generate(ECType.P_256).verify(b"digest", signature) is False
    assert EC.new_generate(ECType.P_384).verify(b"digest", signature) is False


# ---- DER signatures ----


@pytest.mark.parametrize(
    "der, r, s",
    [
        ("3006020101020102", "01", "02"),
        ("3006020100020100", "00", "00"),
        ("300702020080020101", "80", "01"),
        ("300702020001020101", "01", "01"),
        ("30080203000081020101", "81", "01"),
        ("30810602010102017f", "01", "7f"),
    ],
)
def test_decoding(der, r, s):
    signature = EC.decode_der_signature(bytes.fromhex(der))
    assert isinstance(signature, ECRawSignature)
    assert (signature.r.hex(), signature.s.hex()) == (r, s)
    padded = EC.decode_der_signature_to_padded_pair(bytes.fromhex(der), 4)
    assert padded.hex() == r.zfill(8) + s.zfill(8)


@pytest.mark.parametrize(
    "der",
    [
        "",
        "30",
        "3000",
        "3003020101",
        "30060201010201",
        "300602010102010100",
        "30070201010201010a",
        "3009020101020101020101",
        "3006020180020101",
        "3006020101020180",
        "30050200020101",
        "3106020101020101",
        "3006030101020101",
        "3080020101020101" + "0000",
        "3084ffffffff020101020101",
    ],
)
def test_malformed_signatures(der):
    with raises_code(MALFORMED_ASN1):
        EC.decode_der_signature(bytes.fromhex(der))
    with raises_code(MALFORMED_ASN1):
        EC.decode_der_signature_to_padded_pair(bytes.fromhex(der), 32)


def test_padding():
    signature = EC.encode_raw_signature(ECRawSignature(b"\x01" * 5, b"\x02" * 3))
    for pad_to in (5, 6, 32, 256):
        pair = EC.decode_der_signature_to_padded_pair(signature, pad_to)
        assert pair == (b"\x01" * 5).rjust(pad_to, b"\0") + (b"\x02" * 3).rjust(pad_to, b"\0")
    for pad_to in (4, 3, 0, -1, 257, 2**31, 2**64, -(2**64)):
        with raises_code(INVALID_ARGUMENT):
            EC.decode_der_signature_to_padded_pair(signature, pad_to)
    for pad_to in (None, "5", 5.0, b"5"):
        with pytest.raises(TypeError):
            EC.decode_der_signature_to_padded_pair(signature, pad_to)


@settings(max_examples=200, deadline=None)
@given(r=st.binary(max_size=112), s=st.binary(max_size=112))
def test_encoding_round_trip(r, s):
    der = EC.encode_raw_signature(ECRawSignature(r, s))
    r, s = r.lstrip(b"\0"), s.lstrip(b"\0")
    if not r or not s:  # without a content octet: that is what the reference makes of nothing
        assert b"\x02\x00" in der
        return
    assert EC.decode_der_signature(der) == (r, s)
    assert len(EC.decode_der_signature_to_padded_pair(der, 256)) == 512


def test_encoding():
    encode = EC.encode_raw_signature
    assert encode(ECRawSignature(b"", b"")).hex() == "300402000200"
    assert encode(ECRawSignature(b"\0\0\1", b"\x80")).hex() == "3007020101" + "02020080"
    assert len(encode(ECRawSignature(b"\xff" * 224, b""))) == 3 + 4 + 224 + 2
    for r, s in [(b"\1" * 225, b""), (b"", b"\1" * 225), (b"\1" * 113, b"\1" * 112), (bytes(10**6), bytes(10**6))]:
        with raises_code(INVALID_ARGUMENT):
            encode(ECRawSignature(r, s))
    like = type("Signature", (), {"r": b"\1", "s": bytearray(b"\2")})()
    assert encode(like).hex() == "3006020101020102"


@pytest.mark.parametrize("value", [*NO_BUFFERS, "text"], ids=repr)
def test_encoding_of_wrong_types(value):
    with pytest.raises(TypeError):
        EC.encode_raw_signature(ECRawSignature(value, b""))
    with pytest.raises(TypeError):
        EC.encode_raw_signature(ECRawSignature(b"", value))
    with pytest.raises(AttributeError):
        EC.encode_raw_signature(value)


# ---- arguments ----


@pytest.mark.parametrize("shape", BUFFERS)
def test_any_contiguous_buffer(key, shape):
    make = BUFFERS[shape]
    signature = key.sign(make(b"digest"))
    assert key.verify(make(b"digest"), make(signature))
    assert EC.decode_der_signature(make(signature)) == EC.decode_der_signature(signature)
    loaded = EC.new_key_from_der_data(make(bytes.fromhex(KEYS[0]["SPKI"])))
    assert loaded.get_public_coords() == key.get_public_coords()


@pytest.mark.parametrize("value", [*NO_BUFFERS, "text"], ids=repr)
def test_wrong_types(key, value):
    for call in (
        lambda: key.sign(value),
        lambda: key.verify(value, b""),
        lambda: key.verify(b"", value),
        lambda: EC.new_key_from_der_data(value),
        lambda: EC.decode_der_signature(value),
        lambda: EC.decode_der_signature_to_padded_pair(value, 32),
    ):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("value", [None, "0", 0.0, b"0", [], object()], ids=repr)
def test_enumerations_are_ints(key, value):
    with pytest.raises(TypeError):
        EC.new_generate(value)
    with pytest.raises(TypeError):
        key.export_key(value)
    with pytest.raises(TypeError):
        ED25519.new_generate().export_public_key(value)
    with pytest.raises(TypeError):
        ED25519.new_generate().export_private_key(value)


@pytest.mark.parametrize(
    "binding", [None, 5, object(), ED25519.new_generate()._binding], ids=["None", "int", "object", "ED25519"]
)
def test_foreign_bindings(binding):
    key = EC(binding)
    for call in (lambda: key.sign(b""), lambda: key.verify(b"", b""), lambda: key.export_key(0), key.get_public_coords):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError):
        ED25519(EC.new_generate(0)._binding).export_public_key(0)


def test_no_pickle(key):
    for value in (key, ED25519.new_generate()):
        with pytest.raises(TypeError):
            pickle.dumps(value)


def test_one_key_in_many_threads(key):
    wrong = []

    def work():
        for number in range(50):
            digest = hashlib.sha256(bytes([number])).digest()
            if not key.verify(digest, key.sign(digest)):
                wrong.append(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_keys_go_through_fork(run_python):
    program = """
import os, sys
from awscrt.crypto import EC, ECType, Hash
key = EC.new_generate(ECType.P_256)
signature = key.sign(b"digest")
half = Hash.sha256_new()
half.update(b"a")
child = os.fork()
if child == 0:
    half.update(b"b")
    ok = key.verify(b"digest", signature) and key.verify(b"d", key.sign(b"d"))
    os._exit(0 if ok and half.digest()[:2] == bytes.fromhex("fb8e") else 1)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert key.verify(b"digest", signature)
half.update(b"b")
print(half.digest().hex())
"""
    result = run_python(program)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.strip() == hashlib.sha256(b"ab").hexdigest()


# ---- Ed25519 ----


def string(data):
    return len(data).to_bytes(4, "big") + data


def test_ed25519_raw():
    key = ED25519.new_generate()
    assert isinstance(key, NativeResource)
    seed = key.export_private_key(ED25519ExportFormat.RAW)
    assert len(seed) == len(key.export_public_key(ED25519ExportFormat.RAW)) == 32
    assert seed == key.export_private_key(0) != ED25519.new_generate().export_private_key(0)


def test_ed25519_openssh():
    key = ED25519.new_generate()
    seed, point = key.export_private_key(0), key.export_public_key(0)
    public = string(b"ssh-ed25519") + string(point)
    text = key.export_public_key(ED25519ExportFormat.OPENSSH_B64)
    assert len(text) == 68 and base64.b64decode(text, validate=True) == public

    texts = [key.export_private_key(ED25519ExportFormat.OPENSSH_B64) for _ in range(2)]
    assert texts[0] != texts[1] and {len(text) for text in texts} == {312}
    for text in texts:
        container = base64.b64decode(text, validate=True)
        head = b"openssh-key-v1\0" + string(b"none") + string(b"none") + string(b"") + b"\0\0\0\1" + string(public)
        assert container.startswith(head)
        secret = container[len(head) + 4 :]
        assert container[len(head) :] == string(secret) and len(secret) % 8 == 0
        assert secret[:4] == secret[4:8]
        assert secret[8:] == public + string(seed + point) + string(b"") + b"\1\2\3\4\5"


def test_ed25519_unknown_formats():
    key = ED25519.new_generate()
    for form in (-1, 2, 255, 2**64):
        with raises_code(UNSUPPORTED_KEY_FORMAT):
            key.export_public_key(form)
        with raises_code(UNSUPPORTED_KEY_FORMAT):
            key.export_private_key(form)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed")
def test_ed25519_is_understood_by_openssh(tmp_path):
    key = ED25519.new_generate()
    armour = b"-----BEGIN OPENSSH PRIVATE KEY-----\n%s\n-----END OPENSSH PRIVATE KEY-----\n"
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(armour % key.export_private_key(ED25519ExportFormat.OPENSSH_B64))
    printed = subprocess.run(["ssh-keygen", "-y", "-f", str(path)], stdout=subprocess.PIPE, timeout=30, check=True)
    assert printed.stdout.split() == [b"ssh-ed25519", key.export_public_key(ED25519ExportFormat.OPENSSH_B64)]


def test_rsa_is_no_ec():
    with pytest.raises(TypeError):
        RSA.sign(EC.new_generate(0), 0, bytes(32))
