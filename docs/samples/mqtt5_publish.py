"""Publishes one message and receives it: python mqtt5_publish.py HOST PORT"""

import sys
import threading
import uuid

from awscrt import mqtt5

host, port = sys.argv[1], int(sys.argv[2])
connected = threading.Event()
received = threading.Event()
stopped = threading.Event()


def on_publish(data):
    print("received", data.publish_packet.payload.decode())
    received.set()


client = mqtt5.Client(
    mqtt5.ClientOptions(
        host_name=host,
        port=port,
        connect_options=mqtt5.ConnectPacket(client_id=f"sample-{uuid.uuid4()}"),
        on_publish_callback_fn=on_publish,
        on_lifecycle_event_connection_success_fn=lambda data: connected.set(),
        on_lifecycle_event_stopped_fn=lambda data: stopped.set(),
    )
)
client.start()
assert connected.wait(30)

subscription = mqtt5.Subscription("greetings/#", qos=mqtt5.QoS.AT_LEAST_ONCE)
client.subscribe(mqtt5.SubscribePacket([subscription])).result(timeout=30)
client.publish(mqtt5.PublishPacket(topic="greetings/world", payload="hello", qos=mqtt5.QoS.AT_LEAST_ONCE)).result(
    timeout=30
)
assert received.wait(30)

client.stop(mqtt5.DisconnectPacket())
assert stopped.wait(30)
