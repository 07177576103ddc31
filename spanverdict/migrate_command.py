"""`spanverdict migrate`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from spanverdict.options import Address, Settings, store_options
from spanverdict.output import printable
from sql.address import StoreAddress

if TYPE_CHECKING:
    from sql.opened_store import OpenedStore
    from sql.transfer_source import Source

EXIT_DIFFERENT = 1
"""The copy is not the same as its source."""

_SHOWN_DIFFERENCES = 20


@click.command("migrate")
@click.option(
    "--to", "to", type=Address(), required=True, help="The store to copy into: a file, or ducklake:postgresql://…."
)
@click.option("--verify", is_flag=True, help="Compare the two once more, and copy nothing.")
@click.option("--dry-run", is_flag=True, help="List what would be copied, and copy nothing.")
@store_options
def migrate_command(settings: Settings, to: StoreAddress, *, verify: bool, dry_run: bool) -> None:
    """Copy a whole store into an empty one, such as a file into a shared store or back, and compare the two.

    No server may run on a file meanwhile; of a shared store, what it held at the beginning is copied. Run again, it
    goes on where it was interrupted. Exits with 1 if the copy is not the same.
    """
    if verify and dry_run:
        raise click.UsageError("Give --verify or --dry-run, not both.")
    from sql.transfer_source import name_of, source_to_copy  # noqa: PLC0415 (the database is not loaded for --help)

    if name_of(settings.db) == name_of(to):
        raise click.UsageError(f"{to} is the store itself; name another one to copy into.")
    if dry_run:
        with source_to_copy(settings.db) as source:
            _list(source)
    elif verify:
        _verify(settings.db, to)
    else:
        _migrate(settings.db, to)


def _list(source: Source) -> None:
    from sql.copied_tables import copied_tables  # noqa: PLC0415 (as above)
    from sql.store_transfer import slices_of  # noqa: PLC0415 (as above)
    from sql.stored_sizes import stored_bytes  # noqa: PLC0415 (as above)

    tables = copied_tables(source.store)
    slices = slices_of(source.store, tables)
    sizes = stored_bytes(source.store, tables)
    for table in tables:
        if rows := sum(part.rows for part in slices if part.table is table):
            _line(table.name, rows, sizes[table.name])
    _line("in all", sum(part.rows for part in slices), sum(sizes.values()))


def _line(name: str, rows: int, size: int) -> None:
    click.echo(f"{name:<24} {rows:>14,} rows {size / 2**20:>12,.1f} MiB")


def _verify(store: StoreAddress, to: StoreAddress) -> None:
    from sql.copied_tables import copied_tables  # noqa: PLC0415 (as above)
    from sql.store_transfer import slices_of, state_of_copy  # noqa: PLC0415 (as above)
    from sql.transfer_source import name_of, source_to_copy  # noqa: PLC0415 (as above)
    from sql.transfer_target import target_to_read  # noqa: PLC0415 (as above)

    with target_to_read(to) as target, source_to_copy(store, state_of_copy(target, name_of(store))) as source:
        rows = sum(part.rows for part in slices_of(source.store, copied_tables(source.store)))
        _compare(source, target, rows)
    click.echo(f"{_shown(to)} holds the same {rows:,} rows as {_shown(store)}.", err=True)


def _migrate(store: StoreAddress, to: StoreAddress) -> None:
    from sql import store_transfer  # noqa: PLC0415 (as above)
    from sql.copied_tables import copied_tables  # noqa: PLC0415 (as above)
    from sql.transfer_source import name_of, source_to_copy  # noqa: PLC0415 (as above)
    from sql.transfer_target import target_to_fill  # noqa: PLC0415 (as above)

    started = time.monotonic()
    with source_to_copy(store):
        pass  # No target is made for what cannot be copied.
    with (
        target_to_fill(to) as target,
        source_to_copy(store, store_transfer.state_of_copy(target, name_of(store))) as source,
    ):
        tables = copied_tables(source.store)
        store_transfer.begin(source, target, tables)
        slices = store_transfer.slices_of(source.store, tables)
        rows = sum(part.rows for part in slices)
        with _bar("Copying", rows) as advance:
            copied = store_transfer.copy(source.store, target, slices, advance)
        _compare(source, target, rows)
        store_transfer.finish(source.store, target)
        later = source.written_since()
    there = f" ({rows - copied:,} of them before)" if copied < rows else ""
    took = time.monotonic() - started
    click.echo(
        f"Copied {rows:,} rows{there} from {_shown(store)} to {_shown(to)} in {took:,.0f} s; both hold the same.",
        err=True,
    )
    if later:
        click.echo(f"What came into {_shown(store)} after its {source.state} is not in the copy.", err=True)


def _compare(source: Source, target: OpenedStore, rows: int) -> None:
    """Compare a copy with its source, and end the command where they differ."""
    from sql.store_transfer import differences  # noqa: PLC0415 (as above)

    with _bar("Comparing", rows) as advance:
        found = differences(source.store, target, advance)
    if not found:
        return
    for line in found[:_SHOWN_DIFFERENCES]:
        click.echo(printable(line), err=True)
    if len(found) > _SHOWN_DIFFERENCES:
        click.echo(f"… and {len(found) - _SHOWN_DIFFERENCES:,} more.", err=True)
    raise click.exceptions.Exit(EXIT_DIFFERENT)


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """A bar on a terminal; whoever advances it says by how many rows."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task("", total=total)
        yield lambda rows: progress.advance(bar, rows)


def _shown(address: StoreAddress) -> str:
    return printable(str(address))
