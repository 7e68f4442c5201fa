"""Make a software token with a key on it, and print what a program needs to use it.

usage: pkcs11_softhsm.py DIRECTORY PRIVATE_KEY
"""

import sys

from awscrt.testing.softhsm import SoftHsm

directory, private_key = sys.argv[1:]

hsm = SoftHsm(directory)
hsm.add_token("device", pin="1234")
hsm.import_key("device", "key", private_key, pin="1234")
print(hsm.module)
for name, value in hsm.environment.items():
    print(f"{name}={value}")
