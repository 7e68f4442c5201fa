"""What a process feels that uses everything at once: leaks, exit in every state, fork, an impatient user."""

from __future__ import annotations

import os
from typing import Any, Callable

import pytest

from awscrt.testing.s3 import S3Endpoint

Run = Callable[..., Any]

# argv: S3 port, MQTT port, a directory
PRELUDE = """
import gc, os, sys, threading, time
from awscrt import mqtt5
from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest
from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType
from awscrt.testing.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY

s3_port, mqtt_port, directory = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
HOST = HttpHeaders([("Host", f"127.0.0.1:{s3_port}")])
MIB = 1024 * 1024

def http_connection():
    return HttpClientConnection.new("127.0.0.1", s3_port).result(20)

def http_get(connection, on_body=None):
    stream = connection.request(HttpRequest("GET", "/test-bucket/nothing", HOST), on_body=on_body)
    stream.activate()
    return stream

def s3_client():
    return S3Client(region="us-east-1", tls_mode=S3RequestTlsMode.DISABLED, part_size=MIB,
                    credential_provider=AwsCredentialsProvider.new_static(ACCESS_KEY_ID, SECRET_ACCESS_KEY))

def s3_get(client, **options):
    message = HttpRequest("GET", "/test-bucket/object", HOST)
    return client.make_request(type=S3RequestType.GET_OBJECT, request=message, **options)

def mqtt_client(name, stopped=None):
    connected = threading.Event()
    client = mqtt5.Client(mqtt5.ClientOptions(
        "127.0.0.1", mqtt_port, connect_options=mqtt5.ConnectPacket(client_id=name),
        on_lifecycle_event_connection_success_fn=lambda data: connected.set(),
        on_lifecycle_event_stopped_fn=lambda data: stopped and stopped.set()))
    client.start()
    assert connected.wait(20)
    return client

def mqtt_publish(client):
    return client.publish(mqtt5.PublishPacket(topic="integration/process", payload=b"x", qos=1))
"""


@pytest.fixture
def run(run_python: Run, s3_endpoint: S3Endpoint, mosquitto: Any, tmp_path: Any) -> Run:
    """Runs a program after the prelude; it must end with status 0 and say nothing."""
    s3_endpoint.put_object("test-bucket", "object", bytes(16 * 1024 * 1024))

    def run_program(program: str, **environment: str) -> None:
        done = run_python(PRELUDE + program, s3_endpoint.port, mosquitto.port, tmp_path, **environment)
        assert done.returncode == 0, done.stderr + done.stdout
        assert (done.stderr, done.stdout) == ("", "")

    return run_program


def test_nothing_is_left_when_everything_is_released(run: Run) -> None:
    run(
        """
from awscrt import NativeResource, _core
from awscrt._test import check_for_leaks
from awscrt.common import join_all_native_threads
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup

NativeResource._track_lifetime = True

def use_everything():
    connection = http_connection()
    assert http_get(connection).completion_future.result(20) == 403
    connection.close().result(20)
    client = s3_client()
    assert s3_get(client, on_body=lambda **kwargs: None).finished_future.result(20) is None
    assert s3_get(client, recv_filepath=os.path.join(directory, "out")).finished_future.result(20) is None
    stopped = threading.Event()
    client = mqtt_client("integration-leaks", stopped)
    mqtt_publish(client).result(20)
    client.stop()
    assert stopped.wait(20)

def release_everything():
    for default in (ClientBootstrap, DefaultHostResolver, EventLoopGroup):
        default.release_static_default()
    gc.collect()
    assert join_all_native_threads(timeout_sec=20) is True
    return _core.memory_usage()[0]

use_everything()
first = release_everything()
use_everything()
second = release_everything()
assert second <= first, (first, second)
HOST = None  # the prelude's own
check_for_leaks(timeout_sec=20)
""",
        AWS_CRT_MEMORY_TRACING="2",
    )


EXITS = {
    "http-open": "connection = http_connection()",
    "http-request": "stream = http_get(http_connection())",
    "s3-memory": "request = s3_get(s3_client(), on_body=lambda **kwargs: None)",
    "s3-file": "request = s3_get(s3_client(), recv_filepath=os.path.join(directory, 'out'))",
    "mqtt-open": "client = mqtt_client('integration-exit')",
    "mqtt-publishing": "client = mqtt_client('integration-exit')\nfor _ in range(1000): mqtt_publish(client)",
    "everything": """
connection = http_connection()
streams = [http_get(connection) for _ in range(10)]
client = s3_client()
requests = [s3_get(client, recv_filepath=os.path.join(directory, str(n))) for n in range(3)]
device = mqtt_client('integration-exit')
publishes = [mqtt_publish(device) for _ in range(100)]
""",
    "callback-running": """
entered = threading.Event()
def on_body(**kwargs):
    entered.set()
    threading.Event().wait()
request = s3_get(s3_client(), on_body=on_body)
assert entered.wait(20)
""",
    "exit-in-callback": """
raised = threading.Event()
def on_body(**kwargs):
    raised.set()
    sys.exit("an exit on this thread is an exception like any other")
request = s3_get(s3_client(), on_body=on_body)
assert raised.wait(20)
assert isinstance(request.finished_future.exception(20), SystemExit)
""",
    "hard-exit-in-callback": """
request = s3_get(s3_client(), on_body=lambda **kwargs: os._exit(0))
request.finished_future.exception(20)
raise SystemExit("not reached")
""",
}


@pytest.mark.parametrize("state", list(EXITS))
def test_exit_is_prompt_and_quiet(run: Run, state: str) -> None:
    run(EXITS[state])


def test_exit_while_the_server_is_silent(run: Run, s3_endpoint: S3Endpoint) -> None:
    s3_endpoint.fail_next(count=None, stall=True)
    run(EXITS["everything"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_fork_with_everything_alive(run: Run, s3_endpoint: S3Endpoint) -> None:
    s3_endpoint.fail_next(key="object", bytes_per_second=8e6)  # the parent's transfer outlasts the fork
    run(
        """
connection = http_connection()
stores = s3_client()
device = mqtt_client("integration-parent")
path = os.path.join(directory, "parent")
transfer = s3_get(stores, recv_filepath=path)

def refused(use):
    try:
        use()
    except RuntimeError as error:
        assert "fork" in str(error), error
    else:
        raise AssertionError("used an object of the parent")

def child():
    refused(lambda: http_get(connection))
    refused(lambda: s3_get(stores))
    refused(lambda: mqtt_publish(device))
    assert http_get(http_connection()).completion_future.result(20) == 403
    received = []
    own = s3_get(s3_client(), on_body=lambda chunk, offset, **kwargs: received.append(len(chunk)))
    assert own.finished_future.result(20) is None and sum(received) == 16 * MIB
    mine = mqtt_client("integration-child")
    mqtt_publish(mine).result(20)

pid = os.fork()
if pid == 0:
    code = 1
    try:
        child()
        code = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
assert os.waitpid(pid, 0)[1] == 0
assert transfer.finished_future.result(20) is None
assert os.path.getsize(path) == 16 * MIB
assert http_get(connection).completion_future.result(20) == 403
mqtt_publish(device).result(20)
"""
    )


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("wait", ["request.finished_future.result(20)", "stream.completion_future.result(20)"])
def test_interrupt_while_waiting_for_a_future(run: Run, s3_endpoint: S3Endpoint, wait: str) -> None:
    s3_endpoint.fail_next(count=None, stall=True)
    run(
        """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
request = s3_get(s3_client())
stream = http_get(http_connection())
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    """
        + wait
        + """
except KeyboardInterrupt:
    pass
else:
    raise SystemExit("was not interrupted")
request.cancel()
assert request.finished_future.exception(20).name == "AWS_ERROR_S3_CANCELED"
"""
    )
