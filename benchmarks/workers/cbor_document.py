"""Encoding or decoding one CBOR document: a list of a hundred records, or one small record.

Params: ``api`` (awscrt, cbor2), ``style`` (classes, functions), ``work`` (encode, decode, encode-small, decode-small).
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

from common import calls, measure

SMALL = {"id": 42, "name": "sensor", "value": 21.5, "ok": True}


def record(number: int) -> Dict[str, Any]:
    return {
        "id": number * 1_000_003,
        "name": f"sensor-{number}",
        "tags": ["kitchen", "temperature", "celsius"],
        "reading": {"value": number / 7, "valid": number % 3 != 0, "previous": None},
        "raw": bytes(range(32)),
        "offset": -number,
    }


DOCUMENT = [record(number) for number in range(100)]


def of_awscrt(style: str) -> Tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    from awscrt import cbor

    if style == "functions":
        return cbor.dumps, cbor.loads

    def encode(document: Any) -> bytes:
        encoder = cbor.AwsCborEncoder()
        encoder.write_data_item(document)
        return encoder.get_encoded_data()

    def decode(data: bytes) -> Any:
        return cbor.AwsCborDecoder(data).pop_next_data_item()

    return encode, decode


def of_cbor2() -> Tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    import cbor2

    return cbor2.dumps, cbor2.loads


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    encode, decode = of_awscrt(params["style"]) if params["api"] == "awscrt" else of_cbor2()
    document = SMALL if params["work"].endswith("-small") else DOCUMENT
    data = encode(document)
    assert decode(data) == document
    if params["work"].startswith("encode"):
        return calls(params, encode, document), "doc"
    return calls(params, decode, data), "doc"


measure(work)
