"""Links the portions of the package ``awscrt`` into one tree: ``merge_packages.py OUTPUT``.

A type checker sees a package in one directory only; at run time ``awscrt.__path__`` joins the portions.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def merge(output: Path) -> None:
    """Replaces ``output`` with a tree of links."""
    if output.exists():
        shutil.rmtree(str(output))
    for portion in sorted(ROOT.glob("packages/*/src/awscrt")):
        for directory, _, names in os.walk(str(portion)):
            target = output / "awscrt" / Path(directory).relative_to(portion)
            for name in names:
                if name.endswith((".py", ".pyi", ".typed")):
                    target.mkdir(parents=True, exist_ok=True)
                    (target / name).symlink_to(Path(directory) / name)


if __name__ == "__main__":
    merge(Path(sys.argv[1]))
