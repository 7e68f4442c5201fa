"""Keeps the benchmark's summaries as JSON, and shows them as Markdown tables and one SVG bar chart per suite."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Optional, Tuple
from xml.sax.saxutils import escape

JSON = "latest.json"
TITLES = {"s3": "S3 transfers", "http": "HTTP", "mqtt": "MQTT", "core": "Core"}

Summary = Dict[str, Any]
Results = Dict[str, Any]  # {"suites": {name: {"machine": ..., "rows": [Summary]}}, "installed_bytes": ...}


def merge(
    directory: str,
    machine: Dict[str, str],
    summaries: Dict[str, List[Summary]],
    order: Dict[str, List[str]],
    sizes: Dict[str, int],
) -> Results:
    """What was measured now, and of what was measured before all other rows that still exist.

    :param order: for each suite that ran, the names of all its rows
    """
    path = os.path.join(directory, JSON)
    results: Results = {"suites": {}}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            results = json.load(f)
    for suite, new in summaries.items():
        if not new:
            continue
        old = results["suites"].get(suite, {}).get("rows", [])
        rows = {row["name"]: row for row in [*old, *new]}
        results["suites"][suite] = {
            "machine": machine,
            "rows": [rows[name] for name in order[suite] if name in rows],
        }
    if sizes:
        results["installed_bytes"] = sizes
    return results


def write_report(directory: str, results: Results) -> None:
    results["suites"] = {name: results["suites"][name] for name in TITLES if name in results["suites"]}
    files = {JSON: json.dumps(results, indent=1), "latest.md": markdown(results)}
    for name, suite in results["suites"].items():
        files[f"latest-{name}.svg"] = bars(TITLES[name], suite["rows"])
    for name, text in files.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8") as f:
            f.write(text + "\n")


# ---- Markdown ----


def number(value: Optional[float], digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def times(value: Optional[float]) -> str:
    return "" if value is None else f"{value:.2f}x"


def best_competitor(row: Summary) -> Optional[Tuple[str, float]]:
    """Name and rate of the fastest competitor."""
    rates = [(name, row["rate"][name]) for name in row.get("competitors", []) if name in row["rate"]]
    return max(rates, key=lambda pair: pair[1]) if rates else None


def markdown(results: Results) -> str:
    parts = []
    for name, suite in results["suites"].items():
        parts += [f"## {TITLES[name]}", "", f"![{TITLES[name]}](latest-{name}.svg)", ""]
        parts += [measured_on(suite["machine"]), "", *table(suite["rows"])]
        transfers = [row for row in suite["rows"] if row["cpu_per_gib"]]
        if transfers:
            parts += ["", *transfer_table(transfers)]
        parts.append("")
    megabytes = {name: f"{size / 1e6:.2f} MB" for name, size in results.get("installed_bytes", {}).items()}
    if megabytes:
        sizes = f"{megabytes['ours']}; the reference: {megabytes['reference']}"
        parts.append(f"Installed size of core, http and s3: {sizes}.")
    return "\n".join(parts)


def measured_on(machine: Dict[str, str]) -> str:
    return (
        f"Measured on: {machine['cpu']}, {machine['cores']} cores (shared with the servers), "
        f"Linux {machine['kernel']}, CPython {machine['python']}, against {machine['reference']}. "
        "Medians of alternating pairs."
    )


def table(rows: List[Summary]) -> List[str]:
    """Columns that no row of the suite fills are left out."""
    columns = ["work", "ours", "reference", "best competitor", "raw client", "unit", "rate", "of competitor"]
    columns += ["CPU", "peak RSS", "share of raw", "goal"]
    lines = []
    for row in rows:
        rate = row["rate"]
        best = best_competitor(row)
        lines.append(
            [
                row["name"],
                number(rate["ours"]),
                number(rate.get("reference")),
                f"{best[0]} {number(best[1])}" if best else "",
                number(rate.get("raw")),
                f"{row['unit']}/s",
                times(row["rate_ratio"]),
                times(rate["ours"] / best[1]) if best else "",
                times(row["cpu_ratio"]),
                times(row["rss_ratio"]),
                f"{rate['ours'] / rate['raw']:.0%}" if rate.get("raw") else "",
                row["goal"],
            ]
        )
    used = [index for index in range(len(columns)) if any(line[index] for line in lines)]
    return [f"| {' | '.join(cells[index] for index in used)} |" for cells in (columns, ["---"] * len(columns), *lines)]


def transfer_table(rows: List[Summary]) -> List[str]:
    lines = [
        "| transfer | CPU-s/GiB ours | reference | raw | RSS MiB ours | reference |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cpu = " | ".join(number(row["cpu_per_gib"].get(name), 2) for name in ("ours", "reference", "raw"))
        rss = " | ".join(number(row["rss_mib"][name]) for name in ("ours", "reference"))
        lines.append(f"| {row['name']} | {cpu} | {rss} |")
    return lines


# ---- SVG ----

WIDTH, LEFT, STEP, TOP, BAR = 860, 230, 26, 64, 17
LONGEST = 8.0  # a longer bar would make the others unreadable; its figure tells


def bars(title: str, rows: List[Summary]) -> str:
    """Rate relative to the reference (1.0, the dashed line); longer is faster. Ticks: competitor and raw client.

    Where the reference has nothing to show, the bar is relative to the best competitor, and paler.
    """
    scale = (WIDTH - LEFT - 90) / min(max(1.0, *(longest(row) for row in rows)), LONGEST)
    height = TOP + STEP * len(rows) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" '
        'font-size="12" fill="#1f2933">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="24" font-size="15" font-weight="600">{escape(title)}: rate relative to the reference</text>',
        '<text x="16" y="44">dashed line: the reference (= 1.0); pale bar: relative to the best competitor</text>',
        f'<text x="{WIDTH - 16}" y="24" text-anchor="end" fill="#2b8a3e">green tick: best competitor</text>',
        f'<text x="{WIDTH - 16}" y="44" text-anchor="end" fill="#c2571a">orange tick: raw client</text>',
    ]
    for index, row in enumerate(rows):
        parts += bar(row, TOP + index * STEP, scale)
    x = LEFT + scale
    parts.append(f'<path d="M{x:.1f} {TOP - 8}V{height - 8}" stroke="#52606d" stroke-dasharray="4 4"/></svg>')
    return "\n".join(parts)


def base_rate(row: Summary) -> float:
    """What counts as 1.0."""
    if "reference" in row["rate"]:
        return float(row["rate"]["reference"])
    best = best_competitor(row)
    return best[1] if best else float(row["rate"]["ours"])


def ticks(row: Summary) -> List[Tuple[float, str]]:
    """Position in multiples of the base, and colour."""
    best = best_competitor(row)
    found = [(best[1] / base_rate(row), "#2b8a3e")] if best else []
    if row["rate"].get("raw"):
        found.append((row["rate"]["raw"] / base_rate(row), "#c2571a"))
    return found


def ratio_of(row: Summary) -> float:
    return float(row["rate_ratio"] or row["rate"]["ours"] / base_rate(row))


def longest(row: Summary) -> float:
    return max([ratio_of(row), *(position for position, _ in ticks(row))])


def bar(row: Summary, y: int, scale: float) -> List[str]:
    ratio = ratio_of(row)
    length = min(ratio, LONGEST) * scale
    colour = "#2f6f8f" if row["rate_ratio"] else "#9fc3d4"
    text = y + BAR - 4
    parts = [
        f'<text x="{LEFT - 10}" y="{text}" text-anchor="end">{escape(row["name"])}</text>',
        f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3" fill="{colour}"/>',
    ]
    end = length
    for position, colour in ticks(row):
        x = min(position, LONGEST) * scale
        parts.append(f'<path d="M{LEFT + x:.1f} {y - 2}v{BAR + 4}" stroke="{colour}" stroke-width="3"/>')
        if length <= x < length + 50:  # the figure stands beside a tick, not under it
            end = max(end, x)
    parts.append(f'<text x="{LEFT + end + 8:.1f}" y="{text}">{ratio:.2f}x</text>')
    return parts
