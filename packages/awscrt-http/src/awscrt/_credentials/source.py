"""What a source of credentials is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from awscrt._credentials.flight import Flight

if TYPE_CHECKING:
    from awscrt._futures import Future
    from awscrt.auth import AwsCredentials

__all__ = ["Source", "Queried"]


class Source:
    """Where credentials come from."""

    name = ""  #: for error messages

    def query(self) -> AwsCredentials:
        """Ask for credentials; blocks, for a bounded time, and so runs on a worker thread.

        :raises Exception: why there are none
        """
        raise NotImplementedError


class Queried:
    """A source as the binding of a provider, without a memory."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._flight = Flight(source.query)

    def get_credentials(self) -> Future[AwsCredentials]:
        """Future of what the source gives now."""
        return self._flight.get_credentials()
