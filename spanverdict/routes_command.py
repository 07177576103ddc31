"""`spanverdict routes`."""

from __future__ import annotations

import difflib
from datetime import timedelta
from pathlib import Path

import click

from analytics.errors import InputError
from analytics.promotions import Promotion, find_promotion
from analytics.report.model import Report
from analytics.routes.apply import PresentFile, read_file, replace_file
from analytics.routes.formats import FORMATS, format_of, read, render
from analytics.routes.model import Rendered, RoutePlan
from analytics.routes.plan import PlanOptions, plan_routes
from analytics.stored_reports import find_report, newest_report, report_id
from spanverdict.options import Number, Settings, store_options
from spanverdict.output import printable, write_file
from sql.access import Access, open_store
from sql.clock import utc_now


@click.command("routes")
@click.argument("promotion_name", metavar="PROMOTION")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: what the present file is in, else json.")
@click.option(
    "--policy",
    type=click.Choice(["safe", "cost"]),
    help="What a promoted cohort gets: the candidate (safe), or the model that costs less (cost).",
)
@click.option("--report", "identity", metavar="ID", help="The report to follow; default: the newest that is stored.")
@click.option("--max-age", type=Number(min=0, min_open=True), metavar="HOURS", help="Refuse a report that is older.")
@click.option(
    "--current", type=click.Path(path_type=Path, dir_okay=False, exists=True), metavar="FILE",
    help="The gateway's present file: undecided cohorts keep their shares, and what is not ours is kept.",
)  # fmt: skip
@click.option("--diff", is_flag=True, help="Show what changes in the present file instead of all of it.")
@click.option(
    "--apply-to", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Change the gateway's file, in one step; it is the present file as well.",
)  # fmt: skip
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to a file instead of standard output.",
)
@store_options
def routes_command(
    settings: Settings,
    promotion_name: str,
    form: str | None,
    policy: str | None,
    identity: str | None,
    max_age: float | None,
    current: Path | None,
    apply_to: Path | None,
    out: Path | None,
    *,
    diff: bool,
) -> None:
    """Turn a report's decisions into routes: which cohort goes to which model, as a file that a gateway loads."""
    if apply_to is not None and (current is not None or out is not None):
        raise click.UsageError("--apply-to names the present file and the new one; leave --current and --out out.")
    config = settings.config.routes
    gateway = config.gateway_settings(promotion_name)
    path = apply_to or current
    present = read_file(path) if path else None
    text = present.text if present else None
    shown = str(path)
    found = format_of(text, shown, form) if text and text.strip() else None
    form = form or found or ("json" if apply_to is None else None)
    if form is None:
        raise click.UsageError(f"{apply_to} is not there yet, or empty: say with --format what to write.")
    if apply_to is not None and found not in (None, form):
        raise click.UsageError(f"{apply_to} is in the format {found}, not {form}.")
    with open_store(settings.db) as store:
        promotion = find_promotion(store, promotion_name)
        report = _report(store, promotion_name, identity)
    _check_age(report, promotion, max_age, config.max_age_hours)
    options = PlanOptions(
        "cost" if (policy or config.policy) == "cost" else "safe", config.steps, config.mirror_rate, config.fallback
    )
    known = read(text, found, promotion_name, gateway) if text and found else None
    plan = plan_routes(report, report_id(report), known, options)
    result = render(plan, form, gateway, text if found == form else None)
    _tell(plan, result)
    before = text if found == form and text else ""
    if apply_to is not None and present is not None:
        _apply(present, apply_to, before, result.text, show=diff)
    else:
        _write(_difference(before, result.text, shown if before else "nothing") if diff else result.text, out)


def _report(store: Access, promotion: str, identity: str | None) -> Report:
    if identity is None:
        return newest_report(store, promotion, before=utc_now()).report
    report = find_report(store, identity).report
    if report.promotion.name != promotion:
        raise InputError(f"The report {identity!r} is one of {report.promotion.name!r}, not of {promotion!r}.")
    return report


def _check_age(report: Report, promotion: Promotion, max_age: float | None, warn_hours: float) -> None:
    age = utc_now() - report.as_of
    told = f"The report speaks of {report.as_of.isoformat()}Z, {age / timedelta(hours=1):.0f} hours ago"
    make = f"make a new one with `spanverdict report {report.promotion.name}`"
    if max_age is not None and age > timedelta(hours=max_age):
        raise InputError(f"{told}, more than --max-age {max_age:g}: {make}.")
    if age > timedelta(hours=warn_hours):
        click.echo(f"Warning: {told}; {make}.", err=True)
    ended = promotion.ended_at
    if ended is not None and report.as_of < ended <= utc_now():
        click.echo(
            f"Warning: The comparison ended at {ended.isoformat()}Z, after {report.as_of.isoformat()}Z, of which the "
            f"report speaks; {make}.",
            err=True,
        )


def _tell(plan: RoutePlan, result: Rendered) -> None:
    """Say on standard error where each cohort goes and why, and what the format cannot say."""
    for route in plan.all_routes:
        name = "everything else" if route.cohort is None else repr(route.cohort)
        share = f"{route.candidate_share:.4g} to {plan.candidate}"
        where = {0.0: plan.base, 1.0: plan.candidate}.get(route.candidate_share, share)
        click.echo(printable(f"{name}: {where}. {route.reason}"), err=True)
    for note in result.notes:
        click.echo(printable(f"Note: {note}"), err=True)


def _apply(present: PresentFile, path: Path, before: str, after: str, *, show: bool) -> None:
    if present.data is not None and before == after:
        click.echo(f"{path} says so already; it was not touched.", err=True)
        return
    replace_file(present, after)
    changed = _difference(before, after, str(path))
    click.echo(changed, nl=False, err=not show)
    click.echo(f"Changed {path}.", err=True)


def _difference(before: str, after: str, name: str) -> str:
    """A unified diff; empty if nothing changes."""
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), name, "routes")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
    else:
        write_file(out, text.encode())
        click.echo(f"Wrote {out}.", err=True)
