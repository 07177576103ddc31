"""Who sends."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from collector.signals import Signal


class UnauthenticatedError(Exception):
    """A request without a token that is known here."""


class ForbiddenError(Exception):
    """A request with a token that is known and is not for such requests."""


@dataclass(frozen=True)
class Credential:
    """What a token stands for.

    Attributes:
        name: what the configuration calls it.
        attributes: resource attributes that everything sent with it has, whatever the sender says.
        feedback_only: it is for feedback and nothing else.
        pages: it opens the pages, which show what is stored.
    """

    name: str
    attributes: Mapping[str, str]
    feedback_only: bool = False
    pages: bool = True

    @property
    def may_read(self) -> bool:
        """Whether it opens what shows what is stored."""
        return self.pages and not self.feedback_only


def token_hash(token: str) -> str:
    """What is kept of a token: the SHA-256 of its UTF-8 text, as 64 lowercase hex digits.

    A fast hash is enough: tokens are drawn at random, so there is nothing to guess.
    """
    # Headers reach Python as text in which octets that are not UTF-8 are surrogates; no token has such, none may fail.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class Credentials:
    """The known tokens, by their hashes.

    Args:
        known: token hash → whom it stands for. Empty: anybody may send.
    """

    def __init__(self, known: Mapping[str, Credential] | None = None) -> None:
        self._known = dict(known or {})

    def __bool__(self) -> bool:
        return bool(self._known)

    def has_reader(self) -> bool:
        """Whether one of them may read."""
        return any(credential.may_read for credential in self._known.values())

    def find(self, authorization: str | None, signal: Signal) -> Credential | None:
        """Whom an `authorization` header stands for (RFC 6750, section 2.1); None where anybody may send.

        Args:
            authorization: the header's value.
            signal: what is sent with it.

        Raises:
            ForbiddenError: the token is known, and not for this.
            UnauthenticatedError: tokens are asked for and this is none that is known.
        """
        if not self._known:
            return None
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnauthenticatedError("A bearer token is needed: authorization: Bearer TOKEN.")
        found = self._known_by(token.strip())
        if found is None:
            raise UnauthenticatedError("The bearer token is not known here.")
        if found.feedback_only and signal is not Signal.FEEDBACK:
            raise ForbiddenError(f"The token {found.name!r} is for feedback only, not for {signal}.")
        return found

    def find_reader(self, authorization: str | None) -> Credential | None:
        """Who wants to read: by a bearer token, or by a token as anybody's password (RFC 7617), which browsers ask for.

        Args:
            authorization: the header's value.

        Returns:
            Whom it stands for; None where no token is configured.

        Raises:
            ForbiddenError: the token is known, and not for reading.
            UnauthenticatedError: this is no token that is known.
        """
        if not self._known:
            return None
        scheme, _, given = (authorization or "").strip().partition(" ")
        token = {"bearer": given.strip(), "basic": _password(given)}.get(scheme.lower())
        if not token:
            raise UnauthenticatedError("A token is needed: give it as the password; the user's name does not matter.")
        found = self._known_by(token)
        if found is None:
            raise UnauthenticatedError("The token is not known here.")
        if not found.may_read:
            raise ForbiddenError(f"The token {found.name!r} is for sending only; pages want one that may read.")
        return found

    def _known_by(self, token: str) -> Credential | None:
        digest = token_hash(token)
        found = None
        # All are compared, each in constant time: how long it takes tells nothing of any of them.
        for known, credential in self._known.items():
            if hmac.compare_digest(known, digest):
                found = credential
        return found


def _password(basic: str) -> str:
    """The password in a header's Basic credentials; empty where there is none."""
    try:
        decoded = base64.b64decode(basic.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
    return decoded.partition(":")[2].strip()
