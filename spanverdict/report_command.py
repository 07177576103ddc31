"""`spanverdict report`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import click

from analytics.engine import check_engine, engine_at
from analytics.report import FORMATS, exit_status
from spanverdict.options import EXIT_USAGE, Settings, Time, store_options
from spanverdict.output import printable
from spanverdict.report_output import format_of, is_colored, rendered, tell
from sql.access import open_store
from sql.address import beside
from sql.clock import utc_now

EXIT_REGRESSED = 1


class EngineAddress(click.ParamType[str]):
    """Where a distributed engine is."""

    name = "ADDRESS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Check the text of an option."""
        try:
            return check_engine(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}.", param, ctx)


@click.command("report")
@click.argument("promotion_name", metavar="[PROMOTION]", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Default: what the name of --out ends with, else table.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to a file instead of standard output.",
)
@click.option("--as-of", type=Time(), help="Look at the world as it was known then; default: now.")
@click.option("--engine", type=EngineAddress(), help="Make the rows of traces on a cluster: dask://HOST:PORT.")
@click.option("--fail-on-undecided", is_flag=True, help="Exit with 3 when nothing could be decided.")
@click.option("--scheduled", is_flag=True, help="Make the reports of [[schedule]] that are due now, each once.")
@click.option("--no-wait", is_flag=True, help="With --scheduled: leave a slot whose delay is not over to the next run.")
@click.option("--schedule", "names", multiple=True, help="With --scheduled: only this schedule; may be repeated.")
@store_options
def report_command(
    settings: Settings,
    promotion_name: str | None,
    form: str | None,
    out: Path | None,
    as_of: datetime | None,
    engine: str | None,
    *,
    fail_on_undecided: bool,
    scheduled: bool,
    no_wait: bool,
    names: tuple[str, ...],
) -> None:
    """Compare base and candidate by cohort. Exits with 1 if a metric regressed, 3 without any data, else 0."""
    if scheduled:
        if promotion_name or form or out or as_of or engine or fail_on_undecided:
            raise click.UsageError(
                "--scheduled makes what [[schedule]] in the configuration says: it takes no PROMOTION and no other "
                "option than --schedule and --no-wait."
            )
        raise SystemExit(_report_scheduled(settings, names, wait=not no_wait))
    if promotion_name is None:
        raise click.UsageError("Missing argument 'PROMOTION'; or use --scheduled for the reports that are due.")
    if names or no_wait:
        raise click.UsageError(f"{'--schedule' if names else '--no-wait'} belongs to --scheduled.")
    raise SystemExit(_report(settings, promotion_name, form, out, as_of, engine, fail_on_undecided=fail_on_undecided))


def _report(
    settings: Settings,
    promotion_name: str,
    form: str | None,
    out: Path | None,
    as_of: datetime | None,
    engine: str | None,
    *,
    fail_on_undecided: bool,
) -> int:
    # What these load is not needed where only schedules are looked at.
    from analytics.job import run_report  # noqa: PLC0415
    from analytics.part_files import files_of  # noqa: PLC0415
    from analytics.stored_reports import store_report  # noqa: PLC0415
    from spanverdict.job_options import job_options  # noqa: PLC0415

    form = format_of(form, out, FORMATS)
    options = job_options(settings.config)
    with open_store(settings.db, write=True) as store:
        files = files_of(beside(settings.db))
        as_of = as_of or utc_now()
        with engine_at(engine or settings.config.report.engine, settings.db) as workers:
            result = run_report(store, promotion_name, options, as_of=as_of, now=utc_now(), files=files, engine=workers)
        text = rendered(store, result, form, color=is_colored(out))
        identity = store_report(store, result)
    tell(text, out)
    click.echo(f"Stored as report {identity}.", err=True)
    return exit_status(result, fail_on_undecided=fail_on_undecided)


def _report_scheduled(settings: Settings, names: Sequence[str], *, wait: bool) -> int:
    """Make what is due, one line for each; the gravest of the reports' exit statuses, 2 where one could not be made."""
    from spanverdict.scheduled_reports import chosen, run_due  # noqa: PLC0415 (as above)
    from spanverdict.scheduled_worker import Made  # noqa: PLC0415

    schedules = chosen(settings.config.schedule, names)
    statuses = {0}
    told = False
    with _ending_on_sigterm():
        for outcome in run_due(settings.db, settings.config, schedules, wait=wait):
            which = f"{outcome.run.schedule} {outcome.run.slot.isoformat()}Z {outcome.run.promotion}"
            made = isinstance(outcome.result, Made)
            said = outcome.result.headline if isinstance(outcome.result, Made) else outcome.result.sentence
            click.echo(printable(f"{which}: {said}" if made else f"{which} failed: {said}"), err=not made)
            statuses.add(outcome.result.status if isinstance(outcome.result, Made) else EXIT_USAGE)
            told = True
    if not told and sys.stderr.isatty():
        click.echo("Nothing is due; `spanverdict doctor` says when the next report is.", err=True)
    if statuses == {0}:
        return 0
    # A regression is told whatever else went wrong.
    return EXIT_REGRESSED if EXIT_REGRESSED in statuses else min(statuses - {0})


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end what runs as Ctrl-C does: the report's process is ended, and its claim given back."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
