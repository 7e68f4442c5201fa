"""The code samples that the guides show are run here as a reader would run them."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict

from awscrt.testing.client_server import Script
from awscrt.testing.credentials import KEY_ID, InstanceMetadata
from awscrt.testing.eventstream import (
    TERMINATE_STREAM,
    EventStreamPeer,
    EventStreamServer,
    Received,
    serve_operations,
)
from awscrt.testing.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from awscrt.testing.scripted import Peer, ScriptedServer
from awscrt.testing.servers import Nghttpd

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"


def run_sample(name: str, *args: object, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(SAMPLES / name), *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=90,
        env={**os.environ, **environment},
        check=False,
    )
    output = done.stdout.decode()
    assert done.returncode == 0, output
    return output


def test_checksums(tmp_path: Path) -> None:
    (tmp_path / "digits").write_bytes(b"123456789")
    lines = run_sample("checksums.py", tmp_path / "digits").splitlines()
    assert lines[:2] == ["crc32 cbf43926", "crc64nvme ae8b14860a799888"]


def test_crypto_hashes(tmp_path: Path) -> None:
    (tmp_path / "digits").write_bytes(b"123456789")
    digest = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"
    assert run_sample("crypto_hashes.py", tmp_path / "digits").splitlines() == [
        f"sha256 {digest}",
        f"in one call {digest}",
        "genuine",
    ]


def _without_aws(home: Path) -> Dict[str, str]:
    return {**{name: "" for name in os.environ if name.startswith("AWS_")}, "HOME": str(home)}


def test_credentials_chain(tmp_path: Path) -> None:
    with InstanceMetadata() as service:
        where = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url}
        lines = run_sample("credentials_chain.py", **{**_without_aws(tmp_path), **where}).splitlines()
    assert lines == [f"{KEY_ID} expires 2099-01-02 03:04:05+00:00", "remembered"]
    assert service.steps == ["token", "roles", "role"]


def test_credentials_plugin(tmp_path: Path) -> None:
    assert run_sample("credentials_plugin.py", **_without_aws(tmp_path)) == "AKIDVAULT\n"


def test_crypto_keys(tmp_path: Path) -> None:
    vectors = Path(__file__).parents[1] / "core" / "vectors" / "crypto_rsa.json"
    der = bytes.fromhex(json.loads(vectors.read_text())["keys"][1]["private_pkcs8"])
    text = base64.b64encode(der).decode()
    (tmp_path / "key.pem").write_text(f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    lines = run_sample("crypto_keys.py", tmp_path / "key.pem").splitlines()
    assert lines[:4] == ["genuine", "forged", "64 bytes", "a session key"]
    assert lines[4].startswith("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI")


def test_http_over_tls(nginx: Any, tls_certs: Any) -> None:
    nginx.add_file("page", b"x" * 1234)
    assert "received 1234 bytes" in run_sample("http_get.py", "localhost", nginx.tls_port, "/page", tls_certs.ca_path)


def test_http_with_asyncio(nginx: Any) -> None:
    nginx.add_file("page", b"x" * 1000)
    assert "received 8000 bytes" in run_sample("http_get_asyncio.py", "localhost", nginx.port, "/page")


def test_mutual_tls(tls_certs: Any) -> None:
    context = tls_certs.authority.server_context(tls_certs.server, mutual=True)
    with socket.create_server(("localhost", 0)) as listener:
        listener.settimeout(60)
        thread = threading.Thread(target=shake_hands_twice, args=(listener, context))
        thread.start()
        archive = tls_certs.client.pkcs12("secret")
        port = listener.getsockname()[1]
        output = run_sample("tls_client.py", "localhost", port, tls_certs.ca_path, archive, "secret")
        thread.join()
    assert output.splitlines()[0] == "connected to localhost"
    assert "certificate is not valid for host 'elsewhere.example' (valid for: localhost" in output


def shake_hands_twice(listener: socket.socket, context: ssl.SSLContext) -> None:
    for _ in range(2):
        with contextlib.suppress(OSError), listener.accept()[0] as plain:
            with context.wrap_socket(plain, server_side=True) as peer:
                peer.recv(1)


def test_http2_streams(tls_certs: Any) -> None:
    with Nghttpd(tls_certs.server) as server:
        server.add_file("page", b"x" * 1000)
        lines = run_sample("http2_streams.py", "localhost", server.port, "/page", tls_certs.ca_path).splitlines()
    assert lines == [
        "received 20000 bytes on 20 streams",
        "uploaded ['line 0', 'line 1', 'line 2']",
        "round trip below a second: True",
    ]


def test_http2_writes(nghttpd: Any) -> None:
    assert run_sample("http2_writes.py", "localhost", nghttpd.port).strip() == "status 200 b'first, last'"


def test_event_loops_of_ones_own(nginx: Any) -> None:
    nginx.add_file("page", b"x")
    assert run_sample("io_lifecycle.py", "localhost", nginx.port, "/page").splitlines() == ["status 200", "joined True"]


def test_logging(tmp_path: Path) -> None:
    output = run_sample("logging_setup.py", tmp_path / "log")
    assert "INFO awscrt.io.event-loop - started 1 event loop(s)" in output
    assert "[MainThread] WARNING awscrt.common.aws-c-common - a message of the program" in output
    assert "[TRACE] [" in (tmp_path / "log").read_text()
    assert (tmp_path / "log").read_text().endswith("[aws-c-common] - a message for the file\n")


def test_s3_transfer(s3_endpoint: Any, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(os.urandom(20 << 20))
    credentials = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
    output = run_sample("s3_transfer.py", s3_endpoint.authority, source, copy, **credentials)
    assert f"downloaded {20 << 20} bytes" in output
    assert copy.read_bytes() == source.read_bytes()


def test_signed_requests(s3_endpoint: Any) -> None:
    credentials = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
    output = run_sample("signing_request.py", s3_endpoint.host, s3_endpoint.port, "test-bucket", **credentials)
    assert output.splitlines() == ["put 200", "get 200 b'some text'"]


def test_presigned_urls(s3_endpoint: Any) -> None:
    credentials = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
    output = run_sample("signing_presign.py", s3_endpoint.url, "test-bucket", PYTHONIOENCODING="utf-8", **credentials)
    assert output.splitlines() == ["200 plain", "200 with blank", "200 with/slash+plus", "200 Übersicht.txt"]


def test_mqtt5_publish(mosquitto: Any) -> None:
    assert "received hello" in run_sample("mqtt5_publish.py", "127.0.0.1", mosquitto.port)


def test_cbor_objects() -> None:
    output = run_sample("cbor_objects.py")
    assert "tag 32 of http://www.example.com" in output
    assert "invalid CBOR at byte" in output


def test_cbor_elements() -> None:
    lines = run_sample("cbor_elements.py").splitlines()
    assert lines[:5] == ["9f01fa40200000657468726565c11a66471588ff", "1", "2.5", "three", "second 1715934600"]
    assert lines[5] == "[1, 2.5, 'three', 'second 1715934600']"
    assert lines[6].startswith("61 (AWS_ERROR_CBOR_UNEXPECTED_TYPE)")
    assert lines[7:] == ["5"]


def test_eventstream_codec() -> None:
    assert run_sample("eventstream_codec.py").splitlines() == [
        "{':event-type': 'tick', 'count': 0} b'payload 0'",
        "{':event-type': 'tick', 'count': 1} b'payload 1'",
    ]


def test_eventstream_rpc(tmp_path: Path) -> None:
    def shout(peer: EventStreamPeer, message: Received) -> None:
        peer.reply(message, message.payload.upper())
        peer.reply(message, b"done", flags=TERMINATE_STREAM)

    path = str(tmp_path / "socket")
    with EventStreamServer(serve_operations({"shout": shout}), path=path):
        output = run_sample("eventstream_rpc.py", path, "shout", "hello")
    assert output.splitlines() == [
        "APPLICATION_MESSAGE HELLO",
        "APPLICATION_MESSAGE done",
        "closed",
        "gone: None",
    ]


def test_pkcs11_token(tmp_path: Path, tls_certs: Any) -> None:
    module, setting = run_sample("pkcs11_softhsm.py", tmp_path / "hsm", tls_certs.client.private_key).splitlines()
    name, _, value = setting.partition("=")
    environment = {name: value}
    certificate = tls_certs.client.certificate
    output = run_sample("pkcs11_token.py", module, "device", "1234", "key", certificate, **environment)
    assert output == "logged in; the key is on the token\n"


def test_http_put_and_get() -> None:
    stored = []

    def script(peer: Peer) -> None:
        peer.receive_until(b"\r\n\r\n")
        stored.append(peer.receive_until(b"\r\n0\r\n\r\n"))
        peer.send(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        peer.receive_until(b"\r\n\r\n")
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\nline 0\nline 1\nline 2\n")
        peer.receive_all()

    with ScriptedServer(script) as server:
        assert run_sample("http_put_and_get.py", server.port).splitlines() == ["PUT 201", "GET 200 21 bytes"]
    assert stored == [b"7\r\nline 0\n\r\n7\r\nline 1\n\r\n7\r\nline 2\n\r\n0\r\n\r\n"]


def test_websocket():
    import asyncio

    from websockets.asyncio.server import serve

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    async def main():
        loop = asyncio.get_running_loop()
        async with serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            by_message = await loop.run_in_executor(None, run_sample, "websocket_asyncio.py", f"ws://127.0.0.1:{port}/")
            by_frame = await loop.run_in_executor(None, run_sample, "websocket_callbacks.py", "127.0.0.1", port)
        return by_message, by_frame

    by_message, by_frame = asyncio.run(main())
    assert by_message.splitlines() == [
        "hello",
        "b'\\x00\\x01\\x02'",
        "a message in fragments",
        "round trip below a minute: True",
        "closed with 1000",
    ]
    assert by_frame.splitlines() == ["TEXT hello", "closed: None"]


def test_http_client() -> None:
    with ScriptedServer(Script(threading.Event())) as server:
        url = f"http://127.0.0.1:{server.port}"
        assert run_sample("http_client.py", url).splitlines() == [
            "200 {'a': [1, 2]}",
            "uploaded: three pieces ",
            "10 answers over at most 10 connections",
        ]
        assert run_sample("http_client_aio.py", url).splitlines() == [
            "5000000 bytes",
            "echoed: 0 1 2 ",
            "given up: AWS_IO_SOCKET_TIMEOUT",
        ]
