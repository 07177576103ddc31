"""Is what arrived of both arms equally whole? Prices, root spans, spans and attributes."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analytics.metrics import BUILT_IN_METRICS
from analytics.mix import MISSING_TOLERANCE, compare_mix, percent, shares_of
from analytics.report.model import Check, CheckStatus
from analytics.validity.order import SEVERITY
from analytics.validity.versions import COST_METRICS

LOSS_TOLERANCE = 0.05
"""A difference in shares of traces with a loss beyond which what is read from their spans is not compared."""

_MOST_NAMED = 5


def unpriced(cohort: str, frame: pl.DataFrame) -> Check:
    """Whether every LLM call has a price: one without makes the trace's cost unknown."""
    calls = int(frame["unpriced_calls"].sum())
    if not calls:
        return Check("unpriced", cohort, CheckStatus.PASS, "Every LLM call has a price.", COST_METRICS)
    base, candidate = shares_of(frame.with_columns(pl.col("unpriced_calls") > 0), "unpriced_calls")
    have = "call has" if calls == 1 else "calls have"
    models = sorted({model for text in frame["unpriced_models"].drop_nulls().unique() for model in text.split(",")})
    mend = (
        f"no price is known for tokens of {_listed(models)}, so run `spanverdict prices check`."
        if models
        else "their token counts are unknown, so look at what the instrumentation reports."
    )
    detail = (
        f"{calls:,} LLM {have} no known cost ({percent(base)} of base and {percent(candidate)} of candidate "
        f"traces): {mend}"
    )
    return Check("unpriced", cohort, CheckStatus.FAIL, detail, COST_METRICS)


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence: the first few and how many more there are."""
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED:,} more"


def missing_root(cohort: str, frame: pl.DataFrame) -> Check:
    """Whether root spans are as complete in one arm as in the other."""
    status = _loss(frame, "missing_root")
    if status is CheckStatus.PASS:
        detail = "Root spans are as complete in one arm as in the other."
        return Check("missing_root", cohort, status, detail, BUILT_IN_METRICS)
    base, candidate = shares_of(frame, "missing_root")
    detail = (
        f"The root span is missing in {percent(base)} of base and {percent(candidate)} of candidate "
        "traces: latency and errors of such traces are read from the spans that arrived, so look for lost "
        "telemetry."
    )
    return Check("missing_root", cohort, status, detail, BUILT_IN_METRICS)


_PARTS = {
    "orphaned_spans": (
        "spans whose parent is missing",
        "look at queues and dropped batches",
    ),
    "dropped_attributes": (
        "spans that dropped attributes",
        "a limit of the SDK took attributes, and with them perhaps tokens; raise it",
    ),
}


def incomplete_traces(cohort: str, frame: pl.DataFrame) -> Check:
    """Whether as much of the traces is lost in one arm as in the other: spans in the middle, attributes of spans."""
    name = "incomplete_traces"
    lossy = {
        column: frame.with_columns((pl.col(column) > 0).fill_null(value=False))
        for column in _PARTS
        if column in frame.columns
    }
    statuses = {column: _loss(part, column) for column, part in lossy.items()}
    worst = min(statuses, key=lambda column: SEVERITY[statuses[column]], default=None)
    if worst is None or statuses[worst] is CheckStatus.PASS:
        detail = "Traces are as complete in one arm as in the other."
        return Check(name, cohort, CheckStatus.PASS, detail, BUILT_IN_METRICS)
    base, candidate = shares_of(lossy[worst], worst)
    what, mend = _PARTS[worst]
    detail = f"{percent(base)} of base and {percent(candidate)} of candidate traces have {what}: {mend}."
    return Check(name, cohort, statuses[worst], detail, BUILT_IN_METRICS)


def _loss(frame: pl.DataFrame, column: str) -> CheckStatus:
    """How much a Boolean column that tells of a loss differs between the arms."""
    base, candidate = shares_of(frame, column)
    difference = abs(candidate - base)
    if difference <= MISSING_TOLERANCE:
        return CheckStatus.PASS
    if difference <= LOSS_TOLERANCE:
        return CheckStatus.WARN
    return CheckStatus.FAIL if compare_mix(frame, column).significant else CheckStatus.WARN
