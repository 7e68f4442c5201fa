"""Credentials from a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from awscrt._credentials.document import Names, credentials_of, json_object
from awscrt._credentials.errors import PROCESS_SOURCE_FAILURE, UNEXPECTED_RESPONSE, failed
from awscrt._credentials.source import Source

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentials

__all__ = ["ProcessSource"]

_PATIENCE = 300.0  # seconds; commands may have their user log in meanwhile
_NAMES = Names(token="SessionToken")


class ProcessSource(Source):
    """Runs a command through the shell at every query and reads JSON from its output.

    :param setting: where the command is configured, for errors
    """

    name = "process"

    def __init__(self, command: str, setting: str) -> None:
        self._command = command
        self._setting = setting

    def query(self) -> AwsCredentials:
        output = self._run()
        where = f"the output of the command ({self._setting})"
        if not output.strip():
            raise failed(PROCESS_SOURCE_FAILURE, f"{where} is empty.")
        document = json_object(output, PROCESS_SOURCE_FAILURE, where)
        return credentials_of(document, _NAMES, UNEXPECTED_RESPONSE, where)

    def _run(self) -> bytes:
        from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired

        try:
            process = Popen(self._command, shell=True, stdout=PIPE, stderr=DEVNULL)
        except (OSError, ValueError) as error:
            raise failed(
                PROCESS_SOURCE_FAILURE, f"{self._setting}: no shell can be started: {error}.", error
            ) from error
        try:
            output, _ = process.communicate(timeout=_PATIENCE)
        except TimeoutExpired as error:
            process.kill()  # the shell; what it started may go on and hold the pipe, which is not waited for
            if process.stdout is not None:
                process.stdout.close()
            process.wait()
            raise failed(
                PROCESS_SOURCE_FAILURE, f"the command ({self._setting}) did not end within {_PATIENCE:g} s.", error
            ) from error
        if process.returncode != 0:
            raise failed(
                PROCESS_SOURCE_FAILURE, f"the command ({self._setting}) ended with status {process.returncode}."
            )
        return bytes(output)
