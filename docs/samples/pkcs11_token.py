"""A TLS context whose private key stays on a PKCS#11 token.

usage: pkcs11_token.py MODULE TOKEN PIN KEY CERTIFICATE, for example
       pkcs11_token.py /usr/lib/softhsm/libsofthsm2.so device 1234 key device.pem
"""

import sys

from awscrt.io import ClientTlsContext, Pkcs11Lib, TlsContextOptions

module_path, token, pin, key, certificate = sys.argv[1:]

module = Pkcs11Lib(file=module_path)
options = TlsContextOptions.create_client_with_mtls_pkcs11(
    pkcs11_lib=module,
    user_pin=pin,
    token_label=token,
    private_key_label=key,
    cert_file_path=certificate,
)
try:
    context = ClientTlsContext(options)
except RuntimeError as error:
    sys.exit(f"the token cannot be used: {error}")
print("logged in; the key is on the token")
connection_options = context.new_connection_options()
connection_options.set_server_name("example.com")
