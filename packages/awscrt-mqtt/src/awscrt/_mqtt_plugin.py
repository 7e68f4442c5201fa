"""awscrt-mqtt as a plugin: it describes itself and brings the `mqtt` command."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any, List, Optional

from awscrt._version import __version__
from awscrt.plugins import Command, FeatureInfo, hookimpl


@hookimpl
def awscrt_feature() -> FeatureInfo:
    return FeatureInfo(
        name="mqtt",
        version=__version__,
        modules=("awscrt.mqtt5", "awscrt.aio.mqtt5"),
        summary="MQTT 5 client",
    )


@hookimpl
def awscrt_commands() -> List[Command]:
    return [Command("mqtt", "publish and subscribe with MQTT 5", _configure, _run)]


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="pub|sub")
    publish = actions.add_parser("pub", help="publish one message")
    _add_connection(publish)
    publish.add_argument("--topic", required=True)
    publish.add_argument("--message", help="the payload; without it, standard input")
    publish.add_argument("--retain", action="store_true", help="let the server keep it for later subscribers")
    subscribe = actions.add_parser("sub", help="print messages as '<topic> <payload>' lines")
    _add_connection(subscribe)
    subscribe.add_argument("--topic", required=True, action="append", help="topic filter; may be repeated")
    subscribe.add_argument("--count", type=int, help="end after so many messages; without it, at Ctrl-C")


def _add_connection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, help="default: 1883, with TLS 8883")
    parser.add_argument("--qos", type=int, choices=(0, 1), default=1)
    parser.add_argument("--client-id")
    parser.add_argument("--username")
    parser.add_argument("--password")
    parser.add_argument("--tls", action="store_true", help="TLS with the system's trust store")
    parser.add_argument("--ca", metavar="FILE", help="TLS, trusting this PEM file only")
    parser.add_argument("--cert", metavar="FILE", help="TLS with this client certificate (PEM)")
    parser.add_argument("--key", metavar="FILE", help="private key of --cert (PEM)")


def _tls_context(arguments: argparse.Namespace) -> Optional[Any]:
    from awscrt.io import ClientTlsContext, TlsContextOptions

    if bool(arguments.cert) != bool(arguments.key):
        raise ValueError("--cert and --key belong together")
    if arguments.cert:
        options = TlsContextOptions.create_client_with_mtls_from_path(arguments.cert, arguments.key)
    elif arguments.tls or arguments.ca:
        options = TlsContextOptions()
    else:
        return None
    if arguments.ca:
        options.override_default_trust_store_from_path(None, arguments.ca)
    return ClientTlsContext(options)


def _client(arguments: argparse.Namespace) -> Any:
    from awscrt import mqtt5
    from awscrt.aio.mqtt5 import Client

    context = _tls_context(arguments)
    return Client(
        mqtt5.ClientOptions(
            host_name=arguments.host,
            port=arguments.port or (8883 if context else 1883),
            tls_ctx=context,
            connect_options=mqtt5.ConnectPacket(
                client_id=arguments.client_id, username=arguments.username, password=arguments.password
            ),
        )
    )


async def _publish(arguments: argparse.Namespace) -> int:
    from awscrt import mqtt5

    payload = sys.stdin.buffer.read() if arguments.message is None else arguments.message
    packet = mqtt5.PublishPacket(
        topic=arguments.topic, payload=payload, qos=mqtt5.QoS(arguments.qos), retain=arguments.retain
    )
    async with _client(arguments) as client:
        code = (await client.publish(packet)).puback.reason_code
    if code is not None and code >= mqtt5.PubackReasonCode.UNSPECIFIED_ERROR:
        print(f"the server refused the message: {code.name}", file=sys.stderr)
        return 1
    return 0


async def _subscribe(arguments: argparse.Namespace) -> int:
    from awscrt import mqtt5

    async with _client(arguments) as client:
        async with await client.subscribe(*arguments.topic, qos=mqtt5.QoS(arguments.qos)) as messages:
            left = arguments.count
            while left is None or left > 0:
                message = await messages.__anext__()
                sys.stdout.buffer.write(message.topic.encode() + b" " + message.payload + b"\n")
                sys.stdout.buffer.flush()
                left = None if left is None else left - 1
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from awscrt.exceptions import AwsCrtError

    try:
        return asyncio.run(_publish(arguments) if arguments.action == "pub" else _subscribe(arguments))
    except KeyboardInterrupt:
        return 130
    except (AwsCrtError, OSError, RuntimeError, ValueError) as error:
        print(f"awscrt mqtt: {error}", file=sys.stderr)
        return 1
