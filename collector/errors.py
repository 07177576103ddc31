"""What can end a command that sends or receives, each as one clear sentence."""

from __future__ import annotations


class SendError(Exception):
    """A request was refused, or not acknowledged in time."""


class TlsError(Exception):
    """The certificates cannot be used; the message names the file."""
