"""The wheels in environments of their own: each feature does its work, and absent ones are told apart."""

from __future__ import annotations

import json

import pytest

from awscrt.testing.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Endpoint


def features_of(environment):
    done = environment.run("-m", "awscrt", "info", "--json")
    assert done.returncode == 0, done.stdout
    return [feature["name"] for feature in json.loads(done.stdout)["features"]]


def absent(environment, *modules):
    code = "import importlib.util as u, sys; print([m for m in sys.argv[1:] if u.find_spec(m) is not None])"
    return environment.run("-c", code, *modules).stdout.strip() == "[]"


def test_core_alone(environment_with):
    environment = environment_with("awscrt-core")
    assert features_of(environment) == ["core"]
    assert absent(environment, "awscrt.http", "awscrt.s3", "awscrt.mqtt5")
    done = environment.run(
        "-c", "import zlib; from awscrt import checksums; print(checksums.crc32(b'x') == zlib.crc32(b'x'))"
    )
    assert done.stdout.strip() == "True"


def test_http_gets_from_a_server(environment_with, nginx):
    nginx.add_file("packaging.txt", b"hello from nginx")
    environment = environment_with("awscrt-http")
    assert environment.run_program("http_get.py", nginx.port, "/packaging.txt") == "200 hello from nginx\n"
    assert features_of(environment) == ["core", "http"]


@pytest.mark.parametrize("size", [1000, 12_000_000])
def test_s3_moves_an_object_there_and_back(environment_with, size):
    environment = environment_with("awscrt-s3")
    with S3Endpoint() as endpoint:
        arguments = [endpoint.authority, ACCESS_KEY_ID, SECRET_ACCESS_KEY, size]
        assert environment.run_program("s3_round_trip.py", *arguments) == "same\n"
        assert len(endpoint.get_object("test-bucket", "key")) == size
    assert features_of(environment) == ["core", "http", "s3"]


def test_mqtt_works_without_http_and_s3(environment_with, mosquitto):
    environment = environment_with("awscrt-mqtt")
    assert features_of(environment) == ["core", "mqtt"]
    assert absent(environment, "awscrt.http", "awscrt.s3")
    assert environment.run_program("mqtt_round_trip.py", mosquitto.port) == "round trip\n"


def test_mqtt_over_websocket_says_what_to_install(environment_with):
    environment = environment_with("awscrt-mqtt")
    assert "pip install 'awscrt-mqtt[websocket]'" in environment.run_program("mqtt_websocket.py")


def test_extra_of_the_meta_distribution_brings_everything(environment_with):
    assert features_of(environment_with("awscrt[all]")) == ["core", "http", "mqtt", "s3"]


@pytest.mark.parametrize(
    "module, distribution", [("_http", "awscrt-http"), ("_mqtt", "awscrt-mqtt"), ("_s3", "awscrt-s3")]
)
@pytest.mark.parametrize("version", [(2, 0), (0, 9), (1, 0)])
def test_core_of_another_abi_is_refused_with_the_remedy(environment_with, module, distribution, version):
    environment = environment_with(distribution)
    printed = environment.run_program("fake_core.py", f"awscrt.{module}", *version)
    assert f"{distribution} was built for the C API 1." in printed
    assert f"awscrt-core 9.8.7 offers {version[0]}.{version[1]}" in printed
    assert f"pip install --upgrade awscrt-core {distribution}" in printed


def test_installed_size_stays_below_the_reference(environment_with):
    site = environment_with("awscrt-s3").site_packages
    ours = [p for p in site.rglob("*") if p.relative_to(site).parts[0].startswith("awscrt") and p.is_file()]
    size = sum(path.stat().st_size for path in ours if "__pycache__" not in path.parts)
    assert 1_000_000 < size < 12_610_000
