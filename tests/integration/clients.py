"""One way in for every client: run a small piece of work against a server and hand back what it ended with.

``CLIENTS`` maps a name to ``run(target) -> exception or None``, so that a test states a fault once and holds it
against http, s3 and mqtt5, with futures and with asyncio.
"""

from __future__ import annotations

import asyncio
import io
import os
import queue
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional

from awscrt import mqtt5
from awscrt.aio.http import AIOHttpClientConnection
from awscrt.aio.mqtt5 import Client as AsyncMqttClient
from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest
from awscrt.io import ClientTlsContext, TlsContextOptions
from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType, S3RetryConfig
from awscrt.testing.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY

TIMEOUT = 30  # seconds; a hang, not a slow machine, takes longer
RETRIES = 2


@dataclass(frozen=True)
class Target:
    """Where a client goes, and what it may use there."""

    host: str
    port: int
    tls: Optional[ClientTlsContext]
    directory: str  # for files

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def received(self) -> str:
        """The file that s3-file downloads to."""
        return os.path.join(self.directory, "received")

    @property
    def sent(self) -> str:
        """The file that s3-send-file uploads."""
        return os.path.join(self.directory, "sent")

    def connection_options(self) -> Any:
        if self.tls is None:
            return None
        options = self.tls.new_connection_options()
        options.set_server_name(self.host)
        return options


def trusting(ca_path: Optional[str]) -> ClientTlsContext:
    """A context that trusts one authority; None: those of the system."""
    options = TlsContextOptions()
    if ca_path is not None:
        options.override_default_trust_store_from_path(ca_filepath=ca_path)
    return ClientTlsContext(options)


# ---- http ----


def _http_request(target: Target) -> HttpRequest:
    return HttpRequest("GET", "/object", HttpHeaders([("Host", target.authority)]))


def http_futures(target: Target) -> Optional[BaseException]:
    connecting = HttpClientConnection.new(target.host, target.port, tls_connection_options=target.connection_options())
    error = connecting.exception(TIMEOUT)
    if error is not None:
        return error
    connection = connecting.result(0)
    stream = connection.request(_http_request(target))
    stream.activate()
    error = stream.completion_future.exception(TIMEOUT)
    connection.close().exception(TIMEOUT)
    return error


def http_asyncio(target: Target) -> Optional[BaseException]:
    async def main() -> None:
        connection = await AIOHttpClientConnection.new(
            target.host, target.port, tls_connection_options=target.connection_options()
        )
        stream = connection.request(_http_request(target))
        while await stream.get_next_response_chunk():
            pass
        await stream.wait_for_completion()

    return _outcome(main)


def _outcome(main: Callable[[], Any]) -> Optional[BaseException]:
    async def limited() -> None:
        await asyncio.wait_for(main(), TIMEOUT)

    try:
        asyncio.run(limited())
    except asyncio.TimeoutError:
        raise
    except Exception as error:
        return error
    return None


# ---- s3 ----


def s3_client(target: Target, **options: Any) -> S3Client:
    options.setdefault("retry_config", S3RetryConfig(max_retries=RETRIES, backoff_scale_factor_ms=1))
    return S3Client(
        region="us-east-1",
        tls_mode=S3RequestTlsMode.DISABLED if target.tls is None else S3RequestTlsMode.ENABLED,
        tls_connection_options=None if target.tls is None else target.tls.new_connection_options(),
        credential_provider=AwsCredentialsProvider.new_static(ACCESS_KEY_ID, SECRET_ACCESS_KEY),
        **options,
    )


def s3_message(target: Target, method: str, body: Any = None, length: Optional[int] = None) -> HttpRequest:
    headers = HttpHeaders([("Host", target.authority)])
    if length is not None:
        headers.add("Content-Length", str(length))
    return HttpRequest(method, "/test-bucket/object", headers, body)


def s3_memory(target: Target) -> Optional[BaseException]:
    request = s3_client(target).make_request(
        type=S3RequestType.GET_OBJECT, request=s3_message(target, "GET"), on_body=lambda chunk, offset, **kwargs: None
    )
    return request.finished_future.exception(TIMEOUT)


def s3_file(target: Target) -> Optional[BaseException]:
    request = s3_client(target).make_request(
        type=S3RequestType.GET_OBJECT, request=s3_message(target, "GET"), recv_filepath=target.received
    )
    return request.finished_future.exception(TIMEOUT)


def s3_asyncio(target: Target) -> Optional[BaseException]:
    async def main() -> None:
        request = s3_client(target).make_request(type=S3RequestType.GET_OBJECT, request=s3_message(target, "GET"))
        await asyncio.wrap_future(request.finished_future)

    return _outcome(main)


def s3_send_memory(target: Target) -> Optional[BaseException]:
    body = b"body of the upload"
    message = s3_message(target, "PUT", io.BytesIO(body), len(body))
    request = s3_client(target).make_request(type=S3RequestType.PUT_OBJECT, request=message)
    return request.finished_future.exception(TIMEOUT)


def s3_send_file(target: Target) -> Optional[BaseException]:
    with open(target.sent, "wb") as file:
        file.write(b"body of the upload")
    request = s3_client(target).make_request(
        type=S3RequestType.PUT_OBJECT, request=s3_message(target, "PUT"), send_filepath=target.sent
    )
    return request.finished_future.exception(TIMEOUT)


# ---- mqtt5 ----


def mqtt_options(target: Target, **options: Any) -> mqtt5.ClientOptions:
    # One attempt per test: the next one is a minute away.
    return mqtt5.ClientOptions(
        target.host,
        target.port,
        tls_ctx=target.tls,
        min_reconnect_delay_ms=60000,
        max_reconnect_delay_ms=60000,
        **options,
    )


def mqtt_futures(target: Target) -> Optional[BaseException]:
    outcome: queue.Queue[Optional[Exception]] = queue.Queue()
    stopped: queue.Queue[None] = queue.Queue()
    options = mqtt_options(
        target,
        on_lifecycle_event_connection_failure_fn=lambda data: outcome.put(data.exception),
        on_lifecycle_event_connection_success_fn=lambda data: outcome.put(None),
        on_lifecycle_event_stopped_fn=lambda data: stopped.put(None),
    )
    client = mqtt5.Client(options)
    client.start()
    error = outcome.get(timeout=TIMEOUT)
    client.stop()
    stopped.get(timeout=TIMEOUT)
    return error


def mqtt_asyncio(target: Target) -> Optional[BaseException]:
    async def main() -> None:
        async with AsyncMqttClient(mqtt_options(target)):
            pass

    return _outcome(main)


Run = Callable[[Target], Optional[BaseException]]
HTTP: Dict[str, Run] = {"http-futures": http_futures, "http-asyncio": http_asyncio}
S3_RECEIVING: Dict[str, Run] = {"s3-memory": s3_memory, "s3-file": s3_file, "s3-asyncio": s3_asyncio}
S3_SENDING: Dict[str, Run] = {"s3-send-memory": s3_send_memory, "s3-send-file": s3_send_file}
MQTT: Dict[str, Run] = {"mqtt-futures": mqtt_futures, "mqtt-asyncio": mqtt_asyncio}
S3: Dict[str, Run] = {**S3_RECEIVING, **S3_SENDING}
CLIENTS: Dict[str, Run] = {**HTTP, **S3, **MQTT}
