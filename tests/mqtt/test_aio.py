"""The asyncio client, against a real broker and against one played by the test."""

from __future__ import annotations

import asyncio
import threading
import uuid

import pytest
from broker import PUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE, connack, publish, suback

from awscrt import mqtt5
from awscrt.aio.mqtt5 import Client, _levels, _matches
from awscrt.exceptions import AwsCrtError
from awscrt.mqtt5 import ClientOptions, ConnectPacket, PublishPacket, QoS


@pytest.fixture
def name():
    return uuid.uuid4().hex


def options(port, **changes):
    changes.setdefault("connect_options", ConnectPacket(client_id="aio-" + uuid.uuid4().hex))
    return ClientOptions(
        host_name="127.0.0.1", port=port, min_reconnect_delay_ms=1, max_reconnect_delay_ms=5, **changes
    )


def played(broker, script):
    """Runs script() as the broker, on a thread; returns a function that waits for it."""
    failure = []

    def play():
        try:
            script()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=play)
    thread.start()

    def finish():
        thread.join(30)
        assert not thread.is_alive() and not failure, failure

    return finish


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


@pytest.mark.parametrize(
    "topic_filter, topic, expected",
    [
        ("a/b", "a/b", True),
        ("a/b", "a", False),
        ("a", "a/b", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("+/+", "/b", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("$share/g/a/+", "a/b", True),
    ],
)
def test_topic_filters(topic_filter, topic, expected):
    assert _matches(_levels(topic_filter), topic.split("/")) is expected


def test_publish_and_receive(mosquitto, name):
    async def main():
        async with Client(options(mosquitto.port)) as client:
            async with await client.subscribe(f"{name}/#") as messages:
                for number in range(10):
                    result = await client.publish(PublishPacket(topic=f"{name}/{number}", payload=b"x", qos=1))
                    assert result.puback.reason_code is mqtt5.PubackReasonCode.SUCCESS
                received = [await messages.__anext__() for _ in range(10)]
                assert [message.topic for message in received] == [f"{name}/{number}" for number in range(10)]
                assert received[0].qos is QoS.AT_LEAST_ONCE
            assert client.get_stats() == mqtt5.OperationStatisticsData()

    run(main())


def test_many_at_once(mosquitto, name):
    async def main():
        async with Client(options(mosquitto.port)) as client:
            packets = [PublishPacket(topic=name, payload=b"x", qos=1) for _ in range(1000)]
            results = await asyncio.gather(*(client.publish(packet) for packet in packets))
            assert len(results) == 1000

    run(main())


def test_two_streams_on_one_filter(mosquitto, name):
    async def main():
        async with Client(options(mosquitto.port)) as client:
            one, two = await client.subscribe(name), await client.subscribe(f"{name}/#")
            await client.publish(PublishPacket(topic=name, payload=b"both", qos=1))
            assert (await one.__anext__()).payload == (await two.__anext__()).payload == b"both"
            await one.aclose()
            with pytest.raises(StopAsyncIteration):
                await one.__anext__()

    run(main())


def test_entering_raises_what_the_first_attempt_fails_with(broker):
    port = broker.port
    broker.close()

    async def main():
        with pytest.raises(AwsCrtError) as info:
            async with Client(options(port)):
                raise AssertionError("connected to nobody")
        assert info.value.name == "AWS_IO_SOCKET_CONNECTION_REFUSED"

    run(main())


def test_messages_are_acknowledged_when_they_are_taken(broker, name):
    acknowledged, closing = threading.Event(), threading.Event()

    def script():
        session = broker.accept()
        assert b"\x21\x03\xe8" in session.accept_connect().body  # Receive Maximum 1000
        session.expect(SUBSCRIBE)
        session.send(suback(1, [1]) + publish(name, b"1", qos=1, packet_id=1) + publish(name, b"2", qos=1, packet_id=2))
        assert session.expect(PUBACK).body == b"\0\x01"
        acknowledged.set()
        assert (
            session.expect(PUBACK).body == b"\0\x02" and closing.is_set()
        )  # closing the stream lets go of the second message
        session.expect(UNSUBSCRIBE)
        session.send(suback(2, [0], type=UNSUBACK))

    finish = played(broker, script)

    async def main():
        async with Client(options(broker.port)) as client:
            messages = await client.subscribe(name)
            assert (await messages.__anext__()).payload == b"1"
            await asyncio.get_running_loop().run_in_executor(None, acknowledged.wait, 30)
            closing.set()
            await messages.aclose()

    run(main())
    finish()


def test_qos0_beyond_the_buffer_is_dropped_and_counted(broker, name):
    def script():
        session = broker.accept()
        session.accept_connect()
        session.expect(SUBSCRIBE)
        session.send(
            suback(1, [0])
            + b"".join(publish(name, str(n).encode()) for n in range(10))
            + publish("end", qos=1, packet_id=1)
        )
        session.expect(PUBACK)

    finish = played(broker, script)

    async def main():
        reached = asyncio.Event()
        async with Client(options(broker.port, on_publish_callback_fn=lambda data: reached.set())) as client:
            messages = await client.subscribe(name, qos=QoS.AT_MOST_ONCE, buffer=3)
            await reached.wait()  # what belongs to no stream goes to the callback
            assert messages.dropped == 7
            assert [(await messages.__anext__()).payload for _ in range(3)] == [b"0", b"1", b"2"]

    run(main())
    finish()


def test_refused_subscription(broker, name):
    def script():
        session = broker.accept()
        session.accept_connect()
        session.expect(SUBSCRIBE)
        session.send(suback(1, [0x87]))

    finish = played(broker, script)

    async def main():
        async with Client(options(broker.port)) as client:
            with pytest.raises(AwsCrtError, match="NOT_AUTHORIZED"):
                await client.subscribe(name)

    run(main())
    finish()


def test_streams_are_renewed_when_the_session_was_lost(broker, name):
    def script():
        session = broker.accept()
        session.accept_connect()
        session.expect(SUBSCRIBE)
        session.send(suback(1, [0]))
        session.close()
        session = broker.accept()
        session.accept_connect(connack())
        session.expect(SUBSCRIBE)
        session.send(suback(2, [0]) + publish(name, b"again"))

    finish = played(broker, script)

    async def main():
        async with Client(options(broker.port)) as client:
            messages = await client.subscribe(name)
            assert (await messages.__anext__()).payload == b"again"

    run(main())
    finish()


def test_lifecycle_callbacks_run_on_the_asyncio_thread(mosquitto):
    threads = []

    async def main():
        async with Client(
            options(
                mosquitto.port,
                on_lifecycle_event_connection_success_fn=lambda data: threads.append(threading.current_thread()),
                on_lifecycle_event_stopped_fn=lambda data: threads.append(threading.current_thread()),
            )
        ):
            pass
        return threading.current_thread()

    thread = run(main())
    assert threads == [thread, thread]


def test_cancelled_publish_does_not_disturb_the_client(broker):
    def script():
        session = broker.accept()
        session.accept_connect()
        session.read()
        session.send(b"\x40\x02\x00\x01")
        session.read()

    finish = played(broker, script)

    async def main():
        async with Client(options(broker.port)) as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.publish(PublishPacket(topic="t", qos=1)), 0)
            await client.publish(PublishPacket(topic="t"))

    run(main())
    finish()


def test_use_outside_of_the_context():
    client = Client(ClientOptions(host_name="localhost", port=1883))

    async def main():
        with pytest.raises(RuntimeError, match="async with"):
            await client.publish(PublishPacket(topic="t"))

    run(main())
