"""SigV4A against a derivation and a canonical request written out here; signatures are checked by their public key."""

import hashlib
import hmac
import io
import threading

import pytest

from awscrt.auth import AwsCredentials, AwsCredentialsProvider, AwsSignedBodyHeaderType, AwsSigningAlgorithm
from awscrt.crypto import EC

from .support import QUERY, STAMP, config, request, sign, signed_headers

ASYMMETRIC = AwsSigningAlgorithm.V4_ASYMMETRIC
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
LABEL = b"AWS4-ECDSA-P256-SHA256"


def derived_number(key_id, secret):
    """NIST SP 800-108 in counter mode, until there is a number below the order."""
    for counter in range(1, 255):
        fixed = b"\0\0\0\1" + LABEL + b"\0" + key_id.encode() + bytes([counter]) + b"\0\0\1\0"
        candidate = int.from_bytes(hmac.new(b"AWS4A" + secret.encode(), fixed, hashlib.sha256).digest(), "big")
        if candidate <= ORDER - 2:
            return candidate + 1
    raise AssertionError("254 numbers above the order")


def key_of(key_id, secret):
    """PKCS#8 (RFC 5958) without the public point: it is computed."""
    number = derived_number(key_id, secret).to_bytes(32, "big")
    start = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420"
    return EC.new_key_from_der_data(bytes.fromhex(start) + number)


def is_valid(key, canonical_request, signature, service="service"):
    text = "\n".join(
        [
            LABEL.decode(),
            STAMP,
            f"{STAMP[:8]}/{service}/aws4_request",
            hashlib.sha256(canonical_request.encode()).hexdigest(),
        ]
    )
    return key.verify(hashlib.sha256(text.encode()).digest(), bytes.fromhex(signature))


def signature_of(signed):
    text = signed.headers.get("Authorization") or signed.path
    return text.rpartition("Signature=")[2]


def canonical_headers(signed, names):
    lines = [f"{name}:{' '.join((signed.headers.get(name) or '').split())}\n" for name in names]
    return "".join(lines) + "\n" + ";".join(names)


def test_known_key():
    """The public point of a derived key that AWS's SDKs test with."""
    x, y = key_of("AKISORANDOMAASORANDOM", "q+jcrXGc+0zWN6uzclKVhvMmUsIfRPa4rlRandom").get_public_coords()
    assert bytes(x).hex() == "15d242ceebf8d8169fd6a8b5a746c41140414c3b07579038da06af89190fffcb"
    assert bytes(y).hex() == "0515242cedd82e94799482e4c0514b505afccf2c0c98d6a553bf539f424c5ec0"


@pytest.mark.parametrize(
    "key_id, secret", [("AKID", "SECRET"), ("A" * 200, "s" * 200), ("é", "中")], ids=["usual", "long", "utf-8"]
)
@pytest.mark.parametrize("token", [None, "TOKEN"])
@pytest.mark.parametrize("body", [None, b"some bytes"])
def test_headers(key_id, secret, token, body):
    provider = AwsCredentialsProvider.new_static(key_id, secret, token)
    signed = sign(
        request("PUT", "/a?b=1", [("Host", "h"), ("X-Two", "a   b")], io.BytesIO(body) if body else None),
        config(
            algorithm=ASYMMETRIC,
            region="us-*,eu-west-1",
            credentials_provider=provider,
            signed_body_header_type=AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        ),
    )
    added = ["X-Amz-Security-Token"] if token else []
    added += ["X-Amz-Date", "X-Amz-Region-Set", "x-amz-content-sha256", "Authorization"]
    assert [name for name, _ in signed.headers][2:] == added
    assert signed.headers.get("X-Amz-Region-Set") == "us-*,eu-west-1"
    assert f"Credential={key_id}/20150830/service/aws4_request" in signed.headers.get("Authorization")
    names = signed_headers(signed)
    payload = hashlib.sha256(body or b"").hexdigest()
    canonical = f"PUT\n/a\nb=1\n{canonical_headers(signed, names)}\n{payload}"
    assert is_valid(key_of(key_id, secret), canonical, signature_of(signed))
    assert not is_valid(key_of(key_id, secret + "x"), canonical, signature_of(signed))


def test_query():
    provider = AwsCredentialsProvider.new_static("AKID", "SECRET", "TO/KEN")
    options = {"algorithm": ASYMMETRIC, "region": "*", "signature_type": QUERY, "expiration_in_seconds": 9}
    signed = sign(request("GET", "/a?z=1", [("Host", "h")]), config(credentials_provider=provider, **options))
    path, _, query = signed.path.partition("?")
    parameters = query.split("&")
    assert [parameter.partition("=")[0] for parameter in parameters] == [
        "z",
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-SignedHeaders",
        "X-Amz-Expires",
        "X-Amz-Security-Token",
        "X-Amz-Region-Set",
        "X-Amz-Signature",
    ]
    assert "X-Amz-Region-Set=%2A" in parameters and "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256" in parameters
    canonical = f"GET\n{path}\n{'&'.join(sorted(parameters[:-1]))}\nhost:h\n\nhost\n{hashlib.sha256(b'').hexdigest()}"
    assert is_valid(key_of("AKID", "SECRET"), canonical, signature_of(signed))


def test_omitted_token_is_not_signed():
    provider = AwsCredentialsProvider.new_static("AKID", "SECRET", "TOKEN")
    signed = sign(request(), config(algorithm=ASYMMETRIC, credentials_provider=provider, omit_session_token=True))
    assert signed.headers.get("X-Amz-Security-Token") == "TOKEN"
    assert signed_headers(signed) == ["host", "x-amz-date", "x-amz-region-set"]


def test_every_signature_is_another_one():
    options = config(algorithm=ASYMMETRIC, region="*")
    assert len({signature_of(sign(request(), options)) for _ in range(20)}) == 20


def test_key_is_made_once_by_many_threads():
    """Fresh credentials, used by all threads at once for the first time."""
    key = key_of("AKID", "SECRET")
    canonical = "GET\n/\n\nhost:h\n{}\nhost;x-amz-date;x-amz-region-set\n" + hashlib.sha256(b"").hexdigest()
    canonical = canonical.format(f"x-amz-date:{STAMP}\nx-amz-region-set:*\n")
    for _ in range(10):
        credentials = AwsCredentials("AKID", "SECRET")
        options = config(
            algorithm=ASYMMETRIC,
            region="*",
            credentials_provider=AwsCredentialsProvider.new_delegate(lambda made=credentials: made),
        )
        valid = []
        start = threading.Barrier(4)

        def work(options=options, valid=valid, start=start):
            start.wait(20)
            signed = sign(request(headers=[("Host", "h")]), options)
            valid.append(is_valid(key, canonical, signature_of(signed)))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert valid == [True] * 4


def test_nothing_leaks(no_native_leak):
    for _ in range(5):
        provider = AwsCredentialsProvider.new_static("AKID", "SECRET")
        sign(request(), config(algorithm=ASYMMETRIC, region="*", credentials_provider=provider))
