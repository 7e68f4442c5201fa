"""Proxies of the environment: the table of data/proxy_env.json."""

import json
import pathlib

import pytest

from awscrt._proxy_env import proxy_for

CASES = json.loads((pathlib.Path(__file__).parent / "data" / "proxy_env.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_environment_names(case):
    assert proxy_for(*case["url"], environ=case["env"]) == case["proxy"]


def test_the_process_environment_is_the_default(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_for("http", "example.com", 80) is None
    monkeypatch.setenv("http_proxy", "http://p:1")
    assert proxy_for("http", "example.com", 80) == "http://p:1"
