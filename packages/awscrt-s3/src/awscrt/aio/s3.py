"""S3 for asyncio: the engine of :mod:`awscrt.s3` with coroutines.

    async with S3Client(region="us-east-1", credential_provider=provider) as client:
        await client.put("bucket", "key", b"content")
        answer = await client.get("bucket", "key", file="copy")

Events reach the asyncio loop in batches, without the runtime's threads ever taking the GIL.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Iterable, List, Optional, Tuple, Union

from awscrt import _s3, s3
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.s3 import S3RequestTlsMode, S3RequestType, S3ResponseError

if TYPE_CHECKING:
    from os import PathLike
    from types import TracebackType
    from typing import Type

    Buffer = Union[bytes, bytearray, memoryview]
    HeaderPairs = Iterable[Tuple[str, str]]
    Path = Union[str, PathLike[str]]

__all__ = ["S3Answer", "S3Client", "S3RequestType", "S3ResponseError"]


@dataclass(frozen=True)
class S3Answer:
    """What S3 answered to a transfer that succeeded.

    :ivar status: of the HTTP response
    :ivar headers: of the HTTP response, (name, value) pairs
    :ivar body: of the response; empty when it went to a file
    """

    status: int = 0
    headers: List[Tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str, default: Optional[str] = None) -> Optional[str]:
        """The first value of a header; names compare without case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), default)


class S3Client:
    """Transfers between S3 and memory or files.

    :param region: AWS region
    :param endpoint: URL of a server to use with paths ``/bucket/key``, e.g. ``"http://localhost:9000"``; None: AWS
    :param options: the other arguments of :class:`awscrt.s3.S3Client`, but ``tls_mode``, which follows the endpoint

    Cancelling a coroutine ends its transfer; a multipart upload is aborted first.
    """

    def __init__(self, *, region: str, endpoint: Optional[str] = None, **options: Any) -> None:
        scheme, _, authority = (endpoint or "https://").partition("://")
        if scheme not in ("http", "https") or (endpoint is not None and not authority.strip("/")):
            raise ValueError(f"endpoint must be http://host[:port] or https://host[:port], got {endpoint!r}")
        self._region = region
        self._authority = authority.rstrip("/")
        mode = S3RequestTlsMode.ENABLED if scheme == "https" else S3RequestTlsMode.DISABLED
        self._client: Optional[s3.S3Client] = s3.S3Client(region=region, tls_mode=mode, **options)

    async def __aenter__(self) -> S3Client:
        return self

    async def __aexit__(
        self, exc_type: Optional[Type[BaseException]], exc: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take no more transfers. Those under way finish; then the connections close."""
        self._client = None

    async def get(
        self,
        bucket: str,
        key: str,
        *,
        file: Optional[Path] = None,
        range: Optional[str] = None,
        headers: HeaderPairs = (),
        on_progress: Optional[Callable[[int], Any]] = None,
    ) -> S3Answer:
        """Download an object.

        :param file: where the bytes go; None: into the answer's ``body``
        :param range: part of the object, e.g. ``"bytes=0-99"``
        :param headers: of the request, besides those made here
        :param on_progress: called with the bytes since its last call, about once a second
        :raises S3ResponseError: S3 refused
        :raises AwsCrtError: the transfer failed
        """
        fields = [*headers, *([("Range", range)] if range is not None else [])]
        message = self._message("GET", bucket, key, fields)
        return await self._run(
            type=S3RequestType.GET_OBJECT,
            request=message,
            on_progress=on_progress,
            recv_filepath=_text(file),
            whole_body=file is None,
        )

    async def put(
        self,
        bucket: str,
        key: str,
        body: Optional[Buffer] = None,
        *,
        file: Optional[Path] = None,
        headers: HeaderPairs = (),
        on_progress: Optional[Callable[[int], Any]] = None,
    ) -> S3Answer:
        """Upload an object, in parts when it is large.

        :param body: the bytes; they are sent from where they are, so they must not change until this is over
        :param file: path of a file to send instead
        :param headers: of the request, besides those made here
        :param on_progress: called with the bytes since its last call, about once a second
        :raises S3ResponseError: S3 refused
        :raises AwsCrtError: the transfer failed
        :raises ValueError: not exactly one of ``body`` and ``file``
        """
        if (body is None) == (file is None):
            raise ValueError("give either body or file")
        length = [] if body is None else [("Content-Length", str(memoryview(body).nbytes))]
        message = self._message("PUT", bucket, key, [*headers, *length])
        return await self._run(
            type=S3RequestType.PUT_OBJECT,
            request=message,
            on_progress=on_progress,
            send_filepath=_text(file),
            body=body,
        )

    async def request(
        self, operation: str, method: str, bucket: str, key: str = "", *, query: str = "", headers: HeaderPairs = ()
    ) -> S3Answer:
        """Send one HTTP request without a body, e.g. ``("DeleteObject", "DELETE", bucket, key)``.

        :param operation: name in the S3 API
        :param query: what follows the question mark, encoded
        :raises S3ResponseError: S3 refused
        :raises AwsCrtError: the transfer failed
        """
        message = self._message(method, bucket, key, headers, query)
        return await self._run(type=S3RequestType.DEFAULT, request=message, operation_name=operation, whole_body=True)

    def _message(self, method: str, bucket: str, key: str, headers: HeaderPairs, query: str = "") -> HttpRequest:
        from urllib.parse import quote

        path = "/" + quote(key, safe="/~")
        host = self._authority
        if host:
            path = f"/{bucket}{path}"
        else:
            host = f"{bucket}.s3.{self._region}.amazonaws.com"
        return HttpRequest(method, f"{path}?{query}" if query else path, HttpHeaders([("Host", host), *headers]))

    async def _run(self, **options: Any) -> S3Answer:
        from awscrt._futures import Future

        if self._client is None:
            raise RuntimeError("this S3Client is closed")
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        answer: List[Any] = [0, []]

        def on_headers(status_code: int, headers: List[Tuple[str, str]]) -> None:
            answer[:] = status_code, headers

        def on_done(**kwargs: Any) -> None:
            if not over.done():
                over.set_result(None)

        outcome: Any = Future()
        handle = self._client._start(future=outcome, on_headers=on_headers, on_done=on_done, loop=loop, **options)
        try:
            await asyncio.shield(over)
        except asyncio.CancelledError:
            _s3.transfer_cancel(handle)
            await over  # files are closed and memory is given back before the caller goes on
            raise
        body = outcome.result()
        return S3Answer(answer[0], answer[1], body if isinstance(body, bytes) else b"")


def _text(path: Optional[Path]) -> Optional[str]:
    from os import fspath

    return None if path is None else fspath(path)
