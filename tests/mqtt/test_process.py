"""What the process feels: leaks, exit with clients alive, fork, the command line."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time

import pytest
from broker import Events, puback

from awscrt import _core, mqtt5, plugins
from awscrt.mqtt5 import PublishPacket, QoS


def live_blocks():
    return _core.memory_usage()[0]


def one_client(broker, options=None):
    events = Events()
    client = mqtt5.Client(events.options(broker.port))
    client.start()
    events.expect("attempt")
    session = broker.accept()
    session.accept_connect()
    events.expect("success")
    futures = [client.publish(PublishPacket(topic="t", payload=b"x" * 100, qos=QoS.AT_LEAST_ONCE)) for _ in range(20)]
    for number in range(1, 11):
        session.read()
        session.send(puback(number))
    for future in futures[:10]:
        future.result(20)
    del client, future
    gc.collect()
    for future in futures[10:]:
        assert future.exception(20).name == "AWS_ERROR_MQTT5_USER_REQUESTED_STOP"
    events.wait_for("stopped")
    session.close()


def test_native_memory_returns_to_its_baseline(broker):
    one_client(broker)  # what is made once per process
    before = live_blocks()
    for _ in range(5):
        one_client(broker)
    deadline = time.monotonic() + 20
    while live_blocks() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert live_blocks() <= before


@pytest.mark.parametrize("state", ["idle", "connected", "publishing", "reconnecting"])
def test_exit_with_a_client_alive_is_prompt(mosquitto, state):
    program = """if True:
        import sys, threading
        from awscrt import mqtt5
        state, port = sys.argv[1], int(sys.argv[2])
        connected = threading.Event()
        client = mqtt5.Client(mqtt5.ClientOptions(
            "127.0.0.1", 1 if state == "reconnecting" else port,
            on_publish_callback_fn=lambda data: None,
            on_lifecycle_event_connection_success_fn=lambda data: connected.set(),
            on_lifecycle_event_connection_failure_fn=lambda data: connected.set()))
        if state != "idle":
            client.start()
            assert connected.wait(20)
        if state == "publishing":
            for _ in range(5000):
                client.publish(mqtt5.PublishPacket(topic="exit", payload=b"x", qos=1))
    """
    result = subprocess.run(
        [sys.executable, "-c", program, state, str(mosquitto.port)], capture_output=True, text=True, timeout=30
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are POSIX")
def test_fork(mosquitto):
    program = """if True:
        import os, sys, threading
        from awscrt import mqtt5
        def connect(name):
            connected = threading.Event()
            client = mqtt5.Client(mqtt5.ClientOptions(
                "127.0.0.1", int(sys.argv[1]), connect_options=mqtt5.ConnectPacket(client_id=name),
                on_lifecycle_event_connection_success_fn=lambda data: connected.set()))
            client.start()
            assert connected.wait(20)
            return client
        packet = mqtt5.PublishPacket(topic="fork", payload=b"x", qos=1)
        client = connect("fork-parent")
        pid = os.fork()
        if pid == 0:
            try:
                client.publish(packet)
            except RuntimeError as error:
                assert "fork" in str(error)
            del client
            child = connect("fork-child")
            child.publish(packet).result(20)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        client.publish(packet).result(20)
    """
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(mosquitto.port)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, result.stderr) == (0, "")


# ---- command line ----


@pytest.fixture
def mqtt_command(capfdbinary):
    """The `mqtt` command as `python -m awscrt` runs it: returns exit status, standard output, standard error."""
    import argparse

    from awscrt import _mqtt_plugin

    if not plugins.get_plugin_manager().has_plugin("mqtt"):
        plugins.register(_mqtt_plugin, "mqtt")
    command = next(command for command in plugins.commands() if command.name == "mqtt")
    parser = argparse.ArgumentParser()
    command.configure(parser)

    def run(*arguments):
        status = command.run(parser.parse_args(arguments))
        out, err = capfdbinary.readouterr()
        return status, out, err

    return run


def test_pub_and_sub(mosquitto, tls_certs, mqtt_command):
    tls = ["--host", "localhost", "--port", str(mosquitto.mutual_tls_port), "--ca", tls_certs.ca_path]
    tls += ["--cert", tls_certs.client.certificate, "--key", tls_certs.client.private_key]
    assert mqtt_command("pub", *tls, "--topic", "cli/a", "--message", "hello", "--retain")[0] == 0
    plain = ["--host", "127.0.0.1", "--port", str(mosquitto.port)]
    assert mqtt_command("sub", *plain, "--topic", "cli/#", "--count", "1") == (0, b"cli/a hello\n", b"")


def test_command_line_failures(mqtt_command):
    status, _, err = mqtt_command("pub", "--host", "127.0.0.1", "--port", "1", "--topic", "t", "--message", "m")
    assert status == 1 and b"127.0.0.1:1" in err
    status, _, err = mqtt_command("pub", "--topic", "t", "--message", "m", "--cert", "only.pem")
    assert status == 1 and b"--key" in err
