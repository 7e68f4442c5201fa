"""What is in the wheels and sdists."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path
from typing import List

import pytest

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ["core", "http", "mqtt", "s3"]


def only(directory: Path, pattern: str) -> Path:
    found = list(directory.glob(pattern))
    assert len(found) == 1, found
    return found[0]


def names_of(wheel: Path) -> List[str]:
    with zipfile.ZipFile(str(wheel)) as archive:
        return [name for name in archive.namelist() if not name.endswith("/")]


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(str(wheel)) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def test_five_distributions_of_one_version(dist):
    version = re.search(
        r'^__version__ = "(.+)"$', (ROOT / "packages/awscrt-core/src/awscrt/_version.py").read_text(), re.M
    ).group(1)
    wheels = {path.name.split("-")[0]: path.name.split("-")[1] for path in dist.glob("*.whl")}
    assert wheels == dict.fromkeys(["awscrt", "awscrt_core", "awscrt_http", "awscrt_mqtt", "awscrt_s3"], version)
    assert len(list(dist.glob(f"awscrt*-{version}.tar.gz"))) == 5


@pytest.mark.parametrize("feature", ["http", "mqtt", "s3"])
def test_features_leave_the_package_root_to_core(dist, feature):
    names = names_of(only(dist, f"awscrt_{feature}-*.whl"))
    assert "awscrt/__init__.py" not in names
    assert "awscrt/aio/__init__.py" not in names
    assert any(re.match(rf"awscrt/_{feature}\..*so$", name) for name in names)


def test_no_file_is_in_two_wheels(dist):
    seen = [n for path in dist.glob("*.whl") for n in names_of(path) if ".dist-info/" not in n]
    assert sorted(seen) == sorted(set(seen))


def test_core_carries_headers_types_and_the_test_kit(dist):
    names = set(names_of(only(dist, "awscrt_core-*.whl")))
    assert {"awscrt/__init__.py", "awscrt/aio/__init__.py", "awscrt/py.typed", "awscrt/testing/s3.py"} <= names
    assert {f"awscrt/eventstream/{name}.py" for name in ("__init__", "rpc", "codec")} <= names
    assert "awscrt/include/awscrt/core_api.h" in names
    in_checkout = {f"awscrt/include/crt/{path.name}" for path in (ROOT / "crt/include/crt").iterdir()}
    assert in_checkout <= names
    assert "awscrt/include/awscrt/http_api.h" in names_of(only(dist, "awscrt_http-*.whl"))


@pytest.mark.parametrize("feature", NATIVE)
def test_native_wheels_are_tagged_for_the_stable_abi_and_many_linuxes(dist, feature):
    name = only(dist, f"awscrt_{feature}-*.whl").name
    tag = "cp311-abi3-" if sys.version_info >= (3, 11) else f"cp3{sys.version_info[1]}-cp3{sys.version_info[1]}-"
    assert tag in name
    if sys.platform.startswith("linux"):
        assert "manylinux" in name or "musllinux" in name


@pytest.mark.parametrize("feature", NATIVE)
def test_every_wheel_has_its_licence(dist, feature):
    names = names_of(only(dist, f"awscrt_{feature}-*.whl"))
    assert any(".dist-info/" in name and name.endswith("LICENSE") for name in names)


def test_what_distributions_need(dist):
    def needs(name):
        return set(metadata_of(only(dist, f"{name}-*.whl")).get_all("Requires-Dist") or [])

    assert needs("awscrt_core") == {"pluggy>=1.0", 'rich>=12; extra == "cli"'}
    assert needs("awscrt_http") == {"awscrt-core~=1.0"}
    assert needs("awscrt_mqtt") == {"awscrt-core~=1.0", 'awscrt-http~=1.0; extra == "websocket"'}
    assert needs("awscrt_s3") == {"awscrt-core~=1.0", "awscrt-http~=1.0"}
    meta = metadata_of(only(dist, "awscrt-*.whl"))
    assert set(meta.get_all("Provides-Extra")) == {"http", "mqtt", "s3", "cli", "all"}
    assert "awscrt-core~=1.0" in meta.get_all("Requires-Dist")
    assert not [n for n in names_of(only(dist, "awscrt-*.whl")) if ".dist-info/" not in n]


@pytest.mark.parametrize("feature", NATIVE)
def test_sdists_hold_files_instead_of_links(dist, feature):
    with tarfile.open(str(only(dist, f"awscrt_{feature}-*.tar.gz"))) as archive:
        members = archive.getmembers()
    assert all(member.isfile() or member.isdir() for member in members)
    inside = {member.name.partition("/")[2] for member in members}
    rooms = [path for path in (ROOT / f"packages/awscrt-{feature}/crt").iterdir() if path.is_dir()]
    assert rooms
    for directory in rooms:
        sources = {f"crt/{directory.name}/{p.name}" for p in directory.iterdir() if p.suffix in (".c", ".h", ".def")}
        assert sources
        assert sources <= inside
    assert not [name for name in inside if name.endswith((".so", ".pyc"))]


@pytest.mark.parametrize("feature", NATIVE)
def test_cibuildwheel_accepts_the_settings(feature):
    command = [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--platform"]
    for platform, expected in (
        (
            "linux",
            {"cp38-manylinux_x86_64", "cp311-manylinux_x86_64", "cp311-musllinux_x86_64", "cp313t-manylinux_x86_64"},
        ),
        ("macos", {"cp311-macosx_arm64", "cp311-macosx_x86_64", "cp313t-macosx_arm64"}),
        ("windows", {"cp38-win_amd64", "cp311-win_amd64", "cp313t-win_amd64"}),
    ):
        done = subprocess.run(
            [*command, platform, f"packages/awscrt-{feature}"],
            cwd=str(ROOT),
            env={**os.environ, "CIBW_ARCHS_LINUX": "x86_64"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        identifiers = set(done.stdout.split())
        assert expected <= identifiers
        assert not [name for name in identifiers if name.startswith(("cp312-", "cp313-", "pp"))]
