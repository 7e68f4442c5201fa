"""The future every asynchronous operation returns.

Imported by the first operation, not by the modules: concurrent.futures brings logging and threading along.
"""

from __future__ import annotations

import concurrent.futures
from concurrent.futures._base import LOGGER, CancelledError, InvalidStateError, TimeoutError
from threading import Condition
from typing import TYPE_CHECKING, Any

from awscrt import _core

__all__ = ["Future", "CancelledError", "Condition", "InvalidStateError", "TimeoutError", "log_callback_error"]


if TYPE_CHECKING:
    Future = concurrent.futures.Future
else:

    class Future(_core._FutureBase, concurrent.futures.Future):
        """A :class:`concurrent.futures.Future` whose lock and condition are built only when somebody needs them.

        Works wherever the standard one does, including :func:`concurrent.futures.wait`,
        :func:`concurrent.futures.as_completed` and :func:`asyncio.wrap_future`. Waiting for it on an event-loop
        thread of the runtime raises RuntimeError, because that would wait for ever.
        """

        __slots__ = ()


def log_callback_error(future: Any, exception: BaseException) -> None:
    """Log what a done callback raised, in the words of concurrent.futures."""
    LOGGER.error("exception calling callback for %r", future, exc_info=exception)
