"""awscrt-core as a plugin of itself: it describes itself and brings the `info` command."""

from __future__ import annotations

import argparse
from typing import List

from awscrt import _core
from awscrt._version import __version__
from awscrt.io import default_loop_count
from awscrt.plugins import Command, FeatureInfo, features, hookimpl


@hookimpl
def awscrt_feature() -> FeatureInfo:
    return FeatureInfo(
        name="core",
        version=__version__,
        abi=f"core {_core.ABI_MAJOR}.{_core.ABI_MINOR}",
        modules=(
            "awscrt.common",
            "awscrt.exceptions",
            "awscrt.io",
            "awscrt.logging",
            "awscrt.crypto",
            "awscrt.checksums",
            "awscrt.cbor",
            "awscrt.eventstream",
            "awscrt.plugins",
        ),
        summary="event loops, TLS, resolver, checksums",
    )


@hookimpl
def awscrt_commands() -> List[Command]:
    return [Command("info", "what is installed and how it is set up", _configure_info, _info)]


def _configure_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable")


def _info(arguments: argparse.Namespace) -> int:
    limit, used = _core.memory_budget()
    facts = {
        "version": __version__,
        "abi": f"{_core.ABI_MAJOR}.{_core.ABI_MINOR}",
        "tls": _core.tls_provider(),
        "processors": _core.cpu_count(),
        "default_loops": default_loop_count(),
        "memory_budget_bytes": limit,
        "memory_budget_used_bytes": used,
    }
    installed = features()
    if arguments.json:
        import dataclasses
        import json

        print(json.dumps({**facts, "features": [dataclasses.asdict(feature) for feature in installed]}, indent=2))
        return 0
    print(f"awscrt {facts['version']} (C API {facts['abi']})")
    print(f"TLS provider   {facts['tls']}")
    print(f"event loops    {facts['default_loops']} by default, {facts['processors']} usable processors")
    print(f"memory budget  {limit >> 20} MiB, {used >> 20} MiB in use")
    print("features")
    for feature in installed:
        print(f"  {feature.name:<8} {feature.version:<10} {feature.summary}")
    return 0
