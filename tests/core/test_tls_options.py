"""TLS contexts and connection options: what is accepted, and which error says what is wrong."""

import enum
import pickle

import pytest

from awscrt import io
from awscrt.io import ClientTlsContext, TlsCipherPref, TlsConnectionOptions, TlsContextOptions, TlsVersion

NO_PEM = r"^34 \(AWS_ERROR_INVALID_ARGUMENT\)"
CONTEXT_ERROR = r"^1033 \(AWS_IO_TLS_CTX_ERROR\)"


@pytest.fixture(scope="module")
def pems(tls_certs):
    """CA, certificate and key of a client, and those of a server, as PEM bytes."""

    client, server = tls_certs.client, tls_certs.server
    return {
        "ca": read(tls_certs.ca_path),
        "cert": read(client.certificate),
        "key": read(client.private_key),
        "other_key": read(server.private_key),
    }


def test_defaults():
    options = TlsContextOptions()
    assert (options.min_tls_ver, options.cipher_pref) == (TlsVersion.DEFAULT, TlsCipherPref.DEFAULT)
    assert (options.verify_peer, options.no_certificate_revocation) == (True, False)
    for name in (
        "ca_dirpath",
        "ca_buffer",
        "alpn_list",
        "certificate_buffer",
        "private_key_buffer",
        "pkcs12_filepath",
        "pkcs12_password",
        "_certificate_source",
    ):
        assert getattr(options, name) is None
    with pytest.raises(AttributeError):
        options.unknown = 1


def test_context_with_the_system_trust_store():
    context = ClientTlsContext(TlsContextOptions())
    options = context.new_connection_options()
    assert isinstance(options, TlsConnectionOptions)
    assert options.tls_ctx is context


def test_mutual_tls_from_memory_and_from_files(pems, tmp_path):
    (tmp_path / "cert").write_bytes(pems["cert"])
    (tmp_path / "key").write_bytes(pems["key"])
    options = TlsContextOptions.create_client_with_mtls_from_path(str(tmp_path / "cert"), str(tmp_path / "key"))
    assert (options.certificate_buffer, options.private_key_buffer) == (pems["cert"], pems["key"])
    assert options._certificate_source == io._CertificateSource.CERTIFICATE_FILES
    ClientTlsContext(options)
    ClientTlsContext(TlsContextOptions.create_client_with_mtls(pems["cert"], pems["key"]))


def test_text_around_pem_blocks_is_ignored(pems):
    cert = b"subject=/CN=x\r\n" + pems["cert"].replace(b"\n", b"\r\n") + b"\ntrailing \xff text\n"
    ClientTlsContext(TlsContextOptions.create_client_with_mtls(cert, pems["key"]))


@pytest.mark.parametrize(
    "cert, key, error",
    [
        (b"", b"", NO_PEM),
        (b"no pem", b"no pem", NO_PEM),
    ],
)
def test_credentials_that_are_no_pem(cert, key, error):
    with pytest.raises(RuntimeError, match=error):
        ClientTlsContext(TlsContextOptions.create_client_with_mtls(cert, key))


def test_credentials_that_do_not_belong_together(pems):
    for cert, key in ((pems["cert"], pems["other_key"]), (pems["key"], pems["cert"])):
        with pytest.raises(RuntimeError, match=CONTEXT_ERROR):
            ClientTlsContext(TlsContextOptions.create_client_with_mtls(cert, key))


def test_arguments_of_the_factories(tmp_path):
    with pytest.raises(AssertionError):
        TlsContextOptions.create_client_with_mtls("text", b"")
    with pytest.raises(AssertionError):
        TlsContextOptions.create_client_with_mtls_from_path(b"path", "path")
    with pytest.raises(FileNotFoundError):
        TlsContextOptions.create_client_with_mtls_from_path(str(tmp_path / "no"), str(tmp_path / "no"))
    with pytest.raises(AssertionError):
        ClientTlsContext(None)


def test_trust_store_overrides(pems, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_bytes(pems["ca"])
    options = TlsContextOptions()
    options.override_default_trust_store(pems["ca"])
    ClientTlsContext(options)
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(ca_filepath=str(path))
    assert options.ca_buffer == pems["ca"]
    options.override_default_trust_store_from_path(str(tmp_path / "no-such-directory"))
    assert options.ca_dirpath == str(tmp_path / "no-such-directory")
    ClientTlsContext(options)
    with pytest.raises(AssertionError):
        options.override_default_trust_store("text")
    with pytest.raises(AssertionError):
        options.override_default_trust_store_from_path(b"path")
    with pytest.raises(FileNotFoundError):
        options.override_default_trust_store_from_path(ca_filepath=str(tmp_path / "no"))


@pytest.mark.parametrize("ca", [b"", b"no pem"])
def test_bad_trust_store(ca):
    options = TlsContextOptions()
    options.override_default_trust_store(ca)
    with pytest.raises(RuntimeError, match=NO_PEM):
        ClientTlsContext(options)
    options.verify_peer = False  # trust settings do not matter then
    ClientTlsContext(options)


def test_an_empty_trust_directory_path():
    options = TlsContextOptions()
    options.ca_dirpath = ""
    with pytest.raises(RuntimeError, match=CONTEXT_ERROR):
        ClientTlsContext(options)


@pytest.mark.parametrize("version", list(TlsVersion))
def test_every_version_makes_a_context(version):
    options = TlsContextOptions()
    options.min_tls_ver = version
    ClientTlsContext(options)


def test_versions_and_ciphers_must_be_enum_members():
    for name in ("min_tls_ver", "cipher_pref"):
        options = TlsContextOptions()
        setattr(options, name, 0)
        with pytest.raises(AttributeError):
            ClientTlsContext(options)


def test_cipher_preferences():
    assert TlsCipherPref.DEFAULT.is_supported()
    for preference in TlsCipherPref:
        options = TlsContextOptions()
        options.cipher_pref = preference
        if preference.is_supported():
            ClientTlsContext(options)
        else:
            with pytest.raises(RuntimeError, match=r"^1035 \(AWS_IO_TLS_CIPHER_PREF_UNSUPPORTED\)"):
                ClientTlsContext(options)


# ---- PKCS#12 ----


@pytest.fixture(scope="module")
def archive(tls_certs):
    """Path of the client's certificate and key as PKCS#12; the password is "sesame \u00e4"."""
    return tls_certs.client.pkcs12("sesame \u00e4")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def test_pkcs12_from_a_file_and_from_memory(archive):
    options = TlsContextOptions.create_client_with_mtls_pkcs12(archive, "sesame \u00e4")
    assert (options.pkcs12_filepath, options.pkcs12_password) == (archive, "sesame \u00e4")
    assert options._certificate_source == io._CertificateSource.PKCS12_FILE
    ClientTlsContext(options)
    options = TlsContextOptions.create_client_with_mtls_pkcs12_from_bytes(read(archive), "sesame \u00e4")
    assert options._certificate_source == io._CertificateSource.PKCS12_FILE
    ClientTlsContext(options)


@pytest.mark.parametrize("password", ["", "sesame", "sesame \u00e4\u00e4"])
def test_a_wrong_pkcs12_password_is_told(archive, password):
    with pytest.raises(RuntimeError, match=CONTEXT_ERROR + ".*password.*wrong"):
        ClientTlsContext(TlsContextOptions.create_client_with_mtls_pkcs12(archive, password))


@pytest.mark.parametrize("content", [b"", b"junk", b"\x30\x82\xff\xff", b"\0" * 4096])
def test_a_file_that_is_no_pkcs12(tmp_path, content):
    (tmp_path / "x.p12").write_bytes(content)
    with pytest.raises(RuntimeError, match=CONTEXT_ERROR + ".*no PKCS#12 archive"):
        ClientTlsContext(TlsContextOptions.create_client_with_mtls_pkcs12(str(tmp_path / "x.p12"), ""))


def test_a_damaged_pkcs12_archive(archive):
    whole = read(archive)
    for cut in range(0, len(whole), 97):
        damaged = whole[:cut] + bytes([whole[cut] ^ 1]) + whole[cut + 1 :]
        for content in (whole[:cut], damaged):
            with pytest.raises(RuntimeError, match=CONTEXT_ERROR):
                ClientTlsContext(TlsContextOptions.create_client_with_mtls_pkcs12_from_bytes(content, "sesame \u00e4"))


def test_a_pkcs12_archive_that_is_not_there(tmp_path):
    missing = str(tmp_path / "missing.p12")
    with pytest.raises(RuntimeError, match=r"^44 \(AWS_ERROR_FILE_INVALID_PATH\).*missing\.p12.*No such file"):
        ClientTlsContext(TlsContextOptions.create_client_with_mtls_pkcs12(missing, ""))


def test_pem_counts_before_pkcs12(pems, tmp_path):
    options = TlsContextOptions.create_client_with_mtls(pems["cert"], pems["key"])
    options.pkcs12_filepath, options.pkcs12_buffer = str(tmp_path / "missing"), b"junk"
    ClientTlsContext(options)


def test_arguments_of_the_pkcs12_factories():
    for make in (TlsContextOptions.create_client_with_mtls_pkcs12, TlsContextOptions.create_server_pkcs12):
        for arguments in ((b"path", ""), ("path", b""), ("path", None), (None, "")):
            with pytest.raises(AssertionError):
                make(*arguments)
    with pytest.raises(AssertionError):
        TlsContextOptions.create_client_with_mtls_pkcs12_from_bytes("text", "")


@pytest.mark.parametrize(
    "name, value", [("pkcs12_filepath", 5), ("pkcs12_buffer", "text"), ("pkcs12_password", 5), ("ca_dirpath", 5),
                    ("ca_buffer", "text"), ("certificate_buffer", "text"), ("_windows_cert_store_path", 5)],
)  # fmt: skip
def test_options_of_the_wrong_type(name, value):
    options = TlsContextOptions()
    setattr(options, name, value)
    with pytest.raises(TypeError):
        ClientTlsContext(options)


def test_a_password_with_nul(archive):
    with pytest.raises(ValueError):
        ClientTlsContext(TlsContextOptions.create_client_with_mtls_pkcs12(archive, "a\0b"))


# ---- Windows stores, servers ----


def test_windows_certificate_stores_are_for_windows():
    options = TlsContextOptions.create_client_with_mtls_windows_cert_store_path("CurrentUser\\MY\\A11F")
    assert options._windows_cert_store_path == "CurrentUser\\MY\\A11F"
    assert options._certificate_source == io._CertificateSource.WINDOWS_CERT_STORE
    with pytest.raises(RuntimeError, match=r"^53 \(AWS_ERROR_PLATFORM_NOT_SUPPORTED\)"):
        ClientTlsContext(options)
    with pytest.raises(AssertionError):
        TlsContextOptions.create_client_with_mtls_windows_cert_store_path(b"path")


def test_server_options(pems, archive, tmp_path):
    (tmp_path / "cert").write_bytes(pems["cert"])
    (tmp_path / "key").write_bytes(pems["key"])
    for options in (
        TlsContextOptions.create_server(pems["cert"], pems["key"]),
        TlsContextOptions.create_server_from_path(str(tmp_path / "cert"), str(tmp_path / "key")),
        TlsContextOptions.create_server_pkcs12(archive, "sesame \u00e4"),
    ):
        assert options.verify_peer is False
        assert options._certificate_source is None
        ClientTlsContext(options)
    with pytest.raises(AssertionError):
        TlsContextOptions.create_server("text", b"")
    with pytest.raises(AssertionError):
        TlsContextOptions.create_server_from_path(b"path", "path")
    with pytest.raises(FileNotFoundError):
        TlsContextOptions.create_server_from_path(str(tmp_path / "no"), str(tmp_path / "no"))


# ---- ALPN, connection options ----


@pytest.mark.parametrize("names", [None, [], "", ["h2", "http/1.1"], ("a",)])
def test_alpn_lists_of_a_context(names):
    options = TlsContextOptions()
    options.alpn_list = names
    ClientTlsContext(options)


@pytest.mark.parametrize(
    "names, error",
    [
        ("h2", AssertionError),
        ([1], TypeError),
        (["a\0b"], ValueError),
        ([""], RuntimeError),
        (["a", "b", "c", "d", "e"], RuntimeError),
        (["x" * 300], RuntimeError),
    ],
)
def test_bad_alpn_lists_of_a_context(names, error):
    options = TlsContextOptions()
    options.alpn_list = names
    with pytest.raises(error):
        ClientTlsContext(options)


def test_connection_options_reach_native_code(probe):
    options = ClientTlsContext(TlsContextOptions()).new_connection_options()
    assert probe.tls_options(options) == (1, None, None, 0)
    options.set_server_name("example.com")
    options.set_alpn_list(["h2", "http/1.1"])
    assert probe.tls_options(options) == (1, "example.com", "h2;http/1.1", 0)
    options.set_server_name(b"example.org")
    assert probe.tls_options(options)[1] == "example.org"
    options.set_server_name("")
    assert probe.tls_options(options)[1] is None
    assert probe.tls_options(None) == (0, None, None, 0)


def test_the_negotiation_timeout(probe):
    options = ClientTlsContext(TlsContextOptions()).new_connection_options()
    options.set_negotiation_timeout_ms(1)
    assert probe.tls_options(options)[3] == 1
    options.set_negotiation_timeout_ms(2**32 - 1)
    assert probe.tls_options(options)[3] == 2**32 - 1
    for value, error in ((0, ValueError), (-1, ValueError), (2**32, ValueError), (1.5, TypeError), (None, TypeError)):
        with pytest.raises(error):
            options.set_negotiation_timeout_ms(value)


def test_names_say_where_they_are_public():
    for public in (TlsContextOptions, ClientTlsContext, TlsConnectionOptions, TlsVersion, TlsCipherPref):
        assert public.__module__ == "awscrt.io"
    assert pickle.loads(pickle.dumps(TlsVersion.TLSv1_2)) is TlsVersion.TLSv1_2


def test_connection_options_keep_their_context(probe):
    options = ClientTlsContext(TlsContextOptions()).new_connection_options()
    options.tls_ctx = None
    assert probe.tls_options(options)[0] == 1


@pytest.mark.parametrize("name, error", [(None, TypeError), (5, TypeError), ("a\0b", ValueError)])
def test_bad_server_names(name, error):
    options = ClientTlsContext(TlsContextOptions()).new_connection_options()
    with pytest.raises(error):
        options.set_server_name(name)


@pytest.mark.parametrize(
    "names, error",
    [
        (None, TypeError),
        ([], TypeError),
        ("h2", AssertionError),
        ([1], TypeError),
        (["a\0b"], ValueError),
        ([""], RuntimeError),
    ],
)
def test_bad_alpn_lists_of_a_connection(names, error):
    options = ClientTlsContext(TlsContextOptions()).new_connection_options()
    with pytest.raises(error):
        options.set_alpn_list(names)


def test_connection_options_need_a_context(probe):
    with pytest.raises(AssertionError):
        TlsConnectionOptions(None)
    with pytest.raises(TypeError, match="expected TlsConnectionOptions"):
        probe.tls_options(ClientTlsContext(TlsContextOptions()))


def test_alpn_is_available():
    assert io.is_alpn_available() is True


def test_enums_are_ints():
    assert issubclass(TlsCipherPref, enum.IntEnum)
    assert {p.name: p.value for p in TlsCipherPref} == {
        "DEFAULT": 0,
        "PQ_TLSv1_0_2021_05": 6,
        "PQ_DEFAULT": 8,
        "TLSv1_2_2025_07": 9,
    }
