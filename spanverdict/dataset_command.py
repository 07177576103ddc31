"""`spanverdict dataset`: items that base and candidate are both run on before a promotion."""

from __future__ import annotations

from pathlib import Path

import click

from analytics.datasets import find_items, read_items
from spanverdict.options import Settings, store_options
from spanverdict.output import FORMATS, write_rows
from sql import statements
from sql.access import open_store
from sql.clock import utc_now


@click.group("dataset")
def dataset_command() -> None:
    """Held-out data sets: items that base and candidate are both run on."""


@dataset_command.command("import")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@store_options
def dataset_import(settings: Settings, name: str, file: Path) -> None:
    """Import items from CSV, JSON Lines or Parquet; an item that changed replaces, one known already is skipped."""
    if not name.strip() or not name.isprintable():
        raise click.UsageError("NAME is empty or not printable.")
    rows = read_items(file, name, utc_now())
    with open_store(settings.db, write=True) as store:
        stored = store.write({"dataset_items": rows})["dataset_items"]
    unchanged = rows.num_rows - stored
    click.echo(f"Stored {stored:,} items of {name}, new or changed; {unchanged:,} were there already.", err=True)


@dataset_command.command("list")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@store_options
def dataset_list(settings: Settings, form: str) -> None:
    """List the data sets."""
    with open_store(settings.db) as store:
        write_rows(store.read(statements.read("datasets")), form, None)


@dataset_command.command("show")
@click.argument("name")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@store_options
def dataset_show(settings: Settings, name: str, form: str) -> None:
    """Show the items of one data set."""
    with open_store(settings.db) as store:
        find_items(store, name)
        write_rows(store.read(statements.read("dataset_items"), {"dataset": name}), form, None)
