"""MQTT 5 client (OASIS MQTT Version 5.0).

A :class:`Client` keeps a connection to one broker: it reconnects with back-off, keeps the session as told, queues
operations while it is offline, and reports through callbacks. All methods may be called from any thread; callbacks
run on the client's event-loop thread and must not wait there for futures of the runtime.

"M5" in docstrings is the standard. Mistakes in packets and options raise ``RuntimeError`` whose text begins with the
code and name of the error, e.g. ``5143 (AWS_ERROR_MQTT5_PUBLISH_OPTIONS_VALIDATION)``; numbers that do not fit raise
``OverflowError``, wrong types ``TypeError``. Failures of the network are :class:`awscrt.exceptions.AwsCrtError`.
"""

from __future__ import annotations

from enum import IntEnum

from awscrt import NativeResource, _mqtt
from awscrt import exceptions as exceptions  # re-exported
from awscrt.io import ClientBootstrap, ClientTlsContext, ExponentialBackoffJitterMode, SocketOptions

TYPE_CHECKING = False  # typing is a large part of a small program's import time
if TYPE_CHECKING:
    from concurrent.futures import Future
    from dataclasses import dataclass
    from typing import Any, Callable, Optional, Sequence, Union

    from awscrt.http import HttpProxyOptions, HttpRequest
else:
    from awscrt._dataclass import dataclass

__all__ = [
    "Client",
    "ClientOperationQueueBehaviorType",
    "ClientOptions",
    "ClientSessionBehaviorType",
    "ConnackPacket",
    "ConnectPacket",
    "ConnectReasonCode",
    "DisconnectPacket",
    "DisconnectReasonCode",
    "ExponentialBackoffJitterMode",
    "ExtendedValidationAndFlowControlOptions",
    "InboundTopicAliasBehaviorType",
    "LifecycleAttemptingConnectData",
    "LifecycleConnectFailureData",
    "LifecycleConnectSuccessData",
    "LifecycleDisconnectData",
    "LifecycleStoppedData",
    "NegotiatedSettings",
    "OperationStatisticsData",
    "OutboundTopicAliasBehaviorType",
    "PayloadFormatIndicator",
    "PubackPacket",
    "PubackReasonCode",
    "PublishAcknowledgementControlHandle",
    "PublishCompletionData",
    "PublishPacket",
    "PublishReceivedData",
    "QoS",
    "RetainAndHandlingType",
    "RetainHandlingType",
    "SubackPacket",
    "SubackReasonCode",
    "SubscribePacket",
    "Subscription",
    "TopicAliasingOptions",
    "UnsubackPacket",
    "UnsubackReasonCode",
    "UnsubscribePacket",
    "UserProperty",
    "WebsocketHandshakeTransformArgs",
]


def __getattr__(name: str) -> Any:
    # Names of awscrt.http that programs look for here; the package is optional.
    if name in ("HttpProxyOptions", "HttpRequest"):
        from awscrt import http

        return getattr(http, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# ---- enums ----


class QoS(IntEnum):
    """Quality of service (M5 4.3). The client sends 0 and 1."""

    AT_MOST_ONCE = 0
    AT_LEAST_ONCE = 1
    EXACTLY_ONCE = 2


class ConnectReasonCode(IntEnum):
    """Reason code of CONNACK (M5 3.2.2.2)."""

    SUCCESS = 0
    UNSPECIFIED_ERROR = 128
    MALFORMED_PACKET = 129
    PROTOCOL_ERROR = 130
    IMPLEMENTATION_SPECIFIC_ERROR = 131
    UNSUPPORTED_PROTOCOL_VERSION = 132
    CLIENT_IDENTIFIER_NOT_VALID = 133
    BAD_USERNAME_OR_PASSWORD = 134
    NOT_AUTHORIZED = 135
    SERVER_UNAVAILABLE = 136
    SERVER_BUSY = 137
    BANNED = 138
    BAD_AUTHENTICATION_METHOD = 140
    TOPIC_NAME_INVALID = 144
    PACKET_TOO_LARGE = 149
    QUOTA_EXCEEDED = 151
    PAYLOAD_FORMAT_INVALID = 153
    RETAIN_NOT_SUPPORTED = 154
    QOS_NOT_SUPPORTED = 155
    USE_ANOTHER_SERVER = 156
    SERVER_MOVED = 157
    CONNECTION_RATE_EXCEEDED = 159


class DisconnectReasonCode(IntEnum):
    """Reason code of DISCONNECT (M5 3.14.2.1)."""

    NORMAL_DISCONNECTION = 0
    DISCONNECT_WITH_WILL_MESSAGE = 4
    UNSPECIFIED_ERROR = 128
    MALFORMED_PACKET = 129
    PROTOCOL_ERROR = 130
    IMPLEMENTATION_SPECIFIC_ERROR = 131
    NOT_AUTHORIZED = 135
    SERVER_BUSY = 137
    SERVER_SHUTTING_DOWN = 139
    KEEP_ALIVE_TIMEOUT = 141
    SESSION_TAKEN_OVER = 142
    TOPIC_FILTER_INVALID = 143
    TOPIC_NAME_INVALID = 144
    RECEIVE_MAXIMUM_EXCEEDED = 147
    TOPIC_ALIAS_INVALID = 148
    PACKET_TOO_LARGE = 149
    MESSAGE_RATE_TOO_HIGH = 150
    QUOTA_EXCEEDED = 151
    ADMINISTRATIVE_ACTION = 152
    PAYLOAD_FORMAT_INVALID = 153
    RETAIN_NOT_SUPPORTED = 154
    QOS_NOT_SUPPORTED = 155
    USE_ANOTHER_SERVER = 156
    SERVER_MOVED = 157
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 158
    CONNECTION_RATE_EXCEEDED = 159
    MAXIMUM_CONNECT_TIME = 160
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 161
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 162


class PubackReasonCode(IntEnum):
    """Reason code of PUBACK (M5 3.4.2.1)."""

    SUCCESS = 0
    NO_MATCHING_SUBSCRIBERS = 16
    UNSPECIFIED_ERROR = 128
    IMPLEMENTATION_SPECIFIC_ERROR = 131
    NOT_AUTHORIZED = 135
    TOPIC_NAME_INVALID = 144
    PACKET_IDENTIFIER_IN_USE = 145
    QUOTA_EXCEEDED = 151
    PAYLOAD_FORMAT_INVALID = 153


class SubackReasonCode(IntEnum):
    """Reason code of SUBACK, one per subscription (M5 3.9.3)."""

    GRANTED_QOS_0 = 0
    GRANTED_QOS_1 = 1
    GRANTED_QOS_2 = 2
    UNSPECIFIED_ERROR = 128
    IMPLEMENTATION_SPECIFIC_ERROR = 131
    NOT_AUTHORIZED = 135
    TOPIC_FILTER_INVALID = 143
    PACKET_IDENTIFIER_IN_USE = 145
    QUOTA_EXCEEDED = 151
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 158
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 161
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 162


class UnsubackReasonCode(IntEnum):
    """Reason code of UNSUBACK, one per topic filter (M5 3.11.3)."""

    SUCCESS = 0
    NO_SUBSCRIPTION_EXISTED = 17
    UNSPECIFIED_ERROR = 128
    IMPLEMENTATION_SPECIFIC_ERROR = 131
    NOT_AUTHORIZED = 135
    TOPIC_FILTER_INVALID = 143
    PACKET_IDENTIFIER_IN_USE = 145


class ClientSessionBehaviorType(IntEnum):
    """When to resume the session the server keeps (M5 4.1).

    CLEAN (and DEFAULT): never. REJOIN_POST_SUCCESS: on reconnects, after a first success since start().
    REJOIN_ALWAYS: on every connect.
    """

    DEFAULT = 0
    CLEAN = 1
    REJOIN_POST_SUCCESS = 2
    REJOIN_ALWAYS = 3


class PayloadFormatIndicator(IntEnum):
    """What a payload is (M5 3.3.2.3.2)."""

    AWS_MQTT5_PFI_BYTES = 0
    AWS_MQTT5_PFI_UTF8 = 1


class RetainHandlingType(IntEnum):
    """Whether retained messages are sent when a subscription is made (M5 3.8.3.1)."""

    SEND_ON_SUBSCRIBE = 0
    SEND_ON_SUBSCRIBE_IF_NEW = 1
    DONT_SEND = 2


class RetainAndHandlingType(IntEnum):
    """Old name of :class:`RetainHandlingType`."""

    SEND_ON_SUBSCRIBE = 0
    SEND_ON_SUBSCRIBE_IF_NEW = 1
    DONT_SEND = 2


class ExtendedValidationAndFlowControlOptions(IntEnum):
    """Limits kept on the client's side.

    AWS_IOT_CORE_DEFAULTS: at most 100 publishes and 512 KiB per second and connection, and a generated client id
    where none is given.
    """

    NONE = 0
    AWS_IOT_CORE_DEFAULTS = 1


class ClientOperationQueueBehaviorType(IntEnum):
    """Which operations fail while there is no connection; the others wait.

    FAIL_NON_QOS1_PUBLISH_ON_DISCONNECT: all but QoS 1 publishes. FAIL_QOS0_PUBLISH_ON_DISCONNECT (and DEFAULT): QoS 0
    publishes. FAIL_ALL_ON_DISCONNECT: all, and QoS 1 publishes in flight when the session is lost.
    """

    DEFAULT = 0
    FAIL_NON_QOS1_PUBLISH_ON_DISCONNECT = 1
    FAIL_QOS0_PUBLISH_ON_DISCONNECT = 2
    FAIL_ALL_ON_DISCONNECT = 3


class OutboundTopicAliasBehaviorType(IntEnum):
    """How topics we publish to are abbreviated (M5 3.3.2.3.4).

    MANUAL: by :attr:`PublishPacket.topic_alias`. LRU: by an alias for each of the topics used most recently.
    DISABLED (and DEFAULT): not at all.
    """

    DEFAULT = 0
    MANUAL = 1
    LRU = 2
    DISABLED = 3


class InboundTopicAliasBehaviorType(IntEnum):
    """Whether the server may abbreviate topics; DEFAULT is DISABLED."""

    DEFAULT = 0
    ENABLED = 1
    DISABLED = 2


# ---- packets ----


@dataclass
class UserProperty:
    """A name and a value that travel with a packet; order and duplicates are kept (M5 3.3.2.3.7)."""

    name: str = None  # type: ignore[assignment]
    value: str = None  # type: ignore[assignment]


@dataclass
class PublishPacket:
    """PUBLISH (M5 3.3).

    :ivar payload: str, bytes or any other buffer; None is empty. Received ones are bytes
    :ivar topic: 1 to 65535 bytes of valid text without wildcards
    :ivar message_expiry_interval_sec: seconds after which the server drops the message
    :ivar topic_alias: used with ``OutboundTopicAliasBehaviorType.MANUAL`` only
    :ivar correlation_data_bytes: what to correlate a response by, at most 65535 bytes
    :ivar correlation_data: the same as text; ``correlation_data_bytes`` comes first. None on received packets whose
        correlation data is not UTF-8
    :ivar subscription_identifiers: on received packets, of the subscriptions that matched
    """

    payload: Any = ""
    qos: QoS = QoS.AT_MOST_ONCE
    retain: bool = False
    topic: str = ""
    payload_format_indicator: Optional[PayloadFormatIndicator] = None
    message_expiry_interval_sec: Optional[int] = None
    topic_alias: Optional[int] = None
    response_topic: Optional[str] = None
    correlation_data_bytes: Optional[Union[bytes, str]] = None
    correlation_data: Optional[Union[bytes, str]] = None
    subscription_identifiers: Optional[Sequence[int]] = None
    content_type: Optional[str] = None
    user_properties: Optional[Sequence[UserProperty]] = None


@dataclass
class PubackPacket:
    """PUBACK (M5 3.4). For a QoS 0 publish all fields are None."""

    reason_code: Optional[PubackReasonCode] = None
    reason_string: Optional[str] = None
    user_properties: Optional[Sequence[UserProperty]] = None


@dataclass
class ConnectPacket:
    """CONNECT (M5 3.1).

    :ivar keep_alive_interval_sec: seconds between pings, 0 to 65535; 0: none; None: 1200
    :ivar client_id: None or empty lets the server choose one, which later connects use again
    :ivar password: str or bytes
    :ivar session_expiry_interval_sec: seconds the server keeps the session after the connection ends
    :ivar receive_maximum: QoS 1 publishes the server may have unacknowledged, 1 to 65535
    :ivar maximum_packet_size: bytes of the largest packet to accept
    :ivar will_delay_interval_sec: seconds between the loss of the connection and the will
    """

    keep_alive_interval_sec: Optional[int] = None
    client_id: Optional[str] = None
    username: Optional[str] = None
    password: Optional[Union[str, bytes]] = None
    session_expiry_interval_sec: Optional[int] = None
    request_response_information: Optional[bool] = None
    request_problem_information: Optional[bool] = None
    receive_maximum: Optional[int] = None
    maximum_packet_size: Optional[int] = None
    will_delay_interval_sec: Optional[int] = None
    will: Optional[PublishPacket] = None
    user_properties: Optional[Sequence[UserProperty]] = None


@dataclass
class ConnackPacket:
    """CONNACK (M5 3.2). Fields are None where the server left the property out."""

    session_present: Optional[bool] = None
    reason_code: Optional[ConnectReasonCode] = None
    session_expiry_interval_sec: Optional[int] = None
    receive_maximum: Optional[int] = None
    maximum_qos: Optional[QoS] = None
    retain_available: Optional[bool] = None
    maximum_packet_size: Optional[int] = None
    assigned_client_identifier: Optional[str] = None
    topic_alias_maximum: Optional[int] = None
    reason_string: Optional[str] = None
    user_properties: Optional[Sequence[UserProperty]] = None
    wildcard_subscriptions_available: Optional[bool] = None
    subscription_identifiers_available: Optional[bool] = None
    shared_subscription_available: Optional[bool] = None
    server_keep_alive_sec: Optional[int] = None
    response_information: Optional[str] = None
    server_reference: Optional[str] = None

    @property
    def server_keep_alive(self) -> Optional[int]:
        """Old name of ``server_keep_alive_sec``."""
        return self.server_keep_alive_sec

    @server_keep_alive.setter
    def server_keep_alive(self, value: Optional[int]) -> None:
        self.server_keep_alive_sec = value


@dataclass
class DisconnectPacket:
    """DISCONNECT (M5 3.14).

    :ivar session_expiry_interval_sec: replaces the one of CONNECT; only 0 where that was 0
    :ivar server_reference: on received packets
    """

    reason_code: DisconnectReasonCode = DisconnectReasonCode.NORMAL_DISCONNECTION
    session_expiry_interval_sec: Optional[int] = None
    reason_string: Optional[str] = None
    user_properties: Optional[Sequence[UserProperty]] = None
    server_reference: Optional[str] = None


@dataclass
class Subscription:
    """One topic filter of a SUBSCRIBE (M5 3.8.3.1). ``qos`` is the highest to be delivered, 0 or 1."""

    topic_filter: str
    qos: QoS = QoS.AT_MOST_ONCE
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling_type: Union[RetainHandlingType, RetainAndHandlingType] = RetainHandlingType.SEND_ON_SUBSCRIBE


@dataclass
class SubscribePacket:
    """SUBSCRIBE (M5 3.8): 1 to 1024 subscriptions."""

    subscriptions: Sequence[Subscription]
    subscription_identifier: Optional[int] = None
    user_properties: Optional[Sequence[UserProperty]] = None


@dataclass
class SubackPacket:
    """SUBACK (M5 3.9). ``reason_codes`` are in the order of the subscriptions; None for a code unknown to M5."""

    reason_string: Optional[str] = None
    user_properties: Optional[Sequence[UserProperty]] = None
    reason_codes: Sequence[Optional[SubackReasonCode]] = None  # type: ignore[assignment]


@dataclass
class UnsubscribePacket:
    """UNSUBSCRIBE (M5 3.10): 1 to 1024 topic filters."""

    topic_filters: Sequence[str]
    user_properties: Optional[Sequence[UserProperty]] = None


@dataclass
class UnsubackPacket:
    """UNSUBACK (M5 3.11). ``reason_codes`` are in the order of the topic filters; None for a code unknown to M5."""

    reason_string: Optional[str] = None
    user_properties: Optional[Sequence[UserProperty]] = None
    reason_codes: Sequence[Optional[UnsubackReasonCode]] = None  # type: ignore[assignment]


# ---- what callbacks and futures are given ----


@dataclass
class NegotiatedSettings:
    """What client and server agreed on: the server's words, or the standard's defaults where it was silent."""

    maximum_qos: Optional[QoS] = None
    session_expiry_interval_sec: Optional[int] = None
    receive_maximum_from_server: Optional[int] = None
    maximum_packet_size_to_server: Optional[int] = None
    topic_alias_maximum_to_server: Optional[int] = None
    topic_alias_maximum_to_client: Optional[int] = None
    server_keep_alive_sec: Optional[int] = None
    retain_available: Optional[bool] = None
    wildcard_subscriptions_available: Optional[bool] = None
    subscription_identifiers_available: Optional[bool] = None
    shared_subscriptions_available: Optional[bool] = None
    rejoined_session: Optional[bool] = None
    client_id: Optional[str] = None


@dataclass
class LifecycleStoppedData:
    """The client has stopped; nothing happens until start()."""


@dataclass
class LifecycleAttemptingConnectData:
    """An attempt to connect begins; it ends in a success or a failure."""


@dataclass
class LifecycleConnectSuccessData:
    """The server has accepted the connection."""

    connack_packet: ConnackPacket = None  # type: ignore[assignment]
    negotiated_settings: NegotiatedSettings = None  # type: ignore[assignment]


@dataclass
class LifecycleConnectFailureData:
    """An attempt has failed; unless the client was stopped, the next one follows after a pause.

    :ivar connack_packet: where the server sent one
    """

    connack_packet: Optional[ConnackPacket] = None
    exception: Exception = None  # type: ignore[assignment]


@dataclass
class LifecycleDisconnectData:
    """An established connection has ended; unless the client was stopped, it reconnects.

    :ivar disconnect_packet: where the server sent one
    """

    disconnect_packet: Optional[DisconnectPacket] = None
    exception: Exception = None  # type: ignore[assignment]


class PublishAcknowledgementControlHandle:
    """Stands for the acknowledgement of one received publish; see :class:`PublishReceivedData`."""

    def __init__(self, control_id: int) -> None:
        self._control_id = control_id

    @property
    def control_id(self) -> int:
        """Opaque; the same for redeliveries of one publish on one connection."""
        return self._control_id


@dataclass
class PublishReceivedData:
    """A publish has arrived.

    :ivar acquire_publish_acknowledgement_control: None for QoS 0. Else a function that takes over the
        acknowledgement: it returns a :class:`PublishAcknowledgementControlHandle` for
        :meth:`Client.invoke_publish_acknowledgement`, may be called once, and only before the callback returns
        (``RuntimeError`` otherwise). Without it, the acknowledgement is sent when the callback has returned
    """

    publish_packet: PublishPacket = None  # type: ignore[assignment]
    acquire_publish_acknowledgement_control: Optional[Callable[[], PublishAcknowledgementControlHandle]] = None


@dataclass
class PublishCompletionData:
    """A publish is done: acknowledged (QoS 1), or handed to the network (QoS 0, then ``puback`` is empty)."""

    puback: PubackPacket = None  # type: ignore[assignment]


@dataclass
class OperationStatisticsData:
    """Publishes, subscribes and unsubscribes that are not done; sizes in bytes of their packets.

    :ivar incomplete_operation_count: handed in
    :ivar unacked_operation_count: of these, sent
    """

    incomplete_operation_count: int = 0
    incomplete_operation_size: int = 0
    unacked_operation_count: int = 0
    unacked_operation_size: int = 0


# ---- options ----


@dataclass
class TopicAliasingOptions:
    """Topic aliases (M5 3.3.2.3.4). Cache sizes are numbers of topics, 1 to 65535; None or 0 is 25."""

    outbound_behavior: Optional[OutboundTopicAliasBehaviorType] = None
    outbound_cache_max_size: Optional[int] = None
    inbound_behavior: Optional[InboundTopicAliasBehaviorType] = None
    inbound_cache_max_size: Optional[int] = None


class WebsocketHandshakeTransformArgs:
    """What a ``websocket_handshake_transform`` works on.

    :ivar client: the :class:`Client`
    :ivar http_request: the request about to be sent; path and headers may be changed
    """

    def __init__(self, client: Client, http_request: HttpRequest, done_future: Future[None]) -> None:
        self.client = client
        self.http_request = http_request
        self._done_future = done_future

    def set_done(self, exception: Optional[BaseException] = None) -> None:
        """Let the attempt go on, or fail it. Any thread, once, also after the transform has returned.

        :raises concurrent.futures.InvalidStateError: called before
        """
        if exception is None:
            self._done_future.set_result(None)
        else:
            self._done_future.set_exception(exception)


@dataclass
class ClientOptions:
    """How a :class:`Client` behaves. None stands for the default in parentheses; numbers of 0 do, too.

    :ivar tls_ctx: None: plain TCP
    :ivar http_proxy_options: an HTTP CONNECT tunnel on the way; needs awscrt-http
    :ivar websocket_handshake_transform: MQTT over WebSocket; called with ``transform_args=`` before each attempt and
        must lead to :meth:`WebsocketHandshakeTransformArgs.set_done`. Needs awscrt-http
    :ivar session_behavior: (CLEAN)
    :ivar offline_queue_behavior: (FAIL_QOS0_PUBLISH_ON_DISCONNECT)
    :ivar retry_jitter_mode: (FULL)
    :ivar min_reconnect_delay_ms: milliseconds before the first retry, doubled for each further one (1000)
    :ivar max_reconnect_delay_ms: milliseconds (120000)
    :ivar min_connected_time_to_reset_reconnect_delay_ms: milliseconds a connection must last so that the delay starts
        over (30000)
    :ivar ping_timeout_ms: milliseconds to wait for a PINGRESP, at most half the keep-alive interval (30000)
    :ivar connack_timeout_ms: milliseconds to wait for the CONNACK (20000)
    :ivar ack_timeout_sec: seconds to wait for an acknowledgement before the operation fails (60)
    """

    host_name: str
    port: int = None  # type: ignore[assignment]
    bootstrap: Optional[ClientBootstrap] = None
    socket_options: Optional[SocketOptions] = None
    tls_ctx: Optional[ClientTlsContext] = None
    http_proxy_options: Optional[HttpProxyOptions] = None
    websocket_handshake_transform: Optional[Callable[[WebsocketHandshakeTransformArgs], None]] = None
    connect_options: Optional[ConnectPacket] = None
    session_behavior: Optional[ClientSessionBehaviorType] = None
    extended_validation_and_flow_control_options: Optional[ExtendedValidationAndFlowControlOptions] = None
    offline_queue_behavior: Optional[ClientOperationQueueBehaviorType] = None
    retry_jitter_mode: Optional[ExponentialBackoffJitterMode] = None
    min_reconnect_delay_ms: Optional[int] = None
    max_reconnect_delay_ms: Optional[int] = None
    min_connected_time_to_reset_reconnect_delay_ms: Optional[int] = None
    ping_timeout_ms: Optional[int] = None
    connack_timeout_ms: Optional[int] = None
    ack_timeout_sec: Optional[int] = None
    topic_aliasing_options: Optional[TopicAliasingOptions] = None
    on_publish_callback_fn: Optional[Callable[[PublishReceivedData], None]] = None
    on_lifecycle_event_stopped_fn: Optional[Callable[[LifecycleStoppedData], None]] = None
    on_lifecycle_event_attempting_connect_fn: Optional[Callable[[LifecycleAttemptingConnectData], None]] = None
    on_lifecycle_event_connection_success_fn: Optional[Callable[[LifecycleConnectSuccessData], None]] = None
    on_lifecycle_event_connection_failure_fn: Optional[Callable[[LifecycleConnectFailureData], None]] = None
    on_lifecycle_event_disconnection_fn: Optional[Callable[[LifecycleDisconnectData], None]] = None


class Client(NativeResource):
    """A MQTT 5 client. It does nothing until :meth:`start`.

    Dropping the last reference stops it as :meth:`stop` does; the callbacks still get their events.

    :raises RuntimeError: 5140 to 5146 for options that are not valid, or a package is missing
    :raises TypeError: an option of the wrong type, a callback that does not take one argument
    :raises OverflowError: a number that does not fit
    :ivar tls_ctx: of the options
    """

    tls_ctx: Optional[ClientTlsContext]

    def __init__(self, client_options: ClientOptions) -> None:
        super().__init__()
        self.tls_ctx = client_options.tls_ctx
        self._start_native(client_options, None)

    def _start_native(self, options: ClientOptions, loop: Any) -> None:
        from awscrt import _mqtt5_options

        _mqtt5_options.check_target(options)
        proxy = _mqtt5_options.proxy(options.http_proxy_options)
        transport = _mqtt5_options.transport(options)
        handshake = None
        if options.websocket_handshake_transform is not None:
            from awscrt._mqtt5_websocket import Handshake

            handshake = Handshake(self, options.websocket_handshake_transform, options.host_name)
        self._binding = _mqtt.client_new(
            options.host_name,
            options.port,
            options.bootstrap,
            options.socket_options,
            options.tls_ctx,
            ConnectPacket() if options.connect_options is None else options.connect_options,
            transport,
            proxy,
            _mqtt5_options.engine_settings(options),
            (*_mqtt5_options.callbacks(options), handshake),
            loop,
        )

    def start(self) -> None:
        """Connect, and stay connected until :meth:`stop`. Does nothing when started already."""
        _mqtt.start(self._binding)

    def stop(self, disconnect_packet: Optional[DisconnectPacket] = None) -> None:
        """Close the connection and stay stopped; operations that are not done fail.

        :param disconnect_packet: sent first. Without it the server sees the connection break, and publishes the will
        :raises RuntimeError: 5142 or 5146, the packet is not valid
        """
        _mqtt.stop(self._binding, disconnect_packet)

    def publish(self, publish_packet: PublishPacket) -> Future[PublishCompletionData]:
        """Publish a message.

        A PUBACK that refuses the message completes the future as well: look at its ``reason_code``.

        :raises RuntimeError: 5143 or 5146, the packet is not valid
        """
        return _mqtt.publish(self._binding, publish_packet)  # type: ignore[no-any-return]

    def subscribe(self, subscribe_packet: SubscribePacket) -> Future[SubackPacket]:
        """Subscribe; the result has one reason code per subscription, which may be a refusal.

        :raises RuntimeError: 5144 or 5146, the packet is not valid
        """
        return _mqtt.subscribe(self._binding, subscribe_packet)  # type: ignore[no-any-return]

    def unsubscribe(self, unsubscribe_packet: UnsubscribePacket) -> Future[UnsubackPacket]:
        """Unsubscribe; the result has one reason code per topic filter, which may be a refusal.

        :raises RuntimeError: 5145 or 5146, the packet is not valid
        """
        return _mqtt.unsubscribe(self._binding, unsubscribe_packet)  # type: ignore[no-any-return]

    def get_stats(self) -> OperationStatisticsData:
        """Count what is not done."""
        return OperationStatisticsData(*_mqtt.statistics(self._binding))

    def invoke_publish_acknowledgement(
        self, publish_acknowledgement_control_handle: PublishAcknowledgementControlHandle
    ) -> None:
        """Acknowledge a received publish whose control was acquired. Any thread.

        A handle that was used, or whose connection has ended, is ignored: the server sends such publishes again.
        """
        _mqtt.acknowledge(self._binding, publish_acknowledgement_control_handle.control_id)
