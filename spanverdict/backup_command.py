"""`spanverdict backup`."""

from __future__ import annotations

from pathlib import Path

import click

from spanverdict.options import Settings, store_options

_OF_LAKE = (
    "`spanverdict migrate --to FILE` copies it; its catalog and its object store have backups of their own"
    " (docs/upkeep.md)."
)


@click.command("backup")
@click.argument("to", metavar="FOLDER", type=click.Path(path_type=Path))
@store_options
def backup_command(settings: Settings, to: Path) -> None:
    """Copy the store and its archive into a new folder, also while the server runs and takes spans.

    All that was acknowledged before is in it. `spanverdict restore` makes a store of it.
    """
    from spanverdict.backup import back_up  # noqa: PLC0415 (not loaded for --help)
    from spanverdict.byte_progress import byte_progress  # noqa: PLC0415 (as above)

    with byte_progress("Checking") as advance:
        manifest = back_up(settings.file(_OF_LAKE), to, advance)
    click.echo(
        f"Backed up {manifest.contents.sentence()}: {len(manifest.files)} files,"
        f" {manifest.size_bytes / 2**20:,.1f} MiB, in {to}, as of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC.",
        err=True,
    )
