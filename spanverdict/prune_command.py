"""`spanverdict prune`."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spanverdict.options import Settings, store_options
from spanverdict.output import FORMATS, write_rows
from sql.access import Access, open_store
from sql.address import StoreAddress, beside
from sql.clock import utc_now

if TYPE_CHECKING:
    from spanverdict.pruning import Deletion

_AGE = re.compile(r"([1-9]\d{0,4})([dw])")
_MIB = 2**20


class _Age(click.ParamType[timedelta]):
    """Whole days or weeks."""

    name = "AGE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:  # noqa: ANN401
        """Parse the text of an option."""
        if isinstance(value, timedelta):
            return value
        found = _AGE.fullmatch(value)
        if not found:
            self.fail(f"{value!r} is not a number of days or weeks, such as 30d or 8w.", param, ctx)
        return timedelta(days=int(found[1]) * (7 if found[2] == "w" else 1))


@click.command("prune")
@click.option("--older-than", type=_Age(), help="Spans and log records of UTC days that ended so long ago, such as "
              "30d, and nothing else; default: what [retention] says.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would go.")
@click.option("--quiet", is_flag=True, help="List nothing.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@store_options
def prune_command(settings: Settings, older_than: timedelta | None, *, dry_run: bool, quiet: bool, form: str) -> None:
    """Delete what is older than [retention] allows, or more than fits; beside a server, this runs once a day.

    Whole UTC days, in slices; interrupted, it goes on where it was.
    """
    from analytics.part_files import files_of  # noqa: PLC0415 (not loaded for --help)
    from spanverdict.pruning import Limits, Pruner  # noqa: PLC0415 (as above)
    from spanverdict.store_sizes import sizes_of  # noqa: PLC0415 (as above)

    retention = settings.config.retention
    if older_than is None and not retention.deletes:
        raise click.UsageError(
            "Nothing is to be deleted: give --older-than, such as 30d, or write [retention] into the configuration."
        )
    now = utc_now()
    limits = Limits.of(retention, now) if older_than is None else Limits.of_spans(older_than, now)
    done: list[Deletion] = []
    address = settings.db
    with open_store(address, write=not dry_run) as store:
        pruner = Pruner(store, address, now, settings.config.content.attributes, done.append)
        fits = True
        if dry_run:
            done = pruner.planned(limits)
        else:
            fits = pruner.prune(limits)
            if done:
                # Rows that were made of what is gone go too.
                files_of(beside(address)).clear()
        if not quiet:
            _list(done, "file" if isinstance(address, Path) else "lake", form)
        _tell(done, dry_run=dry_run, free=_free(store, address))
        if not fits and limits.max_bytes is not None:
            _tell_size(sizes_of(store, address).used_bytes())


def _list(deletions: list[Deletion], store: str, form: str) -> None:
    import pyarrow as pa  # noqa: PLC0415 (as above)

    rows = [
        {
            "table": deletion.table,
            "day": deletion.day,
            "held_in": "archive" if deletion.archived else store,
            "deleted": deletion.what,
            "rows": deletion.rows,
            "mib": round(deletion.size_bytes / _MIB, 1),
        }
        for deletion in deletions
    ]
    kinds = {"table": pa.string(), "day": pa.date32(), "held_in": pa.string(), "deleted": pa.string(),
             "rows": pa.int64(), "mib": pa.float64()}  # fmt: skip
    write_rows(pa.Table.from_pylist(rows, pa.schema(kinds)), form, None)


def _free(store: Access, address: StoreAddress) -> str:
    """What becomes of the room that deleted rows took."""
    if not isinstance(address, Path):
        return (
            "Queries that began before may still read it; `spanverdict compact`, which runs once an hour beside the"
            " collectors, writes the files anew without it, and removes the old ones after lake.keep_minutes."
        )
    (file,) = store.read("SELECT free_blocks * block_size AS free FROM pragma_database_size()").to_pylist()
    return (
        f"{file['free'] / _MIB:,.1f} MiB of the file are free and will be used again, more when queries that began"
        " before have ended; `spanverdict compact` gives them back."
    )


def _tell(deletions: list[Deletion], *, dry_run: bool, free: str) -> None:
    from spanverdict.pruning import totals  # noqa: PLC0415 (as above)

    rows, contents = totals(deletions)
    what = f"{rows:,} rows and the content of {contents:,}"
    if dry_run:
        size = sum(deletion.size_bytes for deletion in deletions) / _MIB
        click.echo(f"Would delete {what}, about {size:,.1f} MiB; nothing was changed.", err=True)
    else:
        click.echo(f"Deleted {what}. {free}", err=True)


def _tell_size(used_bytes: int) -> None:
    click.echo(
        f"The store takes {used_bytes / _MIB:,.1f} MiB, more than retention.max_size. What is younger than two days,"
        " outcomes, derived rows and reports are not deleted for their size; the next run looks again.",
        err=True,
    )
