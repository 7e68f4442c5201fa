"""Side by side with the reference: ``make bench`` (or ``python benchmarks/bench.py --help``).

Each row runs the same worker process against both implementations, alternating (A B A B ...), on the same servers, and
against what users would take instead, where the row names competitors. Reported are medians of the pairs' ratios:
throughput, CPU seconds per unit of work, peak memory; beside them what a raw client (a C loop, or wrk) reaches. The
results of a run replace those of the same rows in ``results/latest.json``; the Markdown and the charts are made anew.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from typing import Any, Callable, Dict, List, Optional, Sequence

from report import merge, write_report
from rows import HERE, Context, Row, Run, run_json

REFERENCE = "awscrt==0.38.1"
SUITES = ("s3", "http", "mqtt", "core")
CACHE = os.path.join(HERE, "..", ".cache")


class Environments:
    """The virtual environments that rows run in, made on first use."""

    def __init__(self, reference: str, competitors: str, ours: str, wheels: Optional[Sequence[str]]) -> None:
        self._competitors = os.path.abspath(competitors)
        self._installed: List[str] = []
        self.reference = self._environment(os.path.abspath(reference), [REFERENCE])
        self.ours = self._wheels(os.path.abspath(ours), wheels) if wheels else sys.executable

    @staticmethod
    def _environment(directory: str, packages: Sequence[str]) -> str:
        python = os.path.join(directory, "bin", "python")
        if not os.path.exists(python):
            print(f"making {directory} {' '.join(packages)}", flush=True)
            venv.create(directory, with_pip=True, clear=True)
            if packages:
                subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        return python

    def _wheels(self, directory: str, wheels: Sequence[str]) -> str:
        """Our wheels, installed anew: what users get is measured."""
        python = self._environment(directory, ())
        links = [option for place in wheels for option in ("--find-links", place)]
        command = [python, "-m", "pip", "install", "-q", "--no-index", "--force-reinstall", *links]
        subprocess.run([*command, "awscrt-core", "awscrt-http", "awscrt-mqtt", "awscrt-s3"], check=True)
        return python

    def competitor(self, packages: Sequence[str]) -> str:
        """The interpreter that has these packages, as all competitors do."""
        python = self._environment(self._competitors, ())
        missing = [package for package in packages if package not in self._installed]
        if missing:
            subprocess.run([python, "-m", "pip", "install", "-q", *missing], check=True)
            self._installed.extend(missing)
        return python


def runners(row: Row, environments: Environments) -> Dict[str, Callable[[], Run]]:
    """Everything that is measured in a row, by its name in the results."""

    def worker(python: str, api: str) -> Callable[[], Run]:
        params = json.dumps({**row.params, "api": api})
        return lambda: run_json([python, os.path.join(HERE, "workers", row.worker), params])

    result = {"ours": worker(environments.ours, "awscrt")}
    if row.in_reference:
        result["reference"] = worker(environments.reference, "awscrt")
    for competitor in row.competitors:
        result[competitor.name] = worker(environments.competitor(competitor.packages), competitor.name)
    if row.raw:
        result["raw"] = row.raw
    return result


def measure(row: Row, environments: Environments) -> None:
    contestants = runners(row, environments)
    row.runs = {name: [] for name in contestants}
    for number in range(-1, row.rounds):  # round -1 warms caches and memory up and is not counted
        names = list(contestants)
        if number % 2:
            names[:2] = names[1::-1]  # ours and the reference take turns in going first
        for name in names:
            if name == "raw" and not 0 <= number < 3:
                continue
            if row.prepare:
                row.prepare()
            result = contestants[name]()
            if number >= 0:
                row.runs[name].append(result)
        print(".", end="", flush=True)


def rate(run: Run) -> float:
    return run["units"] / run["seconds"]


def summarize(row: Row) -> Dict[str, Any]:
    runs = row.runs
    pairs = list(zip(runs["ours"], runs.get("reference", [])))
    unit = runs["ours"][0]["unit"]

    def middle(of: Callable[[Run], float]) -> Dict[str, float]:
        return {name: statistics.median(map(of, measured)) for name, measured in runs.items()}

    def ratio(of: Callable[[Run, Run], float]) -> Optional[float]:
        return statistics.median(of(a, b) for a, b in pairs) if pairs else None

    return {
        "name": row.name,
        "goal": row.goal,
        "unit": unit,
        "rate": middle(rate),
        "competitors": [competitor.name for competitor in row.competitors],
        "rate_ratio": ratio(lambda a, b: rate(a) / rate(b)),
        "cpu_ratio": ratio(lambda a, b: (a["cpu"] / a["units"]) / max(b["cpu"] / b["units"], 1e-12)),
        "rss_ratio": ratio(lambda a, b: a["rss_mib"] / b["rss_mib"]),
        "cpu_per_gib": middle(lambda run: run["cpu"] / (run["units"] * 1e6 / 2**30)) if unit == "MB" else None,
        "rss_mib": middle(lambda run: run["rss_mib"]),
        "runs": runs,
    }


def report_line(summary: Dict[str, Any]) -> str:
    rates = summary["rate"]
    words = [
        f"{summary[key]:.2f}x {word}"
        for key, word in (("rate_ratio", "rate"), ("cpu_ratio", "CPU"), ("rss_ratio", "RSS"))
        if summary[key] is not None
    ]
    words += [f"{rates['ours'] / rates[name]:.2f}x {name}" for name in summary["competitors"]]
    return f" {', '.join(words)}" + (f"   (goal {summary['goal']})" if summary["goal"] else "")


def run_row(row: Row, environments: Environments) -> Optional[Dict[str, Any]]:
    """Its summary; None when a worker failed, whose own words are on stderr."""
    print(f"{row.name:<28} ", end="", flush=True)
    try:
        measure(row, environments)
    except subprocess.SubprocessError as error:
        print(f" FAILED: {error}", flush=True)
        return None
    summary = summarize(row)
    print(report_line(summary), flush=True)
    return summary


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


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", action="append", choices=SUITES, help="run this suite alone (repeatable)")
    parser.add_argument("--only", default="", help="run only rows whose name contains this")
    parser.add_argument("--gib", type=int, default=1, help="object size of the transfer rows, GiB")
    parser.add_argument("--rounds", type=int, default=0, help="override the rounds of every row")
    parser.add_argument("--scratch", default="/dev/shm", help="a tmpfs with room for three objects")
    parser.add_argument("--reference", default=os.path.join(CACHE, "reference-venv"), help="its virtual environment")
    parser.add_argument("--competitors", default=os.path.join(CACHE, "competitors-venv"), help="theirs")
    parser.add_argument("--ours", default=os.path.join(CACHE, "bench-venv"), help="virtual environment for --wheels")
    parser.add_argument(
        "--wheels",
        action="append",
        help="directory of wheels to install and measure (repeatable); without it, the running interpreter's awscrt",
    )
    parser.add_argument("--results", default=os.path.join(HERE, "results"), help="where the reports go")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    environments = Environments(args.reference, args.competitors, args.ours, args.wheels)
    scratch = tempfile.mkdtemp(prefix="awscrt-bench-", dir=args.scratch)
    summaries: Dict[str, List[Dict[str, Any]]] = {}
    order: Dict[str, List[str]] = {}
    failed = []
    try:
        with Context(scratch, args.gib) as context:
            for suite in args.suite or SUITES:
                rows = importlib.import_module(f"suites.{suite}").rows(context)
                order[suite] = [row.name for row in rows]
                summaries[suite] = []
                for row in rows:
                    if args.only not in row.name:
                        continue
                    row.rounds = args.rounds or row.rounds
                    summary = run_row(row, environments)
                    if summary:
                        summaries[suite].append(summary)
                    else:
                        failed.append(row.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sizes: Dict[str, int] = {}
    if args.wheels:  # a checkout has no installed files to count
        sizes["ours"] = installed_bytes(environments.ours, "awscrt[-_](core|http|s3)")
        sizes["reference"] = installed_bytes(environments.reference, "awscrt")
    for name, size in sizes.items():
        print(f"installed size of core, http and s3, {name}: {size / 1e6:.2f} MB")
    os.makedirs(args.results, exist_ok=True)
    write_report(args.results, merge(args.results, machine(), summaries, order, sizes))
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
