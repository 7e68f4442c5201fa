"""PKCS#11 tokens in software (SoftHSM 2), each set in a directory of its own.

hsm = SoftHsm("some/directory")
hsm.add_token("device")
hsm.import_key("device", "key", certificate.private_key)
...  # in a process with hsm.environment: Pkcs11Lib(file=hsm.module)
"""

from __future__ import annotations

import glob
import os
import subprocess
from typing import Dict

from awscrt.testing.servers import MissingProgram, find_program

__all__ = ["SoftHsm"]

_PACKAGE = "softhsm2"
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/*/softhsm/libsofthsm2.so",
    "/usr/lib64/*/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


def _find_module() -> str:
    for pattern in _MODULES:
        for path in sorted(glob.glob(pattern)):
            return path
    raise MissingProgram("libsofthsm2.so", _PACKAGE)


class SoftHsm:
    """Tokens below a directory that the caller removes.

    :ivar module: path of the PKCS#11 module
    :ivar configuration: path of its configuration file
    :raises MissingProgram: SoftHSM is not installed
    """

    def __init__(self, directory: str) -> None:
        self.directory = os.fspath(directory)
        self.module = _find_module()
        self.configuration = os.path.join(self.directory, "softhsm2.conf")
        self._program = find_program("softhsm2-util", _PACKAGE)
        tokens = os.path.join(self.directory, "tokens")
        os.makedirs(tokens)
        with open(self.configuration, "w", encoding="utf-8") as file:
            file.write(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")

    @property
    def environment(self) -> Dict[str, str]:
        """What a process needs to see these tokens; the module reads it when it is initialized."""
        return {"SOFTHSM2_CONF": self.configuration}

    def add_token(self, label: str, *, pin: str = "1234") -> None:
        """Makes an initialized token; there is always one more, free slot."""
        self._run("--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", pin)

    def delete_token(self, label: str) -> None:
        """Removes a token with its keys, also while a process uses it."""
        self._run("--delete-token", "--token", label)

    def import_key(self, token: str, label: str, private_key: str, *, pin: str = "1234", key_id: str = "01") -> None:
        """Puts a key on a token.

        :param private_key: path of a PEM file (PKCS#8), as :mod:`awscrt.testing.certs` makes them
        :param key_id: hexadecimal; each key of a token has another
        """
        self._run("--import", private_key, "--token", token, "--label", label, "--id", key_id, "--pin", pin)

    def _run(self, *arguments: str) -> None:
        run = subprocess.run(
            [self._program, *arguments],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if run.returncode != 0:
            text = run.stdout.decode(errors="replace")
            raise RuntimeError(f"softhsm2-util {arguments[0]} ended with status {run.returncode}:\n{text}")
