"""awscrt-mqtt works without awscrt-http, and says what to install for what needs it."""

from __future__ import annotations

import subprocess
import sys

PROLOGUE = """if True:
    import sys
    sys.modules["awscrt.http"] = sys.modules["awscrt._http"] = None  # as if it were not installed
    from awscrt import mqtt5, plugins
    plugins.get_plugin_manager(discover=False).set_blocked("http")
"""


def run(program: str) -> str:
    result = subprocess.run([sys.executable, "-c", PROLOGUE + program], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_plain_client_needs_no_http():
    assert (
        run("""
    mqtt5.Client(mqtt5.ClientOptions("localhost", 1883))
    print("made")
    """)
        == "made\n"
    )


def test_websocket_says_what_to_install():
    assert "pip install 'awscrt-mqtt[websocket]'" in run("""
    try:
        mqtt5.Client(mqtt5.ClientOptions("localhost", 1883, websocket_handshake_transform=lambda transform_args: None))
    except RuntimeError as error:
        print(error)
    """)


def test_proxy_says_what_to_install():
    assert "pip install 'awscrt-mqtt[websocket]'" in run("""
    class Proxy:
        host_name, port, tls_connection_options, auth_type = "proxy", 8080, None, 0
        auth_username = auth_password = None
    try:
        mqtt5.Client(mqtt5.ClientOptions("localhost", 1883, http_proxy_options=Proxy()))
    except RuntimeError as error:
        print(error)
    """)
