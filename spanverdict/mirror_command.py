"""`spanverdict mirror`: what a gateway got from the model beside the one that answered."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from analytics.mirror import MirrorError, read_pairs
from spanverdict.options import Settings, store_options
from sql import statements
from sql.access import open_store
from sql.clock import utc_now


@click.group("mirror")
def mirror_command() -> None:
    """Mirror results: requests that a gateway sent to a second model as well."""


@mirror_command.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@store_options
def mirror_import(settings: Settings, file: Path) -> None:
    """Import mirror results of the Agent Command Center from JSON or JSON Lines; - reads standard input."""
    content = settings.config.content
    # The collector's policy is applied to attributes of spans; answers that it would change are not kept at all.
    keep = content.completions == "keep" and not content.patterns and not content.custom_patterns
    if str(file) == "-":
        rows = read_pairs(sys.stdin.buffer, "standard input", utc_now(), keep_responses=keep)
    elif not file.is_file():
        raise MirrorError(f"{file} cannot be read: there is no such file.")
    else:
        with file.open("rb") as source:
            rows = read_pairs(source, str(file), utc_now(), keep_responses=keep)
    with open_store(settings.db, write=True) as store:
        stored = store.write({"mirror_pairs": rows})["mirror_pairs"]
        (unmatched,) = store.read(statements.read("mirror_unmatched"))["unmatched"].to_pylist()
    click.echo(f"Stored {stored:,} pairs, new or changed; {rows.num_rows - stored:,} were there already.", err=True)
    if unmatched:
        click.echo(
            f"{unmatched:,} stored pairs are of requests whose trace is not stored: their cohort and user are unknown.",
            err=True,
        )
