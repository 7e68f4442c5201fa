"""Long runs (``make soak``, SOAK_SECONDS each): memory, descriptors and threads must not grow with the work done."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from concurrent.futures import Future
from typing import Callable, List

import pytest

from awscrt import mqtt5
from awscrt.auth import AwsCredentialsProvider
from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest
from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType
from awscrt.testing.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY

pytestmark = pytest.mark.soak

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
MIB = 1024 * 1024
WAIT = 60.0


class Usage:
    """What the process holds."""

    def __init__(self) -> None:
        gc.collect()
        with open("/proc/self/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        self.memory = int(fields["VmRSS"].split()[0]) * 1024
        self.threads = int(fields["Threads"])
        self.descriptors = len(os.listdir("/proc/self/fd"))


def repeat(work: Callable[[], None]) -> int:
    """Works until the time is over; after a quarter of it nothing may grow any more. Returns the number of rounds."""
    begun = time.monotonic()
    rounds = 0
    settled = None
    while time.monotonic() - begun < SECONDS or settled is None:
        work()
        rounds += 1
        if settled is None and time.monotonic() - begun >= SECONDS / 4:
            settled = Usage()
    ended = Usage()
    assert ended.memory < settled.memory + 32 * MIB
    assert ended.threads <= settled.threads + 2
    assert ended.descriptors <= settled.descriptors + 16  # pooled connections come and go
    return rounds


def test_s3_transfers_with_faults(s3_endpoint, tmp_path):
    provider = AwsCredentialsProvider.new_static(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    client = S3Client(
        region="us-east-1", credential_provider=provider, tls_mode=S3RequestTlsMode.DISABLED, part_size=5 * MIB
    )
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(16 * MIB))
    faults = [{"status": 503, "code": "SlowDown"}, {"close": True}, {"close_after": 1000}, {"close_in_request": 70000}]
    random.seed(1)

    def transfer(method: str, **file: str) -> None:
        headers = HttpHeaders([("Host", s3_endpoint.authority)])
        if method == "PUT":
            headers.add("Content-Length", str(16 * MIB))
        kind = S3RequestType.PUT_OBJECT if method == "PUT" else S3RequestType.GET_OBJECT
        request = client.make_request(type=kind, request=HttpRequest(method, "/test-bucket/soak", headers), **file)
        if method == "GET" and random.random() < 0.1:  # an upload cancelled before its id arrives stays open
            request.cancel()
        try:
            request.finished_future.result(WAIT)
        except AwsCrtError as error:
            assert error.name == "AWS_ERROR_S3_CANCELED"

    def work() -> None:
        s3_endpoint.reset()
        s3_endpoint.fail_next(**random.choice(faults))
        transfer("PUT", send_filepath=str(source))
        transfer("GET", recv_filepath=str(target))

    assert repeat(work) > 0
    assert s3_endpoint.open_uploads() == []


def test_http_requests_and_reconnects(nginx, tls_certs):
    nginx.add_file("soak", os.urandom(100_000))

    def work() -> None:
        connection = HttpClientConnection.new("127.0.0.1", nginx.port).result(WAIT)
        streams: List[Future[int]] = []
        for _ in range(50):
            request = HttpRequest("GET", "/soak", HttpHeaders([("Host", "localhost")]))
            stream = connection.request(request)
            stream.activate()
            streams.append(stream.completion_future)
        assert [future.result(WAIT) for future in streams] == [200] * 50
        connection.close().result(WAIT)

    assert repeat(work) > 0


def test_mqtt_publishes_and_sessions(mosquitto):
    def work() -> None:
        connected: Future[None] = Future()
        stopped = threading.Event()
        arrived = threading.Semaphore(0)
        client = mqtt5.Client(
            mqtt5.ClientOptions(
                host_name="127.0.0.1",
                port=mosquitto.port,
                on_publish_callback_fn=lambda data: arrived.release(),
                on_lifecycle_event_connection_success_fn=lambda data: connected.set_result(None),
                on_lifecycle_event_stopped_fn=lambda data: stopped.set(),
            )
        )
        client.start()
        connected.result(WAIT)
        topic = f"soak/{os.getpid()}"
        client.subscribe(mqtt5.SubscribePacket([mqtt5.Subscription(topic, mqtt5.QoS.AT_LEAST_ONCE)])).result(WAIT)
        packet = mqtt5.PublishPacket(topic=topic, payload=b"x" * 100, qos=mqtt5.QoS.AT_LEAST_ONCE)
        sent = [client.publish(packet) for _ in range(500)]
        for future in sent:
            future.result(WAIT)
        assert all(arrived.acquire(timeout=WAIT) for _ in sent)
        client.stop()
        assert stopped.wait(WAIT)

    assert repeat(work) > 0
