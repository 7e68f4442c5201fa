"""Remembers credentials until shortly before they expire."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional

from awscrt._credentials import clock, log
from awscrt._credentials.flight import Flight, done

if TYPE_CHECKING:
    from awscrt._credentials.source import Source
    from awscrt._futures import Future
    from awscrt.auth import AwsCredentials

__all__ = ["Cache"]

# Seconds.
_WITHOUT_EXPIRATION = 15 * 60.0  # credentials that do not expire are asked for again after this
_BEFORE_EXPIRATION = 5 * 60.0  # from then on callers wait for new ones
_AHEAD = 60.0  # up to this much earlier, at random, new ones are fetched while callers get the present ones
_PAUSE = 30.0  # least time between two fetches that nobody waits for
_GRACE = 60.0  # that present credentials are handed out, while they are valid, after a fetch failed


@dataclass(frozen=True)
class _Entry:
    credentials: AwsCredentials
    expires: Optional[float]
    ahead: float  # when to fetch new ones in the background
    due: float  # when to wait for new ones


def _entry(credentials: AwsCredentials, now: float) -> _Entry:
    if credentials.expiration is None:
        due = now + _WITHOUT_EXPIRATION
        return _Entry(credentials, None, due, due)
    expires = credentials.expiration.timestamp()
    due = expires - _BEFORE_EXPIRATION
    # Many processes that got theirs at the same moment shall not come back at the same moment.
    ahead = due - clock.uniform(0, _AHEAD)
    return _Entry(credentials, expires, min(due, max(ahead, now + _PAUSE)), due)


class Cache:
    """Answers from memory while it can; one fetch serves all callers."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._flight = Flight(self._fetch)
        self._entry: Optional[_Entry] = None

    def get_credentials(self) -> Future[AwsCredentials]:
        """Future of credentials; complete already when they are remembered."""
        entry, now = self._entry, clock.time()
        if entry is None or now >= entry.due:
            return self._flight.get_credentials()
        if now >= entry.ahead:
            self._flight.start()
        return done(entry.credentials)

    def _fetch(self) -> AwsCredentials:
        try:
            credentials = self._source.query()
        except Exception as error:
            present = self._keep()
            if present is None:
                raise
            log.warn(f"new credentials cannot be had, the present ones are used on while they are valid: {error}")
            return present
        self._entry = _entry(credentials, clock.time())
        return credentials

    def _keep(self) -> Optional[AwsCredentials]:
        """What is remembered, for a little longer, if it is still valid."""
        entry, now = self._entry, clock.time()
        if entry is None or entry.expires is None or now >= entry.expires:
            self._entry = None
            return None
        again = min(now + _GRACE, entry.expires)
        self._entry = replace(entry, ahead=max(again, entry.ahead), due=max(again, entry.due))
        return entry.credentials
