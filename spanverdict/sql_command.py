"""`spanverdict sql`: questions to the store."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from spanverdict.options import Settings, store_options
from spanverdict.output import FORMATS
from spanverdict.sql_answer import answer
from spanverdict.sql_parameters import parameters
from spanverdict.sql_shell import Catalog, Shell, purposes, saved_query


@click.command("sql")
@click.argument("query", required=False)
@click.option(
    "--file",
    "-f",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Read the query from a file; - is standard input.",
)
@click.option("--named", metavar="NAME", help="Run a saved query; see --list.")
@click.option(
    "--param", "given_parameters", multiple=True, metavar="NAME=VALUE",
    help="A value for $NAME in the query: 7d (so long ago), an ISO time, a number, or text. May be repeated.",
)  # fmt: skip
@click.option("--list", "list_queries", is_flag=True, help="List the saved queries and what each is for.")
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
    given_parameters: tuple[str, ...],
    form: str,
    out: Path | None,
    *,
    list_queries: bool,
) -> None:
    """Ask the store a question in SQL (one SELECT), also while the collector writes.

    Without a query, on a terminal, it is a shell with history and completion.
    """
    values = parameters(given_parameters)
    if list_queries:
        for line in purposes():
            click.echo(line)
        return
    given = sum(one is not None for one in (query, file, named))
    if given == 0 and out is None and sys.stdin.isatty() and sys.stdout.isatty():
        # For people alone: it takes as long to load as all the rest.
        from spanverdict.sql_prompt import run_shell  # noqa: PLC0415

        run_shell(Shell(settings, Catalog.read(settings), form, values))
        return
    if given != 1:
        raise click.UsageError("Give one of: a query, --file (- reads standard input), --named.")
    if file:
        query = _text_of(file)
    elif named:
        query = saved_query(named)
    answer(settings, query or "", values, form, out)


def _text_of(file: Path) -> str:
    if str(file) == "-":
        return sys.stdin.read()
    if not file.is_file():
        raise click.UsageError(f"{file} cannot be read: there is no such file.")
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise click.UsageError(f"{file} cannot be read: {reason}.") from error
