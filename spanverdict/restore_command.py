"""`spanverdict restore`."""

from __future__ import annotations

from pathlib import Path

import click

from spanverdict.options import Settings, store_options


@click.command("restore")
@click.argument("source", metavar="FOLDER", type=click.Path(path_type=Path))
@store_options
def restore_command(settings: Settings, source: Path) -> None:
    """Make a store of a backup, where there is none yet; every file is checked first.

    Start `spanverdict serve` on it afterwards.
    """
    from spanverdict.backup import restore_backup  # noqa: PLC0415 (not loaded for --help)
    from spanverdict.byte_progress import byte_progress  # noqa: PLC0415 (as above)

    path = settings.file("Restore into a file, then `spanverdict migrate --to` the shared store.")
    with byte_progress("Restoring") as advance:
        manifest = restore_backup(source, path, advance)
    click.echo(
        f"Restored {manifest.contents.sentence()} as {path}, as of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC.",
        err=True,
    )
