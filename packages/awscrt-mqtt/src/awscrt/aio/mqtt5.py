"""MQTT 5 for asyncio, on the client of :mod:`awscrt.mqtt5`::

    options = mqtt5.ClientOptions(host_name="broker.example", port=8883, tls_ctx=context)
    async with Client(options) as client:
        async with await client.subscribe("sensors/#") as messages:
            await client.publish(mqtt5.PublishPacket(topic="sensors/1", payload=b"21.5", qos=mqtt5.QoS.AT_LEAST_ONCE))
            async for message in messages:
                print(message.topic, message.payload)

Everything happens on the asyncio thread; the native thread neither waits for it nor for the interpreter.

Memory is bounded by the protocol itself: a QoS 1 message is acknowledged when the program takes it, and the server
has at most ``receive_maximum`` of them unacknowledged. QoS 0 messages beyond a stream's buffer are dropped and counted.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Tuple, Type

from awscrt import NativeResource, _mqtt, mqtt5
from awscrt.exceptions import AwsCrtError

__all__ = ["Client", "MessageStream"]

_RECEIVE_MAXIMUM = 1000
_ROUTES_CACHED = 1024
_SUBSCRIBE_FAILURE = 5164


def _levels(topic_filter: str) -> List[str]:
    """The levels of a filter; those of a shared subscription without "$share/<group>/" (M5 4.8.2)."""
    levels = topic_filter.split("/")
    return levels[2:] if levels[0] == "$share" and len(levels) > 2 else levels


def _matches(pattern: Sequence[str], topic: Sequence[str]) -> bool:
    """M5 4.7: "+" is one level, "#" the parent and all below; neither matches a leading "$" level."""
    if topic[0].startswith("$") and pattern[0] in ("+", "#"):
        return False
    for index, level in enumerate(pattern):
        if level == "#":
            return True
        if index == len(topic) or level not in ("+", topic[index]):
            return False
    return len(pattern) == len(topic)


class _Delivery:
    """One received publish; acknowledged when every stream it went to has let go of it."""

    __slots__ = ("packet", "_acknowledge", "_holders")

    def __init__(self, packet: mqtt5.PublishPacket, acknowledge: Optional[Callable[[], None]], holders: int) -> None:
        self.packet = packet
        self._acknowledge = acknowledge
        self._holders = holders

    def release(self) -> None:
        self._holders -= 1
        if self._holders == 0 and self._acknowledge is not None:
            self._acknowledge()


class MessageStream:
    """The messages of one subscription; iterate over it with ``async for``.

    It ends when it or its client is closed. A QoS 1 message is acknowledged when it is taken. After a reconnect to a
    server that lost the session, the client subscribes again by itself; if that fails, iterating raises.

    :ivar topic_filters: what was subscribed to
    :ivar dropped: QoS 0 messages that found the buffer full
    """

    def __init__(self, client: Client, packet: mqtt5.SubscribePacket, buffer: int) -> None:
        self._client = client
        self._packet = packet
        self._buffer = buffer
        self._waiting: Deque[_Delivery] = deque()
        self._wakeup: Optional[asyncio.Future[None]] = None
        self._closed = False
        self._error: Optional[BaseException] = None
        self._patterns = [_levels(subscription.topic_filter) for subscription in packet.subscriptions]
        self.topic_filters = tuple(subscription.topic_filter for subscription in packet.subscriptions)
        self.dropped = 0

    def __aiter__(self) -> MessageStream:
        return self

    async def __anext__(self) -> mqtt5.PublishPacket:
        while not self._waiting:
            if self._error is not None:
                raise self._error
            if self._closed:
                raise StopAsyncIteration
            if self._wakeup is not None:
                raise RuntimeError("another task is waiting for this stream's next message")
            self._wakeup = asyncio.get_running_loop().create_future()
            try:
                await self._wakeup
            finally:
                self._wakeup = None
        delivery = self._waiting.popleft()
        delivery.release()
        return delivery.packet

    async def __aenter__(self) -> MessageStream:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Unsubscribe and end. Messages that were not taken are acknowledged and dropped."""
        if self._closed:
            return
        self._end(None)
        while self._waiting:
            self._waiting.popleft().release()
        await self._client._leave(self)

    def _matches(self, topic: Sequence[str]) -> bool:
        return any(_matches(pattern, topic) for pattern in self._patterns)

    def _put(self, delivery: _Delivery) -> None:
        if delivery.packet.qos == mqtt5.QoS.AT_MOST_ONCE and len(self._waiting) >= self._buffer:
            self.dropped += 1
            delivery.release()
            return
        self._waiting.append(delivery)
        self._wake()

    def _end(self, error: Optional[BaseException]) -> None:
        self._closed = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)


class _NativeClient(mqtt5.Client):
    """A client whose events and results go to an asyncio loop."""

    def __init__(self, options: mqtt5.ClientOptions, loop: asyncio.AbstractEventLoop) -> None:
        NativeResource.__init__(self)
        self.tls_ctx = options.tls_ctx
        self._start_native(options, loop)


class Client:
    """A MQTT 5 client as an asynchronous context manager.

    Entering connects, and raises what the first attempt fails with. From then on the client reconnects by itself, as
    the options say. Leaving disconnects; operations that are not done fail, streams end.

    :param options: as for :class:`awscrt.mqtt5.Client`. Lifecycle callbacks are called on the asyncio thread;
        ``on_publish_callback_fn`` gets the messages that belong to no stream. ``connect_options.receive_maximum`` is
        1000 where it is None
    """

    def __init__(self, options: mqtt5.ClientOptions) -> None:
        self._options = copy.copy(options)
        self._connect = copy.copy(options.connect_options or mqtt5.ConnectPacket())
        if self._connect.receive_maximum is None:
            self._connect.receive_maximum = _RECEIVE_MAXIMUM
        self._user = options
        self._native: Optional[_NativeClient] = None
        self._connected: Optional[asyncio.Future[None]] = None
        self._stopped: Optional[asyncio.Future[None]] = None
        self._streams: List[MessageStream] = []
        self._subscribed: List[MessageStream] = []
        self._routes: Dict[str, Tuple[MessageStream, ...]] = {}

    # ---- connecting ----

    async def __aenter__(self) -> Client:
        if self._native is not None:
            raise RuntimeError("this client is open already")
        loop = asyncio.get_running_loop()
        options = self._options
        options.connect_options = self._connect
        options.on_publish_callback_fn = self._on_publish
        options.on_lifecycle_event_connection_success_fn = self._on_connected
        options.on_lifecycle_event_connection_failure_fn = self._on_failed
        options.on_lifecycle_event_stopped_fn = self._on_stopped
        self._connected = loop.create_future()
        self._stopped = loop.create_future()
        self._native = _NativeClient(options, loop)
        self._native.start()
        try:
            await self._connected
        except BaseException:
            await self._close(None)
            raise
        return self

    async def __aexit__(self, exc_type: Optional[Type[BaseException]], *exc_info: object) -> None:
        await self._close(mqtt5.DisconnectPacket())

    async def _close(self, packet: Optional[mqtt5.DisconnectPacket]) -> None:
        native, stopped = self._require(), self._stopped
        assert stopped is not None
        native.stop(packet)
        await stopped
        self._native = None
        self._subscribed.clear()
        for stream in self._streams:
            stream._end(stream._error)
        self._streams.clear()
        self._routes.clear()

    def _require(self) -> _NativeClient:
        if self._native is None:
            raise RuntimeError("this client is not open: use it inside 'async with'")
        return self._native

    # ---- operations ----

    def _submit(self, operation: Callable[..., Any], packet: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        operation(self._require()._binding, packet, future)
        return future

    async def publish(self, packet: mqtt5.PublishPacket) -> mqtt5.PublishCompletionData:
        """Publish; returns with the PUBACK (QoS 1) or when the message was handed to the network (QoS 0).

        Raises as :meth:`awscrt.mqtt5.Client.publish`.
        """
        return await self._submit(_mqtt.publish, packet)  # type: ignore[no-any-return]

    async def subscribe(
        self, *topic_filters: str, qos: mqtt5.QoS = mqtt5.QoS.AT_LEAST_ONCE, buffer: int = 1000
    ) -> MessageStream:
        """Subscribe to topic filters and return the stream of their messages.

        :param qos: highest to be delivered
        :param buffer: QoS 0 messages to keep until they are taken
        :raises AwsCrtError: AWS_ERROR_MQTT_CONNECTION_SUBSCRIBE_FAILURE, the server refused a filter
        :raises RuntimeError: 5144, a filter is not valid
        """
        packet = mqtt5.SubscribePacket([mqtt5.Subscription(topic_filter, qos) for topic_filter in topic_filters])
        stream = MessageStream(self, packet, buffer)
        self._streams.append(stream)  # first: retained messages may come before the SUBACK
        self._routes.clear()
        try:
            await self._subscribe_stream(stream)
        except BaseException:
            stream._end(None)
            self._forget(stream)
            raise
        self._subscribed.append(stream)
        return stream

    async def _subscribe_stream(self, stream: MessageStream) -> None:
        suback: mqtt5.SubackPacket = await self._submit(_mqtt.subscribe, stream._packet)
        for topic_filter, code in zip(stream.topic_filters, suback.reason_codes):
            if code is None or code >= mqtt5.SubackReasonCode.UNSPECIFIED_ERROR:
                reason = "unknown code" if code is None else code.name
                raise AwsCrtError(
                    _SUBSCRIBE_FAILURE,
                    "AWS_ERROR_MQTT_CONNECTION_SUBSCRIBE_FAILURE",
                    f"the server refused the subscription to {topic_filter!r}: {reason}",
                )

    async def unsubscribe(self, *topic_filters: str) -> mqtt5.UnsubackPacket:
        """Unsubscribe from filters, e.g. of an earlier session; streams do so when they are closed."""
        packet = mqtt5.UnsubscribePacket(list(topic_filters))
        return await self._submit(_mqtt.unsubscribe, packet)  # type: ignore[no-any-return]

    def get_stats(self) -> mqtt5.OperationStatisticsData:
        """Count what is not done."""
        return self._require().get_stats()

    # ---- streams ----

    def _forget(self, stream: MessageStream) -> None:
        self._streams = [other for other in self._streams if other is not stream]
        self._subscribed = [other for other in self._subscribed if other is not stream]
        self._routes.clear()

    async def _leave(self, stream: MessageStream) -> None:
        self._forget(stream)
        in_use = {topic_filter for other in self._streams for topic_filter in other.topic_filters}
        unused = [topic_filter for topic_filter in stream.topic_filters if topic_filter not in in_use]
        if self._native is not None and unused:
            await self.unsubscribe(*unused)

    def _route(self, topic: str) -> Tuple[MessageStream, ...]:
        route = self._routes.get(topic)
        if route is None:
            levels = topic.split("/")
            route = tuple(stream for stream in self._streams if stream._matches(levels))
            if len(self._routes) >= _ROUTES_CACHED:
                self._routes.clear()
            self._routes[topic] = route
        return route

    # ---- events, on the asyncio thread ----

    def _on_publish(self, data: mqtt5.PublishReceivedData) -> None:
        streams = self._route(data.publish_packet.topic)
        if not streams:
            if self._user.on_publish_callback_fn is not None:
                self._user.on_publish_callback_fn(data)
            return
        acknowledge = None
        if data.acquire_publish_acknowledgement_control is not None:
            handle = data.acquire_publish_acknowledgement_control()
            native = self._require()
            acknowledge = lambda: native.invoke_publish_acknowledgement(handle)  # noqa: E731
        delivery = _Delivery(data.publish_packet, acknowledge, len(streams))
        for stream in streams:
            stream._put(delivery)

    def _on_connected(self, data: mqtt5.LifecycleConnectSuccessData) -> None:
        if self._connected is not None and not self._connected.done():
            self._connected.set_result(None)
        if not data.negotiated_settings.rejoined_session:
            for stream in self._subscribed:
                asyncio.ensure_future(self._subscribe_again(stream))
        if self._user.on_lifecycle_event_connection_success_fn is not None:
            self._user.on_lifecycle_event_connection_success_fn(data)

    async def _subscribe_again(self, stream: MessageStream) -> None:
        try:
            await self._subscribe_stream(stream)
        except AwsCrtError as error:
            if not stream._closed:
                stream._end(error)
                self._forget(stream)

    def _on_failed(self, data: mqtt5.LifecycleConnectFailureData) -> None:
        if self._connected is not None and not self._connected.done():
            self._connected.set_exception(data.exception)
        if self._user.on_lifecycle_event_connection_failure_fn is not None:
            self._user.on_lifecycle_event_connection_failure_fn(data)

    def _on_stopped(self, data: mqtt5.LifecycleStoppedData) -> None:
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)
        if self._user.on_lifecycle_event_stopped_fn is not None:
            self._user.on_lifecycle_event_stopped_fn(data)
