"""`spanverdict pg`: the store for BI tools."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from pathlib import Path

import click

from spanverdict.config_sections import check_address
from spanverdict.listeners import credentials_of, host, is_loopback
from spanverdict.options import Number, Settings, store_options
from spanverdict.sql_answer import limits_of
from sql.errors import StoreUnavailableError


@click.command("pg")
@click.option("--listen", default="127.0.0.1:5433", show_default=True, help="The address, host:port.")
@click.option(
    "--query-seconds", type=Number(0, min_open=True), default=600.0, show_default=True,
    help="How long one query may take.",
)  # fmt: skip
@click.option(
    "--password-file", type=click.Path(path_type=Path, dir_okay=False),
    help="A file that holds a password of your own, taken beside the tokens.",
)  # fmt: skip
@store_options
def pg_command(settings: Settings, listen: str, query_seconds: float, password_file: Path | None) -> None:
    """Answer BI tools in PostgreSQL's protocol: read-only, by the server of the store; until SIGTERM or Ctrl-C."""
    try:
        from spanverdict.pg_server import PgServer  # noqa: PLC0415 (its libraries are an extra)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"pygwire", "sqlglot"}:
            raise
        raise click.UsageError("Its libraries are not installed: pip install 'spanverdict[pg]' brings them.") from error
    try:
        check_address(listen)
    except ValueError as error:
        raise click.BadParameter(f"{listen!r} cannot be used: {error}.", param_hint="--listen") from error
    password = _password(password_file) if password_file else None
    known, limits = credentials_of(settings.config), limits_of(settings.config.server)
    if not (isinstance(settings.db, Path) or password or known.has_reader()):
        raise click.UsageError(
            "Nobody could log in, for a shared store has no server's token: give --password-file, or configure a"
            " token in [[tokens]] that may read."
        )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    # What it says of the queries that it reads is for its developers.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    address = (host(listen).strip("[]"), int(listen.rpartition(":")[2]))
    try:
        server = PgServer(address, settings.db, known, query_seconds, password, limits)
    except OSError as error:
        raise StoreUnavailableError(f"{listen} cannot be listened on: {error.strerror or error}.") from error
    if not is_loopback(listen):
        click.echo(
            f"Warning: {listen} can be reached by others, and what is sent there, passwords too, is not encrypted."
            " Bind it to 127.0.0.1 and reach it through a tunnel.",
            err=True,
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    told = f"{host(listen)}:{server.server_address[1]}"
    click.echo(f"Answering PostgreSQL's clients on {told}, database spanverdict, password: a token.", err=True)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


def _password(file: Path) -> str:
    try:
        password = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise click.UsageError(f"{file} cannot be read: {reason}.") from error
    if not password:
        raise click.UsageError(f"{file} is empty: write a password into it.")
    return password
