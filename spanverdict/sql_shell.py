"""The shell of `spanverdict sql`: what a line that was typed does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import click

from analytics.errors import InputError
from spanverdict.options import Settings
from spanverdict.output import FORMATS, printable
from spanverdict.sql_answer import answer
from spanverdict.sql_parameters import parameter
from sql import statements
from sql.access import open_store
from sql.errors import StoreError
from sql.mends import near

COMMANDS = {
    ".tables": "the tables and views",
    ".schema": "the columns of a table: .schema spans",
    ".queries": "the saved queries",
    ".run": "run a saved query: .run models_by_day",
    ".show": "show the text of a saved query: .show models_by_day",
    ".param": "the parameters; set one: .param since=7d, then $since in a query",
    ".format": "how to print: .format json",
    ".help": "this",
    ".exit": "leave; so do exit, quit and Ctrl-D",
}
"""What the shell knows beside SQL."""

EXITS = frozenset({".exit", ".quit", "exit", "quit"})


def is_whole(text: str) -> bool:
    """Whether a text that was typed is to be run: a command, a query that ends in a semicolon, or nothing."""
    bare = text.strip()
    return not bare or bare.startswith(".") or bare.endswith(";") or bare.lower() in EXITS


@dataclass(frozen=True)
class Catalog:
    """The names that a query may use.

    Attributes:
        columns: the name of each table and view → its columns as (name, type).
    """

    columns: dict[str, list[tuple[str, str]]]

    @classmethod
    def read(cls, settings: Settings) -> Catalog:
        """What the store has.

        Raises:
            StoreError: it cannot be read.
        """
        with open_store(settings.db) as store:
            rows = store.read(statements.read("catalog_columns")).to_pylist()
        columns: dict[str, list[tuple[str, str]]] = {}
        for row in rows:
            columns.setdefault(row["table_name"], []).append((row["column_name"], row["data_type"]))
        return cls(columns)


@dataclass
class Shell:
    """Runs what is typed, line by line; what goes wrong is a sentence, and the next line is read.

    Attributes:
        settings: where the store is.
        catalog: its tables.
        form: how answers are printed.
        parameters: values for the parameters of queries.
    """

    settings: Settings
    catalog: Catalog
    form: str = "table"
    parameters: dict[str, Any] = field(default_factory=dict)

    def run(self, text: str) -> bool:
        """Do what a text says; False to leave."""
        bare = text.strip()
        if bare.lower().rstrip(";") in EXITS:
            return False
        try:
            if bare.startswith("."):
                self._command(*bare.partition(" ")[::2])
            elif bare.rstrip("; \n"):
                self._ask(bare)
        except KeyboardInterrupt:
            click.echo("Cancelled.", err=True)
        except click.ClickException as error:
            click.echo(f"Error: {error.format_message()}", err=True)
        except (StoreError, InputError, OSError) as error:
            click.echo(f"Error: {printable(str(error))}", err=True)
        return True

    def _ask(self, query: str) -> None:
        used = {name: self.parameters[name] for name in re.findall(r"\$(\w+)", query) if name in self.parameters}
        answer(self.settings, query, used, self.form)

    def _command(self, name: str, argument: str) -> None:
        argument = argument.strip().removesuffix(";")
        commands: dict[str, Callable[[str], object]] = {
            ".tables": lambda _: _print(sorted(self.catalog.columns)),
            ".schema": self._schema,
            ".queries": lambda _: _print(purposes()),
            ".run": lambda saved: self._ask(saved_query(saved)),
            ".show": lambda saved: _print([saved_query(saved).rstrip()]),
            ".param": self._param,
            ".format": self._format,
            ".help": lambda _: _print(f"{name:<10}{text}" for name, text in COMMANDS.items()),
        }
        if name not in commands:
            raise click.UsageError(f"There is no command {name}; .help lists them.")
        commands[name](argument)

    def _schema(self, table: str) -> None:
        if table not in self.catalog.columns:
            raise click.UsageError(f"There is no table {table!r}; .tables lists them." if table else "Name a table.")
        _print(f"{name:<34}{kind}" for name, kind in self.catalog.columns[table])

    def _param(self, assignment: str) -> None:
        if assignment:
            name, value = parameter(assignment)
            self.parameters[name] = value
        _print(f"{name} = {value}" for name, value in self.parameters.items())

    def _format(self, form: str) -> None:
        if form not in FORMATS:
            raise click.UsageError(f"The forms are {', '.join(FORMATS)}.")
        self.form = form


def purposes() -> list[str]:
    """A line for each saved query: its name and what it is for."""
    names = statements.query_names()
    width = max(map(len, names)) + 2
    return [f"{name:<{width}}{statements.query(name).splitlines()[0].removeprefix('-- ')}" for name in names]


def saved_query(name: str) -> str:
    """The text of a saved query.

    Raises:
        click.UsageError: there is none of that name.
    """
    if name not in statements.query_names():
        nearest = near(name, statements.query_names())
        proposed = f"did you mean {' or '.join(nearest)}? " if nearest else ""
        raise click.UsageError(f"There is no saved query {name!r}; {proposed}--list shows them.")
    return statements.query(name)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(printable(line))
