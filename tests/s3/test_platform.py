"""What is known about the machine."""

from __future__ import annotations

from typing import Iterator

import pytest

from awscrt import _s3_platform, s3


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_s3_platform, "_detected", [])
    yield


def pretend(monkeypatch: pytest.MonkeyPatch, vendor: str, product: str, processors: int = 4) -> None:
    facts = {"sys_vendor": vendor, "product_name": product}
    monkeypatch.setattr(_s3_platform, "_dmi", facts.__getitem__)
    monkeypatch.setattr(_s3_platform.os, "cpu_count", lambda: processors)


def test_elsewhere(instance: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "QEMU", "p5.48xlarge")
    assert s3.get_ec2_instance_type() is None
    assert s3.is_optimized_for_system() is False
    assert s3.get_recommended_throughput_target_gbps() is None


def test_on_an_instance(instance: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "Amazon EC2", "c5n.18xlarge", 72)
    assert s3.get_ec2_instance_type() == "c5n.18xlarge"
    assert s3.is_optimized_for_system() is False
    assert s3.get_recommended_throughput_target_gbps() == 100


def test_smaller_sizes_have_their_share(instance: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "amazon ec2", "p4d.xlarge", 24)
    assert s3.is_optimized_for_system() is True
    assert s3.get_recommended_throughput_target_gbps() == 100


def test_unknown_family(instance: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "Amazon EC2", "zz99.large")
    assert s3.get_recommended_throughput_target_gbps() is None


def test_optimized_platforms() -> None:
    platforms = s3.get_optimized_platforms()
    assert platforms[0] == "trn1n.32xlarge"
    assert platforms[-1] == "p4d.24xlarge"
    assert len(platforms) == 9
    platforms.clear()
    assert s3.get_optimized_platforms()
