"""The model calls of traces: each once, in its attempt chain, with its cost; for reports and for the store alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analytics.calls import find_calls, is_work
from analytics.chains import VALIDATION_EVALUATORS, attempt_chains
from analytics.span_tree import SpanTree

if TYPE_CHECKING:
    from collections.abc import Collection

    from analytics.pricing import PriceBook


def ordered(spans: pl.DataFrame) -> pl.DataFrame:
    """Each span once (of two reports of one span id the later), by trace and start time."""
    return (
        spans.with_columns(
            pl.col("parent_span_id").replace("", None), pl.col("start_time", "end_time").cast(pl.Datetime("ns"))
        )
        .sort("trace_id", "start_time", "span_id", "end_time")
        .unique(["trace_id", "span_id"], keep="last", maintain_order=True)
    )


def with_work(spans: pl.DataFrame, tree: SpanTree) -> pl.DataFrame:
    """Mark the application's own spans (``work``); a trace of nothing but judgements is work of its own."""
    spans = spans.with_columns(work=pl.Series(is_work(spans, tree)), is_top=pl.Series(tree.parent < 0))
    return spans.with_columns(work=pl.col("work") | ~pl.col("work").any().over("trace_id"))


def derived_calls(
    spans: pl.DataFrame,
    tree: SpanTree,
    evaluations: pl.DataFrame,
    *,
    prices: PriceBook,
    validation_evaluators: Collection[str] = VALIDATION_EVALUATORS,
) -> pl.DataFrame:
    """Find the calls of traces, price them, and tell which attempt chain each belongs to.

    Args:
        spans: as :func:`ordered` and :func:`with_work` leave them.
        tree: the ancestry of the same rows.
        evaluations: results with ``passed``, as ``analytics.outcomes.with_passed`` decides.
        prices: what calls cost.
        validation_evaluators: evaluators of a call's output whose failure makes the next call a schema repair.

    Returns:
        What :func:`find_calls` and :meth:`PriceBook.price` return, with the chain of each row; an embedding, and an
        agent that alone reports usage, is a chain of its own.
    """
    calls = prices.price(find_calls(spans, tree))
    failures = evaluations.filter(pl.col("name").is_in(list(validation_evaluators)) & ~pl.col("passed"))
    calls = _with_validation(calls, failures)
    chained = pl.col("is_call") & pl.col("gen_ai_span_kind").eq_missing("LLM")
    chains = attempt_chains(calls.filter(chained))
    alone = calls.filter(~chained).with_columns(
        chain_id="span_id", attempt=pl.lit(1, pl.Int64), reason=pl.lit(None, pl.String), is_last=pl.lit(value=True)
    )
    return pl.concat([chains, alone.select(chains.columns)]).sort("trace_id", "start_time", "span_id")


def _with_validation(calls: pl.DataFrame, failures: pl.DataFrame) -> pl.DataFrame:
    """Mark the calls whose own output failed a validation, named by span id or by response id."""
    ids = calls.select("trace_id", "span_id", "response_id")
    by_span = ids.join(
        failures.select("span_id", stated_trace="trace_id").filter(pl.col("span_id").is_not_null()).unique(),
        on="span_id",
    ).filter(pl.col("stated_trace").is_null() | (pl.col("stated_trace") == pl.col("trace_id")))
    by_response = ids.join(failures.filter(pl.col("span_id").is_null()), on="response_id", how="semi")
    failed = pl.concat([by_span.select("trace_id", "span_id"), by_response.select("trace_id", "span_id")]).unique()
    return calls.join(
        failed.with_columns(failed_validation=pl.lit(value=True)), on=["trace_id", "span_id"], how="left"
    ).with_columns(pl.col("failed_validation").fill_null(value=False))
