"""`spanverdict serve`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import click

from spanverdict.config_sections import check_address
from spanverdict.options import Settings, store_options
from spanverdict.serve import serve
from sql.server_file import ServerFile


@click.command("serve")
@click.option("--grpc", help="OTLP/gRPC address, host:port; default 127.0.0.1:4317. Port 0 takes a free one.")
@click.option("--http", help="OTLP/HTTP address, host:port; default 127.0.0.1:4318. Port 0 takes a free one.")
@click.option("--sql", "sql_address", help="SQL (Arrow Flight SQL) address; default 127.0.0.1:4319.")
@click.option("--monitoring", help="Address of health and metrics pages; default 127.0.0.1:4320.")
@store_options
def serve_command(
    settings: Settings, grpc: str | None, http: str | None, sql_address: str | None, monitoring: str | None
) -> None:
    """Receive OTLP, store it durably, answer SQL; until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    options = {"grpc": grpc, "http": http, "sql": sql_address, "monitoring": monitoring}
    given = {name: address for name, address in options.items() if address}
    for name, address in given.items():
        try:
            check_address(address)
        except ValueError as error:
            raise click.BadParameter(f"{address!r} cannot be used: {error}.", param_hint=f"--{name}") from error
    server = settings.config.server.model_copy(update=given)
    config = settings.config.model_copy(update={"server": server})

    def ready(told: ServerFile) -> None:
        click.echo(
            f"Receiving OTLP/gRPC on {told.grpc} and OTLP/HTTP on {told.http}, answering SQL on {told.sql}, "
            f"health and metrics on {told.monitoring}, storing in {settings.db}.",
            err=True,
        )
        if server.pages:
            click.echo(f"Pages: http{'s' if server.tls else ''}://{told.http}/", err=True)

    totals, released = asyncio.run(serve(config, settings.db, ready, settings.config_file))
    click.echo(
        f"Stopped. {totals.received.requests.total()} requests in {totals.loaded.loads} loads; stored "
        f"{totals.loaded.stored['spans']} spans, {totals.loaded.stored['log_records']} log records; "
        f"{totals.loaded.duplicates.total()} were there already; refused {totals.received.rejected.total()}.",
        err=True,
    )
    if not released:
        # The store is closed; waiting for a client that does not read its answer would last for ever.
        os._exit(0)
