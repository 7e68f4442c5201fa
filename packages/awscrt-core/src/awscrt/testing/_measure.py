"""What the demonstration measures and how it shows it."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from dataclasses import dataclass
from typing import Iterator, List, Optional, TextIO

MIB = 1024 * 1024


@dataclass
class Row:
    """One line of the table."""

    what: str
    amount: int = 0  #: bytes of payload
    seconds: float = 0.0
    cpu_seconds: float = 0.0  #: of this process: user and system
    peak_memory: int = 0  #: bytes resident, highest during the step
    note: str = ""

    def cells(self) -> List[str]:
        rate = self.amount / 1e6 / self.seconds if self.seconds else 0.0
        size = f"{self.amount / MIB:,.1f} MiB" if self.amount >= MIB else f"{self.amount:,} B"
        return [
            self.what,
            size,
            f"{self.seconds:.3f}",
            f"{rate:,.1f}" if rate >= 0.1 else "-",
            f"{self.cpu_seconds:.3f}",
            f"{self.peak_memory / MIB:,.1f}",
            self.note,
        ]


HEADINGS = ["what", "payload", "seconds", "MB/s", "CPU s", "peak MiB", "checked"]


def table(rows: List[Row]) -> str:
    """The rows as text with aligned columns; numbers to the right."""
    cells = [HEADINGS] + [row.cells() for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]

    def text(line: List[str]) -> str:
        padded = [c.rjust(w) if 0 < i < 6 else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths))]
        return "  ".join(padded).rstrip()

    lines = [text(line) for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _reset_peak_memory() -> None:
    with contextlib.suppress(OSError):  # Linux only; elsewhere the peak is that of the process so far
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")


def _peak_memory() -> int:
    with contextlib.suppress(OSError):
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextlib.contextmanager
def measured(row: Row) -> Iterator[Row]:
    """Fills in the time, processor time and memory of the block."""
    _reset_peak_memory()
    cpu = time.process_time()
    begun = time.perf_counter()
    yield row
    row.seconds = time.perf_counter() - begun
    row.cpu_seconds = time.process_time() - cpu
    row.peak_memory = _peak_memory()


class Progress:
    """A progress bar on a terminal; elsewhere nothing until the step has ended.

    :param total: what ``add`` counts up to
    """

    def __init__(self, label: str, total: int, stream: Optional[TextIO] = None) -> None:
        self._label = label
        self._total = total
        self._stream = sys.stdout if stream is None else stream
        self._live = self._stream.isatty()
        self._done = 0
        self._drawn = -1

    def __enter__(self) -> Progress:
        self._draw()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def add(self, amount: int) -> None:
        """Counts; may be called from any thread."""
        self._done += amount
        self._draw()

    def _draw(self) -> None:
        percent = min(100, 100 * self._done // self._total) if self._total else 100
        if not self._live or percent == self._drawn:
            return
        self._drawn = percent
        filled = percent * 40 // 100
        self._stream.write(f"\r{self._label:<24} [{'#' * filled}{'.' * (40 - filled)}] {percent:3d}%")
        self._stream.flush()
