"""What awscrt's plugin registry finds: the feature's description and its command."""

from __future__ import annotations

import argparse
import asyncio
from typing import List

from awscrt.plugins import Command, FeatureInfo, hookimpl


@hookimpl
def awscrt_feature() -> FeatureInfo:
    return FeatureInfo(name="echo", version="0.1.0", modules=("awscrt_echo",), summary="asks a line server")


@hookimpl
def awscrt_commands() -> List[Command]:
    return [Command("echo", "send a line to a server and print the line that comes back", _configure, _run)]


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("text")


def _run(arguments: argparse.Namespace) -> int:
    from awscrt_echo import ask

    reply = asyncio.run(ask(arguments.host, arguments.port, arguments.text.encode()))
    print(reply.decode(errors="replace").rstrip("\n"))
    return 0
