"""`spanverdict compact`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from spanverdict.config import ConfigError
from spanverdict.options import Settings, store_options
from sql.access import connect
from sql.errors import StoreUnavailableError
from sql.lake_address import LakeAddress


@click.command("compact")
@click.option("--merge-only", is_flag=True, help="Of a shared store: merge where many small files wait, and remove "
              "nothing.")  # fmt: skip
@click.option("--quiet", is_flag=True, help="Say nothing of what was done.")
@store_options
def compact_command(settings: Settings, *, merge_only: bool, quiet: bool) -> None:
    """Make a store smaller and faster to read.

    A file is written anew, without free blocks and what deleted rows left there; no server may run. A shared store is
    compacted beside its writers and readers: small files are merged, and what nobody needs any more is removed.
    """
    if isinstance(settings.db, LakeAddress):
        done = _compact_lake(settings, settings.db, merge_only=merge_only)
    elif merge_only:
        raise ConfigError(f"{settings.db} is a file, which has nothing to merge: leave --merge-only out.")
    else:
        done = _compact_file(settings.db)
    if not quiet:
        click.echo(done, err=True)


def _compact_file(path: Path) -> str:
    if not path.exists():
        raise StoreUnavailableError(f"There is no store at {path}; name another with --db.")
    if remote := connect(path, flush=False):
        remote.close()
        raise StoreUnavailableError(f"A server runs on {path}: stop it, compact, and start it again.")
    from sql.compaction import compact  # noqa: PLC0415 (the database is not loaded where it is not needed)

    done = compact(path)
    return f"{path} had {done.before / 2**20:,.1f} MiB and has {done.after / 2**20:,.1f} MiB."


def _compact_lake(settings: Settings, address: LakeAddress, *, merge_only: bool) -> str:
    from sql.lake_upkeep import AT_ALL, SOON, LakeUpkeep  # noqa: PLC0415 (as above)

    config = settings.config
    with LakeUpkeep(address) as upkeep:
        merged = upkeep.merge(SOON if merge_only else AT_ALL)
        told = [f"{merged.files:,} files were merged, or written anew, into {merged.into:,}."]
        told += [f"{table} was being changed; the next run merges its files." for table in merged.gave_way]
        if not merge_only:
            # What a query began to read is there for as long as it may take.
            keep = max(timedelta(minutes=config.lake.keep_minutes), 2 * timedelta(seconds=config.server.query_seconds))
            tidied = upkeep.tidy(keep)
            told.append(
                f"{tidied.files:,} files were removed that nobody needs any more, {tidied.orphans:,} that no commit"
                f" listed, {tidied.snapshots:,} snapshots and {tidied.rows:,} rows of the catalog; {tidied.flushed:,}"
                " rows moved from the catalog into files."
            )
    return "\n".join(told)
