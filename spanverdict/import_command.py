"""`spanverdict import`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from collector.otlp_files import find_files
from spanverdict.derivation import bring_up_to_date
from spanverdict.export_manifest import MANIFEST
from spanverdict.export_requests import open_destination
from spanverdict.import_files import Importer, Summary
from spanverdict.job_options import job_options
from spanverdict.options import Settings, store_options
from spanverdict.output import printable
from sql.access import open_store

EXIT_REFUSED = 1


@click.command("import")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--again", is_flag=True, help="Import files that were imported before, too.")
@store_options
def import_command(settings: Settings, paths: tuple[str, ...], *, again: bool) -> None:
    """Import traces and log records from files of OTLP JSON, JSON Lines or protobuf, or from folders of them.

    What `export` wrote as Parquet comes back too. Exits with 1 if something was refused; the rest is stored.
    """
    others = _without_exports(settings, paths)
    if not others:
        return
    try:
        files = find_files(others)
        total = sum(path.stat().st_size for path in files)
    except FileNotFoundError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}.") from error
    options = job_options(settings.config)
    console = Console(stderr=True)
    columns = (TextColumn("Importing"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with (
        open_destination(settings.config, settings.db) as destination,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        bar = progress.add_task("", total=total)
        with Importer(destination, _tell, lambda size: progress.advance(bar, size), again=again) as importer:
            for path in files:
                importer.take(path)
    if destination.duplicates is not None:
        # With a server running, the server derives.
        with open_store(settings.db, write=True) as store:
            bring_up_to_date(store, options)
    click.echo(_summary(importer.summary, destination.duplicates), err=True)
    if importer.summary.refused or importer.summary.rejected:
        raise SystemExit(EXIT_REFUSED)


def _may_be_export(path: str) -> bool:
    return "://" in path or Path(path, MANIFEST).is_file()


def _without_exports(settings: Settings, paths: Sequence[str]) -> list[Path]:
    """Take back the exports among what is named; the rest is left."""
    if not any(_may_be_export(path) for path in paths):
        return [Path(path) for path in paths]
    from spanverdict import restored_exports  # noqa: PLC0415 (Parquet is not loaded for other files)

    found = {path: restored_exports.export_at(path) for path in paths if _may_be_export(path)}
    restored_exports.restore_all(settings, [export for export in found.values() if export], _tell)
    return [Path(path) for path in paths if not found.get(path)]


def _tell(line: str) -> None:
    click.echo(printable(line), err=True)


def _summary(summary: Summary, duplicates: Counter[str] | None) -> str:
    stored = summary.records - summary.rejected
    if duplicates is None:
        what = f"{stored} records handed to the server, which stores each one once"
    else:
        what = f"{stored - duplicates.total()} records stored, {duplicates.total()} were there already"
    passed_over = f" ({summary.passed_over} passed over)" if summary.passed_over else ""
    metrics = f" Metrics are not kept: {summary.metrics} lines or messages of them." if summary.metrics else ""
    return (
        f"Imported {_counted(summary.files, 'file')}{passed_over}: {what}, {summary.rejected} rejected;"
        f" {_counted(summary.refused, 'line or message', 'lines or messages')} refused.{metrics}"
    )


def _counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
