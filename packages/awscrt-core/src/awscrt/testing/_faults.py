"""Faults that the test endpoint injects, and the rules for which requests they meet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple


@dataclass
class Fault:
    """Which requests to disturb, and how. Unset criteria match everything; unset effects do nothing.

    With ``status``, ``close``, ``stall`` or ``close_in_request`` the operation itself is not performed.
    """

    # which
    operation: Optional[str] = None  #: ``"GetObject"``, ``"UploadPart"``, ...
    method: Optional[str] = None
    key: Optional[str] = None
    part_number: Optional[int] = None
    range_start: Optional[int] = None  #: first byte of the request's Range
    skip: int = 0  #: let so many matching requests pass first
    count: Optional[int] = 1  #: disturb so many; None: all
    # how
    status: Optional[int] = None  #: answer this HTTP status
    code: Optional[str] = None  #: S3 error code of the XML document that goes with ``status``
    message: str = "Injected by the test"
    body: Optional[bytes] = None  #: response body instead of the XML document, or instead of the real body
    set_headers: Dict[str, str] = field(default_factory=dict)  #: response headers to add or replace
    drop_headers: List[str] = field(default_factory=list)  #: response headers to leave out
    corrupt: Optional[int] = None  #: invert the body's byte at this place
    delay: float = 0.0  #: seconds before the response
    stall: bool = False  #: never answer
    stall_after: Optional[int] = None  #: send so many bytes of the body and then nothing
    close: bool = False  #: close the connection without an answer
    close_after: Optional[int] = None  #: send so many bytes of the body and close
    close_in_request: Optional[int] = None  #: close when so many bytes of the request body have arrived
    bytes_per_second: Optional[float] = None  #: pace of the response body

    @property
    def replaces_operation(self) -> bool:
        """True when the operation must not be performed."""
        return self.status is not None or self.close or self.stall or self.close_in_request is not None

    @property
    def cut(self) -> Optional[int]:
        """How many bytes of the body go out; None for all."""
        return self.stall_after if self.close_after is None else self.close_after


class FaultPlan:
    """Faults in the order they were asked for; the first that matches a request wins."""

    def __init__(self) -> None:
        self._faults: List[Fault] = []

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def take(
        self, operation: str, method: str, key: str, part_number: Optional[int], range_start: Optional[int]
    ) -> Optional[Fault]:
        """The fault for a request, counted off."""
        for fault in self._faults:
            criteria: Tuple[Tuple[object, object], ...] = (
                (fault.operation, operation),
                (fault.method, method),
                (fault.key, key),
                (fault.part_number, part_number),
                (fault.range_start, range_start),
            )
            if any(wanted is not None and wanted != actual for wanted, actual in criteria):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.count is None:
                return fault
            fault.count -= 1
            if fault.count == 0:
                self._faults.remove(fault)
            return fault
        return None
