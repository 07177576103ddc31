"""One row per attempt chain: what a step of the work took, and what its user waited."""

from __future__ import annotations

import polars as pl

from analytics.chains import attempt_counts

NANOSECONDS_PER_MS = 1_000_000
_CHAIN = ["trace_id", "chain_id"]


def chain_frame(calls: pl.DataFrame) -> pl.DataFrame:
    """Fold calls into their chains.

    Args:
        calls: what :func:`analytics.chains.attempt_chains` returns of priced calls: of
            :func:`analytics.calls.find_calls`, with ``cost_usd``.

    Returns:
        One row per chain, sorted by trace, start and chain:

        - ``trace_id``, ``chain_id``, ``step_id``, ``service_name``, ``gen_ai_span_kind``: of the first call;
        - ``started_model``: what the first call asked for; ``answered_model``: what the last one asked for, or
          the model that answered where a gateway chose another; null where the last call failed;
        - ``attempts``: calls and hidden attempts, null where no call was seen; ``retries``,
          ``schema_repairs``, ``fallbacks`` (all Int64);
        - ``start_time``, ``end_time``, ``latency_ms``: from the first call's start to the last one's end, or
          the wrapper's that called them; null where clocks make it negative;
        - ``input_tokens``, ``output_tokens``, ``cost_usd``: of what counts, null where any of it is not known;
        - ``is_error``: the last call ended in an error; ``is_rescued``: one before it, or a hidden one, failed,
          and the last gave an answer that no validation failed.
    """
    counted = pl.col("is_counted")
    in_order = calls.sort("trace_id", "chain_id", pl.col("is_call").not_(), "attempt", "start_time", "span_id")
    last = pl.col("is_last")
    begun = pl.coalesce("wrapper_start_time", "start_time").min()
    ended = pl.coalesce("wrapper_end_time", "end_time").max()
    asked = pl.coalesce("request_model", "response_model")
    answered = pl.when("hidden_fallback").then(pl.coalesce("response_model", "request_model")).otherwise(asked)
    failed = (pl.col("is_error") | pl.col("failed_validation") | pl.col("answer_failed")).filter(last).any()
    lasted = (pl.col("end_time") - pl.col("start_time")).dt.total_nanoseconds()

    def total(column: str) -> pl.Expr:
        known = pl.col(column).filter(counted)
        return pl.when(known.null_count() == 0).then(known.sum()).alias(column)

    return (
        in_order.group_by(_CHAIN, maintain_order=True)
        .agg(
            pl.col("step_id", "service_name", "gen_ai_span_kind").first(),
            started_model=asked.first(),
            answered_model=answered.filter(last).last(),
            attempts=pl.when(pl.col("is_call").any()).then(
                pl.col("is_call").sum().cast(pl.Int64) + pl.col("hidden_attempts").sum()
            ),
            start_time=begun,
            end_time=ended,
            is_error=(last & pl.col("is_error")).any(),
            is_sound=~failed,
            **{column: total(column) for column in ("input_tokens", "output_tokens", "cost_usd")},
        )
        .join(attempt_counts(calls, _CHAIN), on=_CHAIN)
        .with_columns(
            answered_model=pl.when(~pl.col("is_error")).then("answered_model"),
            latency_ms=pl.when(lasted >= 0).then((lasted / NANOSECONDS_PER_MS).round(6)),
            is_rescued=(pl.col("attempts") > 1).fill_null(value=False) & pl.col("is_sound"),
        )
        .select(CHAIN_COLUMNS)
        .sort("trace_id", "start_time", "chain_id")
    )


CHAIN_COLUMNS = (
    "trace_id",
    "chain_id",
    "step_id",
    "service_name",
    "gen_ai_span_kind",
    "started_model",
    "answered_model",
    "attempts",
    "retries",
    "schema_repairs",
    "fallbacks",
    "start_time",
    "end_time",
    "latency_ms",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "is_error",
    "is_rescued",
)
