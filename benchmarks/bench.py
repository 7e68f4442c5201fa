"""Side by side with the reference: ``make bench`` (or ``python benchmarks/bench.py --help``).

Each row runs the same worker process against both implementations, alternating (A B A B ...), on the same servers.
Reported are medians of the pairs' ratios: throughput, CPU seconds per unit of work, peak memory; beside them what a raw
client (a C loop, or wrk) reaches. Writes ``results/latest.json``, ``results/latest.md`` and ``results/latest.svg``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional

from report import write_report
from servers import Servers

from awscrt.testing.servers import find_program

HERE = os.path.dirname(os.path.abspath(__file__))
REFERENCE = "awscrt==0.38.1"


@dataclass
class Row:
    """One workload: the worker, its parameters, and the goal ratios it is held against."""

    name: str
    worker: str
    params: Dict[str, Any]
    goal: str
    raw: Optional[List[str]] = None
    rounds: int = 5
    runs: Dict[str, List[Dict[str, float]]] = field(default_factory=lambda: {"ours": [], "reference": [], "raw": []})


def reference_python(cache: str) -> str:
    """The interpreter of the reference's own virtual environment, made on first use."""
    python = os.path.join(cache, "bin", "python")
    if not os.path.exists(python):
        print(f"installing {REFERENCE} into {cache}", flush=True)
        venv.create(cache, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", REFERENCE], check=True)
    return python


def installed_python(cache: str, wheels: List[str]) -> str:
    """The interpreter of a virtual environment with our wheels, installed anew: what users get is measured."""
    python = os.path.join(cache, "bin", "python")
    if not os.path.exists(python):
        venv.create(cache, with_pip=True, clear=True)
    links = [option for directory in wheels for option in ("--find-links", directory)]
    command = [python, "-m", "pip", "install", "-q", "--no-index", "--force-reinstall", *links]
    subprocess.run([*command, "awscrt-core", "awscrt-http", "awscrt-mqtt", "awscrt-s3"], check=True)
    return python


def build_c(name: str, directory: str) -> str:
    """Compiles ``raw/<name>.c``; returns the binary's path."""
    binary = os.path.join(directory, name)
    source = os.path.join(HERE, "raw", name + ".c")
    subprocess.run(["cc", "-O2", "-o", binary, source, "-lssl", "-lcrypto", "-lpthread"], check=True)
    return binary


def run_json(command: List[str]) -> Dict[str, float]:
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=900, check=True)
    result: Dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def run_wrk(port: int, path: str, in_flight: int, tls: bool) -> Dict[str, float]:
    """wrk as the raw client of the small-request rows: requests per second."""
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}{path}"
    done = subprocess.run(
        [find_program("wrk", "wrk"), "-t1", f"-c{in_flight}", "-d2s", url], stdout=subprocess.PIPE, check=True
    )
    for line in done.stdout.decode().splitlines():
        if line.startswith("Requests/sec:"):
            return {"units": float(line.split()[1]), "seconds": 1.0, "cpu": 0.0, "rss_mib": 0.0}
    raise SystemExit("wrk printed no rate")


def rows(s: Servers, raw: str, gib: int, download: str) -> List[Row]:
    size = gib << 30
    source = s.object("object", size)
    s.object("small", 1024)
    result: List[Row] = []
    goals = {
        ("get-file", None): "2x, CPU 0.6x, RSS 0.5x",
        ("get-file", "tls"): "1.1x, CPU 0.75x, RSS 0.5x",
        ("get-mem", None): "2.5x",
        ("get-mem", "tls"): "1.1x, CPU 0.75x",
        ("put-file", None): "1.4x",
        ("put-file", "tls"): "1.2x",
    }
    for (action, tls), goal in goals.items():
        put = action == "put-file"
        server = s.sink if put else s.nginx
        params = {
            "action": action,
            "port": server.tls_port if tls else server.port,
            "ca": s.ca if tls else None,
            "key": "/object",
            "size": size,
            "path": source if put else download,
        }
        ca = s.ca if tls else "-"
        command = [raw, action, "127.0.0.1", str(params["port"]), "/object", str(size), params["path"], ca]
        result.append(Row(f"s3 {action} {tls or 'plain'}", "s3_transfer.py", params, goal, raw=command))
    for api, goal in (("futures", "2.5x"), ("asyncio", "3.5x")):
        params = {"api": api, "port": s.nginx.port, "ca": None, "count": 40000, "in_flight": 32, "path": "/small"}
        result.append(Row(f"http1 32 in flight, {api}", "http_get.py", params, goal, raw=["wrk"]))
    mqtt = {"port": s.mosquitto.port, "count": 10000, "payload": 64}
    result.append(Row("mqtt5 publish QoS 1", "mqtt_publish.py", mqtt, "2x"))
    result.append(Row("import awscrt.s3", "import_module.py", {"module": "awscrt.s3"}, "time 0.5x", rounds=11))
    return result


def remove_download(row: Row) -> None:
    """Every download starts without a file, so that nobody pays for freeing the pages of the run before."""
    if row.params.get("action") == "get-file" and os.path.exists(row.params["path"]):
        os.unlink(row.params["path"])


def measure(row: Row, pythons: Dict[str, str]) -> None:
    for number in range(-1, row.rounds):  # round -1 warms caches and memory up and is not counted
        order = ["ours", "reference"] if number % 2 == 0 else ["reference", "ours"]
        for name in order:
            remove_download(row)
            command = [pythons[name], os.path.join(HERE, "workers", row.worker), json.dumps(row.params)]
            result = run_json(command)
            if number >= 0:
                row.runs[name].append(result)
        if row.raw and 0 <= number < 3:
            remove_download(row)
            if row.raw == ["wrk"]:
                row.runs["raw"].append(run_wrk(row.params["port"], row.params["path"], row.params["in_flight"], False))
            else:
                row.runs["raw"].append(run_json(row.raw))
        print(".", end="", flush=True)


def summarize(row: Row) -> Dict[str, Any]:
    def rate(run: Dict[str, float]) -> float:
        return run["units"] / run["seconds"]

    pairs = list(zip(row.runs["ours"], row.runs["reference"]))

    def middle(measure: Callable[[Dict[str, float]], float]) -> Dict[str, Optional[float]]:
        return {name: statistics.median(map(measure, runs)) if runs else None for name, runs in row.runs.items()}

    transfer = row.runs["ours"][0]["unit"] == "MB"
    return {
        "name": row.name,
        "goal": row.goal,
        "unit": row.runs["ours"][0]["unit"],
        "rate": middle(rate),
        "rate_ratio": statistics.median(rate(a) / rate(b) for a, b in pairs),
        "cpu_ratio": statistics.median((a["cpu"] / a["units"]) / max(b["cpu"] / b["units"], 1e-12) for a, b in pairs),
        "rss_ratio": statistics.median(a["rss_mib"] / b["rss_mib"] for a, b in pairs),
        "cpu_per_gib": middle(lambda run: run["cpu"] / (run["units"] * 1e6 / 2**30)) if transfer else None,
        "rss_mib": middle(lambda run: run["rss_mib"]),
        "runs": row.runs,
    }


def installed_bytes(python: str, names: str) -> int:
    """Bytes of the files of the named distributions (a regular expression), byte code aside, as installed there."""
    code = (
        "import re; from importlib.metadata import distributions as d\n"
        f"print(sum(f.locate().stat().st_size for x in d() if re.fullmatch({names!r}, x.metadata['Name'] or '')"
        " for f in x.files or () if f.suffix != '.pyc' and f.locate().exists()))"
    )
    done = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, check=True)
    return int(done.stdout)


def machine() -> Dict[str, str]:
    model = "unknown"
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), model)
    except OSError:
        pass
    return {
        "cpu": model,
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "reference": REFERENCE,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=int, default=1, help="object size of the transfer rows, GiB")
    parser.add_argument("--only", default="", help="run only rows whose name contains this")
    parser.add_argument("--rounds", type=int, default=0, help="override the rounds of every row")
    parser.add_argument("--scratch", default="/dev/shm", help="a tmpfs with room for three objects")
    cache = os.path.join(HERE, "..", ".cache")
    parser.add_argument("--reference", default=os.path.join(cache, "reference-venv"), help="its virtual environment")
    parser.add_argument("--ours", default=os.path.join(cache, "bench-venv"), help="virtual environment for --wheels")
    parser.add_argument(
        "--wheels",
        action="append",
        help="directory of wheels to install and measure (repeatable); without it, the running interpreter's awscrt",
    )
    parser.add_argument("--results", default=os.path.join(HERE, "results"), help="where the reports go")
    args = parser.parse_args()

    ours = installed_python(os.path.abspath(args.ours), args.wheels) if args.wheels else sys.executable
    pythons = {"ours": ours, "reference": reference_python(os.path.abspath(args.reference))}
    scratch = tempfile.mkdtemp(prefix="awscrt-bench-", dir=args.scratch)
    summaries = []
    try:
        raw = build_c("raw", scratch)
        with Servers(scratch, build_c("sink", scratch)) as servers:
            for row in rows(servers, raw, args.gib, os.path.join(scratch, "download")):
                if args.only not in row.name:
                    continue
                row.rounds = args.rounds or row.rounds
                print(f"{row.name:<28} ", end="", flush=True)
                measure(row, pythons)
                summary = summarize(row)
                summaries.append(summary)
                print(
                    f" {summary['rate_ratio']:.2f}x rate, {summary['cpu_ratio']:.2f}x CPU, "
                    f"{summary['rss_ratio']:.2f}x RSS   (goal {row.goal})",
                    flush=True,
                )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sizes = {
        "ours": installed_bytes(pythons["ours"], "awscrt[-_](core|http|s3)"),
        "reference": installed_bytes(pythons["reference"], "awscrt"),
    }
    for name, size in sizes.items():
        print(f"installed size of core, http and s3, {name}: {size / 1e6:.2f} MB")
    os.makedirs(args.results, exist_ok=True)
    write_report(args.results, machine(), summaries, sizes)


if __name__ == "__main__":
    main()
