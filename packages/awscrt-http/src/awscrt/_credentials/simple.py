"""Sources that need no I/O: the environment, a function, other providers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Callable, List, Optional

from awscrt import _http
from awscrt._credentials.errors import DELEGATE_FAILURE, INVALID_ENVIRONMENT, failed, refused
from awscrt._credentials.source import Source
from awscrt._futures import Future, InvalidStateError

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentials, AwsCredentialsProviderBase

__all__ = ["Chain", "Delegate", "EnvironmentSource", "Immediate"]


class Immediate:
    """A source that does not block as the binding of a provider: asked on the thread of the caller."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def get_credentials(self) -> Future[AwsCredentials]:
        """A future that is complete."""
        future: Future[AwsCredentials] = Future()
        try:
            future.set_result(self._source.query())
        except Exception as error:
            future.set_exception(error)
        return future


class EnvironmentSource(Source):
    """Reads the environment at every query."""

    name = "environment"

    def query(self) -> AwsCredentials:
        from awscrt.auth import AwsCredentials

        key_id = os.environ.get("AWS_ACCESS_KEY_ID")
        secret = os.environ.get("AWS_SECRET_ACCESS_KEY")
        if not key_id or not secret:
            missing = "AWS_SECRET_ACCESS_KEY" if key_id else "AWS_ACCESS_KEY_ID"
            raise failed(INVALID_ENVIRONMENT, f"The environment variable {missing} is not set.")
        return AwsCredentials(key_id, secret, os.environ.get("AWS_SESSION_TOKEN") or None)


class Delegate(Source):
    """Calls a function of the user at every query."""

    name = "delegate"

    def __init__(self, function: Callable[[], AwsCredentials]) -> None:
        self._function = function

    def query(self) -> AwsCredentials:
        from awscrt.auth import AwsCredentials

        try:
            credentials = self._function()
            if not isinstance(credentials, AwsCredentials):
                raise TypeError(f"get_credentials must return AwsCredentials, got {type(credentials).__name__}")
        except BaseException as problem:
            _http.report_unraisable(problem, self._function)
            raise refused(DELEGATE_FAILURE, f"It raised {type(problem).__name__}.", problem) from problem
        return credentials


class _Walk:
    """One walk through a chain. Answers that are there at once are taken in a loop, so chains may be long."""

    def __init__(self, providers: List[AwsCredentialsProviderBase], answer: Future[AwsCredentials]) -> None:
        self._providers = iter(providers)
        self._answer = answer
        self._failure: Optional[BaseException] = None

    def go_on(self) -> None:
        for provider in self._providers:
            try:
                future = provider.get_credentials()  # type: ignore[attr-defined]
            except Exception as error:  # of a user's class
                self._failure = error
                continue
            if not future.done():
                future.add_done_callback(self._arrived)
                return
            if self._take(future):
                return
        self._complete(None, self._failure)

    def _arrived(self, future: Future[AwsCredentials]) -> None:
        if not self._take(future):
            self.go_on()

    def _take(self, future: Future[AwsCredentials]) -> bool:
        try:
            self._failure = future.exception()
        except BaseException as cancelled:  # by whoever else has it
            self._failure = cancelled
        if self._failure is not None:
            return False
        self._complete(future.result(), None)
        return True

    def _complete(self, credentials: Optional[AwsCredentials], failure: Optional[BaseException]) -> None:
        try:
            if failure is not None:
                self._answer.set_exception(failure)
            else:
                self._answer.set_result(credentials)  # type: ignore[arg-type]
        except InvalidStateError:
            pass  # the caller cancelled it


class Chain:
    """Asks providers in order until one delivers; the failure of the last one is reported."""

    def __init__(self, providers: List[AwsCredentialsProviderBase]) -> None:
        self._providers = providers

    def get_credentials(self) -> Future[AwsCredentials]:
        """Future of what the first provider gives that has credentials."""
        answer: Future[AwsCredentials] = Future()
        _Walk(self._providers, answer).go_on()
        return answer
