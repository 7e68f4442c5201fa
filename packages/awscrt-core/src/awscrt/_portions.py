"""The parts of a package that is spread over several distributions, and perhaps several site directories."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing is the largest part of a small program's import time
if TYPE_CHECKING:
    from typing import Iterable, List


def portions(parents: Iterable[str], name: str, known: List[str]) -> List[str]:
    """Directories ``name`` below the parents that are not known yet.

    pkgutil.extend_path does the same at ten times the import time.
    """
    found: List[str] = []
    for parent in parents:
        directory = os.path.join(parent, name)
        if directory not in known and directory not in found and os.path.isdir(directory):
            found.append(directory)
    return found


def installed(package: str, path: Iterable[str], names: Iterable[str]) -> List[str]:
    """Those of the submodules that can be imported."""
    from importlib.machinery import PathFinder

    directories = list(path)
    return [name for name in names if PathFinder.find_spec(f"{package}.{name}", directories)]
