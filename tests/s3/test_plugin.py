"""The feature's description and the `s3 cp` command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from awscrt import _s3_plugin
from awscrt.testing.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Endpoint

from .support import BUCKET, MIB, content


@pytest.fixture
def copy(s3_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    (command,) = _s3_plugin.awscrt_commands()

    def run(*arguments: str) -> Any:
        parser = argparse.ArgumentParser()
        command.configure(parser)
        return command.run(parser.parse_args(["cp", *arguments, "--endpoint-url", s3_endpoint.url]))

    return run


def test_feature_names_its_modules() -> None:
    feature = _s3_plugin.awscrt_feature()
    assert feature.name == "s3"
    assert feature.modules == ("awscrt.s3", "awscrt.aio.s3")


def test_there_and_back(s3_endpoint: S3Endpoint, copy: Any, tmp_path: Path) -> None:
    data = content(9 * MIB)
    (tmp_path / "in").write_bytes(data)
    assert copy(str(tmp_path / "in"), f"s3://{BUCKET}/some/") == 0
    assert s3_endpoint.get_object(BUCKET, "some/in") == data
    assert copy(f"s3://{BUCKET}/some/in", str(tmp_path / "out")) == 0
    assert (tmp_path / "out").read_bytes() == data
    (tmp_path / "directory").mkdir()
    assert copy(f"s3://{BUCKET}/some/in", str(tmp_path / "directory")) == 0
    assert (tmp_path / "directory" / "in").read_bytes() == data


def test_failed_download_keeps_what_was_there(copy: Any, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "out").write_bytes(b"precious")
    assert copy(f"s3://{BUCKET}/nothing", str(tmp_path / "out")) == 1
    assert "404" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_bytes() == b"precious"


@pytest.mark.parametrize("arguments", [("a", "b"), ("s3://b/k", "s3://b/l"), ("s3://", "x"), ("s3://b", "x")])
def test_bad_arguments(copy: Any, arguments: Any, capsys: Any) -> None:
    assert copy(*arguments) == 1
    assert capsys.readouterr().err.startswith("awscrt s3: ")


def test_unsigned(s3_endpoint: S3Endpoint, copy: Any, tmp_path: Path) -> None:
    assert copy(f"s3://{BUCKET}/k", str(tmp_path / "out"), "--no-sign-request") == 1
    assert s3_endpoint.requests()[0].header("Authorization") is None


def test_progress_bar(capsys: Any) -> None:
    bar = _s3_plugin._Bar(2_000_000)
    bar.add(1_000_000)
    bar.end()
    assert capsys.readouterr().err == "\r[###############               ] 1.0 MB of 2.0 MB\n"
