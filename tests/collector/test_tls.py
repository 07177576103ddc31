"""Certificates that cannot be used are one sentence at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from collector.errors import TlsError
from collector.tls import load_tls


def test_a_pair_is_loaded(certificates: Any) -> None:
    """What is given is what the servers get."""
    loaded = load_tls(certificates.server, certificates.server_key)
    assert loaded.certificate == certificates.server.read_bytes()
    assert loaded.key == certificates.server_key.read_bytes()
    assert loaded.client_ca is None
    assert load_tls(certificates.server, certificates.server_key, certificates.ca).client_ca


def test_each_mistake_is_named(certificates: Any, tmp_path: Path) -> None:
    """A missing file, a folder, no PEM, somebody else's key, a passphrase: one sentence with the file."""
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    key = load_pem_private_key(certificates.server_key.read_bytes(), None)
    secret = tmp_path / "secret.pem"
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    server, server_key = certificates.server, certificates.server_key
    for arguments, sentence in (
        ((tmp_path / "none.pem", server_key), "none.pem cannot be read: No such file or directory."),
        ((server, tmp_path), "cannot be read: Is a directory."),
        ((text, server_key), "text.pem and "),
        ((server, text), "are not a PEM certificate and its PEM private key."),
        ((server, certificates.client_key), "client_key.pem is not the private key of "),
        ((server, secret), "secret.pem is encrypted; give a private key without a passphrase."),
        ((server, server_key, text), "text.pem holds no PEM certificate."),
    ):
        with pytest.raises(TlsError) as caught:
            load_tls(*arguments)
        assert sentence in str(caught.value)
