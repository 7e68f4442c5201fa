"""Against a real broker: delivery, TLS, credentials, restarts, WebSocket and proxies."""

from __future__ import annotations

import threading
import uuid

import pytest
from broker import Events

from awscrt import io, mqtt5, plugins
from awscrt.mqtt5 import ConnectPacket, PublishPacket, QoS, SubscribePacket, Subscription
from awscrt.testing.servers import Mosquitto


@pytest.fixture
def name():
    """A topic and client id of this test's own: the broker is shared."""
    return uuid.uuid4().hex


@pytest.fixture
def open_client(events, name):
    clients = []

    def start(port, **options):
        options.setdefault("connect_options", ConnectPacket(client_id=name))
        client = mqtt5.Client(events.options(port, **options))
        clients.append(client)
        client.start()
        events.wait_for("success")
        return client

    yield start
    for client in clients:
        client.stop()


@pytest.fixture
def http_plugin():
    """The transports of awscrt-http, also where its entry point is not installed."""
    module = pytest.importorskip("awscrt._http_plugin", reason="awscrt-http is an optional dependency")
    if not plugins.get_plugin_manager().has_plugin("http"):
        plugins.register(module, "http")


def tls_context(certs, client=None):
    if client:
        options = io.TlsContextOptions.create_client_with_mtls_from_path(client.certificate, client.private_key)
    else:
        options = io.TlsContextOptions()
    options.override_default_trust_store_from_path(None, certs.ca_path)
    return io.ClientTlsContext(options)


def echo(client, events, topic):
    """Publishes at both QoS to a subscription of our own and sees both arrive."""
    suback = client.subscribe(SubscribePacket([Subscription(topic, QoS.AT_LEAST_ONCE)])).result(20)
    assert suback.reason_codes == [mqtt5.SubackReasonCode.GRANTED_QOS_1]
    for qos, payload in ((QoS.AT_MOST_ONCE, b"zero"), (QoS.AT_LEAST_ONCE, b"one" * 30000)):
        client.publish(PublishPacket(topic=topic, qos=qos, payload=payload)).result(20)
        received = events.wait_for("publish").publish_packet
        assert (received.topic, received.qos, received.payload) == (topic, qos, payload)


def test_plain(mosquitto, open_client, events, name):
    echo(open_client(mosquitto.port), events, name)


def test_tls(mosquitto, tls_certs, open_client, events, name):
    client = open_client(mosquitto.tls_port, host_name="localhost", tls_ctx=tls_context(tls_certs))
    assert client.tls_ctx is not None
    echo(client, events, name)


def test_mutual_tls(mosquitto, tls_certs, open_client, events, name):
    context = tls_context(tls_certs, tls_certs.client)
    echo(open_client(mosquitto.mutual_tls_port, host_name="localhost", tls_ctx=context), events, name)


def test_server_that_is_not_trusted(mosquitto, events):
    context = io.ClientTlsContext(io.TlsContextOptions())
    client = mqtt5.Client(events.options(mosquitto.tls_port, host_name="localhost", tls_ctx=context))
    client.start()
    error = events.wait_for("failure").exception
    assert error.name == "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE"
    client.stop()


def test_thousand_pipelined_publishes(mosquitto, open_client, events, name):
    client = open_client(mosquitto.port, on_publish_callback_fn=None)
    futures = [client.publish(PublishPacket(topic=name, payload=b"x", qos=QoS.AT_LEAST_ONCE)) for _ in range(1000)]
    for future in futures:
        assert future.result(30).puback.reason_code == mqtt5.PubackReasonCode.NO_MATCHING_SUBSCRIBERS
    assert client.get_stats() == mqtt5.OperationStatisticsData()


def test_messages_arrive_in_order(mosquitto, open_client, events, name):
    received, complete = [], threading.Event()

    def on_publish(data):
        received.append(int(data.publish_packet.payload))
        if len(received) == 500:
            complete.set()

    client = open_client(mosquitto.port, on_publish_callback_fn=on_publish)
    client.subscribe(SubscribePacket([Subscription(name, QoS.AT_LEAST_ONCE)])).result(20)
    for number in range(500):
        client.publish(PublishPacket(topic=name, payload=str(number), qos=QoS.AT_LEAST_ONCE))
    assert complete.wait(30)
    assert received == list(range(500))


def test_will_is_published_when_the_client_stops_without_disconnect(mosquitto, open_client, events, name):
    observer = open_client(mosquitto.port)
    observer.subscribe(SubscribePacket([Subscription(name)])).result(20)
    others = Events()
    dying = mqtt5.Client(
        others.options(
            mosquitto.port,
            connect_options=ConnectPacket(client_id=name + "-dying", will=PublishPacket(topic=name, payload=b"gone")),
        )
    )
    dying.start()
    others.wait_for("success")
    dying.stop()
    assert events.wait_for("publish").publish_packet.payload == b"gone"


def test_session_survives_the_connection(mosquitto, open_client, events, name):
    options = {
        "connect_options": ConnectPacket(client_id=name, session_expiry_interval_sec=60),
        "session_behavior": mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS,
    }
    client = open_client(mosquitto.port, **options)
    client.subscribe(SubscribePacket([Subscription(name, QoS.AT_LEAST_ONCE)])).result(20)
    client.stop()
    events.wait_for("stopped")
    sender = open_client(mosquitto.port, connect_options=ConnectPacket(client_id=name + "-sender"))
    sender.publish(PublishPacket(topic=name, payload=b"kept", qos=QoS.AT_LEAST_ONCE)).result(20)
    client.start()
    assert events.wait_for("success").negotiated_settings.rejoined_session is True
    assert events.wait_for("publish").publish_packet.payload == b"kept"


def test_refused_credentials(events):
    with Mosquitto(users={"alice": "secret"}, websockets=False) as server:
        wrong = ConnectPacket(client_id="c", username="alice", password="wrong")
        client = mqtt5.Client(events.options(server.port, connect_options=wrong))
        client.start()
        failure = events.wait_for("failure")
        assert failure.exception.name == "AWS_ERROR_MQTT5_CONNACK_CONNECTION_REFUSED"
        assert failure.connack_packet.reason_code is mqtt5.ConnectReasonCode.NOT_AUTHORIZED
        client.stop()
        right = ConnectPacket(client_id="c", username="alice", password=b"secret")
        client = mqtt5.Client(events.options(server.port, connect_options=right))
        client.start()
        events.wait_for("success")
        client.stop()


def test_broker_restart(events):
    with Mosquitto(websockets=False) as server:
        client = mqtt5.Client(events.options(server.port))
        client.start()
        events.wait_for("success")
        server.stop()
        events.wait_for("disconnection")
        events.wait_for("failure")
        queued = client.publish(PublishPacket(topic="t", qos=QoS.AT_LEAST_ONCE))
        server.restart()
        events.wait_for("success")
        queued.result(20)
        client.stop()


# ---- over awscrt-http ----


def test_websocket(mosquitto, open_client, events, name, http_plugin):
    seen = []

    def transform(transform_args):
        request = transform_args.http_request
        seen.append((transform_args.client, request.path, dict(request.headers)))
        # Not on this thread, as a signer would
        threading.Thread(target=transform_args.set_done).start()

    client = open_client(mosquitto.websocket_port, websocket_handshake_transform=transform)
    echo(client, events, name)
    given, path, headers = seen[0]
    assert given is client and path == "/mqtt"
    assert headers["Upgrade"] == "websocket" and headers["Sec-WebSocket-Protocol"] == "mqtt"


def test_websocket_transform_that_fails(mosquitto, events, http_plugin):
    def transform(transform_args):
        raise ValueError("of the test")

    client = mqtt5.Client(events.options(mosquitto.websocket_port, websocket_handshake_transform=transform))
    client.start()
    assert events.wait_for("failure").exception.code == 2064  # AWS_ERROR_HTTP_CALLBACK_FAILURE
    events.wait_for("attempt")
    client.stop()


def test_websocket_refused_by_a_server_without_it(nginx, events, http_plugin):
    client = mqtt5.Client(
        events.options(nginx.port, websocket_handshake_transform=lambda transform_args: transform_args.set_done())
    )
    client.start()
    assert events.wait_for("failure").exception.name == "AWS_ERROR_HTTP_WEBSOCKET_UPGRADE_FAILURE"
    client.stop()


def test_tls_through_an_http_proxy(mosquitto, tinyproxy, tls_certs, open_client, events, name, http_plugin):
    from awscrt.http import HttpProxyOptions

    client = open_client(
        mosquitto.tls_port,
        host_name="localhost",
        tls_ctx=tls_context(tls_certs),
        http_proxy_options=HttpProxyOptions("127.0.0.1", tinyproxy.port),
    )
    echo(client, events, name)
