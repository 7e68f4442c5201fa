"""Publishes to itself at QoS 1: mqtt_round_trip.py PORT; prints the payload that came back."""

import sys
from concurrent.futures import Future

from awscrt import mqtt5

connected: "Future[None]" = Future()
stopped: "Future[None]" = Future()
received: "Future[bytes]" = Future()
client = mqtt5.Client(
    mqtt5.ClientOptions(
        host_name="127.0.0.1",
        port=int(sys.argv[1]),
        on_lifecycle_event_connection_success_fn=lambda data: connected.set_result(None),
        on_lifecycle_event_stopped_fn=lambda data: stopped.set_result(None),
        on_publish_callback_fn=lambda data: received.set_result(data.publish_packet.payload),
    )
)
client.start()
connected.result(30)
client.subscribe(mqtt5.SubscribePacket([mqtt5.Subscription("packaging", mqtt5.QoS.AT_LEAST_ONCE)])).result(30)
client.publish(mqtt5.PublishPacket(topic="packaging", payload=b"round trip", qos=mqtt5.QoS.AT_LEAST_ONCE)).result(30)
print(received.result(30).decode())
client.stop()
stopped.result(30)
