"""Signing and verifying a SHA-256 digest: ECDSA on P-256, RSA with 2,048 bits and PKCS#1 v1.5.

Params: ``api`` (awscrt, cryptography), ``operation`` (ec_sign, ec_verify, rsa_sign, rsa_verify).
"""

from __future__ import annotations

import hashlib
import subprocess
from typing import Any, Callable, Dict, Tuple

from common import calls, measure

DIGEST = hashlib.sha256(b"what is signed").digest()


def rsa_pem() -> str:
    """A key of this run: both sides read the same format."""
    command = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    pkcs8 = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    return subprocess.run(
        ["openssl", "rsa", "-traditional"], input=pkcs8, capture_output=True, check=True
    ).stdout.decode()


def of_awscrt(operation: str) -> Callable[[bytes], Any]:
    if operation.startswith("ec"):
        from awscrt.crypto import EC, ECType

        key = EC.new_generate(ECType.P_256)
        signature = key.sign(DIGEST)
        return key.sign if operation == "ec_sign" else lambda digest: key.verify(digest, signature)
    from awscrt.crypto import RSA, RSASignatureAlgorithm

    algorithm = RSASignatureAlgorithm.PKCS1_5_SHA256
    private = RSA.new_private_key_from_pem_data(rsa_pem())
    if operation == "rsa_sign":
        return lambda digest: private.sign(algorithm, digest)
    signature = private.sign(algorithm, DIGEST)
    return lambda digest: private.verify(algorithm, digest, signature)


def of_cryptography(operation: str) -> Callable[[bytes], Any]:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

    prehashed = utils.Prehashed(hashes.SHA256())
    if operation.startswith("ec"):
        key = ec.generate_private_key(ec.SECP256R1())
        ecdsa = ec.ECDSA(prehashed)
        signature = key.sign(DIGEST, ecdsa)
        public = key.public_key()
        if operation == "ec_sign":
            return lambda digest: key.sign(digest, ecdsa)
        return lambda digest: public.verify(signature, digest, ecdsa)
    rsa: Any = serialization.load_pem_private_key(rsa_pem().encode(), None)
    pkcs1 = padding.PKCS1v15()
    if operation == "rsa_sign":
        return lambda digest: rsa.sign(digest, pkcs1, prehashed)
    signature = rsa.sign(DIGEST, pkcs1, prehashed)
    verifier = rsa.public_key()
    return lambda digest: verifier.verify(signature, digest, pkcs1, prehashed)


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    make = of_awscrt if params["api"] == "awscrt" else of_cryptography
    return calls(params, make(params["operation"]), DIGEST), "op"


measure(work)
