"""What Client() and its methods refuse, and how."""

from __future__ import annotations

import pytest

from awscrt import io, mqtt5
from awscrt.mqtt5 import ClientOptions, ConnectPacket, PublishPacket, Subscription, UserProperty

MANY = [UserProperty("k", "v")] * 1025


def make(**options):
    return mqtt5.Client(ClientOptions(**{"host_name": "localhost", "port": 1883, **options}))


@pytest.fixture(scope="module")
def client():
    return make()


def no_timeout():
    options = io.SocketOptions()
    options.connect_timeout_ms = 0
    return options


def datagram():
    options = io.SocketOptions()
    options.type = io.SocketType.DGram
    return options


class Proxy:
    host_name, port, tls_connection_options, auth_type, auth_username, auth_password = "", 1, None, 0, None, None


@pytest.mark.parametrize(
    "options, error, text",
    [
        ({"host_name": ""}, RuntimeError, "5140 (AWS_ERROR_MQTT5_CLIENT_OPTIONS_VALIDATION)"),
        ({"host_name": None}, TypeError, "host_name"),
        ({"port": None}, TypeError, "port"),
        ({"port": 0}, RuntimeError, "5140"),
        ({"port": -1}, RuntimeError, "5140"),
        ({"port": 70000}, RuntimeError, "5140"),
        ({"bootstrap": 1}, TypeError, "ClientBootstrap"),
        ({"tls_ctx": 1}, TypeError, "ClientTlsContext"),
        ({"socket_options": no_timeout()}, RuntimeError, "5140"),
        ({"socket_options": datagram()}, RuntimeError, "5140"),
        ({"http_proxy_options": 1}, TypeError, "HttpProxyOptions"),
        ({"http_proxy_options": Proxy()}, RuntimeError, "5140"),
        ({"session_behavior": "CLEAN"}, TypeError, "ClientOptions.session_behavior"),
        ({"ping_timeout_ms": -1}, OverflowError, "ClientOptions.ping_timeout_ms"),
        ({"ping_timeout_ms": 1 << 32}, OverflowError, "ClientOptions.ping_timeout_ms"),
        ({"ping_timeout_ms": 1.5}, TypeError, "ClientOptions.ping_timeout_ms"),
        ({"ack_timeout_sec": -1}, OverflowError, "ClientOptions.ack_timeout_seconds"),
        ({"on_publish_callback_fn": lambda: None}, TypeError, "Callable should take one argument"),
        ({"on_lifecycle_event_stopped_fn": lambda a, b: None}, TypeError, "Callable should take one argument"),
        ({"on_lifecycle_event_stopped_fn": 1}, TypeError, "Callable should take one argument"),
        ({"topic_aliasing_options": mqtt5.TopicAliasingOptions(outbound_behavior=4)}, RuntimeError, "5140"),
        ({"topic_aliasing_options": mqtt5.TopicAliasingOptions(inbound_behavior=3)}, RuntimeError, "5140"),
        (
            {"topic_aliasing_options": mqtt5.TopicAliasingOptions(outbound_cache_max_size=65536)},
            OverflowError,
            "outbound_cache_max_size",
        ),
    ],
)
def test_client_options(options, error, text):
    with pytest.raises(error) as info:
        make(**options)
    assert text in str(info.value)


def test_options_that_look_odd_but_are_legal():
    make(session_behavior=99, min_reconnect_delay_ms=10, max_reconnect_delay_ms=5, ping_timeout_ms=0)
    make(on_publish_callback_fn=[].append)  # a builtin
    make(connect_options=ConnectPacket(client_id="", username="", password=""))


@pytest.mark.parametrize(
    "fields, error, text",
    [
        ({"keep_alive_interval_sec": 65536}, OverflowError, "keep_alive_interval_sec"),
        ({"receive_maximum": -1}, OverflowError, "receive_maximum"),
        ({"session_expiry_interval_sec": 1 << 32}, OverflowError, "session_expiry_interval_sec"),
        ({"client_id": "x" * 65536}, RuntimeError, "5141 (AWS_ERROR_MQTT5_CONNECT_OPTIONS_VALIDATION)"),
        ({"username": "a\n"}, RuntimeError, "5141"),
        ({"password": b"x" * 65536}, RuntimeError, "5141"),
        ({"receive_maximum": 0}, RuntimeError, "5141"),
        ({"maximum_packet_size": 0}, RuntimeError, "5141"),
        ({"will": PublishPacket(topic="t", payload=b"x" * 65536)}, RuntimeError, "5141"),
        ({"will": PublishPacket()}, RuntimeError, "5143"),
        ({"will": PublishPacket(topic="#")}, RuntimeError, "5143"),
        ({"user_properties": MANY}, RuntimeError, "5146"),
    ],
)
def test_connect_packet(fields, error, text):
    with pytest.raises(error) as info:
        make(connect_options=ConnectPacket(**fields))
    assert text in str(info.value)


@pytest.mark.parametrize(
    "fields, error, text",
    [
        ({"topic": None}, RuntimeError, "5143 (AWS_ERROR_MQTT5_PUBLISH_OPTIONS_VALIDATION)"),
        ({"topic": ""}, RuntimeError, "5143"),
        ({"topic": "a/+"}, RuntimeError, "5143"),
        ({"topic": "a\x00"}, RuntimeError, "5143"),
        ({"topic": 5}, TypeError, "topic"),
        ({"qos": 3}, RuntimeError, "5143"),
        ({"qos": -1}, RuntimeError, "5143"),
        ({"qos": 1 << 80}, RuntimeError, "5143"),
        ({"qos": None}, TypeError, "qos"),
        ({"qos": "1"}, TypeError, "qos"),
        ({"payload": 5}, TypeError, "payload"),
        ({"payload_format_indicator": 2}, RuntimeError, "5143"),
        ({"payload_format_indicator": 1, "payload": b"\xff"}, RuntimeError, "5143"),
        ({"payload_format_indicator": 1, "payload": "line\n"}, RuntimeError, "5143"),
        ({"topic_alias": 0}, RuntimeError, "5143"),
        ({"topic_alias": 65536}, OverflowError, "topic_alias"),
        ({"message_expiry_interval_sec": -1}, OverflowError, "message_expiry_interval_sec"),
        ({"response_topic": "#"}, RuntimeError, "5143"),
        ({"correlation_data_bytes": b"x" * 65536}, RuntimeError, "5143"),
        ({"content_type": "a\n"}, RuntimeError, "5143"),
        ({"user_properties": [UserProperty("a\n", "b")]}, RuntimeError, "5146"),
        ({"user_properties": [UserProperty("a", None)]}, TypeError, "value"),
        ({"user_properties": ["a"]}, AttributeError, "name"),
        ({"user_properties": 5}, TypeError, ""),
        ({"user_properties": MANY}, RuntimeError, "5146"),
    ],
)
def test_publish(client, fields, error, text):
    with pytest.raises(error) as info:
        client.publish(PublishPacket(**{"topic": "t", **fields}))
    assert text in str(info.value)
    assert client.get_stats() == mqtt5.OperationStatisticsData()


@pytest.mark.parametrize(
    "packet, error, text",
    [
        (mqtt5.SubscribePacket([]), RuntimeError, "5144 (AWS_ERROR_MQTT5_SUBSCRIBE_OPTIONS_VALIDATION)"),
        (mqtt5.SubscribePacket([Subscription("a")] * 1025), RuntimeError, "5144"),
        (mqtt5.SubscribePacket([Subscription("a/#/b")]), RuntimeError, "5144"),
        (mqtt5.SubscribePacket([Subscription("a", 2)]), RuntimeError, "5144"),
        (mqtt5.SubscribePacket([Subscription("a", retain_handling_type=3)]), RuntimeError, "5144"),
        (mqtt5.SubscribePacket([Subscription("a")], 268435456), RuntimeError, "5144"),
        (mqtt5.SubscribePacket([Subscription("$share/g/a", no_local=True)]), RuntimeError, "5144"),
        (mqtt5.SubscribePacket([Subscription("$share/g")]), RuntimeError, "5144"),
        (mqtt5.SubscribePacket(None), TypeError, ""),
        (mqtt5.SubscribePacket(["a"]), AttributeError, "topic_filter"),
        (mqtt5.SubscribePacket([Subscription("a", None)]), AttributeError, "qos"),
        (mqtt5.SubscribePacket([Subscription("a", no_local=None)]), AttributeError, "no_local"),
        (mqtt5.SubscribePacket([Subscription("a")], -1), OverflowError, "subscription_identifier"),
    ],
)
def test_subscribe(client, packet, error, text):
    with pytest.raises(error) as info:
        client.subscribe(packet)
    assert text in str(info.value)


@pytest.mark.parametrize(
    "filters, error, text",
    [
        ([], RuntimeError, "5145 (AWS_ERROR_MQTT5_UNSUBSCRIBE_OPTIONS_VALIDATION)"),
        (["a"] * 1025, RuntimeError, "5145"),
        (["a#"], RuntimeError, "5145"),
        ("abc", TypeError, "topic_filters"),
        ([1], TypeError, "topic_filters"),
    ],
)
def test_unsubscribe(client, filters, error, text):
    with pytest.raises(error) as info:
        client.unsubscribe(mqtt5.UnsubscribePacket(filters))
    assert text in str(info.value)


@pytest.mark.parametrize(
    "fields, error, text",
    [
        ({"server_reference": "x"}, RuntimeError, "5142 (AWS_ERROR_MQTT5_DISCONNECT_OPTIONS_VALIDATION)"),
        ({"reason_code": 1}, RuntimeError, "5142"),
        ({"reason_code": None}, TypeError, "reason_code"),
        ({"reason_string": "a\n"}, RuntimeError, "5142"),
        ({"session_expiry_interval_sec": 1 << 32}, OverflowError, "session_expiry_interval_sec"),
        ({"user_properties": MANY}, RuntimeError, "5146"),
    ],
)
def test_stop(client, fields, error, text):
    with pytest.raises(error) as info:
        client.stop(mqtt5.DisconnectPacket(**fields))
    assert text in str(info.value)


def test_handles_of_something_else():
    with pytest.raises(TypeError, match="mqtt5.Client"):
        mqtt5._mqtt.start(object())
