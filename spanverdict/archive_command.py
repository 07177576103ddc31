"""`spanverdict archive`."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import click
import pyarrow as pa

from spanverdict.options import Settings, Time, store_options
from spanverdict.output import FORMATS, printable, write_rows
from sql.access import open_store
from sql.clock import utc_now

_PLAN = pa.schema(
    [
        ("table_name", pa.string()),
        ("day", pa.date32()),
        ("live_rows", pa.int64()),
        ("replaces", pa.string()),
        ("waits_for", pa.string()),
    ]
)


@click.command("archive")
@click.option("--before", type=Time(), help="The first UTC day that is left alone; default: by archive.after_days.")
@click.option("--dry-run", is_flag=True, help="Say which days have rows in the store, and what each waits for.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option(
    "--forget", metavar="FILE", multiple=True, help="Take a file that is lost off the list; its rows are given up."
)
@store_options
def archive_command(
    settings: Settings, before: datetime | None, *, dry_run: bool, form: str, forget: tuple[str, ...]
) -> None:
    """Move closed days into Parquet files beside the store, which the same views go on reading.

    A running server does so by itself every hour.
    """
    from spanverdict import archiving  # noqa: PLC0415 (not loaded for --help)

    config = settings.config.archive
    path = settings.file("Its rows are Parquet already, so that there is nothing to archive.")
    with open_store(path, write=not dry_run) as store:
        if forget:
            rows = archiving.forget(store, path, forget)
            click.echo(f"{printable(', '.join(forget))}: listed no more; {rows:,} rows are given up.", err=True)
            return
        days = archiving.closed_days(store, _first_kept(before, config.after_days), config.least_rows)
        if dry_run:
            plan = [
                {"table_name": day.table.name, "day": day.day, "live_rows": day.live_rows, "replaces": day.replaces,
                 "waits_for": day.waits_for}
                for day in days
            ]  # fmt: skip
            write_rows(pa.Table.from_pylist(plan, _PLAN), form, None)
            return
        done = 0
        for archived in archiving.archive(store, path, days):
            done += 1
            what = archived.day.table.name.replace("_", " ")
            click.echo(
                f"{archived.day.day}: {archived.file.live_rows:,} {what} archived, now {archived.file.rows:,} in"
                f" {archived.file.size / 2**20:,.1f} MiB.",
                err=True,
            )
    if not done:
        click.echo("No day is to be archived; --dry-run says what days wait for.", err=True)


def _first_kept(before: datetime | None, after_days: float) -> date:
    return (before or utc_now() - timedelta(days=after_days)).date()
