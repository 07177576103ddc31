"""`spanverdict promotion`: which candidate is compared with which base, how and since when."""

from __future__ import annotations

from datetime import datetime

import click

from analytics.promotions import (
    DESIGNS,
    EVERYTHING,
    Promotion,
    check_design,
    check_share_change,
    end_row,
    find_promotion,
    promotion_row,
    share_row,
)
from analytics.report.formatting import scope
from spanverdict.options import Number, Settings, Time, store_options
from spanverdict.output import FORMATS, printable, write_rows
from sql import statements
from sql.access import open_store
from sql.clock import utc_now

_SHARE = Number(0, 1, min_open=True, max_open=True)


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
    help="When the candidate began to serve; held_out, mirrored: from when on runs or pairs count.",
)
@click.option(
    "--design",
    type=click.Choice(DESIGNS),
    default="concurrent",
    show_default=True,
    help="concurrent: both models serve the same period; before_after: all went from the base to the candidate at "
    "--at; held_out: both ran the items of a data set; mirrored: a gateway sent the candidate what the base answered.",
)
@click.option("--cohort-by", help="Span or resource attribute that holds the cohort, such as app.cohort.")
@click.option("--dataset", help="held_out: the data set whose items both models ran.")
@click.option(
    "--candidate-share", type=_SHARE, help="Share of users meant for the candidate, for the sample-ratio check."
)
@click.option(
    "--planned-end",
    type=Time(),
    help="When the comparison is going to end, declared before results are seen. It finds more by then, and stops "
    "there: half of the error rate is spent on scheduled looks until that time.",
)
@click.option(
    "--stratify-by",
    metavar="ATTRIBUTE",
    multiple=True,
    help="concurrent, before_after: attribute of requests, such as app.difficulty, whose value the application knows "
    "before the model answers; the models are compared within each value. May be repeated.",
)
@store_options
def promotion_add(
    settings: Settings, name: str, base: str, candidate: str, at: datetime, design: str, cohort_by: str | None,
    dataset: str | None, candidate_share: float | None, planned_end: datetime | None, stratify_by: tuple[str, ...],
) -> None:  # fmt: skip
    """Register a promotion: which candidate is compared with which base, how, since when, and what a cohort is."""
    given = [
        *(("NAME", name), ("--base", base), ("--candidate", candidate), ("--cohort-by", cohort_by)),
        *(("--dataset", dataset), *(("--stratify-by", attribute) for attribute in stratify_by)),
    ]
    for option, value in given:
        if value is not None and not value.strip():
            raise click.UsageError(f"{option} is empty.")
    if base == candidate:
        raise click.UsageError("--base and --candidate name the same model; there is nothing to compare.")
    new = Promotion(
        name, base, candidate, design, at, None, cohort_by, candidate_share, dataset, planned_end, stratify_by
    )
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
    click.echo(printable(f"Promotion {name}: {candidate} beside {base} {scope(new)}."), err=True)


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


@promotion_command.command("share")
@click.argument("name")
@click.option(
    "--candidate-share", type=_SHARE, required=True, help="Share of users meant for the candidate from then on."
)
@click.option("--at", type=Time(), help="From when on; default: now.")
@store_options
def promotion_share(settings: Settings, name: str, candidate_share: float, at: datetime | None) -> None:
    """Say that another share of the users is meant for the candidate from now on, such as a canary's next step."""
    now = utc_now()
    since = at or now
    with open_store(settings.db, write=True) as store:
        try:
            check_share_change(find_promotion(store, name), since)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        store.write({"promotion_shares": share_row(name, since, candidate_share, now)})
    told = f"Promotion {name}: from {since.isoformat()}Z on the candidate's share is {candidate_share:g}."
    click.echo(printable(told), err=True)


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
    click.echo(printable(f"Promotion {name} ended at {ended.isoformat()}Z."), err=True)
