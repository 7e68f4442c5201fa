"""What runs without a server: checksums, hashes, keys, CBOR; event-streams against a small one of our own."""

from __future__ import annotations

from typing import List, Sequence

from rows import Competitor, Context, Row

from awscrt.testing.servers import Server

SIZES = {"64 B": 64, "16 MiB": 16 << 20}
HASHLIB = Competitor("hashlib")
CRYPTOGRAPHY = Competitor("cryptography", ["cryptography"])
CBOR2 = Competitor("cbor2", ["cbor2"])
CHECKSUMS = {
    "crc32": [Competitor("zlib-ng", ["zlib-ng"]), Competitor("isal", ["isal"])],
    "crc32c": [Competitor("google-crc32c", ["google-crc32c"])],
    "crc64nvme": [],
    "xxh64": [Competitor("xxhash", ["xxhash"])],
    "xxh3_64": [Competitor("xxhash", ["xxhash"])],
    "xxh3_128": [Competitor("xxhash", ["xxhash"])],
}
LARGE_GOALS = {"crc32": "16x, level with zlib-ng", "crc32c": "1.3x", "crc64nvme": "1.3x"}


class EventStreamServer(Server):
    """raw/eventstream.c, built by the benchmark."""

    package = "gcc"

    def __init__(self, program: str) -> None:
        super().__init__()
        self.program = program
        self.port = 0

    def configure(self) -> List[str]:
        self.port = self._port(self.port)
        return [str(self.port)]

    def ports(self) -> Sequence[int]:
        return [self.port]


def checksum_rows() -> List[Row]:
    return [
        Row(
            f"checksum {algorithm} {label}",
            "checksum.py",
            {"algorithm": algorithm, "size": size},
            LARGE_GOALS.get(algorithm, "level with xxhash") if size > 64 else "2.5x, level with the best",
            competitors=competitors,
        )
        for algorithm, competitors in CHECKSUMS.items()
        for label, size in SIZES.items()
    ]


def hash_rows() -> List[Row]:
    return [
        Row(
            f"hash {algorithm} {label}",
            "hash.py",
            {"algorithm": algorithm, "size": size},
            "level with hashlib" if size > 64 or algorithm == "hmac" else "2.5x of SHA-256",
            competitors=[HASHLIB],
            in_reference=algorithm != "hmac",  # its HMAC objects do not work
        )
        for algorithm in ("sha256", "sha1", "md5", "hmac")
        for label, size in SIZES.items()
    ]


def key_rows() -> List[Row]:
    operations = ("ec_sign", "ec_verify", "rsa_sign", "rsa_verify")
    return [
        Row(f"keys {operation}", "keys.py", {"operation": operation}, "1x", competitors=[CRYPTOGRAPHY])
        for operation in operations
    ]


def cbor_rows() -> List[Row]:
    """Through the reference's classes, and dumps and loads, which the reference does not have."""
    goals = {"encode": "1.3x", "decode": "1.5x", "encode-small": "1.3x", "decode-small": "1.5x"}
    rows = [
        Row(f"cbor {work}", "cbor_document.py", {"work": work, "style": "classes"}, goal, competitors=[CBOR2])
        for work, goal in goals.items()
    ]
    for name, work in (
        ("dumps", "encode"),
        ("loads", "decode"),
        ("dumps small", "encode-small"),
        ("loads small", "decode-small"),
    ):
        params = {"work": work, "style": "functions"}
        rows.append(
            Row(f"cbor {name}", "cbor_document.py", params, "2x cbor2", competitors=[CBOR2], in_reference=False)
        )
    return rows


def event_stream_rows(context: Context) -> List[Row]:
    server = EventStreamServer(context.program("eventstream"))
    context.start(server)
    goals = {"header": "1x", "rtt": "2x", "stream": "5x"}
    return [
        Row(f"event-stream {work}", "event_stream.py", {"work": work, "port": server.port}, goal)
        for work, goal in goals.items()
    ]


def rows(context: Context) -> List[Row]:
    return [
        *checksum_rows(),
        *hash_rows(),
        *key_rows(),
        *cbor_rows(),
        *event_stream_rows(context),
        Row("event loops: make and drop", "loop_group.py", {"count": 300}, "time 0.7x"),
        Row("import awscrt.io", "import_module.py", {"module": "awscrt.io"}, "15 ms above bare Python", rounds=11),
    ]
