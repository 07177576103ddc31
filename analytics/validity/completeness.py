"""Is what arrived of both arms equally whole? Prices, root spans, spans and attributes."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analytics.mix import MISSING_TOLERANCE, percent, shares_of
from analytics.report.model import Check, CheckStatus
from analytics.validity.versions import COST_METRICS

_MOST_NAMED = 5


def unpriced(cohort: str, frame: pl.DataFrame) -> Check:
    """Whether every LLM call has a price: one without makes the trace's cost unknown."""
    calls = int(frame["unpriced_calls"].sum())
    if not calls:
        return Check("unpriced", cohort, CheckStatus.PASS, "Every LLM call has a price.", COST_METRICS)
    base, candidate = shares_of(frame.with_columns(pl.col("unpriced_calls") > 0), "unpriced_calls")
    have = "call has" if calls == 1 else "calls have"
    models = sorted({model for text in frame["unpriced_models"].drop_nulls() for model in text.split(",")})
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
    base, candidate = shares_of(frame, "missing_root")
    if abs(candidate - base) <= MISSING_TOLERANCE:
        detail = "Root spans are as complete in one arm as in the other."
        return Check("missing_root", cohort, CheckStatus.PASS, detail)
    detail = (
        f"The root span is missing in {percent(base)} of base and {percent(candidate)} of candidate "
        "traces: latency and errors of such traces are read from the spans that arrived, so look for lost "
        "telemetry."
    )
    return Check("missing_root", cohort, CheckStatus.WARN, detail)
