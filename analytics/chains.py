"""Attempt chains: which model calls were made because an earlier one failed.

Calls under one parent form a chain where each was made after the one before had failed:

- *retry*: the same model again, after an error;
- *fallback*: another model, after an error or a failed validation;
- *schema_repair*: the same model again, after its answer failed validation.

A call that answers no failure is a step of its own. Where several calls run side by side, each call that
starts takes the failure that has waited longest: failures queue, and a start serves the head of the queue.
The queue's length is the reflected walk S - min(0, running minimum of S) over +1 per failure and -1 per
start (Lindley, "The theory of queues with a single server", 1952), so the whole batch is matched by
cumulative sums.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl

from analytics.span_tree import SpanTree

# Clocks of one host may step back by about this much between the end of a call and the start of the next.
OVERLAP_TOLERANCE = timedelta(milliseconds=1)
VALIDATION_EVALUATORS = ("JSONValidation", "schema_validation")
REASONS = ("retry", "fallback", "schema_repair")
COUNT_COLUMNS = ("retries", "fallbacks", "schema_repairs")


def attempt_chains(calls: pl.DataFrame, *, tolerance: timedelta = OVERLAP_TOLERANCE) -> pl.DataFrame:
    """Tell for each call which chain it belongs to and why it was made.

    Args:
        calls: one row per LLM call: ``trace_id``, ``span_id``, ``step_id`` (the span it was made under,
            null for none), ``request_model``, ``start_time``, ``end_time``, ``is_error``,
            ``failed_validation`` (Boolean).
        tolerance: how much earlier than the end of a failed call its successor may start.

    Returns:
        The calls, sorted by trace, start time and span id, with ``chain_id`` (the span id of the chain's
        first call), ``attempt`` (1 for the first), ``reason`` ("retry", "fallback", "schema_repair"; null
        for a first call) and ``is_last`` (no further attempt follows).
    """
    calls = calls.sort("trace_id", "start_time", "span_id").with_row_index("call")
    links = _successors(calls, tolerance)
    previous = np.full(len(calls), -1, dtype=np.int64)
    previous[links["successor"].to_numpy()] = links["failure"].to_numpy()
    tree = SpanTree(previous)
    first = tree.topmost(np.ones(len(calls), dtype=np.bool_))
    is_last = np.ones(len(calls), dtype=np.bool_)
    is_last[links["failure"].to_numpy()] = False

    earlier = calls.select(
        "call",
        failed_model="request_model",
        failed_with_error="is_error",
    )
    same_model = pl.col("request_model").eq_missing(pl.col("failed_model"))
    return (
        calls.with_columns(
            chain_id=calls["span_id"].gather(first),
            is_last=pl.Series(is_last),
            previous=pl.Series(previous),
        )
        .join(
            earlier.with_columns(pl.col("call").cast(pl.Int64)),
            left_on="previous",
            right_on="call",
            how="left",
            maintain_order="left",
        )
        .with_columns(
            reason=pl.when(pl.col("previous") < 0)
            .then(None)
            .when(~same_model)
            .then(pl.lit("fallback"))
            .when("failed_with_error")
            .then(pl.lit("retry"))
            .otherwise(pl.lit("schema_repair")),
            attempt=pl.int_range(1, pl.len() + 1).over("trace_id", "chain_id"),
        )
        .drop("call", "previous", "failed_model", "failed_with_error")
    )


def chain_counts(chains: pl.DataFrame) -> pl.DataFrame:
    """Count per trace what :func:`attempt_chains` found.

    Args:
        chains: its result.

    Returns:
        ``trace_id``, ``retries``, ``fallbacks``, ``schema_repairs`` (Int64) and ``unrescued`` (Boolean: a
        chain's last call ended in an error).
    """
    return chains.group_by("trace_id").agg(
        *(
            pl.col("reason").eq(reason).sum().cast(pl.Int64).alias(name)
            for reason, name in zip(REASONS, COUNT_COLUMNS, strict=True)
        ),
        unrescued=(pl.col("is_last") & pl.col("is_error")).any(),
    )


def _successors(calls: pl.DataFrame, tolerance: timedelta) -> pl.DataFrame:
    """Match failures with the calls that answer them: rows of both, as ``failure`` and ``successor``."""
    after_own_start = pl.max_horizontal(
        pl.col("end_time") - pl.lit(tolerance, dtype=pl.Duration("ns")),
        pl.col("start_time") + pl.duration(nanoseconds=1, time_unit="ns"),
    )
    failures = calls.filter(pl.col("is_error") | pl.col("failed_validation")).select(
        "call", "trace_id", "step_id", time=after_own_start, failed=pl.lit(value=True)
    )
    together = ["trace_id", "step_id"]
    starts = calls.select("call", *together, time="start_time", failed=pl.lit(value=False)).join(
        failures, on=together, how="semi", nulls_equal=True
    )
    # At one instant a failure comes before the start that may answer it.
    events = pl.concat([failures, starts]).sort(
        [*together, "time", "failed", "call"], descending=[False, False, False, True, False]
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
