"""Brokers that refuse: the reason reaches the program, as a code and in words."""

from __future__ import annotations

import asyncio
import queue
from typing import Any, Callable, Optional, Tuple

import pytest

from awscrt import mqtt5
from awscrt.aio.mqtt5 import Client as AsyncMqttClient
from awscrt.exceptions import AwsCrtError
from awscrt.mqtt5 import ConnectReasonCode
from awscrt.testing.scripted import Peer, ScriptedServer
from awscrt.testing.servers import Mosquitto

from .clients import TIMEOUT, Target, mqtt_options

Refusal = Tuple[AwsCrtError, Optional[mqtt5.ConnackPacket]]


def with_futures(options: mqtt5.ClientOptions) -> Refusal:
    failures: queue.Queue[mqtt5.LifecycleConnectFailureData] = queue.Queue()
    stopped: queue.Queue[Any] = queue.Queue()
    options.on_lifecycle_event_connection_failure_fn = failures.put
    options.on_lifecycle_event_stopped_fn = stopped.put
    client = mqtt5.Client(options)
    client.start()
    failure = failures.get(timeout=TIMEOUT)
    client.stop()
    stopped.get(timeout=TIMEOUT)
    assert isinstance(failure.exception, AwsCrtError)
    return failure.exception, failure.connack_packet


def with_asyncio(options: mqtt5.ClientOptions) -> Refusal:
    failures = []
    options.on_lifecycle_event_connection_failure_fn = failures.append

    async def main() -> AwsCrtError:
        with pytest.raises(AwsCrtError) as caught:
            async with AsyncMqttClient(options):
                pass
        return caught.value

    error = asyncio.run(asyncio.wait_for(main(), TIMEOUT))
    assert [failure.exception for failure in failures] == [error]
    return error, failures[0].connack_packet


WAYS = pytest.mark.parametrize("connect", [with_futures, with_asyncio])


@WAYS
@pytest.mark.parametrize("user, password", [("alice", "wrong"), ("bob", "secret"), (None, None)])
def test_mosquitto_refuses_credentials(
    connect: Callable[..., Refusal], user: Any, password: Any, tmp_path: Any
) -> None:
    with Mosquitto(users={"alice": "secret"}, websockets=False) as server:
        target = Target("127.0.0.1", server.port, None, str(tmp_path))
        packet = mqtt5.ConnectPacket(client_id="refused", username=user, password=password)
        error, connack = connect(mqtt_options(target, connect_options=packet))
    assert error.name == "AWS_ERROR_MQTT5_CONNACK_CONNECTION_REFUSED"
    assert f"127.0.0.1:{target.port}" in error.message
    assert connack is not None and connack.reason_code is ConnectReasonCode.NOT_AUTHORIZED
    assert "not authorized" in error.message.lower()


@WAYS
@pytest.mark.parametrize(
    "reason",
    [
        ConnectReasonCode.BAD_USERNAME_OR_PASSWORD,
        ConnectReasonCode.NOT_AUTHORIZED,
        ConnectReasonCode.SERVER_UNAVAILABLE,
        ConnectReasonCode.BANNED,
    ],
)
def test_refusal_has_reason_code_and_the_words_of_the_broker(
    connect: Callable[..., Refusal],
    reason: ConnectReasonCode,
    tmp_path: Any,
    scripted_server: Callable[..., ScriptedServer],
) -> None:
    said = b"come back on Monday"
    properties = b"\x1f" + len(said).to_bytes(2, "big") + said  # Reason String, M5 3.2.2.3.9

    def script(peer: Peer) -> None:
        peer.receive_exactly(2)
        body = bytes([0, reason, len(properties)]) + properties
        peer.send(bytes([0x20, len(body)]) + body)
        peer.receive_all()

    target = Target("127.0.0.1", scripted_server(script).port, None, str(tmp_path))
    error, connack = connect(mqtt_options(target))
    assert error.name == "AWS_ERROR_MQTT5_CONNACK_CONNECTION_REFUSED"
    assert f"127.0.0.1:{target.port}" in error.message
    assert f"reason code {int(reason)} (" in error.message and said.decode() in error.message
    assert connack is not None
    assert connack.reason_code is reason and connack.reason_string == said.decode()


@WAYS
def test_closed_before_the_connack(
    connect: Callable[..., Refusal], tmp_path: Any, scripted_server: Callable[..., ScriptedServer]
) -> None:
    server = scripted_server(lambda peer: peer.receive_exactly(2))
    error, connack = connect(mqtt_options(Target("127.0.0.1", server.port, None, str(tmp_path))))
    assert error.name == "AWS_IO_SOCKET_CLOSED"
    assert f"127.0.0.1:{server.port}" in error.message
    assert connack is None


def test_operations_fail_when_the_client_stops(unused_port: int, tmp_path: Any) -> None:
    """What was handed in before a connection that never comes is not left waiting."""
    target = Target("127.0.0.1", unused_port, None, str(tmp_path))
    client = mqtt5.Client(mqtt_options(target))
    client.start()
    topic = "integration/never"
    pending = [
        client.publish(mqtt5.PublishPacket(topic=topic, payload=b"x", qos=mqtt5.QoS.AT_LEAST_ONCE)),
        client.subscribe(mqtt5.SubscribePacket([mqtt5.Subscription(topic)])),
        client.unsubscribe(mqtt5.UnsubscribePacket([topic])),
    ]
    client.stop()
    for future in pending:
        error = future.exception(TIMEOUT)
        assert isinstance(error, AwsCrtError)
        assert error.name == "AWS_ERROR_MQTT5_USER_REQUESTED_STOP"
        assert topic in error.message
