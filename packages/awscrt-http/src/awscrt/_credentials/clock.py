"""Time and chance, in one place so that tests can replace them."""

from __future__ import annotations

import time as _time


def time() -> float:
    """Seconds since 1970."""
    return _time.time()


def monotonic() -> float:
    """Seconds since some moment; never goes back."""
    return _time.monotonic()


def sleep(seconds: float) -> None:
    """Pause a worker thread."""
    _time.sleep(seconds)


def uniform(low: float, high: float) -> float:
    """A random number between the two."""
    from random import uniform as draw

    return draw(low, high)
