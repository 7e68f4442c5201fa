"""Fixtures of the MQTT tests: a broker played by the test, and clients that are gone when the test ends."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, Iterator, Tuple

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from broker import Broker, Events, Session, connack  # noqa: E402

from awscrt import mqtt5  # noqa: E402


@pytest.fixture
def broker() -> Iterator[Broker]:
    server = Broker()
    yield server
    server.close()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def connect(broker: Broker, events: Events) -> Iterator[Callable[..., Tuple[mqtt5.Client, Session]]]:
    """A function that makes a client connected to `broker`: ``connect(answer=connack(), **options)``."""
    clients = []

    def start(answer: bytes = connack(), **options: Any) -> Tuple[mqtt5.Client, Session]:
        client = mqtt5.Client(events.options(broker.port, **options))
        clients.append(client)
        client.start()
        events.expect("attempt")
        session = broker.accept()
        session.accept_connect(answer)
        events.expect("success")
        return client, session

    yield start
    for client in clients:
        client.stop()
