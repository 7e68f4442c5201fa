"""Mutual TLS with keys that stay on a PKCS#11 token: SoftHSM for what tokens do, a scripted module for the rest."""

from __future__ import annotations

import gc
import socket
import ssl
import subprocess
import sysconfig
import threading
import time
from pathlib import Path

import pytest

from awscrt import io
from awscrt.exceptions import AwsCrtError
from awscrt.io import ClientTlsContext, Pkcs11Lib, TlsContextOptions, TlsVersion
from awscrt.testing.softhsm import SoftHsm

TIMEOUT = 20
PIN = "1234"
Behavior = Pkcs11Lib.InitializeFinalizeBehavior


@pytest.fixture(scope="module")
def client(tls_certs):
    """Client certificates by kind of key."""
    issue = tls_certs.authority.issue
    return {kind: issue(f"token-{kind}", purpose="clientAuth", key=kind) for kind in ("ec", "rsa")}


@pytest.fixture
def hsm(tmp_path, monkeypatch, client):
    """A token ``device`` with the keys ``ec`` and ``rsa``, and a token ``other`` without any."""
    hsm = SoftHsm(str(tmp_path / "hsm"))
    hsm.add_token("device", pin=PIN)
    hsm.add_token("other", pin=PIN)
    hsm.import_key("device", "ec", client["ec"].private_key, key_id="01")
    hsm.import_key("device", "rsa", client["rsa"].private_key, key_id="02")
    for name, value in hsm.environment.items():
        monkeypatch.setenv(name, value)
    return hsm


def strict_library(file):
    """The module, initialized anew. The sessions of an earlier test end on its loops, perhaps a moment later."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            return Pkcs11Lib(file=file, behavior=Behavior.STRICT)
        except RuntimeError as error:
            if not str(error).startswith("1160 ") or time.monotonic() > deadline:
                raise
        gc.collect()
        time.sleep(0.01)


@pytest.fixture
def library(hsm):
    return strict_library(hsm.module)


@pytest.fixture
def options(library, client):
    """``options(kind, ...)``: options for the token's key of that kind; keywords replace what is right."""

    def make(kind="ec", **changes):
        arguments = {
            "pkcs11_lib": library,
            "user_pin": PIN,
            "token_label": "device",
            "private_key_label": kind,
            "cert_file_path": client[kind].certificate,
            **changes,
        }
        return TlsContextOptions.create_client_with_mtls_pkcs11(**arguments)

    return make


# ---- the module ----

STATE = """
import sys
from awscrt.io import Pkcs11Lib
Behavior = Pkcs11Lib.InitializeFinalizeBehavior
file = sys.argv[1]

def code(behavior):
    try:
        libraries.append(Pkcs11Lib(file=file, behavior=behavior))
    except RuntimeError as error:
        return int(str(error).split()[0])
    return 0

libraries = []
"""


@pytest.mark.parametrize(
    "program, codes",
    [
        ("print(code(None), code(Behavior.DEFAULT), code(Behavior.OMIT))", "0 0 0"),
        ("print(code(None), code(Behavior.STRICT))", "0 1160"),
        ("print(code(Behavior.OMIT))", "1159"),
        ("print(code(Behavior.STRICT), code(Behavior.STRICT), code(Behavior.OMIT))", "0 1160 0"),
        ("print(code(Behavior.STRICT), libraries.clear(), code(Behavior.OMIT))", "0 None 1159"),
        ("print(code(Behavior.STRICT), code(Behavior.OMIT), libraries.pop() and 0, code(Behavior.OMIT))", "0 0 0 0"),
    ],
)  # fmt: skip
def test_who_initializes_and_finalizes(run_python, hsm, program, codes):
    done = run_python(STATE + program, hsm.module, **hsm.environment)
    assert (done.returncode, done.stdout.split()) == (0, codes.split()), done.stderr


def test_finalizing_waits_for_contexts(run_python, hsm, client):
    program = STATE + (
        "from awscrt.io import ClientTlsContext, TlsContextOptions\n"
        "print(code(Behavior.STRICT))\n"
        "options = TlsContextOptions.create_client_with_mtls_pkcs11(pkcs11_lib=libraries.pop(), user_pin='1234',\n"
        "    token_label='device', private_key_label='ec', cert_file_path=sys.argv[2])\n"
        "context = ClientTlsContext(options)\n"
        "del options\n"
        "print(code(Behavior.OMIT)); libraries.clear()\n"
        "del context\n"
        "print(code(Behavior.OMIT))\n"
    )
    done = run_python(program, hsm.module, client["ec"].certificate, **hsm.environment)
    assert (done.returncode, done.stdout.split()) == (0, ["0", "0", "1159"]), done.stderr


@pytest.mark.parametrize(
    "file, error",
    [
        ("/nonexistent/module.so", r"^1065 \(AWS_IO_SHARED_LIBRARY_LOAD_FAILURE\)"),
        (__file__, r"^1065 \(AWS_IO_SHARED_LIBRARY_LOAD_FAILURE\)"),
        ("", r"^1066 \(AWS_IO_SHARED_LIBRARY_FIND_SYMBOL_FAILURE\)"),
        (io._core.__file__, r"^1066 \(AWS_IO_SHARED_LIBRARY_FIND_SYMBOL_FAILURE\)"),
    ],
)
def test_files_that_are_no_modules(file, error):
    with pytest.raises(RuntimeError, match=error):
        Pkcs11Lib(file=file)


def test_arguments_of_the_library(hsm):
    for wrong in (None, 7, object()):
        with pytest.raises(TypeError):
            Pkcs11Lib(file=wrong)
    with pytest.raises(ValueError, match="null"):
        Pkcs11Lib(file="a\0b")
    with pytest.raises(TypeError):
        Pkcs11Lib(file=hsm.module, behavior="STRICT")
    for wrong in (7, -1):
        with pytest.raises(RuntimeError, match=r"^34 \(AWS_ERROR_INVALID_ARGUMENT\)"):
            Pkcs11Lib(file=hsm.module, behavior=wrong)
    with pytest.raises(TypeError):
        Pkcs11Lib(hsm.module)
    assert [(b.name, b.value) for b in Behavior] == [("DEFAULT", 0), ("OMIT", 1), ("STRICT", 2)]


# ---- options ----


def test_options_are_kept_as_given(library):
    options = TlsContextOptions.create_client_with_mtls_pkcs11(
        pkcs11_lib=library, user_pin="1", slot_id=2, token_label="3", private_key_label="4", cert_file_path="5",
        cert_file_contents=b"6",
    )  # fmt: skip
    assert options._certificate_source == io._CertificateSource.PKCS11 == 1
    assert options._pkcs11_lib is library
    assert (options._pkcs11_user_pin, options._pkcs11_slot_id, options._pkcs11_token_label) == ("1", 2, "3")
    assert (options._pkcs11_private_key_label, options._pkcs11_cert_file_path) == ("4", "5")
    assert options._pkcs11_cert_file_contents == b"6"
    assert options.verify_peer


@pytest.mark.parametrize(
    "wrong",
    [
        {"pkcs11_lib": None},
        {"user_pin": 1234},
        {"user_pin": b"1234"},
        {"slot_id": "1"},
        {"token_label": b"device"},
        {"private_key_label": 1},
        {"cert_file_path": b"path"},
    ],
)
def test_wrong_types_are_refused_by_the_factory(options, wrong):
    with pytest.raises(AssertionError):
        options(**wrong)


def test_wrong_values_are_refused_by_the_context(options):
    for slot_id in (-1, 1 << 64):
        with pytest.raises(ValueError, match="slot_id"):
            ClientTlsContext(options(slot_id=slot_id))
    with pytest.raises(TypeError):
        ClientTlsContext(options(cert_file_path=None, cert_file_contents=7))


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"token_label": "nobody"}, "1074 (AWS_ERROR_PKCS11_TOKEN_NOT_FOUND)"),
        ({"token_label": None}, "1074 (AWS_ERROR_PKCS11_TOKEN_NOT_FOUND)"),  # two tokens
        ({"token_label": "device\0"}, "1074 (AWS_ERROR_PKCS11_TOKEN_NOT_FOUND)"),
        ({"slot_id": 12345}, "1074 (AWS_ERROR_PKCS11_TOKEN_NOT_FOUND)"),
        ({"token_label": "other"}, "1075 (AWS_ERROR_PKCS11_KEY_NOT_FOUND)"),  # no key
        ({"private_key_label": None}, "1075 (AWS_ERROR_PKCS11_KEY_NOT_FOUND)"),  # two keys
        ({"private_key_label": "nobody"}, "1075 (AWS_ERROR_PKCS11_KEY_NOT_FOUND)"),
        ({"user_pin": "9999"}, "1117 (AWS_ERROR_PKCS11_CKR_PIN_INCORRECT)"),
        ({"user_pin": None}, "1083 (AWS_ERROR_PKCS11_CKR_ARGUMENTS_BAD)"),  # SoftHSM has no keypad
        ({"cert_file_path": None}, "44 (AWS_ERROR_FILE_INVALID_PATH)"),
        ({"cert_file_path": "/nonexistent"}, "44 (AWS_ERROR_FILE_INVALID_PATH)"),
        ({"cert_file_path": "a\0b"}, "44 (AWS_ERROR_FILE_INVALID_PATH)"),
        ({"cert_file_contents": b"also"}, "34 (AWS_ERROR_INVALID_ARGUMENT)"),
        ({"cert_file_path": None, "cert_file_contents": "no PEM"}, "34 (AWS_ERROR_INVALID_ARGUMENT)"),
        ({"cert_file_path": None, "cert_file_contents": b""}, "34 (AWS_ERROR_INVALID_ARGUMENT)"),
        ({"cert_file_path": "/dev/zero"}, "58 (AWS_ERROR_FILE_READ_FAILURE)"),
    ],
)
def test_contexts_that_cannot_be_made(options, changes, error):
    with pytest.raises(RuntimeError) as caught:
        ClientTlsContext(options(**changes))
    assert str(caught.value).startswith(error)


@pytest.mark.parametrize("kind, other", [("ec", "rsa"), ("rsa", "ec")])
def test_certificate_of_another_kind_of_key(options, client, kind, other):
    with pytest.raises(RuntimeError, match=r"^1033 \(AWS_IO_TLS_CTX_ERROR\)"):
        ClientTlsContext(options(kind, cert_file_path=client[other].certificate))


def test_certificate_of_another_rsa_key(options, tls_certs):
    stranger = tls_certs.authority.issue("token-stranger", purpose="clientAuth", key="rsa")
    with pytest.raises(RuntimeError, match=r"^1033 \(AWS_IO_TLS_CTX_ERROR\).*does not belong"):
        ClientTlsContext(options("rsa", cert_file_path=stranger.certificate))


def test_tls_1_3_as_the_oldest_version_is_refused(options):
    wanted = options()
    wanted.min_tls_ver = TlsVersion.TLSv1_3
    with pytest.raises(RuntimeError, match=r"^1034 \(AWS_IO_TLS_VERSION_UNSUPPORTED\)"):
        ClientTlsContext(wanted)


def test_a_pem_certificate_comes_before_the_token(options, tls_certs):
    wanted = options(token_label="nobody")
    wanted.certificate_buffer = tls_certs.client.certificate_pem
    wanted.private_key_buffer = tls_certs.client.private_key_pem
    ClientTlsContext(wanted)


# ---- handshakes ----


class Server:
    """Takes one connection after the other and demands a client certificate."""

    def __init__(self, context):
        self.context = context
        self.results = []  # per connection: (common name, protocol, cipher suite), or the error
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(16)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while True:
            connection, _ = self.listener.accept()
            with connection:
                connection.settimeout(TIMEOUT)
                first = connection.recv(1, socket.MSG_PEEK)
                if first == b"Q":
                    return
                self.results.append(self._serve(connection))

    def _serve(self, connection):
        try:
            with self.context.wrap_socket(connection, server_side=True) as secured:
                (name,) = (pair[0][1] for pair in secured.getpeercert()["subject"] if pair[0][0] == "commonName")
                suite, protocol, _ = secured.cipher()
                self.results.append((name, secured.version(), suite))
                secured.recv(1)
                return self.results.pop()
        except OSError as error:
            return error

    def end(self):
        """Everything that happened until now."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"Q")
        self.thread.join(TIMEOUT)
        self.listener.close()
        return self.results


@pytest.fixture
def serve(tls_certs):
    """``serve(suites, version)``: a server of one protocol version."""
    servers = []

    def start(suites=None, version=ssl.TLSVersion.TLSv1_2, certificate=None):
        context = tls_certs.authority.server_context(certificate or tls_certs.server, mutual=True)
        context.minimum_version = context.maximum_version = version
        if suites:
            context.set_ciphers(suites)
        servers.append(Server(context))
        return servers[-1]

    yield start
    for server in servers:
        if server.thread.is_alive():
            server.end()


@pytest.fixture
def connect(probe, bootstrap, tls_certs):
    """``connect(port, context)``: a future of one finished connection."""

    def start(port, context):
        connection = context.new_connection_options()
        connection.set_server_name("localhost")
        return probe.tls_connect(bootstrap, "127.0.0.1", port, connection, False)

    return start


@pytest.fixture
def make_context(options, tls_certs):
    def make(kind="ec", **changes):
        wanted = options(kind, **changes)
        wanted.override_default_trust_store_from_path(ca_filepath=tls_certs.ca_path)
        return ClientTlsContext(wanted)

    return make


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_mutual_tls_1_2(kind, make_context, serve, connect):
    server = serve()
    connect(server.port, make_context(kind)).result(TIMEOUT)
    ((name, version, suite),) = server.end()
    assert (name, version, suite[:5]) == (f"token-{kind}", "TLSv1.2", "ECDHE")


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_rsa_key_exchange(kind, make_context, serve, connect, tls_certs):
    server = serve("AES128-GCM-SHA256", certificate=tls_certs.authority.issue("rsa-server", key="rsa"))
    connect(server.port, make_context(kind)).result(TIMEOUT)
    assert server.end() == [(f"token-{kind}", "TLSv1.2", "AES128-GCM-SHA256")]


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_mutual_tls_1_0_signs_older_digests(kind, make_context, serve, connect):
    server = serve("ALL:@SECLEVEL=0", version=ssl.TLSVersion.TLSv1)
    connect(server.port, make_context(kind)).result(TIMEOUT)
    assert server.end()[0][:2] == (f"token-{kind}", "TLSv1")


def test_tls_1_3_only_server_is_not_reached(make_context, serve, connect):
    server = serve(version=ssl.TLSVersion.TLSv1_3)
    with pytest.raises(AwsCrtError) as caught:
        connect(server.port, make_context()).result(TIMEOUT)
    assert caught.value.name == "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE"


def test_certificate_as_text_and_as_bytes(make_context, serve, connect, client):
    server = serve()
    pem = client["ec"].certificate_pem
    for contents in (pem, pem.decode(), bytearray(pem)):
        context = make_context(cert_file_path=None, cert_file_contents=contents)
        connect(server.port, context).result(TIMEOUT)
    assert [result[0] for result in server.end()] == ["token-ec"] * 3


def test_slot_id_names_the_token(make_context, hsm, serve, connect):
    """SoftHSM's slot numbers are part of the tokens' serial numbers."""
    listed = subprocess.run(["softhsm2-util", "--show-slots"], stdout=subprocess.PIPE, check=True).stdout.decode()
    device = next(part for part in listed.split("\nSlot ") if "Label:            device" in part)
    slot_id = int(device.split()[0])
    server = serve()
    connect(server.port, make_context(token_label=None, slot_id=slot_id)).result(TIMEOUT)
    assert server.end()[0][0] == "token-ec"
    with pytest.raises(RuntimeError, match="^1074 "):
        make_context(token_label="other", slot_id=slot_id)


def test_several_contexts_share_the_login(make_context, serve, connect):
    server = serve()
    first, second = make_context("ec"), make_context("rsa")
    del first
    connect(server.port, second).result(TIMEOUT)
    assert server.end()[0][0] == "token-rsa"


def test_concurrent_handshakes_take_turns_at_the_token(make_context, serve, connect, probe, tls_certs):
    servers = [serve() for _ in range(4)]
    groups = [io.EventLoopGroup(1) for _ in servers]
    bootstraps = [io.ClientBootstrap(group, io.DefaultHostResolver(group)) for group in groups]
    context = make_context("rsa")
    options = context.new_connection_options()
    options.set_server_name("localhost")
    futures = [
        probe.tls_connect(bootstrap, "127.0.0.1", server.port, options, False)
        for server, bootstrap in zip(servers, bootstraps)
        for _ in range(8)
    ]
    for future in futures:
        future.result(TIMEOUT)
    for server in servers:
        assert [result[0] for result in server.end()] == ["token-rsa"] * 8


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_token_that_is_gone_fails_the_handshake_with_its_answer(kind, make_context, serve, connect, hsm):
    server = serve()
    context = make_context(kind)
    connect(server.port, context).result(TIMEOUT)
    hsm.delete_token("device")
    with pytest.raises(AwsCrtError) as caught:
        connect(server.port, context).result(TIMEOUT)
    assert caught.value.name.startswith("AWS_ERROR_PKCS11_CKR_")
    assert "C_Sign" in str(caught.value)


# ---- answers of other modules ----


@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    """The module of crt/tests/pkcs11_module.c."""
    crt = Path(__file__).parents[2] / "crt"
    module = tmp_path_factory.mktemp("pkcs11") / "module.so"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    source = str(crt / "tests" / "pkcs11_module.c")
    subprocess.run(
        [*compiler, "-shared", "-fPIC", "-w", f"-I{crt / 'io'}", source, "-o", str(module), "-lcrypto"], check=True
    )
    return str(module)


@pytest.fixture
def scripted_context(scripted, client, tls_certs):
    def make(kind="ec", user_pin=None):
        options = TlsContextOptions.create_client_with_mtls_pkcs11(
            pkcs11_lib=Pkcs11Lib(file=scripted), user_pin=user_pin, cert_file_path=client[kind].certificate
        )
        options.override_default_trust_store_from_path(ca_filepath=tls_certs.ca_path)
        return ClientTlsContext(options)

    return make


@pytest.mark.parametrize("version", ["1.0", "2.19", "3.0"])
def test_other_versions_are_refused(scripted, monkeypatch, version):
    monkeypatch.setenv("PKCS11_VERSION", version)
    with pytest.raises(RuntimeError, match=r"^1073 \(AWS_ERROR_PKCS11_VERSION_UNSUPPORTED\).*" + version):
        Pkcs11Lib(file=scripted)


@pytest.mark.parametrize("version", ["2.20", "2.30", "2.40"])
def test_versions_from_2_20_on(scripted, monkeypatch, version):
    monkeypatch.setenv("PKCS11_VERSION", version)
    Pkcs11Lib(file=scripted)


def test_login_without_pin_is_left_to_the_token(scripted_context):
    scripted_context(user_pin=None)
    with pytest.raises(RuntimeError, match="^1117 "):
        scripted_context(user_pin="1234")


def test_being_logged_in_already_is_fine(scripted_context, monkeypatch):
    monkeypatch.setenv("PKCS11_LOGIN", "0x100")
    scripted_context()


def test_other_kinds_of_keys_are_refused(scripted_context, monkeypatch):
    monkeypatch.setenv("PKCS11_KEY_TYPE", "1")  # DSA
    with pytest.raises(RuntimeError, match=r"^1076 \(AWS_ERROR_PKCS11_KEY_TYPE_UNSUPPORTED\)"):
        scripted_context()


@pytest.mark.parametrize(
    "kind, answer, name",
    [
        ("ec", "0x32", "AWS_ERROR_PKCS11_CKR_DEVICE_REMOVED"),
        ("rsa", "0x32", "AWS_ERROR_PKCS11_CKR_DEVICE_REMOVED"),
        ("ec", "0x1", "AWS_ERROR_PKCS11_CKR_CANCEL"),
        ("ec", "0x200", "AWS_ERROR_PKCS11_CKR_FUNCTION_REJECTED"),
        ("ec", "0x80000042", "AWS_ERROR_PKCS11_UNKNOWN_CRYPTOKI_RETURN_VALUE"),
        ("ec", "0", "AWS_ERROR_PKCS11_ENCODING_ERROR"),
    ],
)
def test_signing_that_fails_ends_the_handshake_with_the_answer(
    scripted_context, monkeypatch, serve, connect, kind, answer, name
):
    monkeypatch.setenv("PKCS11_SIGN", answer)
    monkeypatch.setenv("PKCS11_KEY_TYPE", {"ec": "3", "rsa": "0"}[kind])
    server = serve()
    with pytest.raises(AwsCrtError) as caught:
        connect(server.port, scripted_context(kind)).result(TIMEOUT)
    assert caught.value.name == name
    assert isinstance(server.end()[0], OSError)
