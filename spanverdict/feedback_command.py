"""`spanverdict feedback import`: what users and business systems said, from files."""

from __future__ import annotations

from pathlib import Path

import click
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from analytics.feedback_file import Columns, FeedbackFileError, read_feedback
from analytics.job_options import json_pointer
from analytics.outcome_matching import match_outcomes
from spanverdict.ingest_path import content_policy_of
from spanverdict.options import Settings, store_options
from spanverdict.output import FORMATS, write_rows
from sql.access import Access, RemoteStore, open_store
from sql.clock import utc_now
from sql.errors import QueryError
from sql.feedback_rows import FIELDS, KEYS

_SHOWN = 20
"""How many rows that match nothing are shown unless a format or a file for all of them is named."""

_CONSTANTS = ("name", "value", "source")


@click.group("feedback")
def feedback_command() -> None:
    """Outcomes from users and business systems."""


@feedback_command.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--map",
    "mapped",
    metavar="FIELD=COLUMN",
    multiple=True,
    help="The column that holds a field, such as time=closed_at or key=ticket_id; may be repeated.",
)
@click.option("--name", help="The name of every row, such as escalated, whatever the file says.")
@click.option("--value", help="The value of every row, such as 1, whatever the file says.")
@click.option("--source", help="The source of every row, such as helpdesk, whatever the file says.")
@click.option("--dry-run", is_flag=True, help="Store nothing; say what would become of the rows.")
@click.option("--require-match", is_flag=True, help="Refuse a file with a row that matches nothing stored.")
@click.option("--format", "form", type=click.Choice(FORMATS),
              help="How --dry-run lists all rows that match nothing; default: a table of the first 20.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False),
              help="Where --dry-run lists them; default: standard output.")  # fmt: skip
@store_options
def feedback_import(
    settings: Settings, files: tuple[Path, ...], mapped: tuple[str, ...], name: str | None, value: str | None,
    source: str | None, form: str | None, out: Path | None, *, dry_run: bool, require_match: bool,
) -> None:  # fmt: skip
    """Import thumbs, escalations, reopened tickets from CSV, JSON Lines or Parquet, each file whole or not at all.

    Rows that are known already are passed over; a later row of the same identity replaces an earlier one.
    """
    if (form or out) and not dry_run:
        raise click.UsageError("--format and --out tell how --dry-run lists rows.")
    columns = _columns(mapped, dict(zip(_CONSTANTS, (name, value, source), strict=True)))
    policy = content_policy_of(settings.config.content)
    unmatched: list[pa.Table] = []
    with open_store(settings.db, write=not dry_run) as store:
        for file in files:
            rows = read_feedback(file, utc_now(), columns)
            if policy:
                rows, _ = policy.apply_to_feedback(rows)
            found = _checked(store, rows, settings.config.feedback.key_attribute, needed=dry_run or require_match)
            missed = _missed(file, rows, found)
            if require_match and missed.num_rows:
                raise FeedbackFileError(_refusal(missed))
            if dry_run:
                unmatched.append(missed)
                click.echo(_forecast(file, found), err=True)
            else:
                click.echo(_import(store, file, rows, found), err=True)
            if missed.num_rows:
                click.echo(_hint(missed, settings.config.feedback.key_attribute, listed=dry_run), err=True)
        if not dry_run and not isinstance(store, RemoteStore):
            # With a server running, the server matches.
            match_outcomes(store, settings.config.feedback.key_attribute)
    if unmatched:
        _list(pa.concat_tables(unmatched), form, out)


def _columns(mapped: tuple[str, ...], constants: dict[str, str | None]) -> Columns:
    named: dict[str, str] = {}
    constant = {field: text for field, text in constants.items() if text is not None}
    for field, text in constant.items():
        if not text.strip():
            raise click.UsageError(f"--{field} is empty.")
    for pair in mapped:
        field, _, column = pair.partition("=")
        if field not in FIELDS or not column:
            raise click.UsageError(f"--map {pair!r} is not FIELD=COLUMN, with a field among {', '.join(FIELDS)}.")
        if field in named or field in constant:
            raise click.UsageError(f"The {field} is given twice.")
        named[field] = column
    return Columns(named, constant)


def _checked(store: Access, rows: pa.Table, key_attribute: str | None, *, needed: bool) -> pa.Table:
    """What would become of the rows; of none of them where it is not needed and cannot be told, such as in time."""
    numbered = rows.add_column(0, "row_number", pa.array(range(1, rows.num_rows + 1), pa.int64()))
    keyed = key_attribute is not None and rows["key"].null_count < rows.num_rows
    # Without keys the attributes of all spans need not be read.
    pointer = json_pointer(key_attribute) if keyed and key_attribute else None
    try:
        return store.check("feedback", numbered, {"key_path": pointer})
    except QueryError as error:
        if needed:
            raise
        click.echo(f"Which rows match nothing could not be told: {error}", err=True)
        return pa.table(
            {
                "row_number": pa.array([], pa.int64()),
                "becomes": pa.array([], pa.string()),
                "is_matched": pa.array([], pa.bool_()),
            }
        )


def _missed(file: Path, rows: pa.Table, found: pa.Table) -> pa.Table:
    """The rows that match nothing: their number, and each one's first key and its value."""
    frame = pl.DataFrame(pl.from_arrow(rows.select(list(KEYS)))).with_columns(
        pl.int_range(1, pl.len() + 1).alias("row")
    )
    told = pl.DataFrame(pl.from_arrow(found)).select("is_matched", row="row_number")
    missed = frame.join(told.filter(~pl.col("is_matched")), on="row", how="semi", maintain_order="left")
    first = [(pl.col(key).is_not_null(), key) for key in ("span_id", *(key for key in KEYS if key != "span_id"))]
    key, value = pl.lit(None, pl.String), pl.lit(None, pl.String)
    for present, name in reversed(first):
        key = pl.when(present).then(pl.lit(name)).otherwise(key)
        value = pl.when(present).then(pl.col(name)).otherwise(value)
    table: pa.Table = missed.select(
        pl.lit(str(file)).alias("file"), "row", key.alias("key"), value.alias("value")
    ).to_arrow(compat_level=pl.CompatLevel.oldest())
    return table


def _refusal(missed: pa.Table) -> str:
    first = {name: column[0].as_py() for name, column in zip(missed.column_names, missed.columns, strict=True)}
    others = missed.num_rows - 1
    more = f", nor {'do' if others > 1 else 'does'} {others:,} more" if others else ""
    place, target = f"{first['file']}, row {first['row']}", f"{first['key']} {first['value'][:60]!r}"
    return f"{place}: {target} matches nothing that is stored{more}; nothing of it was imported."


def _becomes(found: pa.Table, what: str) -> int:
    return int(pc.sum(pc.equal(found["becomes"], what), min_count=0).as_py())


def _forecast(file: Path, found: pa.Table) -> str:
    if not found.num_rows:
        return f"{file} has no rows."
    new, known, corrections = (_becomes(found, what) for what in ("new", "repeat", "correction"))
    return (
        f"{file}: of {found.num_rows:,} rows {new:,} are new, {known:,} are known already, {corrections:,} correct an "
        "earlier one. Nothing was stored."
    )


def _import(store: Access, file: Path, rows: pa.Table, found: pa.Table) -> str:
    if not rows.num_rows:
        return f"{file} has no rows."
    stored = store.write({"feedback": rows})["feedback"]
    corrected = _becomes(found, "correction")
    corrections = f", {corrected:,} of them correct an earlier one" if corrected else ""
    return f"Imported {stored:,} outcomes from {file}{corrections}; {rows.num_rows - stored:,} were there already."


def _hint(missed: pa.Table, key_attribute: str | None, *, listed: bool) -> str:
    keyed = int(pc.sum(pc.equal(missed["key"], "key"), min_count=0).as_py())
    said = f"{missed.num_rows:,} of its rows match nothing that is stored yet"
    if keyed and key_attribute is None:
        return f"{said}; {keyed:,} have only a key: name its attribute as feedback.key_attribute in the configuration."
    return f"{said}; they find their traces when these arrive." + ("" if listed else " --dry-run lists them.")


def _list(unmatched: pa.Table, form: str | None, out: Path | None) -> None:
    if form or out:
        write_rows(unmatched, form or "table", out)
    elif unmatched.num_rows:
        write_rows(unmatched.slice(0, _SHOWN), "table", None)
        if unmatched.num_rows > _SHOWN:
            click.echo(f"({unmatched.num_rows - _SHOWN:,} more; --format or --out lists all)", err=True)
