"""TLS connections to ``openssl s_server``: what succeeds, what fails, and whether the failure says why."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest

from awscrt.exceptions import AwsCrtError
from awscrt.io import ClientTlsContext, TlsCipherPref, TlsContextOptions, TlsVersion

NEGOTIATION_FAILURE = 1029
ALERT_RECEIVED = 1032
SOCKET_CLOSED = 1051
TIMEOUT = 1067
HOST = "site.example"


def openssl(*arguments):
    run = subprocess.run(
        ["openssl", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert run.returncode == 0, run.stdout.decode()


class Pki:
    """An authority on ``openssl ca``, which can also date certificates."""

    def __init__(self, directory):
        self.directory = directory
        (directory / "index").touch()
        (directory / "serial").write_text("01\n")
        self.config = str(directory / "ca.cnf")
        (directory / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\nnew_certs_dir={directory}\ndatabase={directory}/index\nserial={directory}/serial\n"
            f"certificate={directory}/ca.pem\nprivate_key={directory}/ca.key\ndefault_md=sha256\npolicy=p\n"
            "unique_subject=no\n[p]\ncommonName=supplied\n[req]\ndistinguished_name=dn\n[dn]\n"
            "[root]\nbasicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n"
        )
        self.self_signed("ca", "/CN=Matrix CA", "-extensions", "root")

    def path(self, name):
        return str(self.directory / name)

    def self_signed(self, name, subject, *more):
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path(name + ".key")]
        openssl(
            "req",
            "-x509",
            *key,
            "-subj",
            subject,
            "-days",
            "2",
            "-config",
            self.config,
            "-out",
            self.path(name + ".pem"),
            *more,
        )

    def issue(self, name, common_name, names=None, key="ec", start=None, end=None):
        kinds = {
            "ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            "rsa": ["rsa:2048"],
            "rsa512": ["rsa:512"],
        }
        paths = {kind: self.path(f"{name}.{kind}") for kind in ("pem", "key", "csr", "ext")}
        openssl("req", "-newkey", *kinds[key], "-nodes", "-keyout", paths["key"], "-subj", f"/CN={common_name}",
                "-config", self.config, "-out", paths["csr"])  # fmt: skip
        with open(paths["ext"], "w") as file:
            file.write("basicConstraints=CA:FALSE\n" + (f"subjectAltName={names}\n" if names else ""))
        dates = ["-startdate", start] if start else []
        dates += ["-enddate", end] if end else ["-days", "2"]
        openssl("ca", "-batch", "-notext", "-config", self.config, "-in", paths["csr"], "-extfile", paths["ext"],
                "-out", paths["pem"], *dates)  # fmt: skip
        return name


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    pki = Pki(tmp_path_factory.mktemp("pki"))
    pki.issue("good", "ignored.example", f"DNS:{HOST},DNS:*.wild.example,IP:127.0.0.1")
    pki.issue("rsa", "rsa", f"DNS:{HOST}", key="rsa")
    pki.issue("weak", "weak", f"DNS:{HOST}", key="rsa512")
    pki.issue("client", "device")
    return pki


class Server:
    """``openssl s_server`` for a few connections."""

    def __init__(self, pki, certificate, *options):
        files = ["-cert", pki.path(certificate + ".pem"), "-key", pki.path(certificate + ".key")]
        self.process = subprocess.Popen(
            ["openssl", "s_server", "-accept", "127.0.0.1:0", *files, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self.output = []
        line = ""
        while not line.startswith("ACCEPT"):
            line = self.process.stdout.readline().decode()
            self.output.append(line)
            assert line, "".join(self.output)
        self.port = int(line.rpartition(":")[2])
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.output.append(line.decode(errors="replace"))

    def prints(self, pattern):
        """Whether it has printed that, or does so soon."""
        deadline = time.monotonic() + 10
        while not re.search(pattern, "".join(self.output)):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def serve(pki):
    with contextlib.ExitStack() as stack:

        def start(certificate="good", *options):
            server = Server(pki, certificate, *options)
            stack.callback(lambda: server.process.poll() is None and server.close())
            return server

        yield start


@pytest.fixture
def connect(pki, probe, bootstrap):
    """Connect; gives the ALPN name, or raises what went wrong."""

    def connect(port, options=None, *, name=HOST, trust="ca", until_closed=False, alpn=None, timeout_ms=None):
        options = options or TlsContextOptions()
        if trust:
            options.override_default_trust_store_from_path(ca_filepath=pki.path(trust + ".pem"))
        connection = ClientTlsContext(options).new_connection_options()
        connection.set_server_name(name)
        if alpn:
            connection.set_alpn_list(alpn)
        if timeout_ms:
            connection.set_negotiation_timeout_ms(timeout_ms)
        return probe.tls_connect(bootstrap, "127.0.0.1", port, connection, until_closed).result(20)

    return connect


def refused(connect, server, code, *words, **arguments):
    with pytest.raises(AwsCrtError) as caught:
        connect(server.port, **arguments)
    assert caught.value.code == code, str(caught.value)
    for word in words:
        assert word in str(caught.value)


# ---- versions, suites, groups ----

OLD = ("-cipher", "ALL:@SECLEVEL=0")


@pytest.mark.parametrize("flags", [("-tls1", *OLD), ("-tls1_1", *OLD), ("-tls1_2",), ("-tls1_3",)])
@pytest.mark.parametrize("certificate", ["good", "rsa"])
def test_every_version_is_spoken_by_default(serve, connect, certificate, flags):
    assert connect(serve(certificate, *flags).port) == ""


@pytest.mark.parametrize(
    "version, flags",
    [
        (TlsVersion.TLSv1_1, ("-tls1", *OLD)),
        (TlsVersion.TLSv1_2, ("-tls1_1", *OLD)),
        (TlsVersion.TLSv1_3, ("-tls1_2",)),
    ],
)
def test_a_server_older_than_the_minimum(serve, connect, version, flags):
    options = TlsContextOptions()
    options.min_tls_ver = version
    refused(connect, serve("good", *flags), NEGOTIATION_FAILURE, "version", options=options)


def test_a_cipher_preference_replaces_the_minimum_version(serve, connect):
    options = TlsContextOptions()
    options.min_tls_ver, options.cipher_pref = TlsVersion.TLSv1_3, TlsCipherPref.PQ_DEFAULT
    assert connect(serve("good", "-tls1_2").port, options) == ""


@pytest.mark.parametrize(
    "cipher",
    [
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-RSA-AES128-SHA256",
        "ECDHE-RSA-AES256-SHA",
        "AES128-GCM-SHA256",
        "AES256-SHA256",
        "AES128-SHA",
    ],
)
def test_cipher_suites_up_to_tls_1_2(serve, connect, cipher):
    server = serve("rsa", "-tls1_2", "-cipher", cipher)
    assert connect(server.port) == ""
    assert server.prints(f"CIPHER is {cipher}")


@pytest.mark.parametrize("cipher", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
def test_cipher_suites_of_tls_1_3(serve, connect, cipher):
    server = serve("good", "-tls1_3", "-ciphersuites", cipher)
    assert connect(server.port) == ""
    assert server.prints(f"CIPHER is {cipher}")


@pytest.mark.parametrize("group", ["P-256", "X25519", "P-384"])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_groups(serve, connect, group, version):
    assert connect(serve("good", version, "-groups", group).port) == ""


@pytest.mark.parametrize(
    "flags",
    [
        ("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"),
        ("-tls1_3", "-groups", "P-521"),
        ("-tls1_2", "-cipher", "PSK"),
    ],
)
def test_nothing_in_common(serve, connect, flags):
    refused(connect, serve("rsa", *flags), NEGOTIATION_FAILURE, f"TLS with {HOST}", "alert 'handshake failure'")


def test_the_strict_preference_refuses_cbc(serve, connect):
    options = TlsContextOptions()
    options.cipher_pref = TlsCipherPref.TLSv1_2_2025_07
    server = serve("rsa", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256")
    refused(connect, server, NEGOTIATION_FAILURE, "handshake failure", options=options)


# ---- certificates ----


@pytest.mark.parametrize("name", [HOST, HOST.upper(), "a.wild.example", "127.0.0.1"])
def test_hosts_that_the_certificate_names(serve, connect, name):
    assert connect(serve().port, name=name) == ""


@pytest.mark.parametrize("name", ["other.example", "wild.example", "a.b.wild.example", "ignored.example", "127.0.0.2"])
def test_a_host_that_the_certificate_does_not_name(serve, connect, name):
    words = (f"not valid for host '{name}'", f"{HOST}, *.wild.example, 127.0.0.1")
    refused(connect, serve(), NEGOTIATION_FAILURE, *words, name=name)


def test_the_common_name_counts_without_alternative_names(pki, serve, connect):
    server = serve(pki.issue("cn", HOST))
    assert connect(server.port) == ""
    refused(connect, server, NEGOTIATION_FAILURE, f"valid for: {HOST}", name="other.example")


def test_an_expired_certificate(pki, serve, connect):
    name = pki.issue("old", "old", f"DNS:{HOST}", start="20200101000000Z", end="20200102000000Z")
    refused(connect, serve(name), NEGOTIATION_FAILURE, "certificate has expired")


def test_a_certificate_of_the_future(pki, serve, connect):
    name = pki.issue("new", "new", f"DNS:{HOST}", start="20480101000000Z", end="20490101000000Z")
    refused(connect, serve(name), NEGOTIATION_FAILURE, "not yet valid")


def test_an_unknown_authority(pki, serve, connect):
    pki.self_signed("stranger", "/CN=Stranger")
    refused(connect, serve(), NEGOTIATION_FAILURE, "unknown CA", "override_default_trust_store", trust="stranger")
    refused(connect, serve(), NEGOTIATION_FAILURE, "unknown CA", trust=None)


def test_a_self_signed_certificate(pki, serve, connect):
    pki.self_signed("alone", f"/CN={HOST}")
    server = serve("alone")
    refused(connect, server, NEGOTIATION_FAILURE, "self-signed")
    assert connect(server.port, trust="alone") == ""


def test_a_key_too_short_to_protect_anything(serve, connect):
    server = serve("weak", "-tls1_2", "-cipher", "ALL:@SECLEVEL=0")
    refused(connect, server, NEGOTIATION_FAILURE, "too")


@pytest.mark.parametrize("certificate, name", [("weak", HOST), ("good", "other.example"), ("good", "")])
def test_nothing_is_checked_without_verify_peer(serve, connect, certificate, name):
    options = TlsContextOptions()
    options.verify_peer = False
    assert connect(serve(certificate, "-tls1_2", *OLD).port, options, name=name, trust=None) == ""


def test_trust_from_a_directory(pki, serve, connect, tmp_path):
    (tmp_path / "ca.pem").write_bytes((pki.directory / "ca.pem").read_bytes())
    openssl("rehash", str(tmp_path))
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(str(tmp_path))
    assert connect(serve().port, options, trust=None) == ""


# ---- client certificates ----

ASKS = ("-Verify", "1", "-verify_return_error")


@pytest.fixture(scope="module")
def archives(pki):
    """PKCS#12 archives of the client by the way they are encrypted; the password is "secret"."""
    files = ["-in", pki.path("client.pem"), "-inkey", pki.path("client.key"), "-certfile", pki.path("ca.pem")]
    made = {}
    for name, how in {
        "aes": [],
        "legacy": ["-legacy"],
        "3des": ["-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES"],
    }.items():
        made[name] = pki.path(name + ".p12")
        openssl("pkcs12", "-export", *files, *how, "-passout", "pass:secret", "-out", made[name])
    return made


@pytest.fixture(params=["pem", "paths", "aes", "3des", "archive bytes"])
def identity(request, pki, archives):
    cert, key = pki.path("client.pem"), pki.path("client.key")
    if request.param == "paths":
        return TlsContextOptions.create_client_with_mtls_from_path(cert, key)
    if request.param == "pem":
        with open(cert, "rb") as cert_file, open(key, "rb") as key_file:
            return TlsContextOptions.create_client_with_mtls(cert_file.read(), key_file.read())
    if request.param == "archive bytes":
        with open(archives["aes"], "rb") as file:
            return TlsContextOptions.create_client_with_mtls_pkcs12_from_bytes(file.read(), "secret")
    return TlsContextOptions.create_client_with_mtls_pkcs12(archives[request.param], "secret")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_client_certificate_is_presented(pki, serve, connect, identity, version):
    server = serve("good", version, *ASKS, "-CAfile", pki.path("ca.pem"))
    assert connect(server.port, identity) == ""
    assert server.prints("subject=CN ?= ?device")


def test_a_client_certificate_that_nobody_asks_for(serve, connect, identity):
    assert connect(serve().port, identity) == ""


def test_an_archive_with_algorithms_of_old(pki, serve, connect, archives):
    """RC2 needs OpenSSL's legacy provider: used where it is installed, else the message says what to do."""
    identity = TlsContextOptions.create_client_with_mtls_pkcs12(archives["legacy"], "secret")
    try:
        ClientTlsContext(identity)
    except RuntimeError as error:
        assert str(error).startswith("1033 (AWS_IO_TLS_CTX_ERROR)") and "export it again" in str(error)
        return
    server = serve("good", *ASKS, "-CAfile", pki.path("ca.pem"))
    assert connect(server.port, identity) == ""
    assert server.prints("subject=CN ?= ?device")


def test_no_client_certificate_when_one_is_demanded(pki, serve, connect):
    flags = (*ASKS, "-CAfile", pki.path("ca.pem"))
    refused(connect, serve("good", "-tls1_2", *flags), NEGOTIATION_FAILURE, "alert 'handshake failure'")
    # TLS 1.3: the client is done before the server has looked (RFC 8446, 4.4.2.4)
    server = serve("good", "-tls1_3", *flags)
    refused(connect, server, ALERT_RECEIVED, "certificate required", until_closed=True)


# ---- ALPN ----


def test_protocols_are_negotiated(serve, connect):
    server = serve("good", "-alpn", "h2,http/1.1")
    options = TlsContextOptions()
    options.alpn_list = ["http/1.1"]
    assert connect(server.port, options) == "http/1.1"
    assert connect(server.port, options, alpn=["x", "h2"]) == "h2"
    assert connect(server.port) == ""


def test_no_common_protocol_is_no_error(serve, connect):
    assert connect(serve().port, alpn=["h2"]) == ""


def test_too_many_protocols_fail_the_connection(serve, connect):
    refused(connect, serve(), 1033, "more than 4", alpn=list("abcde"))


# ---- revocation ----


@pytest.fixture(scope="module")
def staples(pki):
    """Paths of OCSP responses about the good certificate."""
    serial = (
        subprocess.run(
            ["openssl", "x509", "-noout", "-serial", "-in", pki.path("good.pem")], stdout=subprocess.PIPE, check=True
        )
        .stdout.decode()
        .strip()
        .partition("=")[2]
    )
    made = {}
    for status, line in {"good": "V\t490101000000Z\t\t", "revoked": "R\t490101000000Z\t250101000000Z\t"}.items():
        (pki.directory / f"index-{status}").write_text(f"{line}{serial}\tunknown\t/CN=ignored.example\n")
        made[status] = pki.path(status + ".ocsp")
        openssl("ocsp", "-index", pki.path(f"index-{status}"), "-rsigner", pki.path("ca.pem"), "-rkey",
                pki.path("ca.key"), "-CA", pki.path("ca.pem"), "-issuer", pki.path("ca.pem"), "-cert",
                pki.path("good.pem"), "-ndays", "1", "-respout", made[status], "-noverify")  # fmt: skip
    return made


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_stapled_responses(serve, connect, staples, version):
    assert connect(serve("good", version, "-status_file", staples["good"]).port) == ""
    revoked = serve("good", version, "-status_file", staples["revoked"])
    refused(connect, revoked, NEGOTIATION_FAILURE, "stapled OCSP response")
    options = TlsContextOptions()
    options.no_certificate_revocation = True
    assert connect(revoked.port, options) == ""


# ---- peers that do not shake hands ----


@contextlib.contextmanager
def peer(behave):
    """A TCP server for one connection; ``behave`` gets it."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)

    def run():
        connection = listener.accept()[0]
        connection.settimeout(20)
        with connection:
            behave(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield SimpleNamespace(port=listener.getsockname()[1])
    finally:
        thread.join()
        listener.close()


def read_to_end(connection):
    with contextlib.suppress(ConnectionResetError):  # what a client does that leaves bytes unread
        while connection.recv(65536):
            pass


def test_a_silent_server_times_out_after_the_time_that_was_set(connect):
    with peer(read_to_end) as server:
        refused(connect, server, TIMEOUT, f"TLS with {HOST}", "did not finish in time", timeout_ms=50)


def test_a_server_that_closes_during_the_handshake(connect):
    with peer(lambda connection: connection.recv(1)) as server:
        refused(connect, server, SOCKET_CLOSED)


def test_a_server_that_speaks_something_else(connect):
    def behave(connection):
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        read_to_end(connection)

    with peer(behave) as server:
        refused(connect, server, NEGOTIATION_FAILURE, "does not speak TLS")


@pytest.mark.parametrize(
    "alert, words", [(40, "handshake failure"), (70, "protocol version"), (112, "unrecognized name")]
)
def test_fatal_alerts_are_named(connect, alert, words):
    def behave(connection):
        connection.recv(5)
        connection.sendall(bytes([21, 3, 3, 0, 2, 2, alert]))
        read_to_end(connection)

    with peer(behave) as server:
        refused(connect, server, NEGOTIATION_FAILURE, f"alert '{words}'")


def test_records_of_random_bytes(connect):
    def behave(connection):
        connection.recv(5)
        connection.sendall(bytes([22, 3, 3, 0, 32]) + os.urandom(32))
        read_to_end(connection)

    with peer(behave) as server:
        refused(connect, server, NEGOTIATION_FAILURE, f"TLS with {HOST}")
