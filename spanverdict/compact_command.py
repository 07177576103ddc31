"""`spanverdict compact`."""

from __future__ import annotations

import click

from spanverdict.options import Settings, store_options
from sql.access import connect
from sql.errors import StoreUnavailableError


@click.command("compact")
@store_options
def compact_command(settings: Settings) -> None:
    """Write the store's file anew, without free blocks and what deleted rows left there; no server may run."""
    path = settings.file("Its files are merged beside the writers.")
    if not path.exists():
        raise StoreUnavailableError(f"There is no store at {path}; name another with --db.")
    if remote := connect(path, flush=False):
        remote.close()
        raise StoreUnavailableError(f"A server runs on {path}: stop it, compact, and start it again.")
    from sql.compaction import compact  # noqa: PLC0415 (the database is not loaded where it is not needed)

    done = compact(path)
    click.echo(f"{path} had {done.before / 2**20:,.1f} MiB and has {done.after / 2**20:,.1f} MiB.", err=True)
