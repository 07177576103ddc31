"""`spanverdict sql`: questions to the store."""

from __future__ import annotations

from pathlib import Path

import click

from spanverdict.derivation_gaps import tell_what_is_missing
from spanverdict.options import Settings, store_options
from spanverdict.output import FORMATS, write_rows
from sql import statements
from sql.access import open_store


@click.command("sql")
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
def sql_command(
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
