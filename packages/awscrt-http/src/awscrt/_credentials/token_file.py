"""Tokens that a login command left in a file, and that are renewed there."""

from __future__ import annotations

import os
from typing import Any, Dict

from awscrt._credentials.errors import failed

__all__ = ["read_token", "write_token"]


def read_token(path: str, code: int, login: str) -> Dict[str, Any]:
    """The JSON object in a file, its names as they are.

    :param code: of the error when it cannot be read
    :param login: the command that makes the file anew, for the error
    """
    import json

    try:
        with open(path, encoding="utf-8") as stream:
            token = json.load(stream)
    except (OSError, ValueError, RecursionError) as error:
        raise failed(code, f"the token file {path}: {error}. Log in with '{login}'.", error) from error
    if not isinstance(token, dict):
        raise failed(code, f"the token file {path} holds no JSON object. Log in with '{login}'.")
    return token


def text_in(token: Dict[str, Any], name: str, path: str, code: int) -> str:
    """A field that must be there."""
    value = token.get(name)
    if isinstance(value, str) and value:
        return value
    raise failed(code, f"the token file {path}: {name} is {'missing' if value is None else 'not a text'}.")


def write_token(path: str, token: Dict[str, Any]) -> None:
    """Replace the file in one step, readable by its owner only.

    :raises OSError: it cannot be written
    """
    import json
    import tempfile

    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), suffix=".tmp")
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            json.dump(token, stream)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
