"""The code samples that the guides show are run here as a reader would run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"


def run_sample(name: str, *args: object, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(SAMPLES / name), *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=90,
        env={**os.environ, **environment},
        check=False,
    )
    output = done.stdout.decode()
    assert done.returncode == 0, output
    return output
