"""Connecting, losing and closing connections: the events, their order and what goes over the wire."""

from __future__ import annotations

import gc

import pytest
from broker import CONNECT, DISCONNECT, PINGREQ, PUBLISH, Broker, Events, connack, packet, publish, suback, varint

from awscrt import mqtt5


def start(broker: Broker, events: Events, **options):
    client = mqtt5.Client(events.options(broker.port, **options))
    client.start()
    events.expect("attempt")
    return client, broker.accept()


def test_connack_and_negotiated_settings(broker, events):
    numbers = b"\x11\0\0\0\x09\x21\0\x05\x24\0\x25\0\x27\0\0\x10\0\x22\0\x07\x13\0\x1e"
    properties = numbers + b"\x12\0\x02id\x1f\0\x02ok\x26\0\x01k\0\x01v"
    client, session = start(broker, events)
    session.accept_connect(connack(properties=properties))
    data = events.expect("success")
    received = data.connack_packet
    assert received.reason_code is mqtt5.ConnectReasonCode.SUCCESS and received.session_present is False
    assert received.receive_maximum == 5 and received.maximum_qos is mqtt5.QoS.AT_MOST_ONCE
    assert received.assigned_client_identifier == "id" and received.reason_string == "ok"
    assert received.user_properties == [mqtt5.UserProperty("k", "v")]
    assert received.server_keep_alive == received.server_keep_alive_sec == 30
    assert received.response_information is None and received.wildcard_subscriptions_available is None
    assert data.negotiated_settings == mqtt5.NegotiatedSettings(
        maximum_qos=mqtt5.QoS.AT_MOST_ONCE,
        session_expiry_interval_sec=9,
        receive_maximum_from_server=5,
        maximum_packet_size_to_server=4096,
        topic_alias_maximum_to_server=7,
        topic_alias_maximum_to_client=0,
        server_keep_alive_sec=30,
        retain_available=False,
        wildcard_subscriptions_available=True,
        subscription_identifiers_available=True,
        shared_subscriptions_available=True,
        rejoined_session=False,
        client_id="id",
    )
    client.stop()


def test_negotiated_defaults(broker, events):
    client, session = start(broker, events)
    session.accept_connect()
    settings = events.expect("success").negotiated_settings
    assert settings.maximum_qos is mqtt5.QoS.AT_LEAST_ONCE and settings.receive_maximum_from_server == 65535
    assert settings.maximum_packet_size_to_server == 268435460 and settings.server_keep_alive_sec == 1200
    assert settings.session_expiry_interval_sec == 0 and settings.client_id == "tester"
    client.stop()


def test_connect_packet_on_the_wire(broker, events):
    will = mqtt5.PublishPacket(topic="w", payload="bye", qos=mqtt5.QoS.EXACTLY_ONCE, retain=True, content_type="t")
    options = mqtt5.ConnectPacket(
        keep_alive_interval_sec=0,
        client_id="id",
        username="u",
        password=b"\xff",
        session_expiry_interval_sec=0,
        request_response_information=True,
        request_problem_information=False,
        receive_maximum=2,
        maximum_packet_size=3000,
        will_delay_interval_sec=5,
        will=will,
        user_properties=[mqtt5.UserProperty("k", "v")],
    )
    client, session = start(broker, events, connect_options=options)
    body = session.expect(CONNECT).body
    properties = b"\x11\0\0\0\0\x21\0\x02\x27\0\0\x0b\xb8\x19\x01\x17\0\x26\0\x01k\0\x01v"
    assert body == (
        b"\0\x04MQTT\x05"
        + bytes([0x80 | 0x40 | 0x20 | 2 << 3 | 4 | 2])
        + b"\0\0"
        + varint(len(properties))
        + properties
        + b"\0\x02id"
        + b"\x09\x18\0\0\0\x05\x03\0\x01t"
        + b"\0\x01w\0\x03bye"
        + b"\0\x01u"
        + b"\0\x01\xff"
    )
    client.stop()


def test_stop_without_packet_just_closes(connect, events):
    client, session = connect()
    client.stop()
    assert events.expect("disconnection").exception.name == "AWS_ERROR_MQTT5_USER_REQUESTED_STOP"
    events.expect("stopped")
    assert session.ends()


def test_stop_with_packet_sends_it_first(connect, events):
    client, session = connect(connect_options=mqtt5.ConnectPacket(session_expiry_interval_sec=60))
    client.stop(
        mqtt5.DisconnectPacket(
            reason_code=mqtt5.DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE,
            session_expiry_interval_sec=1,
            reason_string="bye",
        )
    )
    assert session.expect(DISCONNECT).body == b"\x04\x0b\x11\0\0\0\x01\x1f\0\x03bye"
    assert session.ends()
    assert events.expect("disconnection").exception.name == "AWS_ERROR_MQTT5_USER_REQUESTED_STOP"
    events.expect("stopped")


def test_start_and_stop_are_idempotent_and_restart_works(connect, events, broker):
    client, session = connect()
    client.start()
    client.stop()
    client.stop()
    events.expect("disconnection")
    events.expect("stopped")
    client.start()
    events.expect("attempt")  # no second "stopped" came in between
    broker.accept().accept_connect()
    events.expect("success")


def test_stop_of_a_client_that_never_started_tells_nothing(broker, events):
    client = mqtt5.Client(events.options(broker.port))
    client.stop()
    client.start()
    events.expect("attempt")
    client.stop()


@pytest.mark.parametrize(
    "answer, name, has_connack",
    [
        (connack(0x86), "AWS_ERROR_MQTT5_CONNACK_CONNECTION_REFUSED", True),
        (connack(session_present=True), "AWS_ERROR_MQTT_CANCELLED_FOR_CLEAN_SESSION", True),
        (b"\x20\x03\x07\0\0", "AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR", False),
        (b"\xd0\0", "AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR", False),
    ],
)
def test_attempts_that_fail_are_retried(broker, events, answer, name, has_connack):
    client, session = start(broker, events)
    session.accept_connect(answer)
    data = events.expect("failure")
    assert data.exception.name == name
    assert f"127.0.0.1:{broker.port}" in data.exception.message
    assert (data.connack_packet is not None) is has_connack
    events.expect("attempt")
    client.stop()


def test_failure_of_the_transport_names_the_target(events):
    closed = Broker()
    closed.close()
    client = mqtt5.Client(events.options(closed.port))
    client.start()
    events.expect("attempt")
    data = events.expect("failure")
    assert data.exception.name == "AWS_IO_SOCKET_CONNECTION_REFUSED" and data.connack_packet is None
    assert f"127.0.0.1:{closed.port}" in data.exception.message
    client.stop()


def test_connack_timeout(broker, events):
    client, session = start(broker, events, connack_timeout_ms=20)
    assert events.expect("failure").exception.name == "AWS_ERROR_MQTT5_CONNACK_TIMEOUT"
    client.stop()


def test_server_disconnect(connect, events):
    _, session = connect()
    session.send(packet(DISCONNECT, b"\x8b\x0a\x1c\0\x03srv\x1f\0\x01r"))
    data = events.expect("disconnection")
    assert data.exception.name == "AWS_ERROR_MQTT5_DISCONNECT_RECEIVED"
    assert data.disconnect_packet == mqtt5.DisconnectPacket(
        reason_code=mqtt5.DisconnectReasonCode.SERVER_SHUTTING_DOWN, reason_string="r", server_reference="srv"
    )
    events.expect("attempt")


@pytest.mark.parametrize(
    "wire",
    [
        packet(5, b"\0\x01"),
        packet(15),
        b"\xd0\x80\0",
        publish("a", qos=3),
        publish("", b"x"),
        publish("a/#"),
        publish("t", properties=b"\x23\0\x01"),
    ],
    ids=["PUBREC", "AUTH", "length not minimal", "QoS 3", "no topic", "wildcard", "alias while disabled"],
)
def test_forbidden_packets_end_the_connection(connect, events, wire):
    _, session = connect()
    session.send(wire)
    assert session.expect(DISCONNECT).body[0] == 0x82
    assert events.wait_for("disconnection").exception.name == "AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR"


def test_keep_alive_pings_and_notices_silence(connect, events):
    _, session = connect(connack(properties=b"\x13\0\x01"), ping_timeout_ms=20)
    session.expect(PINGREQ)
    assert session.expect(DISCONNECT).body[0] == 0x8D
    assert events.expect("disconnection").exception.name == "AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT"


@pytest.mark.parametrize(
    "behavior, first, second",
    [
        (mqtt5.ClientSessionBehaviorType.CLEAN, True, True),
        (mqtt5.ClientSessionBehaviorType.REJOIN_POST_SUCCESS, True, False),
        (mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS, False, False),
    ],
)
def test_clean_start_follows_the_session_behavior(broker, events, behavior, first, second):
    client, session = start(broker, events, session_behavior=behavior)
    assert bool(session.accept_connect().body[7] & 2) is first
    events.expect("success")
    session.close()
    events.expect("disconnection")
    events.expect("attempt")
    assert bool(broker.accept().accept_connect().body[7] & 2) is second
    client.stop()


def test_stop_forgets_the_success(connect, events, broker):
    client, _ = connect(session_behavior=mqtt5.ClientSessionBehaviorType.REJOIN_POST_SUCCESS)
    client.stop()
    events.wait_for("stopped")
    client.start()
    assert broker.accept().accept_connect().body[7] & 2


def test_dropping_the_client_stops_it(broker, events):
    client, session = start(broker, events)
    session.accept_connect()
    events.expect("success")
    pending = client.publish(mqtt5.PublishPacket(topic="t", qos=mqtt5.QoS.AT_LEAST_ONCE))
    session.expect(PUBLISH)
    del client
    gc.collect()
    assert events.expect("disconnection").exception.name == "AWS_ERROR_MQTT5_USER_REQUESTED_STOP"
    events.expect("stopped")
    assert pending.exception(20).name == "AWS_ERROR_MQTT5_USER_REQUESTED_STOP"
    assert session.ends()


def test_exceptions_of_callbacks_are_reported_and_do_not_stop_the_client(connect, events, monkeypatch):
    reported = []
    monkeypatch.setattr("sys.unraisablehook", lambda info: reported.append(info.exc_type))

    def fails(data):
        events.note("raised")
        raise ValueError("of the test")

    _, session = connect(on_publish_callback_fn=fails)
    session.send(publish("t", qos=1, packet_id=7))
    events.expect("raised")
    assert session.read().body == b"\0\x07"  # acknowledged all the same
    session.send(publish("t"))
    events.expect("raised")
    assert reported[0] is ValueError


def test_suback_with_a_wrong_number_of_codes(connect, events):
    client, session = connect()
    future = client.subscribe(mqtt5.SubscribePacket([mqtt5.Subscription("a")]))
    session.read()
    session.send(suback(1, [0, 0]))
    assert future.exception(20).name == "AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR"
    assert events.expect("disconnection").exception.name == "AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR"
