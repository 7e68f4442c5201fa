"""Publishing, subscribing and receiving: results, wire format, the offline queue."""

from __future__ import annotations

import concurrent.futures

import pytest
from broker import PUBACK, PUBLISH, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE, connack, puback, publish, suback, text, varint

from awscrt import mqtt5
from awscrt.mqtt5 import PublishPacket, QoS, UserProperty

POLICY_ERROR = "AWS_ERROR_MQTT5_OPERATION_FAILED_DUE_TO_OFFLINE_QUEUE_POLICY"


def qos1(topic="t", **fields):
    return PublishPacket(topic=topic, qos=QoS.AT_LEAST_ONCE, **fields)


def test_qos0_completes_with_an_empty_puback(connect):
    client, session = connect()
    result = client.publish(PublishPacket(topic="t", payload="x")).result(20)
    assert result == mqtt5.PublishCompletionData(mqtt5.PubackPacket())
    assert session.expect(PUBLISH).body == b"\0\x01t\0x"


def test_qos1_completes_with_the_puback(connect):
    client, session = connect()
    future = client.publish(qos1())
    session.expect(PUBLISH)
    session.send(puback(1, 0x87, b"\x1f\0\x02no\x26\0\x01k\0\x01v"))
    received = future.result(20).puback
    assert received.reason_code is mqtt5.PubackReasonCode.NOT_AUTHORIZED  # a refusal is a result
    assert received.reason_string == "no" and received.user_properties == [UserProperty("k", "v")]


def test_unknown_reason_code_becomes_none(connect):
    client, session = connect()
    future = client.publish(qos1())
    session.expect(PUBLISH)
    session.send(puback(1, 0x55))
    assert future.result(20).puback.reason_code is None


def test_all_publish_properties_on_the_wire(connect):
    client, session = connect()
    client.publish(
        PublishPacket(
            topic="t",
            payload=bytearray(b"p"),
            retain=1,
            payload_format_indicator=mqtt5.PayloadFormatIndicator.AWS_MQTT5_PFI_UTF8,
            message_expiry_interval_sec=9,
            topic_alias=4,
            response_topic="r",
            correlation_data_bytes=b"\xff",
            correlation_data="not used",
            subscription_identifiers=[1],
            content_type="c",
            user_properties=[UserProperty("k", "v"), UserProperty("k", "w")],
        )
    )
    got = session.expect(PUBLISH)
    properties = b"\x01\x01\x02\0\0\0\x09\x08\0\x01r\x09\0\x01\xff\x03\0\x01c\x26\0\x01k\0\x01v\x26\0\x01k\0\x01w"
    assert got.flags == 1 and got.body == b"\0\x01t" + varint(len(properties)) + properties + b"p"


@pytest.mark.parametrize("payload", ["é", "é".encode(), bytearray("é".encode()), memoryview("é".encode())])
def test_payload_types(connect, payload):
    client, session = connect()
    client.publish(PublishPacket(topic="t", payload=payload))
    assert session.expect(PUBLISH).body == b"\0\x01t\0" + "é".encode()


def test_no_payload(connect):
    client, session = connect()
    client.publish(PublishPacket(topic="t", payload=None))
    assert session.expect(PUBLISH).body == b"\0\x01t\0"


def test_large_payload_and_topic(connect):
    client, session = connect()
    topic, payload = "t" * 65535, b"x" * (1 << 20)
    future = client.publish(qos1(topic, payload=payload))
    assert session.expect(PUBLISH).body == text(topic) + b"\0\x01\0" + payload
    session.send(puback(1))
    future.result(20)


def test_subscribe_and_unsubscribe(connect):
    client, session = connect()
    future = client.subscribe(
        mqtt5.SubscribePacket(
            [
                mqtt5.Subscription("a", QoS.AT_LEAST_ONCE),
                mqtt5.Subscription(
                    "b",
                    no_local=True,
                    retain_as_published=True,
                    retain_handling_type=mqtt5.RetainHandlingType.DONT_SEND,
                ),
            ],
            subscription_identifier=0,
            user_properties=[UserProperty("k", "v")],
        )
    )
    assert session.expect(SUBSCRIBE).body == b"\0\x01\x09\x0b\0\x26\0\x01k\0\x01v\0\x01a\x01\0\x01b\x2c"
    session.send(suback(1, [1, 0x87]))
    codes = mqtt5.SubackReasonCode
    assert future.result(20).reason_codes == [codes.GRANTED_QOS_1, codes.NOT_AUTHORIZED]
    gone = client.unsubscribe(mqtt5.UnsubscribePacket(["a", "b"]))
    assert session.expect(UNSUBSCRIBE).body == b"\0\x02\0\0\x01a\0\x01b"
    session.send(suback(2, [0, 17], type=UNSUBACK))
    assert gone.result(20).reason_codes == [
        mqtt5.UnsubackReasonCode.SUCCESS,
        mqtt5.UnsubackReasonCode.NO_SUBSCRIPTION_EXISTED,
    ]


def test_qos2_fails_when_it_would_be_sent(connect):
    client, _ = connect()
    future = client.publish(PublishPacket(topic="t", qos=QoS.EXACTLY_ONCE))
    error = future.exception(20)
    assert error.name == "AWS_ERROR_MQTT5_PUBLISH_OPTIONS_VALIDATION" and "'t'" in error.message


def test_limits_of_the_server_fail_only_the_operation(connect):
    client, session = connect(connack(properties=b"\x25\0\x27\0\0\0\x20"))
    large = client.publish(qos1(payload=b"x" * 40))
    retained = client.publish(PublishPacket(topic="t", retain=True))
    assert large.exception(20).name == "AWS_ERROR_MQTT5_PACKET_VALIDATION"
    assert retained.exception(20).name == "AWS_ERROR_MQTT5_PUBLISH_OPTIONS_VALIDATION"
    client.publish(PublishPacket(topic="t"))
    session.expect(PUBLISH)


def test_statistics(connect):
    client, session = connect()
    futures = [
        client.publish(qos1("q1", payload="")),
        client.subscribe(mqtt5.SubscribePacket([mqtt5.Subscription("s")])),
        client.unsubscribe(mqtt5.UnsubscribePacket(["u"])),
    ]
    for _ in futures:
        session.read()
    assert client.get_stats() == mqtt5.OperationStatisticsData(3, 24, 3, 24)
    session.send(puback(1) + suback(2, [0]) + suback(3, [0], type=UNSUBACK))
    concurrent.futures.wait(futures, 20)
    assert client.get_stats() == mqtt5.OperationStatisticsData()


# ---- receiving ----


def test_received_publish_with_every_property(connect, events):
    _, session = connect()
    properties = b"\x01\x01\x02\0\0\0\x09\x08\0\x01r\x09\0\x02ok\x0b\x80\x01\x0b\x02\x03\0\x01c\x26\0\x01k\0\x01v"
    session.send(publish("t", b"p", qos=1, packet_id=5, properties=properties))
    received = events.expect("publish").publish_packet
    assert received == PublishPacket(
        payload=b"p",
        qos=QoS.AT_LEAST_ONCE,
        retain=False,
        topic="t",
        payload_format_indicator=mqtt5.PayloadFormatIndicator.AWS_MQTT5_PFI_UTF8,
        message_expiry_interval_sec=9,
        response_topic="r",
        correlation_data_bytes=b"ok",
        correlation_data="ok",
        subscription_identifiers=[128, 2],
        content_type="c",
        user_properties=[UserProperty("k", "v")],
    )
    assert session.expect(PUBACK).body == b"\0\x05"


def test_correlation_data_that_is_no_text(connect, events):
    _, session = connect()
    session.send(publish("t", properties=b"\x09\0\x01\xff"))
    received = events.expect("publish").publish_packet
    assert received.correlation_data_bytes == b"\xff" and received.correlation_data is None


def test_qos0_has_no_acknowledgement_control(connect, events):
    _, session = connect()
    session.send(publish("t"))
    assert events.expect("publish").acquire_publish_acknowledgement_control is None


def test_publishes_are_acknowledged_when_nobody_listens(connect):
    _, session = connect(on_publish_callback_fn=None)
    session.send(publish("t", qos=1, packet_id=5))
    assert session.expect(PUBACK).body == b"\0\x05"


def test_manual_acknowledgement(connect, events):
    def on_publish(data):
        handle = data.acquire_publish_acknowledgement_control()
        with pytest.raises(RuntimeError):
            data.acquire_publish_acknowledgement_control()
        events.note("taken", (data, handle))

    client, session = connect(on_publish_callback_fn=on_publish)
    session.send(publish("t", qos=1, packet_id=1) + publish("t", qos=1, packet_id=2))
    _, first = events.expect("taken")
    data, second = events.expect("taken")
    client.invoke_publish_acknowledgement(second)
    assert session.expect(PUBACK).body == b"\0\x02"
    client.invoke_publish_acknowledgement(second)  # used: ignored
    client.invoke_publish_acknowledgement(mqtt5.PublishAcknowledgementControlHandle(12345))  # unknown: ignored
    client.invoke_publish_acknowledgement(first)
    assert session.expect(PUBACK).body == b"\0\x01"
    with pytest.raises(RuntimeError):
        data.acquire_publish_acknowledgement_control()
    with pytest.raises(AttributeError):
        client.invoke_publish_acknowledgement(None)


def test_callback_that_takes_the_acknowledgement_and_raises(connect, events, monkeypatch):
    monkeypatch.setattr("sys.unraisablehook", lambda info: None)

    def on_publish(data):
        data.acquire_publish_acknowledgement_control()
        raise ValueError("of the test")

    _, session = connect(on_publish_callback_fn=on_publish)
    session.send(publish("t", qos=1, packet_id=3))
    assert session.expect(PUBACK).body == b"\0\x03"


def test_topic_aliases_in_both_directions(connect, events):
    client, session = connect(
        connack(properties=b"\x22\0\x0a"),
        topic_aliasing_options=mqtt5.TopicAliasingOptions(
            outbound_behavior=mqtt5.OutboundTopicAliasBehaviorType.LRU,
            inbound_behavior=mqtt5.InboundTopicAliasBehaviorType.ENABLED,
            inbound_cache_max_size=3,
        ),
    )
    for _ in range(2):
        client.publish(PublishPacket(topic="t"))
    assert session.expect(PUBLISH).body == b"\0\x01t\x03\x23\0\x01"
    assert session.expect(PUBLISH).body == b"\0\0\x03\x23\0\x01"
    session.send(publish("in", properties=b"\x23\0\x03") + publish("", properties=b"\x23\0\x03"))
    for _ in range(2):
        received = events.expect("publish").publish_packet
        assert received.topic == "in" and received.topic_alias == 3


# ---- offline ----


def test_policy_while_stopped(broker, events):
    client = mqtt5.Client(events.options(broker.port))
    refused = client.publish(PublishPacket(topic="t"))
    kept = client.publish(qos1())
    assert refused.exception(20).name == POLICY_ERROR
    client.start()
    session = broker.accept()
    session.accept_connect()
    assert session.expect(PUBLISH).body == b"\0\x01t\0\x01\0"
    session.send(puback(1))
    assert kept.result(20).puback.reason_code is mqtt5.PubackReasonCode.SUCCESS
    client.stop()


def test_resumed_session_resends_with_dup(connect, events, broker):
    client, session = connect(session_behavior=mqtt5.ClientSessionBehaviorType.REJOIN_POST_SUCCESS)
    future = client.publish(qos1())
    session.expect(PUBLISH)
    session.close()
    events.expect("disconnection")
    events.expect("attempt")
    session = broker.accept()
    session.accept_connect(connack(session_present=True))
    assert events.expect("success").negotiated_settings.rejoined_session is True
    again = session.expect(PUBLISH)
    assert again.flags & 8 and again.body == b"\0\x01t\0\x01\0"
    session.send(puback(1))
    future.result(20)


def test_order_of_failures_at_stop(connect, events):
    client, session = connect(
        offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_NON_QOS1_PUBLISH_ON_DISCONNECT
    )
    for name, future in (
        ("publish", client.publish(qos1())),
        ("subscribe", client.subscribe(mqtt5.SubscribePacket([mqtt5.Subscription("s")]))),
    ):
        future.add_done_callback(lambda future, name=name: events.note(name, future.exception().name))
    session.read()
    session.read()
    client.stop()
    events.expect("disconnection")
    assert events.expect("subscribe") == POLICY_ERROR
    assert events.expect("publish") == "AWS_ERROR_MQTT5_USER_REQUESTED_STOP"
    events.expect("stopped")


def test_ack_timeout(connect):
    client, session = connect(ack_timeout_sec=1)
    future = client.publish(qos1())
    session.expect(PUBLISH)
    assert future.exception(20).name == "AWS_ERROR_MQTT_TIMEOUT"


def test_cancelled_future_does_not_disturb_the_client(connect):
    client, session = connect()
    first = client.publish(qos1())
    session.expect(PUBLISH)
    assert first.cancel()
    session.send(puback(1))
    client.publish(PublishPacket(topic="t")).result(20)
