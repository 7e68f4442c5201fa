"""A guided tour on this machine alone: ``python -m awscrt.testing.demo``.

Starts servers of its own on the loopback interface (an S3 endpoint, nginx, mosquitto; TLS through a throwaway
authority), moves data through the S3, HTTP and MQTT clients, checks every byte and prints one table.
"""

from __future__ import annotations

import argparse
import asyncio
import filecmp
import hashlib
import os
import sys
import tempfile
import threading
from concurrent.futures import Future
from typing import Any, List, Tuple

from awscrt import mqtt5
from awscrt.aio.http import AIOHttpClientConnection
from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import ClientTlsContext, TlsContextOptions
from awscrt.s3 import (
    S3Client,
    S3RequestTlsMode,
    S3RequestType,
    create_default_s3_signing_config,
)
from awscrt.testing._measure import MIB, Progress, Row, measured, table
from awscrt.testing.certs import Authority, Certificate
from awscrt.testing.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Endpoint
from awscrt.testing.servers import MissingProgram, Mosquitto, Nginx

_TIMEOUT = 60.0  # seconds for any single step
_MESSAGES = 2000
_PAYLOAD = 256  # bytes of an MQTT message
_TOPIC = "demo/messages"


def make_file(path: str, size: int) -> None:
    """Writes so many random bytes."""
    with Progress("preparing a file", size) as progress, open(path, "wb") as file:
        for at in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - at)))
            progress.add(MIB)


# ---- S3 ----


def s3_client() -> S3Client:
    """A client for the endpoint, with its static credentials."""
    provider = AwsCredentialsProvider.new_static(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    signing = create_default_s3_signing_config(region="us-east-1", credential_provider=provider)
    return S3Client(region="us-east-1", tls_mode=S3RequestTlsMode.DISABLED, signing_config=signing, part_size=8 * MIB)


def upload(client: S3Client, endpoint: S3Endpoint, path: str) -> Row:
    """Uploads a file in parts, each request signed."""
    size = os.path.getsize(path)
    headers = HttpHeaders([("Host", endpoint.authority), ("Content-Length", str(size))])
    row = Row("S3 upload, 8 MiB parts", size)
    with Progress(row.what, size) as progress, measured(row):
        request = client.make_request(
            type=S3RequestType.PUT_OBJECT,
            request=HttpRequest("PUT", "/demo/object", headers),
            send_filepath=path,
            on_progress=progress.add,
        )
        request.finished_future.result(_TIMEOUT)
    parts = len(endpoint.requests("UploadPart"))
    row.note = f"{parts} parts, every signature verified"
    return row


def download(client: S3Client, endpoint: S3Endpoint, path: str, original: str) -> Row:
    """Downloads the object in parallel ranges and compares it with the original."""
    size = os.path.getsize(original)
    row = Row("S3 download, ranges", size)
    with Progress(row.what, size) as progress, measured(row):
        request = client.make_request(
            type=S3RequestType.GET_OBJECT,
            request=HttpRequest("GET", "/demo/object", HttpHeaders([("Host", endpoint.authority)])),
            recv_filepath=path,
            on_progress=progress.add,
        )
        request.finished_future.result(_TIMEOUT)
    if not filecmp.cmp(path, original, shallow=False):
        raise SystemExit("demo: the downloaded file differs from the one uploaded")
    row.note = f"equal to the original, {endpoint.statistics().max_in_flight} requests at once"
    return row


def run_s3(directory: str, size: int) -> List[Row]:
    """Up and down, against an endpoint in a process of its own."""
    original, copy = os.path.join(directory, "original"), os.path.join(directory, "copy")
    make_file(original, size)
    endpoint = S3Endpoint.start_process(buckets=["demo"])
    try:
        client = s3_client()
        rows = [upload(client, endpoint, original)]
        endpoint.reset()
        rows.append(download(client, endpoint, copy, original))
    finally:
        endpoint.close()
    os.remove(original)
    os.remove(copy)
    return rows


# ---- HTTPS ----


def tls_context(authority: Authority) -> ClientTlsContext:
    """A client context that trusts the throwaway authority and nobody else."""
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(ca_filepath=authority.path)
    return ClientTlsContext(options)


async def fetch(port: int, context: ClientTlsContext, path: str, progress: Progress) -> Tuple[int, str, int]:
    """GETs a path over TLS; status, SHA-256 and length of the body."""
    options = context.new_connection_options()
    options.set_server_name("localhost")
    connection = await AIOHttpClientConnection.new("localhost", port, tls_connection_options=options)
    stream = connection.request(HttpRequest("GET", path, HttpHeaders([("Host", f"localhost:{port}")])))
    status = await stream.get_response_status_code()
    digest, length = hashlib.sha256(), 0
    while True:
        chunk = await stream.get_next_response_chunk()
        if not chunk:
            break
        digest.update(chunk)
        length += len(chunk)
        progress.add(len(chunk))
    await stream.wait_for_completion()
    await connection.close()
    return status, digest.hexdigest(), length


def run_https(authority: Authority, certificate: Certificate, size: int) -> Row:
    """One GET from nginx, body hashed as it arrives."""
    data = os.urandom(size)
    row = Row("HTTPS GET, asyncio", size)
    with Nginx(certificate) as nginx:
        nginx.add_file("data", data)
        context = tls_context(authority)
        with Progress(row.what, size) as progress, measured(row):
            answer = asyncio.run(fetch(nginx.tls_port, context, "/data", progress))
    if answer != (200, hashlib.sha256(data).hexdigest(), size):
        raise SystemExit(f"demo: the HTTPS answer is not the file: status {answer[0]}, {answer[2]} bytes")
    row.note = "SHA-256, certificate verified"
    return row


# ---- MQTT ----


class Subscriber:
    """Counts messages and notes which arrived."""

    def __init__(self, expected: int, progress: Progress) -> None:
        self._progress = progress
        self._missing = set(range(expected))
        self.complete = threading.Event()

    def on_publish(self, data: mqtt5.PublishReceivedData) -> None:
        payload = data.publish_packet.payload
        assert isinstance(payload, bytes)
        self._missing.discard(int.from_bytes(payload[:4], "big"))
        self._progress.add(1)
        if not self._missing:
            self.complete.set()


def connect(port: int, context: ClientTlsContext, name: str, **callbacks: Any) -> Tuple[mqtt5.Client, Future[None]]:
    """A started client, and the future of its end."""
    connected: Future[None] = Future()
    stopped: Future[None] = Future()

    def failed(data: mqtt5.LifecycleConnectFailureData) -> None:
        if not connected.done():
            connected.set_exception(data.exception)

    options = mqtt5.ClientOptions(
        host_name="localhost",
        port=port,
        tls_ctx=context,
        connect_options=mqtt5.ConnectPacket(client_id=name, keep_alive_interval_sec=60),
        on_lifecycle_event_connection_success_fn=lambda data: connected.set_result(None),
        on_lifecycle_event_connection_failure_fn=failed,
        on_lifecycle_event_stopped_fn=lambda data: stopped.set_result(None),
        **callbacks,
    )
    client = mqtt5.Client(options)
    client.start()
    connected.result(_TIMEOUT)
    return client, stopped


def run_mqtt(authority: Authority, certificate: Certificate) -> Row:
    """Two clients over TLS: one publishes at QoS 1, the other receives."""
    row = Row("MQTT 5 QoS 1, two clients", _MESSAGES * _PAYLOAD)
    with Mosquitto(certificate, websockets=False) as broker, Progress(row.what, _MESSAGES) as progress:
        context = tls_context(authority)
        inbox = Subscriber(_MESSAGES, progress)
        receiver, receiver_stopped = connect(
            broker.tls_port, context, "demo-receiver", on_publish_callback_fn=inbox.on_publish
        )
        sender, sender_stopped = connect(broker.tls_port, context, "demo-sender")
        topic = mqtt5.Subscription(topic_filter=_TOPIC, qos=mqtt5.QoS.AT_LEAST_ONCE)
        receiver.subscribe(mqtt5.SubscribePacket(subscriptions=[topic])).result(_TIMEOUT)
        with measured(row):
            filler = bytes(_PAYLOAD - 4)
            packets = [
                mqtt5.PublishPacket(topic=_TOPIC, payload=n.to_bytes(4, "big") + filler, qos=mqtt5.QoS.AT_LEAST_ONCE)
                for n in range(_MESSAGES)
            ]
            acknowledged = [sender.publish(packet) for packet in packets]
            for future in acknowledged:
                future.result(_TIMEOUT)
            if not inbox.complete.wait(_TIMEOUT):
                raise SystemExit("demo: not every MQTT message arrived")
        for client, stopped in ((sender, sender_stopped), (receiver, receiver_stopped)):
            client.stop()
            stopped.result(_TIMEOUT)
    row.note = f"{_MESSAGES} messages received and acknowledged, {_MESSAGES / row.seconds:,.0f}/s"
    return row


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m awscrt.testing.demo", description=__doc__.split("\n\n")[0])
    parser.add_argument("--size", type=int, default=256, metavar="MIB", help="size of the S3 object (default 256)")
    parser.add_argument("--directory", help="where the files go (default: the system's temporary directory)")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="awscrt-demo-", dir=options.directory) as directory:
            rows = run_s3(directory, options.size * MIB)
            authority = Authority.create(os.path.join(directory, "certs"))
            certificate = authority.issue("server")
            rows.append(run_https(authority, certificate, min(64, options.size) * MIB))
            rows.append(run_mqtt(authority, certificate))
    except MissingProgram as error:
        sys.exit(f"demo: {error}")
    print(table(rows))


if __name__ == "__main__":
    main()
