"""`spanverdict reports`: the reports that were made, shown again and compared."""

from __future__ import annotations

from pathlib import Path

import click

from spanverdict.options import Settings, store_options
from spanverdict.output import FORMATS as ROW_FORMATS
from spanverdict.output import write_rows
from spanverdict.report_output import format_of, is_colored, rendered, tell
from sql.access import open_store

_DOCUMENTS = ("table", "html", "md", "json", "junit")
_COMPARISONS = ("table", "md", "json")
_out = click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to a file instead of standard output.",
)


@click.group("reports")
def reports_command() -> None:
    """Reports that were made: listed, shown again, compared; and the JSON Schema of them."""


@reports_command.command("list")
@click.argument("promotion", required=False)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@click.option("--format", "form", type=click.Choice(ROW_FORMATS), default="table", show_default=True)
@store_options
def reports_list(settings: Settings, promotion: str | None, limit: int | None, form: str) -> None:
    """List the reports that were made, of one promotion or all, those of the latest moment first."""
    from analytics.promotions import find_promotion  # noqa: PLC0415 (for one command)
    from analytics.stored_reports import list_reports  # noqa: PLC0415

    with open_store(settings.db) as store:
        rows = list_reports(store, promotion=promotion, limit=limit)
        if promotion is not None and not rows.num_rows:
            find_promotion(store, promotion)
    write_rows(rows, form, None)


@reports_command.command("show")
@click.argument("identity", metavar="ID")
@click.option(
    "--format",
    "form",
    type=click.Choice(_DOCUMENTS),
    help="Default: what the name of --out ends with, else table.",
)
@_out
@store_options
def reports_show(settings: Settings, identity: str, form: str | None, out: Path | None) -> None:
    """Show a report that was made, by its id or a beginning of it. As JSON it is what was stored, to the byte."""
    from analytics.stored_reports import find_report  # noqa: PLC0415 (for one command)

    form = format_of(form, out, _DOCUMENTS)
    with open_store(settings.db) as store:
        found = find_report(store, identity)
        text = found.body if form == "json" else rendered(store, found.report, form, color=is_colored(out))
    tell(text, out)


@reports_command.command("compare")
@click.argument("identity", metavar="ID")
@click.argument("other", metavar="[OTHER]", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(_COMPARISONS),
    help="Default: what the name of --out ends with, else table.",
)
@_out
@store_options
def reports_compare(settings: Settings, identity: str, other: str | None, form: str | None, out: Path | None) -> None:
    """Say what changed since another report: by default since the one before it of the same promotion.

    Exits with 1 if there is a new regression, else 0.
    """
    from analytics.report.changes import render_changes  # noqa: PLC0415 (for one command)
    from analytics.report_changes import Standing, changes  # noqa: PLC0415
    from analytics.stored_reports import find_report, previous_report  # noqa: PLC0415

    form = format_of(form, out, _COMPARISONS)
    with open_store(settings.db) as store:
        after = find_report(store, identity)
        before = previous_report(store, after.report) if other is None else find_report(store, other)
    found = changes(None if before is None else before.report, after.report)
    identities = (None if before is None else before.report_id, after.report_id)
    tell(render_changes(found, form, identities, color=is_colored(out)), out)
    raise SystemExit(int(found.count(Standing.NEW) > 0))


@reports_command.command("schema")
def reports_schema() -> None:
    """Print the JSON Schema of a report in JSON."""
    from analytics.report.schema import text  # noqa: PLC0415 (for one command)

    click.echo(text(), nl=False)
