"""What every worker shares. A worker is one process: it runs one workload once, against either implementation
(both have the same API), and prints one JSON line with what the operating system counted for it."""

from __future__ import annotations

import json
import resource
import sys
import time
from itertools import repeat
from typing import Any, Callable, Dict, Tuple


def tls_options(ca: str, server_name: str) -> Any:
    """Connection options that trust the benchmark's throwaway CA."""
    from awscrt.io import ClientTlsContext, TlsContextOptions

    options = TlsContextOptions()
    options.override_default_trust_store_from_path(None, ca)
    connection_options = ClientTlsContext(options).new_connection_options()
    connection_options.set_server_name(server_name)
    return connection_options


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def calls(params: Dict[str, Any], function: Callable[[Any], Any], argument: Any, seconds: float = 0.3) -> int:
    """Calls ``function(argument)`` for about so long, after a warm-up of a tenth of it; returns how often."""
    count, elapsed = 1, 0.0
    while True:
        began = time.perf_counter()
        for _ in repeat(None, count):
            function(argument)
        elapsed = time.perf_counter() - began
        if elapsed > seconds / 10:
            break
        count *= 2
    count = max(1, int(count * seconds / elapsed))
    params["start"]()
    for _ in repeat(None, count):
        function(argument)
    return count


def measure(work: Callable[[Dict[str, Any]], Tuple[float, str]]) -> None:
    """Runs ``work(params)``; it returns (units done, unit) and is timed as a whole, after its own warm-up.

    ``work`` may call ``params["start"]()`` once it is ready, to leave its set-up out of the figures.
    """
    params = json.loads(sys.argv[1])
    clock: Dict[str, float] = {}

    def start() -> None:
        clock["cpu"] = cpu_seconds()
        clock["wall"] = time.perf_counter()

    params["start"] = start
    start()
    units, unit = work(params)
    wall = time.perf_counter() - clock["wall"]
    cpu = cpu_seconds() - clock["cpu"]
    print(
        json.dumps(
            {
                "units": units,
                "unit": unit,
                "seconds": wall,
                "cpu": cpu,
                "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        ),
        flush=True,
    )
