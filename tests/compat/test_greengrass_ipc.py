"""The Greengrass IPC client of awsiotsdk, over a Unix socket, on awscrt.eventstream.rpc."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import json
import sys
import threading
import types
from typing import Any, Callable, Dict, Iterator, List

import pytest

from awscrt.testing import eventstream as kit
from awscrt.testing.eventstream import EventStreamPeer, EventStreamServer, Received, serve_operations

PATIENCE = 20  # seconds
PUBLISH = "aws.greengrass#PublishToTopic"
SUBSCRIBE = "aws.greengrass#SubscribeToTopic"


@pytest.fixture(scope="module")
def greengrass() -> Iterator[types.SimpleNamespace]:
    """awsiot.greengrasscoreipc, without awsiot/__init__.py: that one wants MQTT, which IPC does without."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "awsiot"}
    package = types.ModuleType("awsiot")
    spec = importlib.util.find_spec("awsiot")
    assert spec is not None, "install tools/requirements-compat.txt with --no-deps"
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules["awsiot"] = package
    yield types.SimpleNamespace(
        ipc=importlib.import_module("awsiot.greengrasscoreipc"),
        model=importlib.import_module("awsiot.greengrasscoreipc.model"),
        client=importlib.import_module("awsiot.greengrasscoreipc.client"),
        v2=importlib.import_module("awsiot.greengrasscoreipc.clientv2"),
        rpc=importlib.import_module("awsiot.eventstreamrpc"),
    )
    for name in [name for name in sys.modules if name.partition(".")[0] == "awsiot"]:
        del sys.modules[name]
    sys.modules.update(before)


def shape(name: str) -> List[kit.HeaderTuple]:
    return [(":content-type", 7, "application/json"), ("service-model-type", 7, f"aws.greengrass#{name}")]


class Nucleus:
    """The broker of a Greengrass core, as far as publish and subscribe go. Topic ``forbidden`` is."""

    def __init__(self, path: str, script: Callable[..., None] | None = None) -> None:
        self.path = path
        self.connects: List[Received] = []
        self.requests: List[Received] = []
        self.subscribers: Dict[str, List[int]] = {}
        handlers = {PUBLISH: self.publish, SUBSCRIBE: self.subscribe}
        self.server = EventStreamServer(
            script or serve_operations(handlers, on_connect=self.connects.append), path=path
        )

    def publish(self, peer: EventStreamPeer, message: Received) -> None:
        self.requests.append(message)
        body = json.loads(message.payload)
        if body["topic"] == "forbidden":
            self.refuse(peer, message)
            return
        event = json.dumps(body.get("publishMessage")).encode()
        for stream_id in self.subscribers.get(body["topic"], []):
            peer.send(event, stream_id=stream_id, headers=shape("SubscriptionResponseMessage"))
        peer.reply(message, b"{}", flags=kit.TERMINATE_STREAM, headers=shape("PublishToTopicResponse"))

    def subscribe(self, peer: EventStreamPeer, message: Received) -> None:
        self.requests.append(message)
        if message.flags & kit.TERMINATE_STREAM:
            return
        topic = json.loads(message.payload)["topic"]
        if topic == "forbidden":
            self.refuse(peer, message)
            return
        self.subscribers.setdefault(topic, []).append(message.stream_id)
        peer.reply(message, json.dumps({"topicName": topic}).encode(), headers=shape("SubscribeToTopicResponse"))

    def refuse(self, peer: EventStreamPeer, message: Received) -> None:
        peer.reply(
            message,
            b'{"message": "not for you"}',
            message_type=1,
            flags=kit.TERMINATE_STREAM,
            headers=shape("UnauthorizedError"),
        )


@pytest.fixture
def nucleus(tmp_path: Any) -> Iterator[Nucleus]:
    nucleus = Nucleus(str(tmp_path / "ipc.socket"))
    with nucleus.server:
        yield nucleus


@pytest.fixture
def client(greengrass: Any, nucleus: Nucleus) -> Iterator[Any]:
    client = greengrass.v2.GreengrassCoreIPCClientV2(
        greengrass.ipc.connect(ipc_socket=nucleus.path, authtoken="the token", timeout=PATIENCE)
    )
    yield client
    client.close().result(PATIENCE)


def test_it_introduces_itself(client: Any, nucleus: Nucleus) -> None:
    (connect,) = nucleus.connects
    assert connect.headers[0] == (":version", 7, "0.1.0")
    assert json.loads(connect.payload) == {"authToken": "the token"}


def test_what_is_published_reaches_the_subscriber(greengrass: Any, client: Any) -> None:
    events: List[Any] = []
    complete = threading.Event()

    def on_event(event: Any) -> None:
        events.append(event)
        if len(events) == 20:
            complete.set()

    response, operation = client.subscribe_to_topic(topic="t", on_stream_event=on_event)
    assert response.topic_name == "t"
    model = greengrass.model
    for number in range(10):
        message = model.PublishMessage(binary_message=model.BinaryMessage(message=bytes([number]) * 3))
        client.publish_to_topic(topic="t", publish_message=message)
        client.publish_to_topic(
            topic="t", publish_message=model.PublishMessage(json_message=model.JsonMessage(message={"number": number}))
        )
    assert complete.wait(PATIENCE)
    # The client's executor has threads enough to change the order.
    assert sorted(each.binary_message.message for each in events if each.binary_message) == [
        bytes([number]) * 3 for number in range(10)
    ]
    assert sorted(each.json_message.message["number"] for each in events if each.json_message) == list(range(10))
    operation.close().result(PATIENCE)


def test_requests_carry_their_model(greengrass: Any, client: Any, nucleus: Nucleus) -> None:
    model = greengrass.model
    client.publish_to_topic(
        topic="t", publish_message=model.PublishMessage(binary_message=model.BinaryMessage(message=b"hi"))
    )
    (request,) = nucleus.requests
    assert request.value("operation") == PUBLISH
    assert request.value("service-model-type") == "aws.greengrass#PublishToTopicRequest"
    assert request.value(":content-type") == "application/json"
    body = json.loads(request.payload)
    assert base64.b64decode(body["publishMessage"]["binaryMessage"]["message"]) == b"hi"


def test_modelled_errors_come_back_as_exceptions(greengrass: Any, client: Any) -> None:
    closed = threading.Event()
    with pytest.raises(greengrass.model.UnauthorizedError) as raised:
        client.publish_to_topic(topic="forbidden", publish_message=greengrass.model.PublishMessage())
    assert raised.value.message == "not for you"
    with pytest.raises(greengrass.model.UnauthorizedError):
        client.subscribe_to_topic(topic="forbidden", on_stream_event=print, on_stream_closed=closed.set)
    assert closed.wait(PATIENCE)


def test_closing_a_subscription_terminates_its_stream(client: Any, nucleus: Nucleus) -> None:
    closed = threading.Event()
    _, operation = client.subscribe_to_topic(topic="t", on_stream_event=print, on_stream_closed=closed.set)
    assert operation.close().result(PATIENCE) is None
    assert closed.wait(PATIENCE)
    client.publish_to_topic(topic="other")  # by now the server has read what was sent before
    last = nucleus.requests[1]
    assert (last.flags, last.payload) == (kit.TERMINATE_STREAM, b"")


def test_a_refused_connect_is_access_denied(greengrass: Any, tmp_path: Any) -> None:
    def refuse(peer: EventStreamPeer) -> None:
        peer.accept(flags=0)
        peer.receive_rest()

    with Nucleus(str(tmp_path / "s"), refuse).server, pytest.raises(greengrass.rpc.AccessDeniedError):
        greengrass.ipc.connect(ipc_socket=str(tmp_path / "s"), authtoken="wrong", timeout=PATIENCE)


def test_a_missing_socket_is_told_at_once(greengrass: Any, tmp_path: Any) -> None:
    with pytest.raises(RuntimeError, match="^44 "):
        greengrass.ipc.connect(ipc_socket=str(tmp_path / "missing"), authtoken="x", timeout=PATIENCE)


def test_a_server_that_dies_is_told_to_everyone(greengrass: Any, tmp_path: Any) -> None:
    def die(peer: EventStreamPeer) -> None:
        peer.accept()
        peer.receive()

    told: List[Any] = []
    disconnected = threading.Event()

    class Watcher(greengrass.rpc.LifecycleHandler):  # type: ignore[misc, name-defined]
        def on_disconnect(self, reason: Any, **kwargs: Any) -> None:
            told.append(reason)
            disconnected.set()

    with Nucleus(str(tmp_path / "s"), die).server:
        client = greengrass.ipc.connect(
            ipc_socket=str(tmp_path / "s"), authtoken="x", lifecycle_handler=Watcher(), timeout=PATIENCE
        )
        operation = client.new_publish_to_topic()
        request = greengrass.model.PublishToTopicRequest(topic="t")
        operation.activate(request).result(PATIENCE)
        with pytest.raises(greengrass.rpc.StreamClosedError):
            operation.get_response().result(PATIENCE)
        assert disconnected.wait(PATIENCE)
    assert told[0].code == 1051
