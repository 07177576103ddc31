"""Exports among what is imported: which they are, and taking them back with progress on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spanverdict.derivation import bring_up_to_date
from spanverdict.export_manifest import MANIFEST, Manifest
from spanverdict.export_target import ExportError, ExportTarget
from spanverdict.job_options import job_options
from spanverdict.options import Settings
from spanverdict.restore import restore
from sql.access import RemoteStore, make_store, open_store


def export_at(path: str) -> ExportTarget | None:
    """The export at a place; None if its files are to be read like any others, which an export as OTLP is made for.

    Raises:
        ExportError: an address holds no export that can be taken back.
    """
    target = ExportTarget.at(path)
    manifest = Manifest.of(target)
    if manifest is None:
        raise ExportError(f"There is no export at {target.shown}: it has no {MANIFEST}.")
    if manifest.format == "parquet":
        return target
    if "://" in path:
        raise ExportError(f"{target.shown} is an export as OTLP: copy it to a folder, and import that.")
    return None


def restore_all(settings: Settings, exports: Sequence[ExportTarget], tell: Callable[[str], None]) -> None:
    """Take exports back into the store, which is made if absent, and derive what is to be derived of them.

    Args:
        settings: the store, and what is derived how.
        exports: where they lie.
        tell: says one line to the person.
    """
    options = job_options(settings.config)
    make_store(settings.db)
    manifests = [(target, found) for target in exports if (found := Manifest.of(target))]
    console = Console(stderr=True)
    columns = (TextColumn("Importing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with open_store(settings.db, write=True) as store:
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
            rows = sum(file.rows for _, manifest in manifests for file in manifest.files.values())
            bar = progress.add_task("", total=rows)
            for target, manifest in manifests:
                done = restore(store, target, manifest, lambda rows: progress.advance(bar, rows))
                tell(
                    f"Imported an export of {done.files} file{'' if done.files == 1 else 's'}: {done.rows} rows,"
                    f" {done.stored} of them new or changed."
                )
        if not isinstance(store, RemoteStore):
            # With a server running, the server derives.
            bring_up_to_date(store, options)
