"""Asks for MQTT over WebSocket and prints the exception that says what is missing."""

from awscrt import mqtt5

try:
    mqtt5.Client(
        mqtt5.ClientOptions(
            host_name="127.0.0.1", port=1, websocket_handshake_transform=lambda arguments: arguments.set_done()
        )
    ).start()
except Exception as error:
    print(error)
