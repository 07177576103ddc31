"""Tokens are found by their hashes."""

from __future__ import annotations

import hashlib

import pytest

from collector.credentials import Credential, Credentials, UnauthenticatedError, token_hash
from collector.signals import Signal

SHOP = Credential("shop", {"service.namespace": "shop"})
BANK = Credential("bank", {})
KNOWN = Credentials({token_hash("s3cret"): SHOP, token_hash("other"): BANK})


def test_the_hash_is_sha256() -> None:
    """What `sha256sum` says of a token is what is configured."""
    assert token_hash("s3cret") == hashlib.sha256(b"s3cret").hexdigest()


@pytest.mark.parametrize("header", ["Bearer s3cret", "bearer s3cret", "BEARER  s3cret "])
def test_a_known_token_names_its_sender(header: str) -> None:
    """The scheme is read in any case, and spaces around the token do not matter."""
    assert KNOWN.find(header, Signal.TRACES) is SHOP
    assert KNOWN.find("Bearer other", Signal.TRACES) is BANK


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "s3cret", "Basic s3cret", "Bearer S3cret", "Bearer s3cret2", "Bearer \udcff"],
)
def test_anything_else_is_refused_without_being_repeated(header: str | None) -> None:
    """No token, a wrong one, another scheme, octets that are no text; the error shows nothing of it."""
    with pytest.raises(UnauthenticatedError) as caught:
        KNOWN.find(header, Signal.TRACES)
    assert "s3cret" not in str(caught.value).lower()


def test_without_tokens_anybody_may_send() -> None:
    """Nothing configured: no one is asked, whatever they present."""
    assert Credentials().find(None, Signal.TRACES) is None
    assert Credentials().find("Bearer x", Signal.TRACES) is None
