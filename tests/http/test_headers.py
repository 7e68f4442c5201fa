"""HttpHeaders: an ordered multimap; names compare without ASCII case (RFC 9110, section 5.1)."""

import copy
import gc
import threading
import weakref

import pytest

from awscrt import NativeResource
from awscrt.http import HttpHeaders

PAIRS_EXPECTED = r"^List of \(name,value\) pairs expected\.$"


def test_keeps_order_spelling_and_duplicates():
    headers = HttpHeaders([("B", "1"), ("a", "2"), ("b", "3")])
    assert list(headers) == [("B", "1"), ("a", "2"), ("b", "3")]
    assert ("a", "2") in headers and "a" not in headers
    assert isinstance(headers, NativeResource)
    with pytest.raises(TypeError):
        len(headers)


def test_text_form():
    assert str(HttpHeaders([("A", "1")])) == "HttpHeaders([('A', '1')])"
    assert str(HttpHeaders()) == "HttpHeaders([])"


def test_add_strips_blanks_and_accepts_any_text():
    headers = HttpHeaders()
    headers.add("name", " \t two  words \t")
    headers.add(name="näme", value="wört\n\0 ")
    assert list(headers) == [("name", "two  words"), ("näme", "wört\n\0")]


def test_empty_name_is_refused():
    headers = HttpHeaders()
    for change in (headers.add, headers.set):
        with pytest.raises(RuntimeError, match=r"^2051 \(AWS_ERROR_HTTP_INVALID_HEADER_NAME\): "):
            change("", "value")
    assert list(headers) == []


@pytest.mark.parametrize("name, value", [(1, "x"), ("x", 1), (b"x", "x"), ("x", None)])
def test_text_must_be_str(name, value):
    headers = HttpHeaders()
    for change in (headers.add, headers.set, headers.remove_value):
        with pytest.raises(AssertionError):
            change(name, value)


def test_pseudo_headers_go_first():
    headers = HttpHeaders([("a", "1")])
    headers.add(":path", "/")
    assert list(headers) == [(":path", "/"), ("a", "1")]
    headers.set(":method", "GET")
    assert list(headers) == [(":method", "GET"), (":path", "/"), ("a", "1")]
    only = HttpHeaders([(":a", "1")])
    only.add(":b", "2")
    assert list(only) == [(":a", "1"), (":b", "2")]


@pytest.mark.parametrize("kind", [list, tuple, set])
def test_pairs_from_any_sequence(kind):
    assert sorted(HttpHeaders(kind([("a", "1"), ("b", "2")]))) == [("a", "1"), ("b", "2")]


@pytest.mark.parametrize(
    "pairs",
    [
        None,
        1,
        "ab",
        {"a": "1"},
        iter([("a", "1")]),
        [["a", "1"]],
        [("a",)],
        [("a", "1", "2")],
        [("a", 1)],
        [None],
        ["ab"],
    ],
)
def test_other_pairs_are_refused(pairs):
    headers = HttpHeaders()
    with pytest.raises(TypeError, match=PAIRS_EXPECTED):
        headers.add_pairs(pairs)


def test_pairs_before_a_bad_one_stay():
    headers = HttpHeaders()
    with pytest.raises(TypeError, match=PAIRS_EXPECTED):
        headers.add_pairs([("a", "1"), ["b", "2"], ("c", "3")])
    assert list(headers) == [("a", "1")]


def test_set_replaces_at_the_end():
    headers = HttpHeaders([("a", "1"), ("b", "2"), ("A", "3")])
    headers.set("a", "4")
    assert list(headers) == [("b", "2"), ("a", "4")]


def test_get():
    headers = HttpHeaders([("Name", "1"), ("NAME", "2")])
    assert headers.get("name") == "1"
    assert headers.get("other") is None
    assert headers.get("other", "default") == "default"
    assert headers.get(name="other", default=7) == 7
    assert list(headers.get_values("nAmE")) == ["1", "2"]
    assert list(headers.get_values("other")) == []


def test_remove():
    headers = HttpHeaders([("a", "1"), ("b", "2"), ("A", "3")])
    headers.remove("A")
    assert list(headers) == [("b", "2")]
    with pytest.raises(KeyError) as caught:
        headers.remove("a")
    assert caught.value.args == ("HttpHeaders.remove(name): name not found",)


def test_remove_value():
    headers = HttpHeaders([("a", "1"), ("A", "2"), ("a", "2")])
    headers.remove_value("a", "2")
    assert list(headers) == [("a", "1"), ("a", "2")]
    with pytest.raises(ValueError, match=r"^HttpHeaders\.remove_value\(name,value\): value not found$"):
        headers.remove_value("a", "3")


def test_clear():
    headers = HttpHeaders([("a", "1")])
    headers.clear()
    assert list(headers) == []


def test_changes_while_iterating_do_no_harm():
    headers = HttpHeaders([(f"n{i}", "v") for i in range(50)])
    seen = 0
    for name, _ in headers:
        headers.remove(name)
        seen += 1
    assert seen == 50 and list(headers) == []


def test_arguments():
    headers = HttpHeaders()
    with pytest.raises(TypeError, match="missing required argument: 'value'"):
        headers.add("a")
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        headers.add("a", "b", other=1)
    with pytest.raises(TypeError, match="multiple values for argument 'name'"):
        headers.add("a", name="b")
    with pytest.raises(TypeError, match="takes at most 2"):
        headers.add("a", "b", "c")


def test_long_text():
    value = "v" * 1_000_000
    headers = HttpHeaders([("n" * 1000, value)])
    assert list(headers) == [("n" * 1000, value)]


def test_subclasses_and_weak_references():
    class Mine(HttpHeaders):
        def __init__(self, extra):
            super().__init__([("a", "1")])
            self.extra = extra

    mine = Mine(2)
    assert (mine.extra, mine.get("A")) == (2, "1")
    assert str(mine) == "Mine([('a', '1')])"
    reference = weakref.ref(mine)
    mine.cycle = mine
    del mine
    gc.collect()
    assert reference() is None


def test_cannot_be_copied_half():
    with pytest.raises(TypeError):
        copy.copy(HttpHeaders())


def test_lifetime_tracking(monkeypatch):
    monkeypatch.setattr(NativeResource, "_track_lifetime", True)
    headers = HttpHeaders()
    assert headers in NativeResource._living
    del headers
    assert not any(isinstance(resource, HttpHeaders) for resource in NativeResource._living)


def test_names_of_many_servers_do_not_mix_up():
    """Names are cached as str objects; ones that fall on the same place of the cache must stay apart."""
    failures = []

    def work():
        for i in range(5000):
            name = f"x-{i % 1500}"
            if list(HttpHeaders([(name, "v")])) != [(name, "v")]:
                failures.append(name)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_pairs_whose_truth_fails():
    class Pairs(list):
        def __bool__(self):
            raise ZeroDivisionError

        def __iter__(self):
            raise AssertionError("asked although the truth failed")

    with pytest.raises(ZeroDivisionError):
        HttpHeaders(Pairs([("a", "b")]))
