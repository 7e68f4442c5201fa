"""Processors, NUMA nodes and native threads."""

from __future__ import annotations

import os

from awscrt import _core

__all__ = ["get_cpu_group_count", "get_cpu_count_for_group", "join_all_native_threads"]

_NODES = "/sys/devices/system/node"


def get_cpu_group_count() -> int:
    """Number of NUMA nodes; 1 when the system does not tell."""
    try:
        names = os.listdir(_NODES)
    except OSError:
        return 1
    return max(1, sum(name.startswith("node") and name[4:].isdigit() for name in names))


def get_cpu_count_for_group(group_idx: int) -> int:
    """Number of processors in a NUMA node; 0 for a node that does not exist.

    :param group_idx: 0 to :func:`get_cpu_group_count` - 1; taken modulo 65536
    :raises TypeError: not an int
    """
    if not isinstance(group_idx, int):
        raise TypeError(f"group_idx must be an int, got {type(group_idx).__name__}")
    node = group_idx % 65536
    try:
        with open(f"{_NODES}/node{node}/cpulist", encoding="ascii") as file:
            ranges = [part.split("-") for part in file.read().strip().split(",") if part]
    except OSError:
        return (os.cpu_count() or 1) if node == 0 and not os.path.isdir(f"{_NODES}/node0") else 0
    return sum(int(bounds[-1]) - int(bounds[0]) + 1 for bounds in ranges)


def join_all_native_threads(*, timeout_sec: float = -1.0) -> bool:
    """Wait until every native thread has ended.

    Release what uses threads first (clients, connections, static defaults). Meant for the main thread.

    :param timeout_sec: seconds; negative waits for ever
    :return: False when the time ran out before that
    :raises ValueError: not a number
    :raises RuntimeError: called for ever on a native thread, which would wait for itself
    """
    return _core.join_all_native_threads(timeout_sec)
