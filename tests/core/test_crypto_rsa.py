"""RSA keys, paddings and signatures against what OpenSSL made."""

import base64
import copy
import hashlib
import pickle
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awscrt import NativeResource
from awscrt.crypto import EC, RSA, ECType, RSAEncryptionAlgorithm, RSASignatureAlgorithm

from .crypto_support import BUFFERS, NO_BUFFERS, raises_code, vectors

VECTORS = vectors("crypto_rsa.json")
KEYS = {
    key["bits"]: {k: bytes.fromhex(v) if isinstance(v, str) else v for k, v in key.items()} for key in VECTORS["keys"]
}
KEY = KEYS[2048]
OVERHEAD = {
    RSAEncryptionAlgorithm.PKCS1_5: 11,
    RSAEncryptionAlgorithm.OAEP_SHA256: 66,
    RSAEncryptionAlgorithm.OAEP_SHA512: 130,
}
DIGEST = {
    RSASignatureAlgorithm.PKCS1_5_SHA256: KEY["sha256"],
    RSASignatureAlgorithm.PKCS1_5_SHA1: KEY["sha1"],
    RSASignatureAlgorithm.PSS_SHA256: KEY["sha256"],
}

INVALID_ARGUMENT = 34
PEM_MALFORMED = 1179
MALFORMED_ASN1 = 7172
UNSUPPORTED_ALGORITHM = 7174
BUFFER_TOO_LARGE = 7175
UNSUPPORTED_KEY_FORMAT = 7178
OPERATION_FAILED = 7179


def pem(label, der, width=64, newline="\n"):
    text = base64.b64encode(der).decode()
    lines = [text[i : i + width] for i in range(0, len(text), width)]
    return newline.join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


PRIVATE_PEM = pem("RSA PRIVATE KEY", KEY["private_pkcs1"])
PKCS8_PEM = pem("PRIVATE KEY", KEY["private_pkcs8"])
PUBLIC_PEM = pem("RSA PUBLIC KEY", KEY["public_pkcs1"])


@pytest.fixture(scope="module")
def private():
    return RSA.new_private_key_from_der_data(KEY["private_pkcs1"])


@pytest.fixture(scope="module")
def public():
    return RSA.new_public_key_from_der_data(KEY["public_pkcs1"])


def is_the_key(key, name="private"):
    assert isinstance(key, RSA) and isinstance(key, NativeResource)
    signature = bytes.fromhex(KEY["signatures"]["PKCS1_5_SHA256"])
    assert key.verify(RSASignatureAlgorithm.PKCS1_5_SHA256, KEY["sha256"], signature)
    if name == "private":  # deterministic
        assert key.sign(RSASignatureAlgorithm.PKCS1_5_SHA256, KEY["sha256"]) == signature
    return True


# ---- loading ----


def test_der():
    assert is_the_key(RSA.new_private_key_from_der_data(KEY["private_pkcs1"]))
    assert is_the_key(RSA.new_public_key_from_der_data(KEY["public_pkcs1"]), "public")
    assert is_the_key(RSA.new_private_key_from_der_data(KEY["private_pkcs1"] + b"trailing"))
    assert is_the_key(RSA.new_public_key_from_der_data(KEY["public_pkcs1"] + b"trailing"), "public")


@pytest.mark.parametrize("bits", VECTORS["other_sizes"])
def test_other_sizes(bits):
    key = RSA.new_private_key_from_der_data(bytes.fromhex(VECTORS["other_sizes"][bits]))
    signature = key.sign(RSASignatureAlgorithm.PKCS1_5_SHA256, KEY["sha256"])
    assert len(signature) == (int(bits) + 7) // 8
    assert key.verify(RSASignatureAlgorithm.PKCS1_5_SHA256, KEY["sha256"], signature)
    ciphertext = key.encrypt(RSAEncryptionAlgorithm.PKCS1_5, b"hello")
    assert key.decrypt(RSAEncryptionAlgorithm.PKCS1_5, ciphertext) == b"hello"


def test_paddings_that_do_not_fit_the_key():
    key = RSA.new_private_key_from_der_data(bytes.fromhex(VECTORS["other_sizes"]["512"]))
    with raises_code(OPERATION_FAILED):
        key.sign(RSASignatureAlgorithm.PSS_SHA256, KEY["sha256"])
    for algorithm in (RSAEncryptionAlgorithm.OAEP_SHA256, RSAEncryptionAlgorithm.OAEP_SHA512):
        with raises_code(OPERATION_FAILED):
            key.encrypt(algorithm, b"")
        with raises_code(BUFFER_TOO_LARGE):
            key.encrypt(algorithm, b"x")
        with raises_code(OPERATION_FAILED):
            key.decrypt(algorithm, bytes(64))


@pytest.mark.parametrize("what", VECTORS["refused_private"])
def test_refused_private_keys(what):
    der = bytes.fromhex(VECTORS["refused_private"][what])
    with raises_code(OPERATION_FAILED):
        RSA.new_private_key_from_der_data(der)
    with raises_code(PEM_MALFORMED if not der else OPERATION_FAILED):
        RSA.new_private_key_from_pem_data(pem("RSA PRIVATE KEY", der))


@pytest.mark.parametrize("what", VECTORS["refused_public"])
def test_refused_public_keys(what):
    der = bytes.fromhex(VECTORS["refused_public"][what])
    with raises_code(OPERATION_FAILED):
        RSA.new_public_key_from_der_data(der)
    with raises_code(PEM_MALFORMED if not der else OPERATION_FAILED):
        RSA.new_public_key_from_pem_data(pem("RSA PUBLIC KEY", der))


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(KEY["private_pkcs1"]) - 1), value=st.integers(1, 255))
def test_a_damaged_private_key_is_refused(at, value):
    der = bytearray(KEY["private_pkcs1"])
    der[at] ^= value
    with raises_code(OPERATION_FAILED):
        RSA.new_private_key_from_der_data(der)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data):
    for load in (RSA.new_private_key_from_der_data, RSA.new_public_key_from_der_data):
        with raises_code(OPERATION_FAILED):
            load(data)
    for load in (RSA.new_private_key_from_pem_data, RSA.new_public_key_from_pem_data):
        with raises_code(PEM_MALFORMED):
            load(data)


@pytest.mark.parametrize(
    "text",
    [
        PRIVATE_PEM,
        PKCS8_PEM,
        pem("RSA PRIVATE KEY", KEY["private_pkcs1"] + b"trailing"),
        pem("RSA PRIVATE KEY", KEY["private_pkcs1"], width=4),
        pem("RSA PRIVATE KEY", KEY["private_pkcs1"], width=254),
        pem("RSA PRIVATE KEY", KEY["private_pkcs1"], width=10**6),
        pem("RSA PRIVATE KEY", KEY["private_pkcs1"], newline="\r\n"),
        PRIVATE_PEM.replace("\n", "  \n"),
        PRIVATE_PEM.rstrip(),
        "subject: caf\u00e9\n\n" + PRIVATE_PEM,
        PRIVATE_PEM + "junk\n---",
        pem("CERTIFICATE", b"whatever") + PRIVATE_PEM,
        pem("PUBLIC KEY", KEY["public_spki"]) + PKCS8_PEM,
        PRIVATE_PEM + pem("RSA PRIVATE KEY", b"of no interest"),
        pem("ENCRYPTED PRIVATE KEY", b"whatever") + PRIVATE_PEM,
    ],
    ids=range(15),
)
def test_private_pem(text):
    assert is_the_key(RSA.new_private_key_from_pem_data(text))
    for shape in BUFFERS.values():
        assert is_the_key(RSA.new_private_key_from_pem_data(shape(text.encode())))


def test_public_pem():
    for text in (PUBLIC_PEM, PRIVATE_PEM + PUBLIC_PEM, "text\n" + PUBLIC_PEM.rstrip()):
        key = RSA.new_public_key_from_pem_data(text)
        assert is_the_key(key, "public")
        with raises_code(OPERATION_FAILED):
            key.sign(RSASignatureAlgorithm.PKCS1_5_SHA256, KEY["sha256"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no block",
        PRIVATE_PEM.split("-----END")[0],
        PRIVATE_PEM[:100] + "*" + PRIVATE_PEM[101:],
        PRIVATE_PEM[:100] + PRIVATE_PEM[101:],
        PRIVATE_PEM.replace("-----", "----"),
        PRIVATE_PEM.replace("END RSA", "END DSA"),
        "-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n",
        pem("CERTIFICATE", b"fine") + PRIVATE_PEM.split("-----END")[0],
    ],
    ids=range(9),
)
def test_malformed_pem(text):
    with raises_code(PEM_MALFORMED):
        RSA.new_private_key_from_pem_data(text)
    with raises_code(PEM_MALFORMED):
        RSA.new_public_key_from_pem_data(text.encode())


def test_pem_without_the_wanted_kind():
    encrypted = (
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n"
        "-----END RSA PRIVATE KEY-----\n"
    )
    for text in (PUBLIC_PEM, pem("PUBLIC KEY", KEY["public_spki"]), pem("ENCRYPTED PRIVATE KEY", b"x"), encrypted):
        with pytest.raises(ValueError, match="PRIVATE KEY"):
            RSA.new_private_key_from_pem_data(text)
    for text in (PRIVATE_PEM, PKCS8_PEM, pem("PUBLIC KEY", KEY["public_spki"]), encrypted):
        with pytest.raises(ValueError, match="RSA PUBLIC KEY"):
            RSA.new_public_key_from_pem_data(text)


def test_pkcs8_of_other_contents():
    der = KEY["private_pkcs8"]
    ec_key = bytes.fromhex(vectors("crypto_ec.json")["keys"][0]["PKCS8"])
    for other in (der.replace(b"\x02\x01\x00", b"\x02\x01\x01", 1), ec_key):
        with raises_code(UNSUPPORTED_KEY_FORMAT):
            RSA.new_private_key_from_pem_data(pem("PRIVATE KEY", other))
    for broken in (der + b"x", der[:-1], KEY["private_pkcs1"], b"hello"):
        with raises_code(MALFORMED_ASN1):
            RSA.new_private_key_from_pem_data(pem("PRIVATE KEY", broken))
    with raises_code(OPERATION_FAILED):  # well-formed around a key of which a prime was altered
        RSA.new_private_key_from_pem_data(pem("PRIVATE KEY", der[:-1] + bytes([der[-1] ^ 1])))


@pytest.mark.parametrize("value", NO_BUFFERS, ids=repr)
def test_loading_what_is_no_data(value):
    for load in (
        RSA.new_private_key_from_pem_data,
        RSA.new_public_key_from_pem_data,
        RSA.new_private_key_from_der_data,
        RSA.new_public_key_from_der_data,
    ):
        with pytest.raises(TypeError):
            load(value)


def test_der_is_no_text():
    for load in (RSA.new_private_key_from_der_data, RSA.new_public_key_from_der_data):
        with pytest.raises(TypeError):
            load("text")


# ---- encryption ----


@pytest.mark.parametrize("bits", KEYS)
@pytest.mark.parametrize("name", ["PKCS1_5", "OAEP_SHA256", "OAEP_SHA512"])
def test_decrypts_what_openssl_encrypted(bits, name):
    key = RSA.new_private_key_from_der_data(KEYS[bits]["private_pkcs1"])
    ciphertext = KEYS[bits]["ciphertexts"].get(name)
    if ciphertext is None:  # 128 bytes of modulus cannot hold two digests of 64 and more
        assert (bits, name) == (1024, "OAEP_SHA512")
        with raises_code(OPERATION_FAILED):
            key.encrypt(RSAEncryptionAlgorithm[name], b"")
        return
    assert key.decrypt(RSAEncryptionAlgorithm[name], bytes.fromhex(ciphertext)) == b"plaintext"


@pytest.mark.parametrize("bits", KEYS)
def test_wrong_padding(bits):
    key = RSA.new_private_key_from_der_data(KEYS[bits]["private_pkcs1"])
    for name, cases in KEYS[bits]["bad_ciphertexts"].items():
        for ciphertext in cases.values():
            with raises_code(OPERATION_FAILED):
                key.decrypt(RSAEncryptionAlgorithm[name], bytes.fromhex(ciphertext))
        # The context that failed is used again.
        assert key.decrypt(RSAEncryptionAlgorithm[name], bytes.fromhex(KEYS[bits]["ciphertexts"][name])) == b"plaintext"


@pytest.mark.parametrize("algorithm", RSAEncryptionAlgorithm, ids=str)
def test_encryption_round_trip(private, public, algorithm):
    longest = 256 - OVERHEAD[algorithm]
    for size in (0, 1, 17, longest):
        plaintext = bytes(range(256))[:size]
        ciphertext = public.encrypt(algorithm, plaintext)
        assert len(ciphertext) == 256 and ciphertext != public.encrypt(algorithm, plaintext)
        assert private.decrypt(algorithm, ciphertext) == plaintext
        assert private.decrypt(algorithm, private.encrypt(algorithm, plaintext)) == plaintext
    for size in (longest + 1, 256, 10000):
        with raises_code(BUFFER_TOO_LARGE):
            public.encrypt(algorithm, bytes(size))
    for size in (0, 1, 255, 257, 512):
        with raises_code(INVALID_ARGUMENT):
            private.decrypt(algorithm, bytes(size))
    with raises_code(OPERATION_FAILED):
        public.decrypt(algorithm, public.encrypt(algorithm, b"x"))
    with raises_code(OPERATION_FAILED):
        private.decrypt(algorithm, b"\xff" * 256)  # larger than the modulus


@settings(max_examples=60, deadline=None)
@given(plaintext=st.binary(max_size=126), algorithm=st.sampled_from(RSAEncryptionAlgorithm))
def test_every_plaintext_returns(private, plaintext, algorithm):
    assert private.decrypt(algorithm, private.encrypt(algorithm, plaintext)) == plaintext


@pytest.mark.parametrize("algorithm", [-1, 3, 255, 2**31, 2**63, 2**64, -(2**70)])
def test_unknown_algorithms(private, public, algorithm):
    with raises_code(UNSUPPORTED_ALGORITHM):
        public.encrypt(algorithm, b"")
    with raises_code(BUFFER_TOO_LARGE):  # nothing fits an algorithm that does not exist
        public.encrypt(algorithm, b"x")
    with raises_code(UNSUPPORTED_ALGORITHM):
        private.decrypt(algorithm, bytes(256))
    with raises_code(UNSUPPORTED_ALGORITHM):
        private.sign(algorithm, bytes(32))
    with raises_code(UNSUPPORTED_ALGORITHM):
        public.verify(algorithm, bytes(32), bytes(256))


# ---- signatures ----


@pytest.mark.parametrize("bits", KEYS)
@pytest.mark.parametrize("algorithm", RSASignatureAlgorithm, ids=str)
def test_signatures_of_openssl(bits, algorithm):
    key = RSA.new_public_key_from_der_data(KEYS[bits]["public_pkcs1"])
    signature = bytes.fromhex(KEYS[bits]["signatures"][algorithm.name])
    digest = KEYS[bits]["sha1" if "SHA1" in algorithm.name else "sha256"]
    assert key.verify(algorithm, digest, signature) is True
    assert key.verify(algorithm, bytes(len(digest)), signature) is False
    if algorithm != RSASignatureAlgorithm.PSS_SHA256:
        assert RSA.new_private_key_from_der_data(KEYS[bits]["private_pkcs1"]).sign(algorithm, digest) == signature


@pytest.mark.parametrize("bits", KEYS)
def test_altered_signatures(bits):
    key = RSA.new_public_key_from_der_data(KEYS[bits]["public_pkcs1"])
    for case in KEYS[bits]["bad_signatures"]:
        digest = KEYS[bits]["sha1" if case["algorithm"] == 1 else "sha256"]
        assert key.verify(case["algorithm"], digest, bytes.fromhex(case["signature"])) is False, case["what"]


@settings(max_examples=30, deadline=None)
@given(message=st.binary(max_size=64), algorithm=st.sampled_from(RSASignatureAlgorithm), flip=st.integers(0, 2047))
def test_sign_and_verify(private, public, message, algorithm, flip):
    digest = hashlib.sha1(message).digest() if "SHA1" in algorithm.name else hashlib.sha256(message).digest()
    signature = private.sign(algorithm, digest)
    assert len(signature) == 256
    assert public.verify(algorithm, digest, signature) is True
    assert (private.sign(algorithm, digest) == signature) is (algorithm != RSASignatureAlgorithm.PSS_SHA256)
    altered = bytearray(signature)
    altered[flip // 8] ^= 1 << flip % 8
    assert public.verify(algorithm, digest, altered) is False


@pytest.mark.parametrize("algorithm", RSASignatureAlgorithm, ids=str)
def test_digests_of_a_wrong_length(private, algorithm):
    expected = len(DIGEST[algorithm])
    signature = private.sign(algorithm, DIGEST[algorithm])
    for size in (0, 1, 16, 19, 20, 21, 31, 32):
        if size != expected:
            with raises_code(OPERATION_FAILED):
                private.sign(algorithm, bytes(size))
            assert private.verify(algorithm, bytes(size), signature) is False
    for size in (33, 64, 100000):
        with raises_code(INVALID_ARGUMENT):
            private.sign(algorithm, bytes(size))
        assert private.verify(algorithm, bytes(size), signature) is False


def test_a_public_key_does_not_sign(public):
    for algorithm, digest in DIGEST.items():
        with raises_code(OPERATION_FAILED):
            public.sign(algorithm, digest)


# ---- arguments ----


@pytest.mark.parametrize("shape", BUFFERS)
def test_any_contiguous_buffer(private, shape):
    make = BUFFERS[shape]
    algorithm = RSASignatureAlgorithm.PKCS1_5_SHA256
    signature = private.sign(algorithm, make(KEY["sha256"]))
    assert private.verify(algorithm, make(KEY["sha256"]), make(signature))
    ciphertext = private.encrypt(RSAEncryptionAlgorithm.OAEP_SHA256, make(b"x"))
    assert private.decrypt(RSAEncryptionAlgorithm.OAEP_SHA256, make(ciphertext)) == b"x"
    assert is_the_key(RSA.new_private_key_from_der_data(make(KEY["private_pkcs1"])))


@pytest.mark.parametrize("value", [*NO_BUFFERS, "text"], ids=repr)
def test_wrong_types(private, value):
    for method in (private.encrypt, private.decrypt, private.sign):
        with pytest.raises(TypeError):
            method(0, value)
    with pytest.raises(TypeError):
        private.verify(0, value, b"")
    with pytest.raises(TypeError):
        private.verify(0, b"", value)


@pytest.mark.parametrize("algorithm", [None, "0", 0.0, b"0", [], object()], ids=repr)
def test_an_algorithm_is_an_int(private, algorithm):
    for method in (private.encrypt, private.decrypt, private.sign):
        with pytest.raises(TypeError):
            method(algorithm, b"")
    with pytest.raises(TypeError):
        private.verify(algorithm, b"", b"")


def test_gaps_in_a_buffer_are_refused(private):
    with pytest.raises(BufferError):
        private.sign(0, memoryview(bytes(64))[::2])


@pytest.mark.parametrize(
    "binding", [None, 5, object(), EC.new_generate(ECType.P_256)._binding], ids=["None", "int", "object", "EC"]
)
def test_foreign_bindings(binding):
    key = RSA(binding)
    for call in (
        lambda: key.encrypt(0, b""),
        lambda: key.decrypt(0, b""),
        lambda: key.sign(0, b""),
        lambda: key.verify(0, b"", b""),
    ):
        with pytest.raises(TypeError):
            call()


def test_no_pickle(private):
    with pytest.raises(TypeError):
        pickle.dumps(private)
    with pytest.raises(TypeError):
        copy.deepcopy(private)


def test_one_key_in_many_threads(private):
    algorithm = RSASignatureAlgorithm.PKCS1_5_SHA256
    expected = private.sign(algorithm, KEY["sha256"])
    wrong = []

    def work():
        for _ in range(20):
            if private.sign(algorithm, KEY["sha256"]) != expected:
                wrong.append("sign")
            if not private.verify(algorithm, KEY["sha256"], expected):
                wrong.append("verify")
            if private.decrypt(0, private.encrypt(0, b"x")) != b"x":
                wrong.append("decrypt")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
