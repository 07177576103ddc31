"""Fixtures of the receivers' tests: servers with certificates, tokens and small limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from collector.credentials import token_hash


@dataclass(frozen=True)
class Certificates:
    """An authority, a server's certificate and a client's, as PEM files."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Real certificates for 127.0.0.1 of an authority made for the test."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    names = ("ca", "server", "server_key", "client", "client_key")
    found = Certificates(*(folder / f"{name}.pem" for name in names))
    authority.cert_pem.write_to_path(str(found.ca))
    server, client = authority.issue_cert("127.0.0.1", "localhost"), authority.issue_cert("client@example.org")
    server.cert_chain_pems[0].write_to_path(str(found.server))
    server.private_key_pem.write_to_path(str(found.server_key))
    client.cert_chain_pems[0].write_to_path(str(found.client))
    client.private_key_pem.write_to_path(str(found.client_key))
    return found


@pytest.fixture
def configured(start_server: Callable[..., Any], tmp_path: Path) -> Callable[[str], Any]:
    """Starts a server with the given configuration."""

    def start(text: str) -> Any:
        file = tmp_path / "configured.toml"
        file.write_text(text, "utf-8")
        return start_server(None, "--config", str(file))

    return start


@pytest.fixture
def guarded(configured: Callable[[str], Any]) -> Any:
    """A server that knows the token `s3cret` of the sender `shop`."""
    return configured(
        f'[[tokens]]\nname = "shop"\nsha256 = "{token_hash("s3cret")}"\nattributes = {{"service.namespace" = "shop"}}\n'
    )
