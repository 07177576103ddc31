"""How the attempt chains of each trace went, and what their attempts cost that came to nothing."""

from __future__ import annotations

import polars as pl

from analytics.pricing import usd

_CHAIN = ["trace_id", "chain_id"]
_FACTS = ("retried", "repaired", "fell_back", "rescued", "failed", "several", "unpriced")
"""What may be true of a chain."""

CHAIN_SUMS = ("chains", "chain_attempts", *(f"chains_{fact}" for fact in _FACTS), "chain_extra_cost")
"""By trace: its chains of LLM calls and their attempts, of how many each of these is true (``several`` attempts, and
``unpriced`` where not all of the cost of those before the last is known), and what is known of that cost (USD)."""


def chain_sums(calls: pl.DataFrame) -> pl.DataFrame:
    """Add up the chains of LLM calls of each trace.

    Args:
        calls: what :func:`analytics.chains.attempt_chains` returns, of priced calls.

    Returns:
        ``trace_id`` and :data:`CHAIN_SUMS` (Int64, the cost Float64), of traces with chains.
    """
    made = calls.filter(pl.col("is_call") & (pl.col("gen_ai_span_kind") == "LLM"))
    hidden = pl.col("hidden_attempts") > 0
    several = made.filter((pl.col("attempt") > 1) | hidden).select(_CHAIN).unique()
    # Where a wrapper or an agent counts for its calls nobody tells what each of them cost.
    summed = calls.filter(pl.col("is_counted") & ~pl.col("is_call"))["trace_id"].unique().implode()
    before = ~pl.col("is_last")
    untold = before & ((pl.col("is_counted") & pl.col("cost_usd").is_null()) | pl.col("trace_id").is_in(summed))
    retries = (pl.col("reason") == "retry") | (pl.col("hidden_attempts") > pl.col("hidden_fallback").cast(pl.Int64))
    facts = (
        made.join(several, on=_CHAIN, how="semi")
        .group_by(_CHAIN)
        .agg(
            hidden=pl.col("hidden_attempts").sum(),
            retried=retries.any(),
            repaired=(pl.col("reason") == "schema_repair").any(),
            fell_back=((pl.col("reason") == "fallback") | pl.col("hidden_fallback")).any(),
            unpriced=(untold | hidden).any(),
            extra_cost=pl.col("cost_usd").filter(before & pl.col("is_counted")).sum(),
        )
    )
    sound = ~(pl.col("is_error") | pl.col("failed_validation") | pl.col("answer_failed"))
    is_one = pl.col("hidden").is_null()
    return (
        made.filter("is_last")
        .join(facts, on=_CHAIN, how="left")
        .with_columns(
            # An attempt that was the only one has none before it.
            pl.col("retried", "repaired", "fell_back", "unpriced").fill_null(value=False),
            several=~is_one,
            attempts=pl.col("attempt") + pl.col("hidden").fill_null(0),
            rescued=~is_one & sound,
            failed=~sound,
        )
        .group_by("trace_id")
        .agg(
            chains=pl.len().cast(pl.Int64),
            chain_attempts=pl.col("attempts").sum().cast(pl.Int64),
            **{f"chains_{fact}": pl.col(fact).sum().cast(pl.Int64) for fact in _FACTS},
            chain_extra_cost=usd(pl.col("extra_cost").sum()),
        )
    )
