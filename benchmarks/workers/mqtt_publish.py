"""MQTT 5 publishes at QoS 1, all handed over at once (pipelined), until the last acknowledgement.

Params: ``port``, ``count``, ``payload`` (bytes each).
"""

from __future__ import annotations

import threading
from typing import Any, Dict, Tuple

from common import measure

from awscrt import mqtt5


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    connected = threading.Event()
    stopped = threading.Event()
    client = mqtt5.Client(
        mqtt5.ClientOptions(
            host_name="127.0.0.1",
            port=params["port"],
            connect_options=mqtt5.ConnectPacket(client_id="bench"),
            on_lifecycle_event_connection_success_fn=lambda data: connected.set(),
            on_lifecycle_event_stopped_fn=lambda data: stopped.set(),
        )
    )
    client.start()
    assert connected.wait(30)
    payload = b"x" * params["payload"]
    params["start"]()
    futures = [
        client.publish(mqtt5.PublishPacket(topic="bench/topic", payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE))
        for _ in range(params["count"])
    ]
    for future in futures:
        future.result(120)
    return params["count"], "msg"


measure(work)
