"""Errors as S3 words them."""

from __future__ import annotations

from typing import Mapping, Optional
from xml.sax.saxutils import escape


class S3Error(Exception):
    """Ends a request with an XML error document.

    :param details: further elements of the document, e.g. ``ActualObjectSize``
    """

    def __init__(self, status: int, code: str, message: str, details: Optional[Mapping[str, str]] = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details or {})

    def document(self) -> bytes:
        """The body of the response."""
        elements = {"Code": self.code, "Message": self.message, **self.details}
        inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in elements.items())
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()
