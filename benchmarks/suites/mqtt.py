"""Publishing."""

from __future__ import annotations

from typing import List

from rows import Context, Row


def rows(context: Context) -> List[Row]:
    params = {"port": context.servers.mosquitto.port, "count": 10000, "payload": 64}
    return [Row("mqtt5 publish QoS 1", "mqtt_publish.py", params, "2x")]
