"""What the doctor finds in a store: what is missing or does not fit, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import polars as pl

from analytics.evaluators import with_passed
from analytics.job_options import JobOptions
from analytics.metrics import OUTCOME_PREFIX, metrics_for
from sql import statements
from sql.access import Access
from sql.clock import utc_now

MOST_GROUPS = 20
"""Lines of one kind."""

MOST_EVALUATIONS = 100_000
"""Evaluations read to see whether they can be read as passed or failed."""

PATIENT_HOURS = 1.0
"""How long an outcome may wait for its trace before it is worth a warning."""

LAG_ROUNDS = 12
"""Rounds of the follower after which what it has not done is worth a warning."""

CLOCK_SECONDS = 300
"""How far ahead of the clock here a sender may be."""


class Status(StrEnum):
    """How a finding stands."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor.

    Attributes:
        status: how it stands.
        check: what was looked at.
        detail: what was found, one sentence.
        mend: what to do; None where nothing is to be done.
    """

    status: Status
    check: str
    detail: str
    mend: str | None = None


def examine(store: Access, options: JobOptions, *, serving: bool, derive_seconds: float) -> Iterator[Finding]:
    """Look at what a store holds.

    Args:
        store: the store.
        options: what the configuration says.
        serving: whether a server runs on the store, which derives and matches by itself.
        derive_seconds: how often it does.

    Yields:
        One finding at least for each check.

    Raises:
        StoreError: the store could not answer.
    """
    yield from _arrivals(store)
    yield from _derivation(store, serving=serving, patience=LAG_ROUNDS * derive_seconds)
    yield from _matching(store, options, serving=serving, patience=LAG_ROUNDS * derive_seconds)
    yield from _unmatched(store, options)
    yield from _directions(store, options)
    yield from _evaluators(store, options)
    yield from _prices(store)
    yield from _clocks(store)


def _arrivals(store: Access) -> Iterator[Finding]:
    (row,) = _rows(store, "SELECT count(*) AS spans, max(received_at) AS latest FROM spans")
    if row["spans"]:
        yield Finding(
            Status.OK, "spans", f"{row['spans']:,} spans; the latest arrived {row['latest']:%Y-%m-%d %H:%M} UTC."
        )
    else:
        yield Finding(
            Status.WARN,
            "spans",
            "The store has no span yet.",
            "point an OTLP exporter at `spanverdict serve`, or use `spanverdict import`.",
        )


def _derivation(store: Access, *, serving: bool, patience: float) -> Iterator[Finding]:
    (row,) = _rows(store, "FROM derivation_progress")
    left = f"{row['spans_left']:,} spans and {row['traces_left']:,} marked traces wait to be derived"
    if not row["spans_left"] and not row["traces_left"]:
        yield Finding(Status.OK, "derivation", "Calls, chains and costs are up to date.")
    else:
        yield _lag("derivation", left, row["derived_at"], serving=serving, patience=patience)


def _matching(store: Access, options: JobOptions, *, serving: bool, patience: float) -> Iterator[Finding]:
    (row,) = _rows(store, "FROM matching_progress")
    if row["key_attribute"] != options.feedback_key:
        yield Finding(
            Status.WARN,
            "matching",
            f"Outcomes were matched by the key attribute {row['key_attribute'] or '(none)'}, the configuration names"
            f" {options.feedback_key or 'none'}.",
            "give this command and the server the same configuration, then run `spanverdict derive`.",
        )
    elif row["outcomes_left"] or row["spans_left"]:
        left = f"{row['outcomes_left']:,} outcomes and {row['spans_left']:,} spans wait to be matched"
        yield _lag("matching", left, row["matched_at"], serving=serving, patience=patience)
    else:
        yield Finding(Status.OK, "matching", "Outcomes are matched with all traces that have arrived.")


def _lag(check: str, left: str, last: Any, *, serving: bool, patience: float) -> Finding:  # noqa: ANN401 (a time of a row)
    if not serving:
        return Finding(Status.WARN, check, f"{left}, and no server runs.", "run `spanverdict derive`.")
    seconds = (utc_now() - last).total_seconds()
    if seconds < patience:
        return Finding(Status.OK, check, f"{left}; the server is at it.")
    return Finding(
        Status.WARN,
        check,
        f"{left}, and the server last wrote some {seconds / 60:,.0f} minutes ago.",
        "look into its log for what stops it; `spanverdict derive` does it at once.",
    )


def _unmatched(store: Access, options: JobOptions) -> Iterator[Finding]:
    given = {"hours": PATIENT_HOURS, "most": MOST_GROUPS + 1}
    groups = _rows(store, statements.read("doctor_outcomes"), given)
    (keys,) = _rows(store, "SELECT count(*) AS known FROM trace_keys")
    if not groups:
        yield Finding(Status.OK, "unmatched outcomes", "Every outcome that was looked for matches a trace.")
    for group in groups[:MOST_GROUPS]:
        source = f" from {group['source']}" if group["source"] else ""
        names = f"by {group['level']}" if group["level"] else "without a target"
        detail = (
            f"{group['outcomes']:,} {group['name']} ({group['kind']}{source}, {names}) match no trace, the oldest for"
            f" {_duration(group['longest_hours'])}."
        )
        mend = _mend(group, options, keys_known=bool(keys["known"]))
        waits = not group["waiting_long"] and mend is None
        if waits:
            yield Finding(Status.OK, "unmatched outcomes", f"{detail} Their traces may still come.")
        else:
            never = "their traces never arrived: see whether they are sampled out, or sent to another store."
            yield Finding(Status.WARN, "unmatched outcomes", detail, mend or never)
    if len(groups) > MOST_GROUPS:
        yield Finding(
            Status.WARN,
            "unmatched outcomes",
            f"More than {MOST_GROUPS} kinds of outcomes match no trace.",
            'see all with `spanverdict sql "FROM unmatched_outcomes_by_age"`.',
        )


def _mend(group: dict[str, Any], options: JobOptions, *, keys_known: bool) -> str | None:
    """What to do about outcomes that cannot match whatever arrives; None if they may."""
    if group["level"] is None:
        return "send a trace, span, response or conversation id with them, or a key."
    if group["malformed"]:
        digits = 16 if group["level"] == "span" else 32
        return (
            f"{group['malformed']:,} have an id that is not {digits} lowercase hex digits, such as"
            f" {group['example'][:40]!r}: send the id of the OpenTelemetry {group['level']}."
        )
    if group["level"] == "key" and options.feedback_key is None:
        return "name the attribute of the spans that holds this key as feedback.key_attribute in the configuration."
    if group["level"] == "key" and not keys_known:
        return f"no span or resource has the attribute {options.feedback_key}: set it where the trace begins."
    return None


def _directions(store: Access, options: JobOptions) -> Iterator[Finding]:
    names = [row["name"] for row in _rows(store, "SELECT DISTINCT name FROM feedback ORDER BY name LIMIT 1000")]
    columns = pl.DataFrame(schema=dict.fromkeys((f"{OUTCOME_PREFIX}{name}" for name in names), pl.Float64))
    try:
        judged = {metric.column for metric in metrics_for(columns, options.overrides)}
    except ValueError as error:
        yield Finding(Status.FAIL, "feedback", f"The configuration cannot be used: {error}", "correct it.")
        return
    without = [name for name in names if f"{OUTCOME_PREFIX}{name}" not in judged]
    for name in without[:MOST_GROUPS]:
        yield Finding(
            Status.WARN,
            "feedback",
            f"{name} is in no report: nobody said whether it is good or bad.",
            f'write [metrics.{name}_rate] with higher_is = "worse" or "better" into the configuration.',
        )
    if not without:
        yield Finding(Status.OK, "feedback", f"{len(names):,} kinds of feedback, each with a direction.")


def _evaluators(store: Access, options: JobOptions) -> Iterator[Finding]:
    table = store.read(statements.read("doctor_evaluations"), {"most": MOST_EVALUATIONS})
    told = with_passed(pl.DataFrame(pl.from_arrow(table)), options.evaluator_rules)
    unread = (
        told.group_by("name")
        .agg(unknown=pl.col("passed").is_null().sum(), all=pl.len())
        .filter(pl.col("unknown") > 0)
        .sort("unknown", "name", descending=[True, False])
    )
    for row in unread.head(MOST_GROUPS).iter_rows(named=True):
        yield Finding(
            Status.WARN,
            "evaluators",
            f"{row['unknown']:,} of {row['all']:,} recent results of {row['name']} are neither passed nor failed.",
            f"write [evaluators.{row['name']}] with its threshold into the configuration, or send a label.",
        )
    if unread.is_empty():
        yield Finding(Status.OK, "evaluators", "Every recent result of an evaluator reads as passed or failed.")


def _prices(store: Access) -> Iterator[Finding]:
    models = _rows(
        store,
        "SELECT coalesce(request_model, response_model, '(no model)') AS model, sum(calls)::BIGINT AS calls"
        " FROM unpriced_tokens WHERE unpriced_tokens > 0 GROUP BY ALL ORDER BY calls DESC, model",
    )
    if models:
        names = ", ".join(row["model"] for row in models[:5]) + (", …" if len(models) > 5 else "")  # noqa: PLR2004
        calls = sum(row["calls"] for row in models)
        yield Finding(
            Status.WARN,
            "prices",
            f"{calls:,} calls have no price: {names}.",
            "`spanverdict prices check` says what to write.",
        )
    else:
        yield Finding(Status.OK, "prices", "Every call whose tokens are known has a price.")


def _clocks(store: Access) -> Iterator[Finding]:
    found = _rows(store, statements.read("doctor_clocks"), {"seconds": CLOCK_SECONDS, "most": MOST_GROUPS})
    for row in found:
        yield Finding(
            Status.WARN,
            "clocks",
            f"{row['records']:,} recent records ({row['what']} from {row['source'] or 'nobody named'}) lie up to"
            f" {_duration(row['seconds'] / 3600)} in the future.",
            "set the clock of the sender, or of this machine; a report leaves out what has not happened yet.",
        )
    if not found:
        yield Finding(Status.OK, "clocks", "No recent span or outcome lies in the future.")


def _duration(hours: float) -> str:
    """Hours in words."""
    for size, word in ((24, "day"), (1, "hour")):
        if hours >= 2 * size:
            return f"{hours / size:,.0f} {word}s"
    minutes = max(round(hours * 60), 0)
    return f"{minutes} minute{'' if minutes == 1 else 's'}"


def _rows(store: Access, query: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.read(query, parameters).to_pylist()
    return found
