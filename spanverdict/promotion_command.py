"""`spanverdict promotion`: which candidate is compared with which base, how and since when."""

from __future__ import annotations

from datetime import datetime

import click

from analytics.promotions import (
    DESIGNS,
    EVERYTHING,
    Promotion,
    check_design,
    end_row,
    find_promotion,
    promotion_row,
)
from analytics.report.formatting import scope
from spanverdict.options import Settings, Time, store_options
from spanverdict.output import FORMATS, write_rows
from sql import statements
from sql.access import open_store
from sql.clock import utc_now


@click.group("promotion")
def promotion_command() -> None:
    """Candidate releases under comparison."""


@promotion_command.command("add")
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
            from analytics.datasets import find_items  # noqa: PLC0415 (loads polars, for one design)

            find_items(store, dataset)
        stored = store.write({"promotions": promotion_row(new, utc_now())})["promotions"]
    if not stored:
        raise click.UsageError(f"There is a promotion {name!r} already; see `spanverdict promotion show {name}`.")
    click.echo(f"Promotion {name}: {candidate} beside {base} {scope(new)}.", err=True)


@promotion_command.command("list")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@store_options
def promotion_list(settings: Settings, form: str) -> None:
    """List the promotions."""
    with open_store(settings.db) as store:
        write_rows(store.read(statements.read("promotions")), form, None)


@promotion_command.command("show")
@click.argument("name")
@click.option("--format", "form", type=click.Choice(FORMATS), default="json", show_default=True)
@store_options
def promotion_show(settings: Settings, name: str, form: str) -> None:
    """Show one promotion."""
    with open_store(settings.db) as store:
        find_promotion(store, name)
        rows = store.read(statements.read("promotions"))
    write_rows(rows.filter([row == name for row in rows["name"].to_pylist()]), form, None)


@promotion_command.command("end")
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
