"""What a client says first: the ClientHello (RFC 8446, 4.1.2) that each setting leads to, as a server reads it."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from awscrt.io import ClientTlsContext, TlsCipherPref, TlsContextOptions, TlsVersion

TLS_1_3 = [0x1301, 0x1302, 0x1303]
AEAD = [0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8]
CBC_AND_RSA = [
    *(0xC023, 0xC027, 0xC024, 0xC028, 0xC009, 0xC013, 0xC00A, 0xC014),
    *(0x009C, 0x009D, 0x003C, 0x003D, 0x002F, 0x0035),
]
SIGNALLING = 0x00FF  # secure renegotiation (RFC 5746)
ALL = TLS_1_3 + AEAD + CBC_AND_RSA
CLASSIC = [0x0017, 0x001D, 0x0018]  # P-256, X25519, P-384
POST_QUANTUM = [0x11EC, 0x11EB, 0x11ED, 0x0202]  # three hybrids, then ML-KEM-1024 alone
PSS = [0x0809, 0x080A, 0x080B, 0x0804, 0x0805, 0x0806]
RSA = [0x0401, 0x0501, 0x0601]
ECDSA = [0x0403, 0x0503, 0x0603]
ALL_SIGNATURES = [*PSS, *RSA, 0x0301, *ECDSA, 0x0303, 0x0201, 0x0203]
SERVER_NAME, STATUS_REQUEST, GROUPS, POINT_FORMATS, SIGNATURES, ALPN = 0, 5, 10, 11, 13, 16
EXTENDED_MASTER_SECRET, SESSION_TICKET, VERSIONS, KEY_SHARE = 23, 35, 43, 51
MAX_FRAGMENT_LENGTH, RECORD_SIZE_LIMIT = 1, 28


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, size):
        taken, self.data = self.data[:size], self.data[size:]
        assert len(taken) == size
        return taken

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def vector(self, size):
        return Reader(self.take(self.number(size)))

    def numbers(self, size):
        return [int.from_bytes(self.data[i : i + size], "big") for i in range(0, len(self.data), size)]


class Hello:
    def __init__(self, record):
        message = Reader(Reader(record[3:]).vector(2).data)
        assert message.number(1) == 1
        body = message.vector(3)
        assert body.number(2) == 0x0303
        body.take(32)
        body.vector(1)
        self.suites = body.vector(2).numbers(2)
        assert body.vector(1).data == b"\0"  # no compression
        extensions = body.vector(2)
        self.extensions = {}
        while extensions.data:
            kind = extensions.number(2)
            self.extensions[kind] = extensions.vector(2).data

    def list(self, extension, length_size=2):
        return Reader(self.extensions[extension]).vector(length_size).numbers(2)

    @property
    def shares(self):
        shares, groups = Reader(self.extensions[KEY_SHARE]).vector(2), []
        while shares.data:
            groups.append(shares.number(2))
            shares.vector(2)
        return groups


@pytest.fixture
def hello(probe, bootstrap):
    def capture(options=None, *, name="site.example", alpn=None):
        options = options or TlsContextOptions()
        connection = ClientTlsContext(options).new_connection_options()
        connection.set_server_name(name)
        if alpn:
            connection.set_alpn_list(alpn)
        captured = []

        def serve():
            with listener.accept()[0] as peer:
                data = b""
                while len(data) < 5 or len(data) < 5 + struct.unpack_from(">H", data, 3)[0]:
                    data += peer.recv(65536)
                captured.append(data)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(20)
            thread = threading.Thread(target=serve)
            thread.start()
            done = probe.tls_connect(bootstrap, "127.0.0.1", listener.getsockname()[1], connection, False)
            assert done.exception(20) is not None
            thread.join()
        return Hello(captured[0])

    return capture


def options_with(**values):
    options = TlsContextOptions()
    for name, value in values.items():
        setattr(options, name, value)
    return options


@pytest.mark.parametrize(
    "setting, versions, suites, post_quantum, signatures",
    [
        (TlsVersion.DEFAULT, [0x0304, 0x0303, 0x0302, 0x0301], ALL, True, ALL_SIGNATURES),
        # SSL 3.0 and what only it had are gone from OpenSSL (RFC 7568)
        (TlsVersion.SSLv3, [0x0304, 0x0303, 0x0302, 0x0301], ALL, False, ALL_SIGNATURES),
        (TlsVersion.TLSv1, [0x0304, 0x0303, 0x0302, 0x0301], ALL, False, ALL_SIGNATURES),
        (TlsVersion.TLSv1_1, [0x0304, 0x0303, 0x0302], ALL, False, ALL_SIGNATURES),
        (TlsVersion.TLSv1_2, [0x0304, 0x0303], ALL, True, ALL_SIGNATURES),
        # SHA-224 and SHA-1 do not exist in TLS 1.3 (RFC 8446, 4.2.3)
        (TlsVersion.TLSv1_3, [0x0304], TLS_1_3, True, PSS + RSA + ECDSA),
        (TlsCipherPref.PQ_DEFAULT, [0x0304, 0x0303], ALL, True, ALL_SIGNATURES),
        (TlsCipherPref.TLSv1_2_2025_07, [0x0304, 0x0303], TLS_1_3[:2] + AEAD[:4], None, ECDSA + PSS + RSA),
    ],
    ids=str,
)
def test_what_each_setting_offers(hello, setting, versions, suites, post_quantum, signatures):
    name = "min_tls_ver" if isinstance(setting, TlsVersion) else "cipher_pref"
    said = hello(options_with(**{name: setting}))
    assert said.list(VERSIONS, 1) == versions
    assert [suite for suite in said.suites if suite != SIGNALLING] == suites
    assert said.list(SIGNATURES) == signatures
    if post_quantum is None:
        assert said.list(GROUPS) == [0x0017, 0x0018]
    elif post_quantum and POST_QUANTUM[0] in said.list(GROUPS):
        assert said.list(GROUPS) == POST_QUANTUM + CLASSIC
        assert said.shares == [POST_QUANTUM[0], CLASSIC[0]]
        return
    else:
        assert said.list(GROUPS) == CLASSIC
    assert said.shares == [0x0017]


def test_post_quantum_groups_come_with_all_settings_or_none(hello):
    """They depend on the libcrypto that was found, so that every setting that may have them agrees."""
    settings = [{}, {"min_tls_ver": TlsVersion.TLSv1_2}, {"cipher_pref": TlsCipherPref.PQ_DEFAULT}]
    assert len({POST_QUANTUM[0] in hello(options_with(**setting)).list(GROUPS) for setting in settings}) == 1


def test_extensions(hello):
    said = hello()
    for expected in (VERSIONS, GROUPS, KEY_SHARE, SIGNATURES, POINT_FORMATS, EXTENDED_MASTER_SECRET, STATUS_REQUEST):
        assert expected in said.extensions
    for absent in (SESSION_TICKET, MAX_FRAGMENT_LENGTH, RECORD_SIZE_LIMIT, ALPN):
        assert absent not in said.extensions


@pytest.mark.parametrize("setting", [{"verify_peer": False}, {"no_certificate_revocation": True}])
def test_nobody_asks_for_a_status_that_is_not_checked(hello, setting):
    assert STATUS_REQUEST not in hello(options_with(**setting)).extensions


def test_the_server_name(hello):
    assert hello().extensions[SERVER_NAME] == b"\0\x0f\0\0\x0csite.example"
    assert hello(name="site.example.").extensions[SERVER_NAME] == b"\0\x0f\0\0\x0csite.example"
    assert SERVER_NAME not in hello(name="127.0.0.1").extensions  # RFC 6066, 3


def test_protocols_in_order_of_preference(hello):
    assert hello(options_with(alpn_list=["h2", "http/1.1"])).extensions[ALPN] == b"\0\x0c\x02h2\x08http/1.1"
    assert hello(options_with(alpn_list=["h2"]), alpn=["mqtt"]).extensions[ALPN] == b"\0\x05\x04mqtt"
