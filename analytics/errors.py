"""What people can mend themselves."""

from __future__ import annotations


class InputError(Exception):
    """A file, a name or a setting that was given cannot be used; the message says what is wrong and how to mend it."""


class EngineError(Exception):
    """A distributed engine cannot be reached, or could not do its work; the message says why."""
