"""Bodies and callbacks of the caller that raise: the operation ends, everything else goes on."""

from __future__ import annotations

import asyncio
import io
import os
import queue
import sys
import threading
from typing import Any, List

import pytest

from awscrt import mqtt5
from awscrt.aio.http import AIOHttpClientConnection
from awscrt.aio.mqtt5 import Client as AsyncMqttClient
from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest
from awscrt.s3 import S3RequestType
from awscrt.testing.s3 import S3Endpoint

from .clients import TIMEOUT, Target, mqtt_options, s3_client, s3_message

MIB = 1024 * 1024


class Refusal(Exception):
    pass


class Broken(io.RawIOBase):
    """A body that raises after so many bytes."""

    def __init__(self, good: int) -> None:
        super().__init__()
        self.left = good

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.left == 0:
            raise Refusal("the source is broken")
        size = min(self.left, len(buffer))
        buffer[:size] = bytes(size)
        self.left -= size
        return size


# ---- http ----


def request_with_body(authority: str, good: int) -> HttpRequest:
    headers = HttpHeaders([("Host", authority), ("Content-Length", str(10 * MIB))])
    return HttpRequest("PUT", "/test-bucket/object", headers, Broken(good))


@pytest.mark.parametrize("good", [0, MIB])
def test_http_body_that_raises(s3_endpoint: S3Endpoint, good: int, capfd: Any) -> None:
    connection = HttpClientConnection.new("127.0.0.1", s3_endpoint.port).result(TIMEOUT)
    stream = connection.request(request_with_body(s3_endpoint.authority, good))
    stream.activate()
    error = stream.completion_future.exception(TIMEOUT)
    assert type(error) is AwsCrtError, repr(error)
    assert error.name == "AWS_ERROR_UNKNOWN"
    assert s3_endpoint.authority in error.message and "body" in error.message
    assert "Refusal: the source is broken" in capfd.readouterr().err
    connection.close().exception(TIMEOUT)
    assert s3_endpoint.keys("test-bucket") == []


@pytest.mark.parametrize("good", [0, MIB])
def test_http_body_that_raises_with_asyncio(s3_endpoint: S3Endpoint, good: int, capfd: Any) -> None:
    async def main() -> None:
        connection = await AIOHttpClientConnection.new("127.0.0.1", s3_endpoint.port)
        stream = connection.request(request_with_body(s3_endpoint.authority, good))
        with pytest.raises(AwsCrtError, match="AWS_ERROR_UNKNOWN") as caught:
            await stream.wait_for_completion()
        assert s3_endpoint.authority in caught.value.message and "body" in caught.value.message

    asyncio.run(asyncio.wait_for(main(), TIMEOUT))
    assert "Refusal: the source is broken" in capfd.readouterr().err
    assert s3_endpoint.keys("test-bucket") == []


@pytest.mark.parametrize("name", ["on_response", "on_body"])
def test_http_callback_that_raises(s3_endpoint: S3Endpoint, name: str, capfd: Any) -> None:
    refusal = Refusal("the callback is broken")

    def refuse(**kwargs: Any) -> None:
        raise refusal

    connection = HttpClientConnection.new("127.0.0.1", s3_endpoint.port).result(TIMEOUT)
    request = HttpRequest("GET", "/test-bucket/nothing", HttpHeaders([("Host", s3_endpoint.authority)]))
    stream = connection.request(request, **{name: refuse})
    stream.activate()
    error = stream.completion_future.exception(TIMEOUT)
    assert type(error) is AwsCrtError, repr(error)
    assert error.__cause__ is refusal
    assert s3_endpoint.authority in error.message and "callback" in error.message
    connection.close().exception(TIMEOUT)
    assert not connection.is_open()


# ---- s3 ----


@pytest.fixture
def target(s3_endpoint: S3Endpoint, tmp_path: Any) -> Target:
    return Target("127.0.0.1", s3_endpoint.port, None, str(tmp_path))


@pytest.mark.parametrize("size, good", [(1000, 0), (12 * MIB, 0), (12 * MIB, 6 * MIB)])
def test_s3_body_that_raises(target: Target, size: int, good: int, s3_endpoint: S3Endpoint, capfd: Any) -> None:
    message = s3_message(target, "PUT", Broken(good), size)
    request = s3_client(target).make_request(type=S3RequestType.PUT_OBJECT, request=message)
    error = request.finished_future.exception(TIMEOUT)
    assert type(error) is AwsCrtError, repr(error)
    assert error.name == "AWS_ERROR_UNKNOWN"
    assert s3_endpoint.authority in error.message and "body" in error.message
    assert "Refusal: the source is broken" in capfd.readouterr().err
    assert s3_endpoint.keys("test-bucket") == []
    assert s3_endpoint.open_uploads() == []


@pytest.mark.parametrize("name, to_file", [("on_headers", False), ("on_headers", True), ("on_body", False)])
def test_s3_callback_that_raises(target: Target, name: str, to_file: bool, s3_endpoint: S3Endpoint) -> None:
    s3_endpoint.put_object("test-bucket", "object", bytes(5 * MIB))
    refusal = Refusal("the callback is broken")

    def refuse(**kwargs: Any) -> None:
        raise refusal

    options = {"recv_filepath": target.received} if to_file else {}
    client = s3_client(target, part_size=MIB)
    request = client.make_request(
        type=S3RequestType.GET_OBJECT, request=s3_message(target, "GET"), **{name: refuse}, **options
    )
    assert request.finished_future.exception(TIMEOUT) is refusal
    assert os.path.exists(target.received) is to_file
    again = client.make_request(type=S3RequestType.GET_OBJECT, request=s3_message(target, "GET"))
    assert again.finished_future.result(TIMEOUT) is None


# ---- mqtt5 ----


def test_mqtt_callbacks_that_raise(mosquitto: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target("127.0.0.1", mosquitto.port, None, str(tmp_path))
    reported: queue.Queue[BaseException] = queue.Queue()
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.put(args.exc_value))
    connected, stopped = threading.Event(), threading.Event()

    def on_success(data: Any) -> None:
        connected.set()
        raise Refusal("on_success")

    def on_publish(data: Any) -> None:
        raise Refusal("on_publish")

    client = mqtt5.Client(
        mqtt_options(
            target,
            on_publish_callback_fn=on_publish,
            on_lifecycle_event_connection_success_fn=on_success,
            on_lifecycle_event_stopped_fn=lambda data: stopped.set(),
        )
    )
    client.start()
    assert connected.wait(TIMEOUT)
    topic = "integration/raises"
    client.subscribe(mqtt5.SubscribePacket([mqtt5.Subscription(topic, mqtt5.QoS.AT_LEAST_ONCE)])).result(TIMEOUT)
    packet = mqtt5.PublishPacket(topic=topic, payload=b"x", qos=mqtt5.QoS.AT_LEAST_ONCE)
    for _ in range(3):
        assert client.publish(packet).result(TIMEOUT).puback.reason_code == mqtt5.PubackReasonCode.SUCCESS
    raised: List[str] = [str(reported.get(timeout=TIMEOUT)) for _ in range(4)]
    assert raised == ["on_success"] + 3 * ["on_publish"]
    client.stop()
    assert stopped.wait(TIMEOUT)


@pytest.mark.parametrize("broken", ["on_lifecycle_event_connection_success_fn", "on_publish_callback_fn"])
def test_mqtt_callbacks_that_raise_with_asyncio(
    mosquitto: Any, tmp_path: Any, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target("127.0.0.1", mosquitto.port, None, str(tmp_path))
    reported: List[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(str(args.exc_value)))
    topic = f"integration/{broken}"

    def refuse(data: Any) -> None:
        raise Refusal(broken)

    async def main() -> None:
        async with AsyncMqttClient(mqtt_options(target, **{broken: refuse})) as client:
            packet = mqtt5.PublishPacket(topic=topic, payload=b"x", qos=mqtt5.QoS.AT_LEAST_ONCE)
            messages = await client.subscribe(topic)
            client._forget(messages)  # what comes now belongs to no stream and goes to the callback
            await client.publish(packet)
            async with await client.subscribe(topic + "/more") as more:
                packet.topic += "/more"
                await client.publish(packet)
                assert (await more.__anext__()).payload == b"x"

    asyncio.run(asyncio.wait_for(main(), TIMEOUT))
    assert reported == [broken]
