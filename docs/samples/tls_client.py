"""Mutual TLS with a private authority: python tls_client.py HOST PORT CA_FILE PKCS12_FILE PASSWORD"""

import sys

from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpClientConnection
from awscrt.io import ClientTlsContext, TlsContextOptions, TlsVersion

host, port, ca_file, archive, password = sys.argv[1:]

options = TlsContextOptions.create_client_with_mtls_pkcs12(archive, password)
options.override_default_trust_store_from_path(ca_filepath=ca_file)
options.min_tls_ver = TlsVersion.TLSv1_2
options.alpn_list = ["http/1.1"]
context = ClientTlsContext(options)  # costly: one for all connections

tls = context.new_connection_options()
tls.set_server_name(host)
tls.set_negotiation_timeout_ms(5000)
connection = HttpClientConnection.new(host, int(port), tls_connection_options=tls).result()
print("connected to", connection.host_name)
connection.close().result()

tls.set_server_name("elsewhere.example")
try:
    HttpClientConnection.new(host, int(port), tls_connection_options=tls).result()
except AwsCrtError as error:
    print(error.name, error.message.rpartition("failed: ")[2])
