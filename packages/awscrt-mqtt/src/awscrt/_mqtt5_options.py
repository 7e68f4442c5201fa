"""Checks of :class:`awscrt.mqtt5.ClientOptions` and their conversion to what the native client takes."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

from awscrt import _core
from awscrt.io import SocketType
from awscrt.mqtt5 import (
    ClientOptions,
    ExtendedValidationAndFlowControlOptions,
    InboundTopicAliasBehaviorType,
    OutboundTopicAliasBehaviorType,
    TopicAliasingOptions,
)

_CLIENT_OPTIONS_VALIDATION = 5140


def _invalid(text: str) -> None:
    _core.raise_error(_CLIENT_OPTIONS_VALIDATION, text)


def _unsigned(owner: Any, name: str, bits: int, default: int = 0, *, shown_as: str = "") -> int:
    """The number in ``owner.name``; ``default`` for None and 0."""
    value = getattr(owner, name)
    if value is None:
        return default
    where = f"{type(owner).__name__}.{shown_as or name}"
    if not isinstance(value, int):
        raise TypeError(f"{where} must be an int, got {type(value).__name__}")
    if not 0 <= value < 1 << bits:
        raise OverflowError(f"{where} must be 0 to {(1 << bits) - 1}, got {value}")
    return int(value) or default


def _choice(owner: Any, name: str) -> int:
    """The number of an enum option; 0 (DEFAULT) for None. Unknown numbers behave as the default."""
    value = getattr(owner, name)
    if value is None:
        return 0
    if not isinstance(value, int):
        raise TypeError(f"{type(owner).__name__}.{name} must be a member of its enum, got {type(value).__name__}")
    return int(value) if 0 <= value <= 255 else 0


def _callback(options: ClientOptions, name: str) -> Any:
    """A callback that takes one argument, or None."""
    function = getattr(options, name)
    if function is None:
        return None
    if not callable(function):
        raise TypeError("Callable should take one argument")
    import inspect

    try:
        inspect.signature(function).bind(None)
    except ValueError:  # a builtin that does not tell
        pass
    except TypeError:
        raise TypeError("Callable should take one argument") from None
    return function


def _alias_settings(options: Optional[TopicAliasingOptions]) -> Tuple[int, int, int]:
    """Outbound behaviour, outbound aliases, inbound aliases (0: disabled)."""
    if options is None:
        return 0, 0, 0
    outbound = _choice(options, "outbound_behavior")
    inbound = _choice(options, "inbound_behavior")
    if outbound > OutboundTopicAliasBehaviorType.DISABLED:
        _invalid(f"topic_aliasing_options.outbound_behavior: {outbound} is not in OutboundTopicAliasBehaviorType")
    if inbound > InboundTopicAliasBehaviorType.DISABLED:
        _invalid(f"topic_aliasing_options.inbound_behavior: {inbound} is not in InboundTopicAliasBehaviorType")
    outbound_size = _unsigned(options, "outbound_cache_max_size", 16, 25)
    inbound_size = _unsigned(options, "inbound_cache_max_size", 16, 25)
    return outbound, outbound_size, inbound_size if inbound == InboundTopicAliasBehaviorType.ENABLED else 0


def engine_settings(options: ClientOptions) -> Tuple[int, ...]:
    """In the order of `_mqtt.client_new`."""
    outbound, outbound_size, inbound_size = _alias_settings(options.topic_aliasing_options)
    limits = _choice(options, "extended_validation_and_flow_control_options")
    return (
        _choice(options, "session_behavior"),
        _choice(options, "offline_queue_behavior"),
        _choice(options, "retry_jitter_mode"),
        _unsigned(options, "min_reconnect_delay_ms", 32, 1000),
        _unsigned(options, "max_reconnect_delay_ms", 32, 120000),
        _unsigned(options, "min_connected_time_to_reset_reconnect_delay_ms", 32, 30000),
        _unsigned(options, "ping_timeout_ms", 32, 30000),
        _unsigned(options, "connack_timeout_ms", 32, 20000),
        _unsigned(options, "ack_timeout_sec", 32, 60, shown_as="ack_timeout_seconds"),
        outbound,
        outbound_size,
        inbound_size,
        limits == ExtendedValidationAndFlowControlOptions.AWS_IOT_CORE_DEFAULTS,
    )


def check_target(options: ClientOptions) -> None:
    if not isinstance(options.host_name, str):
        raise TypeError(f"ClientOptions.host_name must be a str, got {type(options.host_name).__name__}")
    if not isinstance(options.port, int):
        raise TypeError(f"ClientOptions.port must be an int, got {type(options.port).__name__}")
    if not options.host_name or "\0" in options.host_name:
        _invalid("host_name: must name a host")
    if not 1 <= options.port <= 65535:
        _invalid(f"port: must be 1 to 65535, got {options.port}")
    sockets = options.socket_options
    if sockets is not None and sockets.type != SocketType.Stream:
        _invalid("socket_options: MQTT needs SocketType.Stream")
    if sockets is not None and sockets.connect_timeout_ms == 0:
        _invalid("socket_options: connect_timeout_ms must not be 0")


def proxy(options: Any) -> Optional[Tuple[str, int, Optional[str], Optional[str], Any]]:
    # Known by its attributes: awscrt.http need not be installed.
    if options is None:
        return None
    try:
        host, port, tls = options.host_name, options.port, options.tls_connection_options
        basic = options.auth_type == 1
        user, password = options.auth_username, options.auth_password
    except AttributeError:
        raise TypeError(
            f"ClientOptions.http_proxy_options must be an awscrt.http.HttpProxyOptions, got {type(options).__name__}"
        ) from None
    if not host or not port:
        _invalid("http_proxy_options: host_name and port must be given")
    return host, port, (user or "") if basic else None, (password or "") if basic else None, tls


_LIFECYCLE = ("attempting_connect", "connection_success", "connection_failure", "disconnection", "stopped")


def callbacks(options: ClientOptions) -> List[Any]:
    """In the order of the native side's `enum mqtt_callback`, without the handshake."""
    found = [_callback(options, f"on_lifecycle_event_{event}_fn") for event in _LIFECYCLE]
    return [*found, _callback(options, "on_publish_callback_fn")]


def transport(options: ClientOptions) -> Any:
    """The plugin's transport that the options need; None for TCP and TLS straight to the host."""
    if options.websocket_handshake_transform is not None:
        name, purpose = "websocket", "MQTT over WebSocket (websocket_handshake_transform)"
    elif options.http_proxy_options is not None:
        name, purpose = "http-tunnel", "an HTTP proxy (http_proxy_options)"
    else:
        return None
    from awscrt.plugins import find_transport

    return find_transport(name, hint=f"{purpose} needs the package awscrt-http: pip install 'awscrt-mqtt[websocket]'")
