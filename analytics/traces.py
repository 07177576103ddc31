"""The wide traces frame: one row per trace, with all that a comparison of two models reads.

A trace is judged as its user met it: latency and error are the root span's where there is one; tokens, cost
and attempts are those of all its model calls, each counted once; its arm is the model that was asked first
(intention to treat), whatever rescued it later. What its own spans say is made first (:mod:`analytics.trace_rows`), of
any part of the traces; what was said of it afterwards is put beside it here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analytics.defaults import VALIDATION_EVALUATORS
from analytics.evaluators import EvaluatorRule, with_passed
from analytics.maturity import Maturity, MaturityRules, maturities
from analytics.outcomes import failed_evaluations, outcomes_by_trace, spoken_words
from analytics.steps import STEP_COLUMNS, StepSource
from analytics.trace_rows import TraceRows, trace_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from analytics.chain_rules import ChainRule
    from analytics.pricing import PriceBook
    from analytics.promotions import Promotion

EVALUATION_COLUMNS = (
    "evaluation_id",
    "event_time",
    "trace_id",
    "span_id",
    "response_id",
    "conversation_id",
    "name",
    "score",
    "label",
    "error_type",
    "threshold",
    "higher_is",
    "key",
    "replaced_at",
)
FEEDBACK_COLUMNS = (
    "feedback_id",
    "event_time",
    "name",
    "value",
    "label",
    "trace_id",
    "span_id",
    "response_id",
    "conversation_id",
    "key",
    "source",
    "received_at",
    "replaced_at",
)


class TraceFrame(NamedTuple):
    """What a report reads of spans and outcomes.

    Attributes:
        traces: the wide traces frame.
        maturities: how long each of its outcomes and evaluators is waited for, by column.
        steps: what the traces' steps can be found from.
    """

    traces: pl.DataFrame
    maturities: Mapping[str, Maturity]
    steps: StepSource


def trace_frame(
    spans: pl.DataFrame,
    resources: pl.DataFrame,
    evaluations: pl.DataFrame,
    feedback: pl.DataFrame,
    *,
    promotion: Promotion,
    prices: PriceBook,
    as_of: datetime,
    maturity: MaturityRules,
    feedback_key: str | None,
    evaluator_rules: Mapping[str, EvaluatorRule] | None = None,
    validation_evaluators: Collection[str] = VALIDATION_EVALUATORS,
    chain_rules: Sequence[ChainRule] = (),
) -> TraceFrame:
    """Make the wide traces frame of spans that are all at hand.

    Args:
        spans: as for :func:`analytics.trace_rows.trace_rows`.
        resources: the same.
        evaluations: :data:`EVALUATION_COLUMNS`, also what was replaced since; what names are evaluators is decided.
        feedback: :data:`FEEDBACK_COLUMNS`, the same.
        promotion: as for :func:`analytics.trace_rows.trace_rows`.
        prices: the same.
        as_of: the moment the world is looked at (UTC): traces that had ended, outcomes that had happened.
        maturity: what the configuration says of how long outcomes and evaluators are waited for.
        feedback_key: the attribute that feedback's ``key`` is matched with; None: no feedback is matched by key.
        evaluator_rules: how to read scores, by evaluator name.
        validation_evaluators: evaluators of a call's output whose failure makes the next call a schema repair.
        chain_rules: the user's own rules for attempt chains.

    Returns:
        The frame as :func:`with_outcomes` makes it, its maturities, and what the traces' steps can be found from.
    """
    as_of = as_of if as_of.tzinfo is None else as_of.astimezone(UTC).replace(tzinfo=None)
    judged = judged_by(evaluations, evaluator_rules, as_of)
    rows = trace_rows(
        spans,
        resources,
        judged.filter(pl.col("replaced_at").is_null()),
        promotion=promotion,
        prices=prices,
        feedback_key=feedback_key,
        validation_evaluators=validation_evaluators,
        chain_rules=chain_rules,
    )
    traces, settled = with_outcomes(
        rows.traces, rows.spans, judged, feedback, at=promotion.at, as_of=as_of, maturity=maturity
    )
    ended = pl.col("trace_id").is_in(traces["trace_id"].implode())
    return TraceFrame(traces, settled, step_source(rows, ended, judged))


def judged_by(evaluations: pl.DataFrame, rules: Mapping[str, EvaluatorRule] | None, as_of: datetime) -> pl.DataFrame:
    """The evaluations that had been made by a moment (UTC, naive), with ``passed``."""
    return with_passed(evaluations.filter(pl.col("event_time") <= _moment(as_of)), rules)


def with_outcomes(
    rows: pl.DataFrame,
    targets: pl.DataFrame,
    judged: pl.DataFrame,
    feedback: pl.DataFrame,
    *,
    at: datetime,
    as_of: datetime,
    maturity: MaturityRules,
) -> tuple[pl.DataFrame, dict[str, Maturity]]:
    """Put beside traces what was said of them.

    Args:
        rows: ``traces`` of :class:`analytics.trace_rows.TraceRows`; those that had not ended are left out.
        targets: what ``match_targets`` reads of these traces' spans.
        judged: as :func:`judged_by` makes them, also what was replaced since.
        feedback: :data:`FEEDBACK_COLUMNS`, the same.
        at: when the promotion began (UTC, naive).
        as_of: the moment the world is looked at (UTC, naive).
        maturity: what the configuration says of how long outcomes and evaluators are waited for.

    Returns:
        The rows by trace id, with one ``evaluation:<name>`` per evaluator seen and one ``outcome:<name>`` per kind of
        feedback seen (Float64: 1.0 the bad thing, 0.0 not, null unknown or not yet final), and the maturities of these
        columns.
    """
    now = _moment(as_of)
    ended = rows.select(pl.col("end_time") <= now).to_series()
    # A filter copies millions of rows, also where it leaves none out.
    traces = rows if ended.all() else rows.filter(ended)
    targets = targets.join(traces.select("trace_id"), on="trace_id", how="semi")
    given = feedback.filter(pl.col("event_time") <= now)
    settled = maturities(spoken_words(judged, given), targets, traces, at=at, rules=maturity)
    for part in (
        failed_evaluations(judged.filter(pl.col("replaced_at").is_null()), targets),
        outcomes_by_trace(given, targets, traces, as_of=as_of, maturity=settled),
    ):
        traces = traces.join(part, on="trace_id", how="left", maintain_order="left")
    return traces, settled


def step_source(rows: TraceRows, chosen: pl.Expr, judged: pl.DataFrame) -> StepSource:
    """What the steps of chosen traces can be found from.

    Args:
        rows: the traces with their spans and calls.
        chosen: which of them, by ``trace_id``.
        judged: as for :func:`with_outcomes`.
    """
    spans, calls, not_counted = (frame.filter(chosen) for frame in (rows.spans, rows.calls, rows.not_counted))
    of_steps = spans.filter("work").select("trace_id", "span_id", "parent_span_id", "service_name", *STEP_COLUMNS)
    return StepSource(of_steps, calls, not_counted, judged.filter(pl.col("replaced_at").is_null()))


def _moment(as_of: datetime) -> pl.Expr:
    return pl.lit(as_of, dtype=pl.Datetime("ns"))
