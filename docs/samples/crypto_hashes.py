"""Hashes a file piece by piece; authenticates a message."""

import hmac
import sys

from awscrt.crypto import HMAC, Hash, sha256

hash = Hash.sha256_new()
with open(sys.argv[1], "rb") as file:
    for block in iter(lambda: file.read(1 << 20), b""):
        hash.update(block)
print("sha256", hash.digest().hex())
print("in one call", sha256("123456789").hex())

mac = HMAC.sha256_hmac_new("a shared secret")
mac.update("the message")
tag = mac.digest()

again = HMAC.sha256_hmac_new("a shared secret")
again.update("the message")
print("genuine" if hmac.compare_digest(tag, again.digest()) else "forged")
