"""awscrt-s3 as a plugin: it describes itself and brings the `s3` command."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import Any, List, Optional, Tuple

from awscrt._version import __version__
from awscrt.plugins import Command, FeatureInfo, hookimpl

_SCHEME = "s3://"


@hookimpl
def awscrt_feature() -> FeatureInfo:
    return FeatureInfo(
        name="s3",
        version=__version__,
        modules=("awscrt.s3", "awscrt.aio.s3"),
        summary="S3 transfers",
    )


@hookimpl
def awscrt_commands() -> List[Command]:
    return [Command("s3", "copy files to and from S3", _configure, _run)]


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="cp")
    copy = actions.add_parser("cp", help="copy a file to s3://bucket/key or back")
    copy.add_argument("source", help="path or s3://bucket/key")
    copy.add_argument("target", help="path or s3://bucket/key; a trailing slash keeps the name")
    copy.add_argument("--region", help="default: AWS_REGION, AWS_DEFAULT_REGION, us-east-1")
    copy.add_argument("--endpoint-url", help="another server, e.g. http://localhost:9000")
    copy.add_argument("--no-sign-request", action="store_true", help="send no credentials")
    copy.add_argument("--no-progress", action="store_true", help="show no progress bar")


class _Bar:
    """Progress on one line of a terminal."""

    WIDTH = 30

    def __init__(self, total: Optional[int]) -> None:
        self._total = total
        self._moved = 0

    def add(self, count: int) -> None:
        self._moved += count
        text = f"{self._moved / 1e6:,.1f} MB"
        if self._total:
            filled = self.WIDTH * min(self._moved, self._total) // self._total
            text = f"[{'#' * filled}{' ' * (self.WIDTH - filled)}] {text} of {self._total / 1e6:,.1f} MB"
        sys.stderr.write(f"\r{text}")
        sys.stderr.flush()

    def end(self) -> None:
        if self._moved:
            sys.stderr.write("\n")


def _split(url: str) -> Tuple[str, str]:
    bucket, _, key = url[len(_SCHEME) :].partition("/")
    if not bucket:
        raise ValueError(f"{url!r} names no bucket")
    return bucket, key


def _client(arguments: argparse.Namespace) -> Any:
    from awscrt.aio.s3 import S3Client
    from awscrt.auth import AwsCredentialsProvider

    environ = os.environ
    region = arguments.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    provider = None if arguments.no_sign_request else AwsCredentialsProvider.new_environment()
    return S3Client(region=region, endpoint=arguments.endpoint_url, credential_provider=provider)


async def _upload(client: Any, source: str, target: str, show: bool) -> None:
    bucket, key = _split(target)
    if not key or key.endswith("/"):
        key += os.path.basename(source)
    bar = _Bar(os.path.getsize(source))
    await client.put(bucket, key, file=source, on_progress=bar.add if show else None)
    bar.end()


async def _download(client: Any, source: str, target: str, show: bool) -> None:
    bucket, key = _split(source)
    if not key:
        raise ValueError(f"{source!r} names no key")
    if target.endswith(os.sep) or os.path.isdir(target):
        target = os.path.join(target, key.rpartition("/")[2])
    # A name of its own until it is complete: a failed download leaves what was there before.
    partial = f"{target}.{os.getpid()}.part"
    bar = _Bar(None)
    try:
        await client.get(bucket, key, file=partial, on_progress=bar.add if show else None)
        os.replace(partial, target)
    finally:
        if os.path.exists(partial):
            os.unlink(partial)
    bar.end()


async def _copy(arguments: argparse.Namespace) -> None:
    show = sys.stderr.isatty() and not arguments.no_progress
    up, down = arguments.target.startswith(_SCHEME), arguments.source.startswith(_SCHEME)
    if up == down:
        raise ValueError(f"exactly one of source and target must begin with {_SCHEME}")
    async with _client(arguments) as client:
        await (_upload if up else _download)(client, arguments.source, arguments.target, show)


def _run(arguments: argparse.Namespace) -> int:
    from awscrt.exceptions import AwsCrtError

    try:
        asyncio.run(_copy(arguments))
    except (AwsCrtError, OSError, RuntimeError, ValueError) as error:
        print(f"awscrt s3: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
