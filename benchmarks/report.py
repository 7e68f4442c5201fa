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
        f"Measured on: {machine['cpu']}, {machine['cores']} cores (shared with the servers), Linux {machine['kernel']}, "
        f"CPython {machine['python']}, against {machine['reference']}. Medians of alternating pairs.",
        "",
        "| work | ours | reference | raw client | unit | rate | CPU | peak RSS | share of raw | goal |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        rate = row["rate"]
        share = f"{rate['ours'] / rate['raw']:.0%}" if rate["raw"] else ""
        lines.append(
            f"| {row['name']} | {number(rate['ours'])} | {number(rate['reference'])} | {number(rate['raw'])} | {row['unit']}/s "
            f"| {row['rate_ratio']:.2f}x | {row['cpu_ratio']:.2f}x | {row['rss_ratio']:.2f}x | {share} | {row['goal']} |"
        )
    transfers = [row for row in rows if row["cpu_per_gib"]]
    if transfers:
        lines += ["", "| transfer | CPU-s/GiB ours | reference | raw | RSS MiB ours | reference |", "|---|---|---|---|---|---|"]
        for row in transfers:
            cpu, rss = row["cpu_per_gib"], row["rss_mib"]
            lines.append(
                f"| {row['name']} | {number(cpu['ours'], 2)} | {number(cpu['reference'], 2)} | {number(cpu['raw'], 2)} "
                f"| {number(rss['ours'])} | {number(rss['reference'])} |"
            )
    lines += ["", f"Installed size of core, http and s3: {sizes['ours'] / 1e6:.2f} MB; the reference: {sizes['reference'] / 1e6:.2f} MB."]
    return "\n".join(lines)


def bars(rows: List[Dict[str, Any]]) -> str:
    """Rate relative to the reference (1.0, the dashed line); longer is faster. The tick is the raw client."""
    width, left, step, top = 860, 230, 34, 48
    longest = max([r["rate_ratio"] for r in rows] + [r["rate"]["raw"] / r["rate"]["reference"] for r in rows if r["rate"]["raw"]] + [1.0])
    scale = (width - left - 90) / min(longest, 8.0)
    height = top + step * len(rows) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="24" font-size="15" font-weight="600" fill="#1f2933">Rate relative to the reference (= 1.0)</text>',
    ]
    for index, row in enumerate(rows):
        y = top + index * step
        ratio = min(row["rate_ratio"], 8.0)
        parts.append(f'<text x="{left - 10}" y="{y + 16}" text-anchor="end" fill="#1f2933">{escape(row["name"])}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{ratio * scale:.1f}" height="22" rx="3" fill="#2f6f8f"/>')
        parts.append(f'<text x="{left + ratio * scale + 6:.1f}" y="{y + 16}" fill="#1f2933">{row["rate_ratio"]:.2f}x</text>')
        if row["rate"]["raw"]:
            x = left + min(row["rate"]["raw"] / row["rate"]["reference"], 8.0) * scale
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 2}" y2="{y + 24}" stroke="#c2571a" stroke-width="3"/>')
    x = left + scale
    parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 8}" y2="{height - 10}" stroke="#52606d" stroke-dasharray="4 4"/>')
    parts.append(f'<text x="{width - 16}" y="24" text-anchor="end" fill="#c2571a">orange tick: raw client</text></svg>')
    return "\n".join(parts)
