"""`spanverdict mcp`: the store for coding agents."""

from __future__ import annotations

import sys

import click

from spanverdict.options import Number, Settings, store_options


@click.command("mcp")
@click.option(
    "--query-seconds",
    type=Number(0, min_open=True),
    default=50.0,
    show_default=True,
    help="How long one query may take. Agents give up on an answer after a minute or so.",
)
@store_options
def mcp_command(settings: Settings, query_seconds: float) -> None:
    """Serve reports, traces and read-only SQL to a coding agent, over the Model Context Protocol (stdio)."""
    try:
        from spanverdict.mcp_server import mcp_server  # noqa: PLC0415 (the SDK is an extra)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"mcp", "mcp_types"}:
            raise
        raise click.UsageError(
            "The MCP SDK is not installed, or not in release 2: pip install 'spanverdict[mcp]' brings it."
        ) from error
    server = mcp_server(settings.db, query_seconds)
    if sys.stdin.isatty():
        click.echo("Waiting for an agent on standard input; Ctrl-C ends it.", err=True)
    server.run("stdio")
