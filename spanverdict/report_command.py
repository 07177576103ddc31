"""`spanverdict report`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from analytics.job import run_report
from analytics.report import FORMATS, exit_status, render
from analytics.stored_reports import store_report
from spanverdict.job_options import job_options
from spanverdict.options import Settings, Time, store_options
from spanverdict.report_output import format_of, is_colored, tell
from sql.access import open_store
from sql.clock import utc_now


@click.command("report")
@click.argument("promotion_name", metavar="PROMOTION")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
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
def report_command(
    settings: Settings,
    promotion_name: str,
    form: str | None,
    out: Path | None,
    as_of: datetime | None,
    *,
    fail_on_undecided: bool,
) -> None:
    """Compare base and candidate by cohort. Exits with 1 if a metric regressed, 3 without any data, else 0."""
    form = format_of(form, out, FORMATS)
    options = job_options(settings.config)
    with open_store(settings.db, write=True) as store:
        result = run_report(store, promotion_name, options, as_of=as_of or utc_now(), now=utc_now())
        text = render(result, form, color=is_colored(out))
        identity = store_report(store, result)
    tell(text, out)
    click.echo(f"Stored as report {identity}.", err=True)
    raise SystemExit(exit_status(result, fail_on_undecided=fail_on_undecided))
