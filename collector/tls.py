"""Certificates for both transports."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from collector.errors import TlsError


@dataclass(frozen=True)
class Tls:
    """What a server proves itself with, and how its clients must.

    Attributes:
        certificate: PEM, the server's own first, then those between it and the root.
        key: PEM, its private key.
        client_ca: PEM, whose clients may connect; None lets in clients without a certificate.
        context: the same for `ssl`; TLS 1.2 at least.
    """

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    context: ssl.SSLContext


def load_tls(certificate: Path, key: Path, client_ca: Path | None = None) -> Tls:
    """Read PEM files and see that they belong together.

    Args:
        certificate: the server's certificate chain.
        key: its private key, unencrypted.
        client_ca: the authorities of clients, who must then show a certificate.

    Raises:
        TlsError: a file cannot be read, is not what it should be, or key and certificate are not a pair.
    """
    contents = {path: _read(path) for path in (certificate, key, client_ca) if path}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    encrypted = False

    def no_password() -> str:
        nonlocal encrypted
        encrypted = True
        return ""

    try:
        context.load_cert_chain(certificate, key, no_password)
    except (ssl.SSLError, ValueError) as error:
        if encrypted:
            raise TlsError(f"{key} is encrypted; give a private key without a passphrase.") from error
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            raise TlsError(f"{key} is not the private key of {certificate}.") from error
        raise TlsError(f"{certificate} and {key} are not a PEM certificate and its PEM private key.") from error
    if client_ca:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError as error:
            raise TlsError(f"{client_ca} holds no PEM certificate.") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return Tls(contents[certificate], contents[key], contents[client_ca] if client_ca else None, context)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"{path} cannot be read: {error.strerror}.") from error
