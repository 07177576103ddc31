"""Maturity: how long after a trace's end an outcome or an evaluation is waited for, as given or as learned.

The younger arm has had less time to collect outcomes. So a trace takes part in a rate only once it is as old as the
outcome's window, in either arm. A window that is learned comes from what was known when the promotion began, of base
traces alone: it is the same at every look, and no result of the comparison can move it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from analytics.evaluators import EvaluatorRule
from analytics.metrics import (
    EVALUATION_PREFIX,
    OUTCOME_MATURITY,
    OUTCOME_PREFIX,
    MetricOverride,
    OutcomeRule,
    metric_names,
)
from analytics.outcome_names import OutcomeNames
from analytics.stats.delays import ARRIVED_SHARE, MINIMUM_EVENTS, LearnedWindow, delay_curve, learned_window
from analytics.stats.sums import FloatArray
from analytics.targets import match_targets

CONFIGURED, LEARNED, DEFAULT = "configured", "learned", "default"
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Maturity:
    """How long one outcome or evaluator is waited for.

    Attributes:
        window: from the trace's end on.
        source: "configured", "learned" or "default".
        detail: what that rests on, as the end of a sentence; empty where there is nothing to say.
    """

    window: timedelta
    source: str
    detail: str = ""


@dataclass(frozen=True)
class MaturityRules:
    """What the configuration says of maturity, by metric, outcome and evaluator.

    Attributes:
        overrides: by metric name; what stands here holds.
        outcomes: by outcome.
        evaluators: by evaluator.
        names: what outcomes and evaluators go by.
    """

    overrides: Mapping[str, MetricOverride] = field(default_factory=dict)
    outcomes: Mapping[str, OutcomeRule] = field(default_factory=dict)
    evaluators: Mapping[str, EvaluatorRule] = field(default_factory=dict)
    names: OutcomeNames = field(default_factory=OutcomeNames.of)

    def given(self, column: str, metric: str) -> tuple[timedelta | None, bool]:
        """The window that the configuration gives to a column of the traces frame, and whether to learn one."""
        if metric in self.overrides and self.overrides[metric].maturity is not None:
            return self.overrides[metric].maturity, False
        rules: Mapping[str, OutcomeRule | EvaluatorRule]
        if column.startswith(EVALUATION_PREFIX):
            rules = {EVALUATION_PREFIX + self.names.evaluator(name): rule for name, rule in self.evaluators.items()}
        else:
            rules = {OUTCOME_PREFIX + self.names.outcome(name): rule for name, rule in self.outcomes.items()}
        rule = rules.get(column, OutcomeRule())
        return rule.maturity, rule.maturity is None if rule.learn is None else rule.learn


def maturities(
    words: pl.DataFrame, spans: pl.DataFrame, traces: pl.DataFrame, *, at: datetime, rules: MaturityRules
) -> dict[str, Maturity]:
    """Settle the window of every outcome and evaluator that was heard of.

    Args:
        words: everything that was said, also what was replaced since, as ``analytics.outcomes.spoken_words`` has it.
        spans: as for ``match_targets``.
        traces: ``trace_id``, ``arm``, ``start_time`` and ``end_time``.
        at: when the promotion began (UTC, naive); what was said from then on teaches nothing.
        rules: what the configuration says.

    Returns:
        By column.
    """
    columns = words["column"].unique().sort().to_list()
    given = {column: rules.given(column, metric) for column, metric in metric_names(columns).items()}
    wanted = [column for column, (_, learn) in given.items() if learn]
    before = traces.filter((pl.col("arm") == "base") & (pl.col("start_time") < at) & (pl.col("end_time") <= at))
    delays = _delays(
        words.filter(pl.col("says") & pl.col("column").is_in(wanted) & (pl.col("event_time") < at)), spans, before
    )
    ages = _hours(before.select("trace_id", time=pl.lit(at, dtype=pl.Datetime("ns")) - pl.col("end_time")))
    settled = {}
    for column, (window, learn) in given.items():
        fallback = Maturity(window, CONFIGURED) if window is not None else Maturity(_default(column), DEFAULT)
        if not learn:
            settled[column] = fallback
            continue
        of_column = delays.filter(pl.col("column") == column).select("trace_id", "hours")
        censored = ages.join(of_column, on="trace_id", how="anti")
        found = _learned(*(frame["hours"].to_numpy() for frame in (of_column, censored, ages)))
        settled[column] = _settled(found, fallback)
    return settled


def _default(column: str) -> timedelta:
    if column.startswith(EVALUATION_PREFIX):
        return timedelta(0)
    return OUTCOME_MATURITY[column.removeprefix(OUTCOME_PREFIX)]


def _delays(words: pl.DataFrame, spans: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Hours from the trace's end to the first word, by column and trace; what comes before the end comes at once."""
    matched = match_targets(words, spans).join(
        before.select(matched_trace_id="trace_id", trace_end="end_time"), on="matched_trace_id"
    )
    first = matched.group_by("column", trace_id="matched_trace_id").agg(
        time=(pl.col("event_time") - pl.col("trace_end")).min()
    )
    return _hours(first)


def _hours(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with ``time`` as hours, not below 0, in a fixed order."""
    hours = pl.col("time").dt.total_nanoseconds().clip(lower_bound=0) / (3600 * 10**9)
    return frame.with_columns(hours=hours).sort("trace_id")


def _learned(delays: FloatArray, censored: FloatArray, observed: FloatArray) -> LearnedWindow:
    if not delays.size:
        return LearnedWindow(None, 0, 0.0, settled=False)
    return learned_window(delay_curve(delays.astype(np.float64), censored.astype(np.float64)), observed)


def _settled(found: LearnedWindow, fallback: Maturity) -> Maturity:
    """The learned window in whole hours, or the fallback with why."""
    if found.window is not None:
        detail = f"{ARRIVED_SHARE:.0%} of {found.events:,} before the promotion came within it"
        return Maturity(math.ceil(found.window) * _HOUR, LEARNED, detail)
    if found.events < MINIMUM_EVENTS:
        why = f"only {found.events:,} came on base traces before the promotion, learning needs {MINIMUM_EVENTS}"
    else:
        why = f"{found.events:,} came before the promotion, but they had not stopped coming in time to learn from"
    return Maturity(fallback.window, fallback.source, why)
