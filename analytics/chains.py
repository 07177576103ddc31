"""Attempt chains: calls that serve one step of the work, folded into one.

A call continues the chain of an earlier one, and is its

- *retry*: the same model again, after an error or an answer that was cut off or filtered;
- *fallback*: another model, after any failure;
- *schema_repair*: the same model again, after its answer failed validation.

What continues what is decided in this order:

1. Calls with the same ``attempt_group`` in one trace are one chain, each answering the one before it: a
   gateway, or a rule of the user's, says so.
2. A call with a stated reason (a rule of the user's) answers the call before it in its step; with the reason
   "none" it begins a chain, whatever came before.
3. Below one wrapper, then in one step (under one parent, wrappers left out), a call answers an earlier failure
   (:mod:`analytics.chain_failures`) if it began after it. One failure is answered once. Where several calls run
   side by side, each call that starts takes the failure that has waited longest: failures queue, and a start
   serves the head of the queue. The queue's length is the reflected walk S - min(0, running minimum of S) over
   +1 per failure and -1 per start (Lindley, "The theory of queues with a single server", 1952), so the whole
   batch is matched by cumulative sums.

A call that answers nothing is a step of its own. Attempts that a gateway made behind a span, and tells only
their number of, are hidden attempts of that call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.chain_failures import OVERLAP_TOLERANCE
from analytics.chain_rules import NO_REASON, REASONS
from analytics.span_tree import NO_PARENT, SpanTree

if TYPE_CHECKING:
    from datetime import timedelta

    from analytics.span_tree import Rows

COUNT_COLUMNS = ("retries", "fallbacks", "schema_repairs")
# What is not known of a call where a caller has no such column.
_DEFAULTS = {
    "gen_ai_span_kind": pl.lit("LLM"),
    "is_call": pl.lit(value=True),
    "answer_failed": pl.lit(value=False),
    "wrapper_id": pl.lit(None, dtype=pl.String),
    "wrapper_start_time": pl.lit(None, dtype=pl.Datetime("ns")),
    "wrapper_end_time": pl.lit(None, dtype=pl.Datetime("ns")),
    "call_span_id": pl.lit(None, dtype=pl.String),
    "attempt_group": pl.lit(None, dtype=pl.String),
    "stated_reason": pl.lit(None, dtype=pl.String),
    "hidden_attempts": pl.lit(0, dtype=pl.Int64),
    "gateway_fallback": pl.lit(value=False),
}
_HELPERS = (
    "call",
    "previous",
    "failed_model",
    "failed_validation_only",
    "was_fallback",
    "failed_at",
    "gateway_fallback",
)


def attempt_chains(calls: pl.DataFrame, *, tolerance: timedelta = OVERLAP_TOLERANCE) -> pl.DataFrame:
    """Tell for each call which chain it belongs to and why it was made.

    Args:
        calls: one row per call: ``trace_id``, ``span_id``, ``step_id`` (the span it was made under, null for
            none), ``request_model``, ``start_time``, ``end_time``, ``is_error``, ``failed_validation`` (Boolean).
            Used where present: ``failed_at`` and ``answer_failed`` (:func:`analytics.chain_failures.with_failures`;
            without them an error or a failed validation waits for an answer from the call's end on),
            ``attempt_group`` and ``stated_reason`` (:func:`analytics.chain_rules.apply_rules`), and the other
            columns of :func:`analytics.calls.find_calls`.
        tolerance: how much earlier than the end of a failed call its successor may start.

    Returns:
        The calls, sorted by trace, start time and span id, with ``chain_id`` (the span id of the chain's
        first call), ``attempt`` (1 for the first), ``reason`` ("retry", "fallback", "schema_repair"; null
        for a first call), ``is_last`` (no further attempt follows), ``hidden_fallback`` (Boolean: a gateway says
        that another model answered, and no call of the chain shows it) and ``hidden_attempts`` (Int64; a hidden
        fallback is one at least). A wrapper that counts for its calls belongs to the chain of the last of them.
        Wrapper times are kept only where all calls of the wrapper are one chain.
    """
    failed = pl.col("is_error") | pl.col("failed_validation")
    defaults = _DEFAULTS | {"failed_at": pl.when(failed).then("end_time")}
    calls = calls.with_columns(**{name: value for name, value in defaults.items() if name not in calls.columns})
    calls = calls.sort("trace_id", "start_time", "span_id").with_row_index("call")
    previous = _previous(calls, tolerance)
    first = SpanTree(previous).topmost(np.ones(len(calls), dtype=np.bool_))
    is_last = np.ones(len(calls), dtype=np.bool_)
    is_last[previous[previous != NO_PARENT]] = False
    calls = calls.with_columns(
        chain_id=calls["span_id"].gather(first), is_last=pl.Series(is_last), previous=pl.Series(previous)
    )
    calls = _with_reasons(calls)
    calls = _with_wrappers_in_chain(calls)
    seen = (pl.col("reason") == "fallback").any().over("trace_id", "chain_id")
    one_chain = pl.col("chain_id").n_unique().over("trace_id", "wrapper_id") == 1
    return (
        calls.with_columns(
            pl.when(one_chain).then(pl.col("wrapper_start_time", "wrapper_end_time")),
            hidden_fallback=pl.col("gateway_fallback") & ~seen,
        )
        .with_columns(hidden_attempts=pl.max_horizontal("hidden_attempts", pl.col("hidden_fallback").cast(pl.Int64)))
        .drop(_HELPERS)
    )


def chain_counts(chains: pl.DataFrame) -> pl.DataFrame:
    """Count per trace what :func:`attempt_chains` found.

    Args:
        chains: its result.

    Returns:
        ``trace_id``, ``retries``, ``fallbacks``, ``schema_repairs`` (Int64) and ``unrescued`` (Boolean: a
        chain's last call ended in an error).
    """
    unrescued = chains.group_by("trace_id").agg(unrescued=(pl.col("is_last") & pl.col("is_error")).any())
    return attempt_counts(chains, ["trace_id"]).join(unrescued, on="trace_id")


def attempt_counts(chains: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Count retries, fallbacks and schema repairs, seen and hidden.

    Args:
        chains: what :func:`attempt_chains` returns.
        by: the columns to count by.

    Returns:
        Those columns, and ``retries``, ``fallbacks``, ``schema_repairs`` (Int64). A hidden attempt is a retry,
        but one that a gateway's other model answered a fallback.
    """
    fallbacks = pl.col("hidden_fallback").cast(pl.Int64)
    hidden = {"retry": pl.col("hidden_attempts") - fallbacks, "fallback": fallbacks, "schema_repair": pl.lit(0)}
    return chains.group_by(by).agg(
        (pl.col("reason").eq_missing(reason).cast(pl.Int64) + hidden[reason]).sum().alias(name)
        for reason, name in zip(REASONS, COUNT_COLUMNS, strict=True)
    )


def _previous(calls: pl.DataFrame, tolerance: timedelta) -> Rows:
    """The row of the call that each call answers, ``NO_PARENT`` for none."""
    previous = np.full(len(calls), NO_PARENT, dtype=np.int64)
    answered = np.zeros(len(calls), dtype=np.bool_)
    stated = calls.with_columns(begins_chain=pl.col("stated_reason").eq_missing(NO_REASON)).filter("is_call")
    alike = ["trace_id", "gen_ai_span_kind"]
    for place, told in (("attempt_group", "attempt_group"), ("step_id", "stated_reason")):
        before = pl.col("call").shift(1).over(*alike, place)
        found = stated.with_columns(before=before).filter(
            pl.col(told).is_not_null() & pl.col("before").is_not_null() & ~pl.col("begins_chain")
        )
        found = found.filter(pl.Series(previous[found["call"].to_numpy()] == NO_PARENT))
        previous[found["call"].to_numpy()] = found["before"].to_numpy()
        answered[found["before"].to_numpy()] = True
    wrapped = stated.filter(pl.col("wrapper_id").is_not_null())
    for place, part in (("wrapper_id", wrapped), ("step_id", stated)):
        rows = part["call"].to_numpy()
        links = _successors(
            part.with_columns(
                failed_at=pl.when(pl.Series(~answered[rows])).then("failed_at"),
                may_answer=~pl.col("begins_chain") & pl.Series(previous[rows] == NO_PARENT),
            ),
            [*alike, place],
            tolerance,
        )
        previous[links["successor"].to_numpy()] = links["failure"].to_numpy()
        answered[links["failure"].to_numpy()] = True
    return previous


def _with_reasons(calls: pl.DataFrame) -> pl.DataFrame:
    """Name why each call was made, and number the attempts."""
    earlier = calls.select(
        previous=pl.col("call").cast(pl.Int64),
        failed_model="request_model",
        failed_validation_only=pl.col("failed_validation") & ~pl.col("is_error"),
        was_fallback="gateway_fallback",
    )
    # A gateway that shows its attempts, and says of one that it fell back, may name the model the same.
    fell_back = pl.col("attempt_group").is_not_null() & pl.col("gateway_fallback") & ~pl.col("was_fallback")
    calls = calls.join(earlier, on="previous", how="left", maintain_order="left")
    return calls.with_columns(
        reason=pl.when(pl.col("previous") == NO_PARENT)
        .then(None)
        .when(pl.col("stated_reason").is_in(REASONS))
        .then("stated_reason")
        .when(fell_back | ~pl.col("request_model").eq_missing(pl.col("failed_model")))
        .then(pl.lit("fallback"))
        .when("failed_validation_only")
        .then(pl.lit("schema_repair"))
        .otherwise(pl.lit("retry")),
        attempt=pl.col("is_call").cum_sum().over("trace_id", "chain_id").cast(pl.Int64),
    ).drop("stated_reason")


def _with_wrappers_in_chain(calls: pl.DataFrame) -> pl.DataFrame:
    """Put wrappers that count into the chain of their last call; what stands alone is a chain of its own."""
    by_call = calls.filter("is_call").select(
        "trace_id", call_span_id="span_id", wrapped_chain="chain_id", wrapped_attempt="attempt"
    )
    wraps = ~pl.col("is_call") & pl.col("wrapped_chain").is_not_null()
    return (
        calls.join(by_call, on=["trace_id", "call_span_id"], how="left", maintain_order="left")
        .with_columns(
            chain_id=pl.when(wraps).then("wrapped_chain").otherwise("chain_id"),
            attempt=pl.when("is_call").then("attempt").otherwise(pl.coalesce("wrapped_attempt", 1)),
            is_last=pl.col("is_last") & ~wraps,
        )
        .drop("wrapped_chain", "wrapped_attempt")
    )


def _successors(calls: pl.DataFrame, together: list[str], tolerance: timedelta) -> pl.DataFrame:
    """Match failures with the calls that answer them: rows of both, as ``failure`` and ``successor``."""
    after_own_start = pl.max_horizontal(
        pl.col("failed_at") - pl.lit(tolerance, dtype=pl.Duration("ns")),
        pl.col("start_time") + pl.duration(nanoseconds=1, time_unit="ns"),
    )
    failures = calls.filter(pl.col("failed_at").is_not_null()).select(
        "call", *together, time=after_own_start, failed=pl.lit(value=True)
    )
    starts = (
        calls.filter("may_answer")
        .select("call", *together, time="start_time", failed=pl.lit(value=False))
        .join(failures, on=together, how="semi", nulls_equal=True)
    )
    # At one instant a failure comes before the start that may answer it.
    events = pl.concat([failures, starts]).sort(
        [*together, "time", "failed", "call"], descending=[*(False for _ in together), False, True, False]
    )
    walk = pl.when("failed").then(1).otherwise(-1).cum_sum().over(together)
    events = events.with_columns(walk=walk)
    waiting = pl.col("walk") - pl.min_horizontal(pl.col("walk").cum_min(), 0)
    events = events.with_columns(waited=waiting.shift(1, fill_value=0).over(together))
    answers = ~pl.col("failed") & (pl.col("waited") > 0)
    events = events.with_columns(
        turn=pl.when("failed")
        .then(pl.col("failed").cum_sum().over(together))
        .when(answers)
        .then(answers.cum_sum().over(together))
    )
    return (
        events.filter("failed")
        .select(*together, "turn", failure="call")
        .join(
            events.filter(~pl.col("failed") & pl.col("turn").is_not_null()).select(*together, "turn", successor="call"),
            on=[*together, "turn"],
            nulls_equal=True,
        )
    )
