"""Where telemetry comes in: both transports under one configuration, and a warning where they are open to others."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Iterator

from collector.admission import Admission
from collector.credentials import Credential, Credentials
from collector.grpc_receiver import GrpcReceiver
from collector.http_receiver import HttpReceiver, Pages
from collector.ingest import Ingest
from collector.tls import load_tls
from spanverdict.config import Config

_LOG = logging.getLogger("spanverdict.serve")


class Receivers:
    """OTLP over gRPC and over HTTP.

    Args:
        config: addresses, certificates, tokens and limits.
        ingest: where requests go.
        pages: what answers people over HTTP; None for nothing.

    Raises:
        TlsError: the certificates cannot be used.
    """

    def __init__(self, config: Config, ingest: Ingest, pages: Pages | None = None) -> None:
        server = config.server
        self._server = server
        tls = load_tls(server.tls.certificate, server.tls.key, server.tls.client_ca) if server.tls else None
        max_bytes = server.max_request_mib * 2**20
        admission = Admission(config.ingest.waiting_mib * 2**20, max_bytes)
        credentials = credentials_of(config)
        self._grpc = GrpcReceiver(ingest, admission, server.grpc, max_bytes, credentials, tls)
        context = tls.context if tls else None
        self._http = HttpReceiver(
            ingest, admission, server.http, max_bytes, credentials, context, server.cors_origins, pages
        )

    async def start(self, grace_seconds: float) -> tuple[str, str]:
        """Bind both; returns the addresses of gRPC and of HTTP, with the ports that were bound.

        Args:
            grace_seconds: how long requests in flight may take when the receivers are stopped.

        Raises:
            OSError: an address cannot be bound.
        """
        grpc = await self._grpc.start()
        http = await self._http.start(grace_seconds)
        return f"{host(self._server.grpc)}:{grpc}", f"{host(self._server.http)}:{http}"

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new requests on both and let those in flight finish."""
        await asyncio.gather(self._grpc.stop(grace_seconds), self._http.stop())


def credentials_of(config: Config) -> Credentials:
    """The tokens of a configuration."""
    return Credentials(
        {
            token.sha256: Credential(token.name, token.attributes, token.feedback_only, token.pages)
            for token in config.tokens
        }
    )


def host(address: str) -> str:
    """The host of host:port."""
    return address.rpartition(":")[0]


def warn_of_exposure(config: Config) -> None:
    """Say loudly which listeners others can reach, what they could do, and how to prevent it."""
    for warning in exposures(config):
        _LOG.warning("%s", warning)


def exposures(config: Config) -> Iterator[str]:
    """One warning for each listener beyond loopback and each protection that it lacks."""
    server = config.server
    for name, address in (("OTLP/gRPC", server.grpc), ("OTLP/HTTP", server.http)):
        if is_loopback(address):
            continue
        if not server.tls:
            yield (
                f"{name} listens on {address} without TLS: prompts, answers and tokens can be read on the way. "
                "Configure [server.tls], or bind to 127.0.0.1."
            )
        if not config.tokens and not (server.tls and server.tls.client_ca):
            yield (
                f"{name} listens on {address} without tokens: whoever reaches it may send. "
                "Configure [[tokens]] or server.tls.client_ca, or bind to 127.0.0.1."
            )
    if not is_loopback(server.sql):
        yield (
            f"SQL listens on {server.sql} without TLS: its token and what is stored can be read on the way. "
            "Bind server.sql to 127.0.0.1 and reach it through a tunnel."
        )


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches host:port."""
    name = host(address).strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
