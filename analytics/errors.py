"""What people can mend themselves."""

from __future__ import annotations


class InputError(Exception):
    """A file, a name or a setting that was given cannot be used; the message says what is wrong and how to mend it."""
