"""The command line. It wires; the work is elsewhere."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import sys
from datetime import datetime
from pathlib import Path

import click

from analytics.datasets import find_items
from analytics.feedback_file import read_feedback
from analytics.job import run_report, store_report
from analytics.promotions import (
    DESIGNS,
    EVERYTHING,
    Promotion,
    check_design,
    end_row,
    find_promotion,
    promotion_row,
)
from analytics.report import FORMATS as REPORT_FORMATS
from analytics.report import exit_status, render
from analytics.report.formatting import scope
from collector.credentials import token_hash
from spanverdict.config import check_address
from spanverdict.dataset_command import dataset_command
from spanverdict.demo import run_demo
from spanverdict.derivation import tell_what_is_missing
from spanverdict.derive_command import derive_command
from spanverdict.import_command import import_command
from spanverdict.job_options import job_options
from spanverdict.options import Settings, Time, store_options
from spanverdict.output import FORMATS, write_file, write_rows
from spanverdict.prices_command import prices_command
from spanverdict.serve import serve as run_server
from spanverdict.simulate_command import simulate_command
from sql import statements
from sql.access import ServerFile, open_store
from sql.store import utc_now

_FORMAT_OF_SUFFIX = {".html": "html", ".htm": "html", ".json": "json", ".md": "md", ".xml": "junit"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spanverdict")
def main() -> None:
    """Did the fine-tuned model regress, for which cohort, and how sure are we?

    Point your applications' OpenTelemetry exporter at `spanverdict serve`, name a promotion, read the report.
    """


@main.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), default=Path("spanverdict-demo"),
              show_default=True, help="Where the demo keeps its store and reports.")  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Do not open the HTML report in a browser.")
@store_options
def demo(settings: Settings, directory: Path, *, no_browser: bool) -> None:
    """A promotion incident, end to end: collector, sample traces over OTLP, verdicts, reports."""
    del settings  # The demo is its own world: sample configuration, own store, free ports.
    run_demo(directory, browser=not no_browser and sys.stdout.isatty())


@main.command()
@click.option("--grpc", help="OTLP/gRPC address, host:port; default 127.0.0.1:4317. Port 0 takes a free one.")
@click.option("--http", help="OTLP/HTTP address, host:port; default 127.0.0.1:4318. Port 0 takes a free one.")
@click.option("--sql", "sql_address", help="SQL (Arrow Flight SQL) address; default 127.0.0.1:4319.")
@click.option("--monitoring", help="Address of health and metrics pages; default 127.0.0.1:4320.")
@store_options
def serve(
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

    totals, released = asyncio.run(run_server(config, settings.db, ready, settings.config_file))
    click.echo(
        f"Stopped. {totals.received.requests.total()} requests in {totals.loaded.loads} loads; stored "
        f"{totals.loaded.stored['spans']} spans, {totals.loaded.stored['log_records']} log records; "
        f"{totals.loaded.duplicates.total()} were there already; refused {totals.received.rejected.total()}.",
        err=True,
    )
    if not released:
        # The store is closed; waiting for a client that does not read its answer would last for ever.
        os._exit(0)


@main.command()
@click.argument("query", required=False)
@click.option(
    "--file",
    "-f",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read the query from a file.",
)
@click.option("--named", metavar="NAME", help="Run a saved query; see --list.")
@click.option("--list", "list_queries", is_flag=True, help="List the saved queries.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to a file instead of standard output.",
)
@store_options
def sql(
    settings: Settings,
    query: str | None,
    file: Path | None,
    named: str | None,
    form: str,
    out: Path | None,
    *,
    list_queries: bool,
) -> None:
    """Ask the store a question in SQL (one SELECT), also while the collector writes."""
    if list_queries:
        for name in statements.query_names():
            first = statements.query(name).splitlines()[0].removeprefix("-- ")
            click.echo(f"{name:<22}{first}")
        return
    if sum(given is not None for given in (query, file, named)) != 1:
        raise click.UsageError("Give one of: a query, --file, --named.")
    if file:
        if not file.is_file():
            raise click.UsageError(f"{file} cannot be read: there is no such file.")
        try:
            query = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise click.UsageError(f"{file} cannot be read: {reason}.") from error
    elif named:
        if named not in statements.query_names():
            raise click.UsageError(f"There is no saved query {named!r}; --list shows them.")
        query = statements.query(named)
    with open_store(settings.db) as store:
        rows = store.read(query or "")
        tell_what_is_missing(store, query or "")
    write_rows(rows, form, out)


main.add_command(import_command)
main.add_command(prices_command)
main.add_command(derive_command)
main.add_command(dataset_command)
