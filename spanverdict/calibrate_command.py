"""`spanverdict calibrate`: what the installed configuration does on the user's own traffic."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from analytics.calibrate import Plan, calibrate, read_traffic
from analytics.calibrations import store_calibration
from analytics.placebo import TooLittleTrafficError
from analytics.report.calibration import Calibration
from analytics.report.calibration_table import render_calibration
from spanverdict.job_options import job_options
from spanverdict.options import Settings, Time, store_options
from spanverdict.output import FORMATS, write_file, write_rows
from sql.access import open_store
from sql.clock import utc_now

EXIT_TOO_LITTLE = 3
"""The status of a report that had nothing to compare."""

_LEAST_WIDTH = 100

_ROWS = pa.schema(
    {
        "metric": pa.string(),
        "cohort": pa.string(),
        "margins": pa.float64(),
        "injected": pa.float64(),
        "unit": pa.string(),
        "found": pa.float64(),
        "median_day": pa.int64(),
        "missed": pa.float64(),
        "false_alarms": pa.float64(),
        "traces_per_day": pa.float64(),
    }
)


@click.command("calibrate")
@click.argument("promotion_name", metavar="PROMOTION")
@click.option("--splits", type=click.IntRange(1, 100_000), default=200, show_default=True,
              help="Random splits without a difference.")  # fmt: skip
@click.option("--injections", type=click.IntRange(0, 100_000), default=20, show_default=True,
              help="In how many of them each metric is made worse, by its margin and by twice that.")  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The same seed, the same splits."
)
@click.option("--as-of", type=Time(), help="Look at the world as it was known then; default: now.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False),
              help="Write to a file instead of standard output.")  # fmt: skip
@store_options
def calibrate_command(
    settings: Settings, promotion_name: str, splits: int, injections: int, seed: int, as_of: datetime | None,
    form: str, out: Path | None,
) -> None:  # fmt: skip
    """Judge placebo promotions on your own traffic: the real rate of false alarms, and which regressions are found.

    Exits with 3 if there is too little traffic of the base model.
    """
    if injections > splits:
        raise click.UsageError(f"--injections is {injections}, of {splits} --splits; take at most as many.")
    options = job_options(settings.config)
    moment = as_of or utc_now()
    with open_store(settings.db) as store:
        try:
            promotion, traffic, metrics = read_traffic(store, promotion_name, options, as_of=moment)
        except TooLittleTrafficError as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(EXIT_TOO_LITTLE) from error
    # It takes a while, during which others may use the store.
    with _progress() as progress:
        bar = progress.add_task("Judging placebo promotions", total=splits)
        found = calibrate(
            traffic, metrics, Plan(splits, injections, seed), alpha=options.alpha, as_of=moment,
            progress=lambda: progress.advance(bar),
        )  # fmt: skip
    with open_store(settings.db, write=True) as store:
        store_calibration(store, promotion, options, found, now=utc_now())
    if form != "table":
        write_rows(pa.Table.from_pylist(list(_rows(found)), _ROWS), form, out)
        return
    width = max(_LEAST_WIDTH, shutil.get_terminal_size((_LEAST_WIDTH, 24)).columns)
    text = render_calibration(found, options.alpha, width)
    if out:
        write_file(out, text.encode())
    else:
        click.echo(text, nl=False)


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _rows(found: Calibration) -> Iterator[dict[str, Any]]:
    """One row for each metric and size over all cohorts (cohort null), and one for each of its cohorts."""
    for row in found.metrics:
        shared = {"metric": row.metric, "margins": row.margins, "unit": row.unit}
        for part in (row, *row.cohorts):
            own = {name: getattr(part, name) for name in ("injected", "found", "median_day", "missed", "false_alarms")}
            where = {name: getattr(part, name, None) for name in ("cohort", "traces_per_day")}
            yield shared | own | where
