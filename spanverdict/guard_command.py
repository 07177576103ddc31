"""`spanverdict guard`: promotions that are watched between reports."""

from __future__ import annotations

from collections.abc import Iterator

import click

from analytics.alerts.outbox import read_known
from analytics.engine import engine_at
from analytics.errors import InputError
from analytics.job import run_report
from analytics.part_files import files_of
from analytics.report.findings import metric_names
from analytics.report.model import Report
from analytics.report.text import name, visible
from analytics.stored_reports import report_id as identity_of
from analytics.stored_reports import store_report
from spanverdict.alerting import announce_guard, guard_announcement, guard_stream
from spanverdict.config import Config
from spanverdict.guard_config import GuardConfig
from spanverdict.job_options import job_options
from spanverdict.options import Settings, store_options
from sql import statements
from sql.access import Access, open_store
from sql.address import beside
from sql.clock import utc_now

_LONGEST = 500


@click.group("guard")
def guard_command() -> None:
    """Promotions that are watched between reports, and rolled back as soon as a regression is certain."""


@guard_command.command("check")
@click.option("--promotion", "promotion_name", help="Only this one; default: all that are configured and under way.")
@click.option("--dry-run", is_flag=True, help="Say what would be rolled back; change nothing.")
@click.option("--quiet", is_flag=True, help="Say only what is rolled back.")
@store_options
def guard_check(settings: Settings, promotion_name: str | None, *, dry_run: bool, quiet: bool) -> None:
    """Look at guarded promotions as of now; cohorts in which a guarded metric regressed are rolled back, once each.

    The roll-back webhook is called by `spanverdict alerts deliver`, which a server runs by itself.
    """
    guards = _guards(settings.config, promotion_name)
    with open_store(settings.db, write=not dry_run) as store:
        for guard in guards:
            now = utc_now()
            is_open = store.read(statements.read("guard_open"), {"promotion": guard.promotion, "now": now}).num_rows
            if is_open or promotion_name is not None:
                _check(store, settings, guard, dry_run=dry_run, quiet=quiet)
            elif not quiet:
                click.echo(f"{name(guard.promotion)}: not under way.", err=True)


def _guards(config: Config, promotion: str | None) -> list[GuardConfig]:
    found = [guard for guard in config.guard if promotion in (None, guard.promotion)]
    if not found:
        whose = "" if promotion is None else f" for {promotion!r}"
        raise InputError(f"There is no [[guard]]{whose} in the configuration; add one with promotion and url_env.")
    return found


def _misnamed(guard: GuardConfig, report: Report) -> Iterator[str]:
    """What is guarded and is not there: a misspelt name would guard nothing, and nobody would know."""
    there = {"metric": metric_names(report), "cohort": tuple(cohort.cohort for cohort in report.cohorts)}
    for kind, guarded in (("metric", guard.metrics), ("cohort", guard.cohorts)):
        missing = [each for each in guarded if each not in there[kind]]
        if missing and report.cohorts:
            named = ", ".join(map(name, missing))
            known = visible(", ".join(sorted(there[kind])), _LONGEST)
            yield f"{name(guard.promotion)}: no {kind} {named} in the report, so nothing guards it; there are {known}."


def _check(store: Access, settings: Settings, guard: GuardConfig, *, dry_run: bool, quiet: bool) -> None:
    now = utc_now()
    config, files = settings.config, files_of(beside(settings.db))
    with engine_at(config.report.engine, settings.db) as engine:
        report = run_report(store, guard.promotion, job_options(config), as_of=now, now=now, files=files, engine=engine)
    for sentence in _misnamed(guard, report):
        click.echo(sentence, err=True)
    identity = identity_of(report)
    known = read_known(store, guard_stream(guard), identity)
    made = guard_announcement(config, guard, report, identity, known)
    if made is None:
        if not quiet:
            click.echo(f"{name(guard.promotion)}: nothing to roll back that was not before.", err=True)
        return
    told = "would be rolled back" if dry_run else "rolled back"
    if not dry_run:
        # A look that finds nothing is not kept: there are hundreds a day.
        store_report(store, report)
        if not announce_guard(store, config, guard, report, identity):
            return
    for event in made.events:
        click.echo(f"{name(guard.promotion)}, {name(event.cohort or '')}: {told}. {event.sentence}")
