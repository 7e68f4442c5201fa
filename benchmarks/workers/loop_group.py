"""Makes and drops an event loop group with its resolver and bootstrap, until all their threads have ended.

Params: ``count``.
"""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from common import measure

from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup


def one() -> Any:
    """The future of the group's end; everything else is dropped here."""
    group = EventLoopGroup(1)
    resolver = DefaultHostResolver(group)
    ClientBootstrap(group, resolver)
    return group.shutdown_event


def work(params: Dict[str, Any]) -> Tuple[float, str]:
    ended: List[Any] = [one()]
    assert ended.pop().wait(30)
    params["start"]()
    for _ in range(params["count"]):
        assert one().wait(30)
    return params["count"], "group"


measure(work)
