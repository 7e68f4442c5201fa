"""Prints messages as they arrive: mqtt_tail.py HOST PORT FILTER [--count N] [--publish TOPIC TEXT]

Subscribes at QoS 1; with --publish it then sends one message itself. Ends after N messages, or with Ctrl-C.
"""

from __future__ import annotations

import argparse
import threading
from concurrent.futures import Future

from awscrt import mqtt5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("filter", help="topic filter, e.g. sensors/+/temperature")
    parser.add_argument("--count", type=int, default=0, help="messages to wait for; 0: no end")
    parser.add_argument("--publish", nargs=2, metavar=("TOPIC", "TEXT"))
    options = parser.parse_args()

    connected: Future[None] = Future()
    stopped = threading.Event()
    enough = threading.Event()
    seen = 0

    def on_publish(data: mqtt5.PublishReceivedData) -> None:
        nonlocal seen
        packet = data.publish_packet
        payload = packet.payload if isinstance(packet.payload, bytes) else b""
        print(packet.topic, payload.decode(errors="replace"), flush=True)
        seen += 1
        if seen == options.count:
            enough.set()

    client = mqtt5.Client(
        mqtt5.ClientOptions(
            host_name=options.host,
            port=options.port,
            on_publish_callback_fn=on_publish,
            on_lifecycle_event_connection_success_fn=lambda data: connected.set_result(None),
            on_lifecycle_event_stopped_fn=lambda data: stopped.set(),
        )
    )
    client.start()
    connected.result(30)
    client.subscribe(mqtt5.SubscribePacket([mqtt5.Subscription(options.filter, mqtt5.QoS.AT_LEAST_ONCE)])).result(30)
    if options.publish:
        topic, text = options.publish
        client.publish(mqtt5.PublishPacket(topic=topic, payload=text, qos=mqtt5.QoS.AT_LEAST_ONCE)).result(30)
    try:
        enough.wait()
    except KeyboardInterrupt:
        print("interrupted")
    client.stop()
    stopped.wait(30)


main()
