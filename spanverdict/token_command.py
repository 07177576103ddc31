"""`spanverdict token`: what senders prove themselves with."""

from __future__ import annotations

import json
import secrets

import click

from collector.credentials import token_hash


@click.group("token")
def token_command() -> None:
    """Tokens of senders."""


@token_command.command("new")
@click.argument("name")
def token_new(name: str) -> None:
    """Draw a token for a sender: the token itself is shown once, the lines for the configuration hold only its hash."""
    if not name.strip() or not name.isprintable():
        raise click.UsageError("NAME is empty or not printable.")
    drawn = secrets.token_urlsafe(32)
    click.echo(f"The token of {name}, shown this once: {drawn}", err=True)
    click.echo(f"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20{drawn}", err=True)
    click.echo("For the configuration:", err=True)
    # A TOML basic string and a JSON string of printable characters are written alike.
    click.echo(f'[[tokens]]\nname = {json.dumps(name, ensure_ascii=False)}\nsha256 = "{token_hash(drawn)}"')
