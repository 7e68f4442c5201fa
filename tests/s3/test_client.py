"""Clients: arguments, limits, signing, and their end."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

import awscrt
from awscrt.auth import AwsCredentials, AwsCredentialsProvider, AwsSigningAlgorithm, AwsSigningConfig
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup
from awscrt.s3 import (
    S3ChecksumAlgorithm,
    S3ChecksumConfig,
    S3ChecksumLocation,
    S3Client,
    S3FileIoOptions,
    S3RequestTlsMode,
    S3RequestType,
    S3RetryConfig,
    create_default_s3_signing_config,
)
from awscrt.testing.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Endpoint

from .support import BUCKET, MIB, TIMEOUT, Store, content, eventually, make_client

STATIC = AwsCredentialsProvider.new_static(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
GIB = 1024 * MIB


# ---- arguments ----


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"throughput_target_gbps": -1}, "34 .AWS_ERROR_INVALID_ARGUMENT"),
        ({"retry_config": S3RetryConfig(jitter_mode=4)}, "34 .AWS_ERROR_INVALID_ARGUMENT"),
        ({"memory_limit": 255 * MIB}, "14363 .AWS_ERROR_S3_INVALID_MEMORY_LIMIT_CONFIG"),
        ({"part_size": 3 * GIB}, "14371 .AWS_ERROR_S3_PART_SIZE_EXCEEDS_MEMORY_LIMIT"),
        ({"part_size": 129 * MIB, "memory_limit": 256 * MIB}, "14371"),
        ({"credential_provider": None, "signing_config": AwsSigningConfig(region="r", service="s3")}, "34 "),
    ],
)
def test_arguments_out_of_range(options: Dict[str, Any], error: str) -> None:
    with pytest.raises(RuntimeError, match=error):
        make_client(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"part_size": "8"},
        {"bootstrap": 1},
        {"signing_config": 1},
        {"fio_options": 1},
        {"retry_config": 1},
        {"connect_timeout_ms": 1.5},
        {"max_active_connections_override": "1"},
        {"throughput_target_gbps": "10"},
    ],
)
def test_arguments_of_wrong_types(options: Dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        make_client(**options)


def test_memory_limit_must_be_an_int() -> None:
    with pytest.raises(TypeError):
        make_client(memory_limit="1")


def test_provider_and_signing_config_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="not both"):
        make_client(signing_config=create_default_s3_signing_config(region="r", credential_provider=STATIC))


def test_zero_means_default() -> None:
    make_client(part_size=0, multipart_upload_threshold=0, memory_limit=0, max_active_connections_override=0)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("AWS_CRT_S3_MEMORY_LIMIT_IN_MB", "255", "14363"),
        ("AWS_CRT_S3_MEMORY_LIMIT_IN_MB", "much", "34 "),
        ("AWS_CRT_S3_MEMORY_LIMIT_IN_MB", str(2**62), "5 .AWS_ERROR_OVERFLOW_DETECTED"),
        ("AWS_CRT_S3_MEMORY_LIMIT_IN_GIB", "1x", "34 "),
    ],
)
def test_memory_limit_of_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str, error: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError, match=error):
        make_client()
    make_client(memory_limit=300 * MIB)  # the argument wins
    monkeypatch.setenv(name, "0")
    make_client()


@pytest.mark.parametrize(
    "config",
    [
        S3ChecksumConfig(validate_response=True),
        S3ChecksumConfig(algorithm=S3ChecksumAlgorithm.CRC32, location=S3ChecksumLocation.TRAILER),
    ],
)
def test_checksums_say_that_they_are_not_there(store: Store, config: S3ChecksumConfig) -> None:
    with pytest.raises(NotImplementedError, match="checksum"):
        store.get("k", checksum_config=config)


def test_checksum_config_that_asks_for_nothing(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")
    assert store.get("k", checksum_config=S3ChecksumConfig(algorithm=S3ChecksumAlgorithm.SHA1)).result()
    with pytest.raises(RuntimeError, match="34 .AWS_ERROR_INVALID_ARGUMENT"):
        store.get("k", checksum_config=S3ChecksumConfig(location=S3ChecksumLocation.HEADER))


def test_other_options_say_that_they_are_not_there(store: Store) -> None:
    with pytest.raises(NotImplementedError, match="network_interface_names"):
        make_client(network_interface_names=["lo"])
    with pytest.raises(NotImplementedError, match="direct_io"):
        make_client(fio_options=S3FileIoOptions(direct_io=True))
    with pytest.raises(NotImplementedError, match="direct_io"):
        store.get("k", fio_options=S3FileIoOptions(direct_io=True))


@pytest.mark.parametrize(
    "options",
    [{"part_size": "1"}, {"on_body": 1}, {"on_done": 1}, {"fio_options": 1}, {"max_active_connections_override": "1"}],
)
def test_transfer_arguments_of_wrong_types(store: Store, options: Dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        store.get("k", **options)


def test_paths_are_text(store: Store) -> None:
    with pytest.raises(TypeError):
        store.get("k", recv_filepath=b"out")


# ---- limits ----


def test_connections_are_capped_over_all_transfers(store_with: Callable[..., Store]) -> None:
    store = store_with(part_size=1000, max_active_connections_override=4)
    store.endpoint.put_object(BUCKET, "k", content(20_000))
    store.endpoint.fail_next(count=None, delay=0.02)
    transfers = [store.get("k") for _ in range(3)]
    for transfer in transfers:
        assert transfer.result().body == content(20_000)
    assert store.endpoint.statistics().max_in_flight == 4
    assert store.endpoint.statistics().connections == 4


def test_connections_of_a_request_are_capped(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", content(20_000))
    store.endpoint.fail_next(count=None, delay=0.02)
    store.get("k", part_size=1000, max_active_connections_override=3).result()
    assert store.endpoint.statistics().max_in_flight == 3


def test_slow_server_gets_all_connections(store: Store) -> None:
    """25 for the default of 10 Gbps."""
    store.endpoint.put_object(BUCKET, "k", content(100_000))
    store.endpoint.fail_next(count=None, delay=0.05)
    store.get("k", part_size=1000).result()
    assert store.endpoint.statistics().max_in_flight == 25


def test_silent_server_gets_all_connections(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", content(100_000))
    store.endpoint.fail_next(skip=1, count=None, stall=True)
    transfer = store.get("k", part_size=1000)
    eventually(lambda: store.endpoint.statistics().max_in_flight == 25)
    transfer.request.cancel()
    transfer.wait()


def test_disk_throughput_caps_connections(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", content(20_000))
    store.endpoint.fail_next(count=None, delay=0.02)
    store.get("k", part_size=1000, fio_options=S3FileIoOptions(True, 0.8)).result()
    assert store.endpoint.statistics().max_in_flight == 2


def test_memory_limit_holds_parts_back(store_with: Callable[..., Store]) -> None:
    """256 MiB less 128 MiB is room for 8 parts of 16 MiB."""
    store = store_with(part_size=16 * MIB, memory_limit=256 * MIB)
    store.endpoint.fail_next(operation="UploadPart", count=None, delay=0.1)
    store.put("k", content(160 * MIB)).result()
    assert store.endpoint.statistics().max_in_flight <= 8


def test_connections_are_used_again(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")
    for _ in range(5):
        store.get("k").result()
    assert store.endpoint.statistics().connections == 1


def test_many_small_transfers_at_once(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")
    transfers = [store.get("k") for _ in range(200)] + [store.put(f"p{i}", b"x") for i in range(50)]
    for transfer in transfers:
        transfer.result()
    assert store.endpoint.statistics().max_in_flight <= 25


def test_several_loops(s3_endpoint: S3Endpoint) -> None:
    group = EventLoopGroup(3)
    store = Store(
        s3_endpoint, make_client(bootstrap=ClientBootstrap(group, DefaultHostResolver(group)), part_size=5 * MIB)
    )
    data = content(47 * MIB + 1)
    store.put("k", data).result()
    assert store.get("k").result().body == data
    store.endpoint.fail_next(skip=3, count=2, close_after=1000)
    assert store.get("k").result().body == data


def test_two_ports_of_a_host_are_two_endpoints(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"one")
    with S3Endpoint() as other:
        other.put_object(BUCKET, "k", b"two")
        assert store.get("k").result().body == b"one"
        assert Store(other, store.client).get("k").result().body == b"two"


# ---- signing ----


def test_requests_without_credentials_are_not_signed(s3_endpoint: S3Endpoint) -> None:
    store = Store(s3_endpoint, make_client(credential_provider=None))
    assert store.get("k").wait().error.status_code == 403
    (request,) = s3_endpoint.requests()
    for name in ("Authorization", "x-amz-date", "x-amz-content-sha256"):
        assert request.header(name) is None


def test_requests_are_signed(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")
    store.get("k").result()
    (request,) = store.endpoint.requests()
    assert request.header("x-amz-content-sha256") == "UNSIGNED-PAYLOAD"
    assert "/us-east-1/s3/aws4_request" in str(request.header("Authorization"))


def test_signing_config_of_the_request_takes_the_clients_credentials(store: Store) -> None:
    store.endpoint.put_object(BUCKET, "k", b"hello")
    config = AwsSigningConfig(region="us-east-1", use_double_uri_encode=False, should_normalize_uri_path=False)
    store.get("k", signing_config=config).result()
    (request,) = store.endpoint.requests()
    assert request.header("x-amz-content-sha256") == "UNSIGNED-PAYLOAD"


def test_provider_of_the_request_wins(s3_endpoint: S3Endpoint) -> None:
    store = Store(s3_endpoint, make_client(credential_provider=AwsCredentialsProvider.new_static("other", "secret")))
    store.endpoint.put_object(BUCKET, "k", b"hello")
    assert store.get("k", credential_provider=STATIC).result().body == b"hello"
    assert store.get("k").wait().error.status_code == 403


def test_session_token_is_sent(s3_endpoint: S3Endpoint) -> None:
    provider = AwsCredentialsProvider.new_static(ACCESS_KEY_ID, SECRET_ACCESS_KEY, "token")
    store = Store(s3_endpoint, make_client(credential_provider=provider))
    store.get("k").wait()
    assert s3_endpoint.requests()[0].header("X-Amz-Security-Token") == "token"


def test_provider_is_asked_once_per_http_request(s3_endpoint: S3Endpoint) -> None:
    asked = []

    def credentials() -> AwsCredentials:
        asked.append(1)
        return AwsCredentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY)

    store = Store(s3_endpoint, make_client(credential_provider=AwsCredentialsProvider.new_delegate(credentials)))
    store.put("k", content(17 * MIB)).result()
    assert len(asked) == 5


def test_provider_that_fails(s3_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys, "unraisablehook", lambda args: None)

    def credentials() -> AwsCredentials:
        raise OSError("no credentials here")

    store = Store(s3_endpoint, make_client(credential_provider=AwsCredentialsProvider.new_delegate(credentials)))
    error = store.get("k").wait().error
    assert error.name == "AWS_AUTH_CREDENTIALS_PROVIDER_DELEGATE_FAILURE"
    assert s3_endpoint.requests() == []


def test_s3express_needs_a_client_for_it(store: Store) -> None:
    config = AwsSigningConfig(algorithm=AwsSigningAlgorithm.V4_S3EXPRESS)
    with pytest.raises(RuntimeError, match="34 .AWS_ERROR_INVALID_ARGUMENT"):
        store.get("k", signing_config=config)
    with pytest.raises(NotImplementedError):
        Store(store.endpoint, make_client(enable_s3express=True)).get("k", signing_config=config)


# ---- the end ----


def test_dropped_client_shuts_down(s3_endpoint: S3Endpoint) -> None:
    store = Store(s3_endpoint, make_client())
    s3_endpoint.put_object(BUCKET, "k", b"hello")
    store.get("k").result()
    gone = store.client.shutdown_event
    assert not gone.is_set()
    del store
    gc.collect()
    assert gone.wait(TIMEOUT)


def test_unused_client_shuts_down() -> None:
    gone = make_client().shutdown_event
    assert gone.wait(TIMEOUT)


def test_dropped_client_lets_its_transfers_finish(s3_endpoint: S3Endpoint) -> None:
    store = Store(s3_endpoint, make_client(part_size=1000))
    s3_endpoint.put_object(BUCKET, "k", content(20_000))
    s3_endpoint.fail_next(count=None, delay=0.02)
    gone = store.client.shutdown_event
    transfer = store.get("k")
    store.client = None  # type: ignore[assignment]
    gc.collect()
    assert transfer.result().body == content(20_000)
    assert gone.wait(TIMEOUT)


def test_memory_returns_to_where_it_was(s3_endpoint: S3Endpoint) -> None:
    """In a process of its own, which counts native memory."""
    program = """
import sys, time
sys.path.insert(0, sys.argv[2])
from s3.support import MIB, Store, content, make_client
from awscrt import _core
from awscrt._test import native_memory_usage

class Endpoint:
    authority = sys.argv[1]

def work():
    store = Store(Endpoint, make_client(part_size=5 * MIB))
    store.get("k", part_size=MIB).result()
    store.put("p", content(11 * MIB)).result()
    store.put("q", content(11 * MIB), length=False).result()
    store.get("nothing").wait()
    canceled = store.get("k", part_size=1000)
    canceled.request.cancel()
    canceled.wait()
    gone = store.client.shutdown_event
    del store, canceled
    assert gone.wait(30)

work()
work()
before = native_memory_usage()
assert before > 0
for _ in range(5):
    work()
deadline = time.monotonic() + 10
while native_memory_usage() > before and time.monotonic() < deadline:
    time.sleep(0.01)
assert native_memory_usage() <= before, (before, native_memory_usage())
assert _core.memory_budget()[1] == 0
"""
    s3_endpoint.put_object(BUCKET, "k", content(3 * MIB))
    tests = Path(__file__).resolve().parents[1]
    environment = {
        **os.environ,
        "AWS_CRT_MEMORY_TRACING": "1",
        "PYTHONPATH": os.pathsep.join([str(Path(portion).parent) for portion in awscrt.__path__]),
    }
    done = subprocess.run(
        [sys.executable, "-c", program, s3_endpoint.authority, str(tests)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_host_may_carry_a_scheme(store: Store) -> None:
    from awscrt.http import HttpHeaders, HttpRequest

    store.endpoint.put_object(BUCKET, "k", b"hello")
    message = HttpRequest("GET", f"/{BUCKET}/k", HttpHeaders([("Host", f"http://{store.endpoint.authority}")]))
    client = make_client(credential_provider=None)
    request = client.make_request(type=S3RequestType.GET_OBJECT, request=message)
    request.finished_future.exception(TIMEOUT)
    assert len(store.endpoint.requests()) == 1


@pytest.mark.parametrize("host", ["", "h:", "h:x", "h:70000", ":80"])
def test_host_that_is_none(host: str) -> None:
    from awscrt.http import HttpHeaders, HttpRequest

    message = HttpRequest("GET", "/k", HttpHeaders([("Host", host)]))
    with pytest.raises(RuntimeError, match="34 .AWS_ERROR_INVALID_ARGUMENT"):
        make_client().make_request(type=S3RequestType.GET_OBJECT, request=message)


def test_connect_timeout() -> None:
    """A listener whose queue is full answers no further connection."""
    from awscrt.http import HttpHeaders, HttpRequest

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        once = S3RetryConfig(max_retries=1, backoff_scale_factor_ms=1)
        client = make_client(connect_timeout_ms=50, retry_config=once)
        message = HttpRequest("GET", "/k", HttpHeaders([("Host", f"127.0.0.1:{port}")]))
        request = client.make_request(type=S3RequestType.GET_OBJECT, request=message)
        error: Any = request.finished_future.exception(TIMEOUT)
        for filler in fillers:
            filler.close()
    assert error.name == "AWS_IO_SOCKET_TIMEOUT"


def test_tls(tls_certs: Any) -> None:
    from awscrt.io import ClientTlsContext, TlsContextOptions

    options = TlsContextOptions()
    options.override_default_trust_store_from_path(None, tls_certs.ca_path)
    with S3Endpoint(certificate=tls_certs.server.certificate, private_key=tls_certs.server.private_key) as endpoint:
        client = S3Client(
            region="us-east-1",
            credential_provider=STATIC,
            part_size=5 * MIB,
            tls_connection_options=ClientTlsContext(options).new_connection_options(),
        )
        store = Store(endpoint, client)
        data = content(12 * MIB + 7)
        store.put("k", data).result()
        assert store.get("k").result().body == data


def test_tls_mode_disabled_ignores_tls_options(s3_endpoint: S3Endpoint) -> None:
    from awscrt.io import ClientTlsContext, TlsContextOptions

    options = ClientTlsContext(TlsContextOptions()).new_connection_options()
    client = S3Client(
        region="us-east-1",
        tls_mode=S3RequestTlsMode.DISABLED,
        tls_connection_options=options,
        credential_provider=STATIC,
    )
    s3_endpoint.put_object(BUCKET, "k", b"hello")
    assert Store(s3_endpoint, client).get("k").result().body == b"hello"
