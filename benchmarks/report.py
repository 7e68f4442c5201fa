"""Turns the benchmark's summaries into JSON, a Markdown table and an SVG bar chart."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List
from xml.sax.saxutils import escape


def write_report(directory: str, machine: Dict[str, str], rows: List[Dict[str, Any]], sizes: Dict[str, int]) -> None:
    for name, text in (
        ("latest.json", json.dumps({"machine": machine, "rows": rows, "installed_bytes": sizes}, indent=1)),
        ("latest.md", markdown(machine, rows, sizes)),
        ("latest.svg", bars(rows)),
    ):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as f:
            f.write(text + "\n")


def number(value: Any, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def markdown(machine: Dict[str, str], rows: List[Dict[str, Any]], sizes: Dict[str, int]) -> str:
    lines = [
        f"Measured on: {machine['cpu']}, {machine['cores']} cores (shared with the servers), "
        f"Linux {machine['kernel']}, CPython {machine['python']}, against {machine['reference']}. "
        "Medians of alternating pairs.",
        "",
        "| work | ours | reference | raw client | unit | rate | CPU | peak RSS | share of raw | goal |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        rate = row["rate"]
        share = f"{rate['ours'] / rate['raw']:.0%}" if rate["raw"] else ""
        rates = " | ".join(number(rate[name]) for name in ("ours", "reference", "raw"))
        ratios = " | ".join(f"{row[name]:.2f}x" for name in ("rate_ratio", "cpu_ratio", "rss_ratio"))
        lines.append(f"| {row['name']} | {rates} | {row['unit']}/s | {ratios} | {share} | {row['goal']} |")
    megabytes = {name: f"{size / 1e6:.2f}" for name, size in sizes.items()}
    transfers = [row for row in rows if row["cpu_per_gib"]]
    if transfers:
        lines += [
            "",
            "| transfer | CPU-s/GiB ours | reference | raw | RSS MiB ours | reference |",
            "|---|---|---|---|---|---|",
        ]
        for row in transfers:
            cpu = " | ".join(number(row["cpu_per_gib"][name], 2) for name in ("ours", "reference", "raw"))
            rss = " | ".join(number(row["rss_mib"][name]) for name in ("ours", "reference"))
            lines.append(f"| {row['name']} | {cpu} | {rss} |")
    lines += [
        "",
        f"Installed size of core, http and s3: {megabytes['ours']} MB; the reference: {megabytes['reference']} MB.",
    ]
    return "\n".join(lines)


WIDTH, LEFT, STEP, TOP = 860, 230, 34, 48
LONGEST = 8.0  # a longer bar would make the others unreadable


def bars(rows: List[Dict[str, Any]]) -> str:
    """Rate relative to the reference (1.0, the dashed line); longer is faster. The tick is the raw client."""
    raw = {row["name"]: row["rate"]["raw"] / row["rate"]["reference"] for row in rows if row["rate"]["raw"]}
    longest = max([1.0, *(row["rate_ratio"] for row in rows), *raw.values()])
    scale = (WIDTH - LEFT - 90) / min(longest, LONGEST)
    height = TOP + STEP * len(rows) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" '
        'font-size="13" fill="#1f2933">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="24" font-size="15" font-weight="600">Rate relative to the reference (= 1.0)</text>',
        f'<text x="{WIDTH - 16}" y="24" text-anchor="end" fill="#c2571a">orange tick: raw client</text>',
    ]
    for index, row in enumerate(rows):
        y = TOP + index * STEP
        length = min(row["rate_ratio"], LONGEST) * scale
        parts.append(f'<text x="{LEFT - 10}" y="{y + 16}" text-anchor="end">{escape(row["name"])}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="22" rx="3" fill="#2f6f8f"/>')
        parts.append(f'<text x="{LEFT + length + 8:.1f}" y="{y + 16}">{row["rate_ratio"]:.2f}x</text>')
        if row["name"] in raw:
            x = LEFT + min(raw[row["name"]], LONGEST) * scale
            parts.append(f'<path d="M{x:.1f} {y - 2}v26" stroke="#c2571a" stroke-width="3"/>')
    x = LEFT + scale
    parts.append(f'<path d="M{x:.1f} {TOP - 8}V{height - 10}" stroke="#52606d" stroke-dasharray="4 4"/></svg>')
    return "\n".join(parts)
