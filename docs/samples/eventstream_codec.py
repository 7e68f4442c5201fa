"""Messages without a connection: encode two, cut them up as a network would, decode them."""

from awscrt.eventstream import Header
from awscrt.eventstream.codec import EventStreamDecoder, encode_message

stream = b"".join(
    encode_message([Header.from_string(":event-type", "tick"), Header.from_int32("count", n)], b"payload %d" % n)
    for n in range(2)
)

decoder = EventStreamDecoder()
for at in range(0, len(stream), 10):
    decoder.add_data(stream[at : at + 10])
    for message in decoder:
        values = {header.name: header.value for header in message.headers}
        print(values, message.payload)
