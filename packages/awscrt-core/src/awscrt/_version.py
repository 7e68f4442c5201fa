"""The one place of the version number: every distribution and the C runtime take it from here."""

__version__ = "1.0.0"
