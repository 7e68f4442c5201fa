"""Whole objects: what dumps() writes, loads() gives back."""

import datetime

from awscrt.cbor import dumps, loads

reading = {
    "device": "pump-7",
    "taken": datetime.datetime(2024, 5, 17, 8, 30, tzinfo=datetime.timezone.utc),
    "serial": 2**70,
    "samples": [20.5, 20.75, None],
    ("row", 3): b"\x00\xff",
}
data = dumps(reading)
assert loads(data) == reading
print(f"{len(data)} bytes: {data.hex()}")

# Data from elsewhere: limits, and what other tags stand for.
uri = bytes.fromhex("d82076687474703a2f2f7777772e6578616d706c652e636f6d")
print(loads(uri, max_size=1000, max_depth=20, tag_hook=lambda number, content: f"tag {number} of {content}"))

try:
    loads(data[:-1])
except ValueError as error:
    print(error)
