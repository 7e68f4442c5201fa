"""``make demo``: everything it shows is checked by itself; here, that it ends well and prints its table."""

from __future__ import annotations

import io
import subprocess
import sys

from awscrt.testing._measure import MIB, Progress, Row, table


def test_demo_prints_one_table():
    done = subprocess.run(
        [sys.executable, "-m", "awscrt.testing.demo", "--size", "24"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    heading, rule, *rows = done.stdout.splitlines()
    assert heading.split()[:2] == ["what", "payload"]
    assert set(rule) == {"-", " "}
    assert [row.split("  ")[0] for row in rows] == [
        "S3 upload, 8 MiB parts",
        "S3 download, ranges",
        "HTTPS GET, asyncio",
        "MQTT 5 QoS 1, two clients",
    ]


def test_numbers_are_aligned_to_the_right():
    text = table([Row("a", 3 * MIB, 1.5, 0.25, 10 * MIB, "x"), Row("longer", 12, 1.0, 0.001, MIB, "y")])
    heading, _, first, second = text.splitlines()
    assert first.index("3.0 MiB") + len("3.0 MiB") == second.index("12 B") + len("12 B") == heading.index("payload") + 7
    assert "2.1" in first  # 3 MiB in 1.5 s, in MB/s


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_drawn_on_terminals_only():
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        with Progress("copying", 200, stream) as progress:
            progress.add(100)
            progress.add(100)
    assert " 50%" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")
    assert pipe.getvalue() == ""
