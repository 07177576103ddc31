"""The prompt of the shell: editing, history and completion, by prompt_toolkit."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers.sql import SqlLexer

from spanverdict.output import FORMATS
from spanverdict.sql_shell import COMMANDS, Catalog, Shell, is_whole
from sql import statements

_WORD = re.compile(r"[\w.]+$")
_KEYWORDS = (
    "SELECT", "FROM", "WHERE", "GROUP BY", "GROUP BY ALL", "ORDER BY", "LIMIT", "HAVING", "QUALIFY", "JOIN",
    "LEFT JOIN", "USING", "ON", "AND", "OR", "NOT", "IN", "IS NULL", "IS NOT NULL", "BETWEEN", "LIKE", "ILIKE", "CASE",
    "WHEN", "THEN", "ELSE", "END", "WITH", "AS", "DISTINCT", "UNION ALL", "INTERVAL", "DESC", "ASC", "FILTER",
    "EXPLAIN", "count(*)", "sum(", "avg(", "min(", "max(", "quantile_cont(", "date_trunc(", "now()",
)  # fmt: skip


def run_shell(shell: Shell) -> None:
    """Read and run lines until the user leaves."""
    click.echo("One SELECT at a time, ended by a semicolon. .help lists the commands, Tab completes.", err=True)
    session: PromptSession[str] = PromptSession(
        history=open_history(),
        completer=SqlCompleter(shell.catalog),
        complete_while_typing=False,
        key_bindings=_keys(),
        lexer=PygmentsLexer(SqlLexer),
        multiline=True,
        prompt_continuation=lambda width, _number, _wrapped: "… ".rjust(width),
    )
    while True:
        try:
            text = session.prompt("spanverdict> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if not shell.run(text):
            return


def history_file() -> Path:
    """Where the lines that were typed are kept: the user's state folder (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "spanverdict" / "sql_history"


def open_history() -> History:
    """Lines typed before; questions may quote what users said, so the file is for its owner alone."""
    path = history_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with contextlib.closing(os.fdopen(descriptor, "ab")) as file:
            os.fchmod(file.fileno(), 0o600)
    except OSError as error:
        click.echo(f"{path} cannot be written ({error.strerror}); lines are not kept.", err=True)
        return InMemoryHistory()
    return FileHistory(str(path))


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_whole(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return keys


class SqlCompleter(Completer):
    """Completes commands, saved queries, tables, columns and keywords.

    Args:
        catalog: the tables and their columns.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._columns = {table: [name for name, _ in columns] for table, columns in catalog.columns.items()}

    def get_completions(self, document: Document, _complete_event: CompleteEvent) -> Iterable[Completion]:
        """What the word before the cursor may become."""
        before = document.text_before_cursor
        found = _WORD.search(before)
        word = found[0] if found else ""
        for candidate in self._candidates(before.lstrip(), word):
            if candidate.lower().startswith(word.lower()) and candidate != word:
                yield Completion(candidate, start_position=-len(word))

    def _candidates(self, before: str, word: str) -> Iterator[str]:
        command, space, _ = before.partition(" ")
        if command.startswith("."):
            told = {".run": statements.query_names(), ".show": statements.query_names(), ".format": FORMATS,
                    ".schema": tuple(self._columns)}  # fmt: skip
            yield from sorted(told.get(command, ())) if space else COMMANDS
            return
        table, dot, _ = word.rpartition(".")
        if dot:
            yield from (f"{table}.{column}" for column in self._columns.get(table, ()))
            return
        yield from sorted(self._columns)
        # Columns of the tables that the query names come first; of all, where it names none yet.
        named = [table for table in self._columns if re.search(rf"\b{re.escape(table)}\b", before)]
        yield from sorted({column for table in named or self._columns for column in self._columns[table]})
        yield from _KEYWORDS
