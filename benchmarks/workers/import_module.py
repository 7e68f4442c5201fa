"""Imports one module. The driver times the whole process; this reports the import alone.

Params: ``module``.
"""

from __future__ import annotations

import importlib
from typing import Any, Dict, Tuple

from common import measure


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    params["start"]()
    importlib.import_module(params["module"])
    return 1, "import"


measure(work)
