"""`spanverdict export`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spanverdict.options import Settings, Time, store_options
from spanverdict.output import printable
from sql.access import open_store
from sql.exported_tables import WHAT

_OF_OTLP = ("spans", "logs")
"""What OTLP has a form for."""


class _Parts(click.ParamType[tuple[str, ...]]):
    """Parts of a store, with commas between."""

    name = "PARTS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:  # noqa: ANN401
        """Parse the text of an option."""
        if isinstance(value, tuple):
            return value
        parts = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
        for part in parts:
            if part not in WHAT:
                self.fail(f"{part!r} is none of {', '.join(WHAT)}.", param, ctx)
        return parts


@click.command("export")
@click.option("--to", "where", metavar="DIR", required=True, help="A folder, made if absent, or s3://BUCKET/FOLDER.")
@click.option("--since", type=Time(), help="The first UTC day; default: the first there is.")
@click.option("--until", type=Time(), help="The moment before which the last UTC day begins; default: all there is.")
@click.option("--format", "form", type=click.Choice(("parquet", "otlp")), default="parquet", show_default=True)
@click.option(
    "--what", type=_Parts(), help=f"Parts, with commas between: {', '.join(WHAT)}; default: all that the format holds."
)
@store_options
def export_command(
    settings: Settings,
    where: str,
    since: datetime | None,
    until: datetime | None,
    form: str,
    what: tuple[str, ...] | None,
) -> None:
    """Write the store as Parquet, which `import` takes back, or its spans and log records as OTLP JSON Lines.

    Days are whole. Run again, it goes on where it was interrupted and writes what is new.
    """
    from spanverdict import export_files as files  # noqa: PLC0415 (not loaded for --help)
    from spanverdict.export_manifest import Manifest  # noqa: PLC0415 (as above)
    from spanverdict.export_otlp import OtlpForm  # noqa: PLC0415 (as above)
    from spanverdict.export_parquet import ParquetForm  # noqa: PLC0415 (as above)
    from spanverdict.export_target import ExportTarget  # noqa: PLC0415 (as above)

    held = _OF_OTLP if form == "otlp" else WHAT
    if what and not set(what) <= set(held):
        raise click.UsageError(f"OTLP holds {' and '.join(_OF_OTLP)}; export the rest with --format parquet.")
    parts = what or held
    first = _midnight(since) if since else files.FIRST
    end = _midnight(until - timedelta(microseconds=1)) + timedelta(days=1) if until else files.LAST
    if first >= end:
        raise click.UsageError("--since is not before --until.")
    target = ExportTarget.at(where)
    known = Manifest.of(target)
    console = Console(stderr=True)
    columns = (TextColumn("Exporting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        open_store(settings.db) as store,
        Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress,
    ):
        manifest = files.begin(store, known, form, parts)
        tables = [table for table in files.tables_of(parts) if form == "parquet" or table.name != "resources"]
        planned = [part for table in tables for part in files.partitions(store, table, first, end)]
        bar = progress.add_task("", total=sum(part.rows for part in planned))
        exporter = files.Exporter(
            store,
            target,
            OtlpForm(store) if form == "otlp" else ParquetForm(),
            manifest,
            lambda line: click.echo(printable(line), err=True),
            lambda rows: progress.advance(bar, rows),
        )
        exporter.run(planned)
    done = exporter.summary
    kept = f", {done.kept} kept that hold more than the store" if done.kept else ""
    click.echo(
        f"Exported {done.rows} rows into {done.files} files under {printable(target.shown)};"
        f" {done.unchanged} were there already{kept}.",
        err=True,
    )


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
