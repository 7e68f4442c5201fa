"""Element by element: a stream whose length is not known when it begins."""

from awscrt.cbor import AwsCborDecoder, AwsCborEncoder, AwsCborType

encoder = AwsCborEncoder()
encoder.write_indef_array_start()
for number in (1, 2.5, "three"):
    encoder.write_data_item(number)
encoder.write_epoch_time(1715934600)
encoder.write_break()
data = encoder.get_encoded_data()
print(data.hex())

decoder = AwsCborDecoder(data, on_epoch_time=lambda seconds: f"second {seconds}")
assert decoder.peek_next_type() is AwsCborType.IndefArray
decoder.consume_next_single_element()
while decoder.peek_next_type() is not AwsCborType.Break:
    print(decoder.pop_next_data_item())

# All at once
decoder.reset_src(data)
print(decoder.pop_next_list())

# Another type than asked for: the element stays where it is.
decoder.reset_src(b"\x05")
try:
    decoder.pop_next_text()
except RuntimeError as error:
    print(error)
print(decoder.pop_next_unsigned_int())
