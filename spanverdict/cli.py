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
from spanverdict.doctor_command import doctor_command
from spanverdict.evaluate_command import evaluate_command
from spanverdict.feedback_command import feedback
from spanverdict.import_command import import_command
from spanverdict.job_options import job_options
from spanverdict.mirror_command import mirror_command
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
main.add_command(simulate_command)
main.add_command(dataset_command)
main.add_command(mirror_command)
main.add_command(doctor_command)
main.add_command(feedback)
main.add_command(evaluate_command)


@main.group()
def token() -> None:
    """Tokens of senders."""


@token.command("new")
@click.argument("name")
def token_new(name: str) -> None:
    """Draw a token for a sender: the token itself is shown once, the lines for the configuration hold only its hash."""
    if not name.strip() or not name.isprintable():
        raise click.UsageError("NAME is empty or not printable.")
    drawn = secrets.token_urlsafe(32)
    click.echo(f"The token of {name}, shown this once: {drawn}", err=True)
    click.echo(f"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20{drawn}", err=True)
    click.echo("For the configuration:", err=True)
    # A TOML basic string and a JSON string of printable characters are written alike.
    click.echo(f'[[tokens]]\nname = {json.dumps(name, ensure_ascii=False)}\nsha256 = "{token_hash(drawn)}"')


@main.group()
def promotion() -> None:
    """Candidate releases under comparison."""


@promotion.command("add")
@click.argument("name")
@click.option("--base", required=True, help="Request model that served before.")
@click.option("--candidate", required=True, help="Request model that is to take over.")
@click.option(
    "--at",
    type=Time(),
    default=EVERYTHING,
    show_default=False,
    help="When the candidate began to serve; other designs than concurrent: from when on runs or pairs count.",
)
@click.option(
    "--design",
    type=click.Choice(DESIGNS),
    default="concurrent",
    show_default=True,
    help="concurrent: both models serve the same period; held_out: both ran the items of a data set; "
    "mirrored: a gateway sent the candidate what the base answered.",
)
@click.option("--cohort-by", help="Span or resource attribute that holds the cohort, such as app.cohort.")
@click.option("--dataset", help="held_out: the data set whose items both models ran.")
@click.option("--candidate-share", type=click.FloatRange(0, 1, min_open=True, max_open=True),
              help="Share of users meant for the candidate, for the sample-ratio check.")  # fmt: skip
@store_options
def promotion_add(
    settings: Settings, name: str, base: str, candidate: str, at: datetime, design: str, cohort_by: str | None,
    dataset: str | None, candidate_share: float | None,
) -> None:  # fmt: skip
    """Register a promotion: which candidate is compared with which base, how, since when, and what a cohort is."""
    given = {"NAME": name, "--base": base, "--candidate": candidate, "--cohort-by": cohort_by, "--dataset": dataset}
    for option, value in given.items():
        if value is not None and not value.strip():
            raise click.UsageError(f"{option} is empty.")
    if base == candidate:
        raise click.UsageError("--base and --candidate name the same model; there is nothing to compare.")
    new = Promotion(name, base, candidate, design, at, None, cohort_by, candidate_share, dataset)
    try:
        check_design(new)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with open_store(settings.db, write=True) as store:
        if dataset is not None:
            find_items(store, dataset)
        stored = store.write({"promotions": promotion_row(new, utc_now())})["promotions"]
    if not stored:
        raise click.UsageError(f"There is a promotion {name!r} already; see `spanverdict promotion show {name}`.")
    click.echo(f"Promotion {name}: {candidate} beside {base} {scope(new)}.", err=True)


@promotion.command("list")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@store_options
def promotion_list(settings: Settings, form: str) -> None:
    """List the promotions."""
    with open_store(settings.db) as store:
        write_rows(store.read(statements.read("promotions")), form, None)


@promotion.command("show")
@click.argument("name")
@click.option("--format", "form", type=click.Choice(FORMATS), default="json", show_default=True)
@store_options
def promotion_show(settings: Settings, name: str, form: str) -> None:
    """Show one promotion."""
    with open_store(settings.db) as store:
        find_promotion(store, name)
        rows = store.read(statements.read("promotions"))
    write_rows(rows.filter([row == name for row in rows["name"].to_pylist()]), form, None)


@promotion.command("end")
@click.argument("name")
@click.option("--at", type=Time(), help="When it ended; default: now.")
@store_options
def promotion_end(settings: Settings, name: str, at: datetime | None) -> None:
    """Say that a comparison has ended: later traffic is not part of it."""
    with open_store(settings.db, write=True) as store:
        found = find_promotion(store, name)
        ended = at or utc_now()
        if ended <= found.at:
            raise click.UsageError(f"{name} began at {found.at.isoformat()}Z; it cannot end before that.")
        if not store.write({"promotion_ends": end_row(name, ended)})["promotion_ends"]:
            raise click.UsageError(f"{name} has ended already, at {found.ended_at}.")
    click.echo(f"Promotion {name} ended at {ended.isoformat()}Z.", err=True)


@main.command()
@click.argument("promotion_name", metavar="PROMOTION")
@click.option(
    "--format",
    "form",
    type=click.Choice(REPORT_FORMATS),
    help="Default: what the name of --out ends with, else table.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to a file instead of standard output.",
)
@click.option("--as-of", type=Time(), help="Look at the world as it was known then; default: now.")
@click.option("--fail-on-undecided", is_flag=True, help="Exit with 3 when nothing could be decided.")
@store_options
def report(
    settings: Settings,
    promotion_name: str,
    form: str | None,
    out: Path | None,
    as_of: datetime | None,
    *,
    fail_on_undecided: bool,
) -> None:
    """Compare base and candidate by cohort. Exits with 1 if a metric regressed, 3 without any data, else 0."""
    form = form or (_FORMAT_OF_SUFFIX.get(out.suffix.lower()) if out else None) or "table"
    options = job_options(settings.config)
    with open_store(settings.db, write=True) as store:
        result = run_report(store, promotion_name, options, as_of=as_of or utc_now(), now=utc_now())
        text = render(result, form, color=out is None and sys.stdout.isatty())
        store_report(store, result)
    if out:
        write_file(out, text.encode())
        click.echo(f"Wrote {out}.", err=True)
    else:
        click.echo(text, nl=not text.endswith("\n"))
    raise SystemExit(exit_status(result, fail_on_undecided=fail_on_undecided))
