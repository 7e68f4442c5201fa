"""Signs with an EC key and hands the public half on; reads what RSA keys wrote."""

import sys

from awscrt.crypto import EC, ED25519, RSA, ECExportFormat, ECType, ED25519ExportFormat, RSAEncryptionAlgorithm, sha256

# The private half stays here ...
key = EC.new_generate(ECType.P_256)
digest = sha256("the message")
signature = key.sign(digest)
public_half = key.export_key(ECExportFormat.SPKI)

# ... the public half checks elsewhere.
verifier = EC.new_key_from_der_data(public_half)
print("genuine" if verifier.verify(digest, signature) else "forged")
print("genuine" if verifier.verify(sha256("another message"), signature) else "forged")

# JSON Web Signatures want r and s side by side instead of DER.
print(len(EC.decode_der_signature_to_padded_pair(signature, 32)), "bytes")

with open(sys.argv[1], "rb") as file:
    rsa = RSA.new_private_key_from_pem_data(file.read())
ciphertext = rsa.encrypt(RSAEncryptionAlgorithm.OAEP_SHA256, b"a session key")
print(rsa.decrypt(RSAEncryptionAlgorithm.OAEP_SHA256, ciphertext).decode())

ssh = ED25519.new_generate()
print("ssh-ed25519", ssh.export_public_key(ED25519ExportFormat.OPENSSH_B64).decode())
