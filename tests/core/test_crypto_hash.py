"""Hash, HMAC and the hashes in one call against published and OpenSSL's values."""

import array
import copy
import gc
import hashlib
import hmac
import inspect
import pickle
import sys
import threading
import time
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awscrt import crypto
from awscrt.crypto import HMAC, Hash

from .crypto_support import BUFFERS, NO_BUFFERS, raises_code, vectors

VECTORS = vectors("crypto_hash.json")
KINDS = {
    "md5": (Hash.md5_new, crypto.md5),
    "sha1": (Hash.sha1_new, crypto.sha1),
    "sha256": (Hash.sha256_new, crypto.sha256),
}
INVALID_ARGUMENT = 34
INVALID_STATE = 38


def digest_of(new, *parts):
    hash = new()
    for part in parts:
        assert hash.update(part) is None
    return hash.digest()


def new_hmac(key=b"key"):
    return HMAC.sha256_hmac_new(key)


MAKERS = [pytest.param(make, id=name) for name, (make, _) in KINDS.items()] + [pytest.param(new_hmac, id="hmac")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vector", VECTORS["hashes"], ids=lambda v: f"{v['text'][:12]}x{v['repeat']}")
def test_published_hashes(kind, vector):
    new, one_shot = KINDS[kind]
    data = vector["text"].encode() * vector["repeat"]
    assert digest_of(new, data).hex() == vector[kind]
    assert (
        digest_of(new, *[vector["text"]] * min(vector["repeat"], 5000), data[5000 * len(vector["text"]) :]).hex()
        == vector[kind]
    )
    assert one_shot(data).hex() == vector[kind]


@pytest.mark.parametrize("vector", VECTORS["hmac_sha256"], ids=lambda v: f"key-{len(v['key']) // 2}")
def test_published_hmacs(vector):
    key, data, size = bytes.fromhex(vector["key"]), bytes.fromhex(vector["data"]), len(vector["tag"]) // 2
    mac = HMAC.sha256_hmac_new(key)
    mac.update(data[:3])
    mac.update(data[3:])
    assert mac.digest(size).hex() == vector["tag"]
    assert crypto.hmac_sha256(key, data)[:size].hex() == vector["tag"]


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=6), key=st.binary(max_size=140))
def test_pieces_do_not_matter(data, cuts, key):
    cuts = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    parts = [data[a:b] for a, b in zip(cuts, cuts[1:])]
    for name, (new, _) in KINDS.items():
        assert digest_of(new, *parts) == hashlib.new(name, data).digest()
    assert digest_of(lambda: HMAC.sha256_hmac_new(key), *parts) == hmac.new(key, data, "sha256").digest()


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=100))
def test_text_is_utf8(text):
    try:
        expected = hashlib.sha256(text.encode()).digest()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8
        with pytest.raises(UnicodeEncodeError):
            Hash.sha256_new().update(text)
        return
    assert digest_of(Hash.sha256_new, text) == crypto.sha256(text) == expected
    assert HMAC.sha256_hmac_new(text).digest() == hmac.new(text.encode(), b"", "sha256").digest()


def test_lone_surrogates_are_refused():
    for call in (Hash.sha256_new().update, new_hmac().update, HMAC.sha256_hmac_new, crypto.sha256):
        with pytest.raises(UnicodeEncodeError):
            call("\ud800")


@pytest.mark.parametrize("shape", BUFFERS)
@pytest.mark.parametrize("size", [1, 64, 6000])
def test_any_contiguous_buffer(shape, size):
    data = bytes(range(256)) * 24
    data = data[:size]
    buffer = BUFFERS[shape](data)
    assert digest_of(Hash.sha256_new, buffer) == crypto.sha256(buffer) == hashlib.sha256(data).digest()
    assert digest_of(new_hmac, buffer) == hmac.new(b"key", data, "sha256").digest()
    assert HMAC.sha256_hmac_new(buffer).digest() == hmac.new(data, b"", "sha256").digest()
    assert crypto.hmac_sha256(buffer, buffer) == hmac.new(data, data, "sha256").digest()


def test_items_of_several_bytes_count_as_bytes():
    data = array.array("I", [1, 2, 3])
    assert crypto.sha256(data) == hashlib.sha256(data.tobytes()).digest()


@pytest.mark.parametrize("make", MAKERS)
def test_a_buffer_is_released(make):
    for size in (10, 6000):
        data = bytearray(size)
        hash = make()
        hash.update(data)
        data.append(1)  # BufferError while exported


@pytest.mark.parametrize("make", MAKERS)
def test_digest_is_cut(make):
    full = make().digest()
    for wanted, size in [(0, None), (1, 1), (5, 5), (len(full) - 1, len(full) - 1), (len(full), None), (999, None)]:
        assert make().digest(wanted) == full[:size]
    for wanted in (-1, -(2**80), 2**80, False):
        assert make().digest(wanted) == full
    assert make().digest(True) == full[:1]
    assert make().digest(truncate_to=4) == full[:4]


@pytest.mark.parametrize("make", MAKERS)
def test_a_digest_ends_the_computation(make):
    hash = make()
    hash.digest()
    with raises_code(INVALID_STATE):
        hash.update(b"more")
    with raises_code(INVALID_STATE):
        hash.update(b"")
    with raises_code(INVALID_STATE):
        hash.digest()
    with raises_code(INVALID_STATE):
        hash.digest(4)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("data", NO_BUFFERS, ids=repr)
def test_what_is_no_data_is_refused(make, data):
    hash = make()
    with raises_code(INVALID_ARGUMENT):
        hash.update(data)
    assert hash.digest() == make().digest()  # and the object goes on


@pytest.mark.parametrize("data", NO_BUFFERS, ids=repr)
def test_what_is_no_key_is_refused(data):
    with raises_code(INVALID_ARGUMENT):
        HMAC.sha256_hmac_new(data)
    with raises_code(INVALID_ARGUMENT):
        crypto.hmac_sha256(data, b"")
    with raises_code(INVALID_ARGUMENT):
        crypto.hmac_sha256(b"", data)
    for function in (crypto.md5, crypto.sha1, crypto.sha256):
        with raises_code(INVALID_ARGUMENT):
            function(data)


@pytest.mark.parametrize("make", MAKERS)
def test_gaps_in_a_buffer_are_refused(make):
    with pytest.raises(BufferError):
        make().update(memoryview(b"abcdef")[::2])


@pytest.mark.parametrize("make", MAKERS)
def test_wrong_arguments(make):
    hash = make()
    for bad in (None, "1", 1.0, b"1", []):
        with pytest.raises(TypeError):
            hash.digest(bad)
    for call in (
        lambda: hash.digest(1, 2),
        lambda: hash.digest(1, truncate_to=1),
        lambda: hash.digest(size=1),
        lambda: hash.update(),
        lambda: hash.update(b"", b""),
        lambda: hash.update(data=b""),
        lambda: hash.update(b"", to_hash=b""),
        lambda: HMAC.sha256_hmac_new(),
        lambda: HMAC.sha256_hmac_new(b"", b""),
        lambda: HMAC.sha256_hmac_new(key=b""),
        lambda: Hash.sha256_new(b""),
        lambda: crypto.sha256(),
        lambda: crypto.hmac_sha256(b""),
    ):
        with pytest.raises(TypeError):
            call()
    assert hash.digest() == make().digest()


def test_methods_of_one_type_refuse_the_other():
    with pytest.raises(TypeError):
        Hash.update(new_hmac(), b"")
    with pytest.raises(TypeError):
        HMAC.digest(Hash.md5_new())


def test_arguments_by_name():
    hash = Hash.sha1_new()
    hash.update(to_hash=b"abc")
    assert hash.digest() == hashlib.sha1(b"abc").digest()
    mac = HMAC.sha256_hmac_new(secret_key=b"k")
    mac.update(to_hmac=b"abc")
    assert mac.digest() == hmac.new(b"k", b"abc", "sha256").digest()


@pytest.mark.parametrize("type_", [Hash, HMAC])
@pytest.mark.parametrize("arguments", [(), (None,), (object(),), (1, 2)], ids=repr)
def test_the_constructor_is_private(type_, arguments):
    with pytest.raises(RuntimeError, match="_new"):
        type_(*arguments)


@pytest.mark.parametrize("make", MAKERS)
def test_no_copy_no_pickle(make):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(make(), protocol)
    with pytest.raises(TypeError):
        copy.copy(make())


@pytest.mark.parametrize("make", MAKERS)
def test_attributes_and_weak_references(make):
    hash = make()
    hash.note = "mine"
    assert hash.note == "mine" and hash.__dict__ == {"note": "mine"}
    gone = []
    reference = weakref.ref(hash, gone.append)
    assert reference() is hash
    hash.itself = hash  # a cycle
    del hash
    gc.collect()
    assert reference() is None and gone == [reference]


def test_types_present_themselves():
    assert (Hash.__module__, Hash.__qualname__) == ("awscrt.crypto", "Hash")
    assert (HMAC.__module__, HMAC.__qualname__) == ("awscrt.crypto", "HMAC")
    assert list(inspect.signature(Hash.update).parameters) == ["self", "to_hash"]
    assert list(inspect.signature(HMAC.update).parameters) == ["self", "to_hmac"]
    assert inspect.signature(Hash.digest).parameters["truncate_to"].default == 0
    assert isinstance(inspect.getattr_static(HMAC, "sha256_hmac_new"), staticmethod)
    assert issubclass(type("Mine", (Hash,), {}), Hash)


@pytest.mark.parametrize("make", MAKERS)
def test_large_updates_let_other_threads_run(make):
    """Seen by what those get to hear: the object is in use. With the GIL held they would never find it so."""
    hash = make()
    data = bytes(1 << 24)
    done = threading.Event()
    heard = []

    def feed():
        while not done.is_set():
            try:
                hash.update(data)
            except RuntimeError as error:
                heard.append(str(error))

    thread = threading.Thread(target=feed)
    thread.start()
    deadline = time.monotonic() + 60
    while not heard and time.monotonic() < deadline:
        try:
            hash.update(b"x")
        except RuntimeError as error:
            heard.append(str(error))
    done.set()
    thread.join()
    assert heard and all(text.startswith("38 (AWS_ERROR_INVALID_STATE)") for text in heard)
    assert len(hash.digest()) >= 16


def test_many_threads_at_one_object_do_no_harm():
    hash = Hash.sha256_new()
    data = bytes(6000)
    outcomes = []

    def feed():
        for _ in range(200):
            try:
                hash.update(data)
                outcomes.append(1)
            except RuntimeError as error:
                assert str(error).startswith("38 ")

    threads = [threading.Thread(target=feed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hash.digest() == hashlib.sha256(data * len(outcomes)).digest()


def test_objects_are_not_leaked():
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(1000):
        digest_of(Hash.sha256_new, b"x")
        digest_of(new_hmac, b"x")
    gc.collect()
    assert len(gc.get_objects()) < before + 100
    references = sys.getrefcount(Hash)
    for _ in range(1000):
        Hash.md5_new()
    assert sys.getrefcount(Hash) < references + 10
