"""How the attempt chains of each arm went, and what the attempts cost that came to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analytics.pricing import usd
from analytics.report.evidence import Attempts
from analytics.unit_days import fixed_point

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHAIN = ["trace_id", "chain_id"]
_READ = (
    *_CHAIN, "gen_ai_span_kind", "is_call", "is_counted", "is_last", "is_error", "failed_validation", "answer_failed",
    "attempt", "reason", "hidden_attempts", "hidden_fallback", "cost_usd",
)  # fmt: skip
_SHARES = {
    "retried": "retry_rate",
    "repaired": "repair_rate",
    "fell_back": "fallback_rate",
    "rescued": "rescue_rate",
    "failed": "failure_rate",
}
"""What may be true of a chain → the share of chains of which it is."""


def attempts_by_arm(calls: pl.DataFrame, ended: pl.DataFrame) -> tuple[Attempts, ...]:
    """Add up the chains of LLM calls, as :func:`analytics.chains.attempt_chains` made them.

    Args:
        calls: its result, of priced calls.
        ended: the traces, as :func:`analytics.values.prepared` gives them; a chain counts as often as its trace's
            weight says.

    Returns:
        By cohort and arm, for arms with chains.
    """
    return tuple(_attempts(_chains(calls, ended)))


def _chains(calls: pl.DataFrame, ended: pl.DataFrame) -> pl.DataFrame:
    """One row per chain: how it went, and what is known of the cost of its attempts before the last (USD)."""
    of_traces = calls.select(_READ).join(ended.select("trace_id", "cohort", "arm", "weight"), on="trace_id")
    made = of_traces.filter(pl.col("is_call") & (pl.col("gen_ai_span_kind") == "LLM"))
    hidden = pl.col("hidden_attempts") > 0
    several = made.filter((pl.col("attempt") > 1) | hidden).select(_CHAIN).unique()
    # Where a wrapper or an agent counts for its calls nobody tells what each of them cost.
    summed = of_traces.filter(pl.col("is_counted") & ~pl.col("is_call"))["trace_id"].unique().implode()
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
            extra_cost=usd(pl.col("cost_usd").filter(before & pl.col("is_counted")).sum()),
        )
    )
    sound = ~(pl.col("is_error") | pl.col("failed_validation") | pl.col("answer_failed"))
    is_one = pl.col("hidden").is_null()
    return (
        made.filter("is_last")
        .join(facts, on=_CHAIN, how="left")
        .select(
            "cohort",
            "arm",
            "weight",
            pl.col("retried", "repaired", "fell_back", "unpriced").fill_null(value=False),
            # An attempt that was the only one has none before it.
            pl.col("extra_cost").fill_null(0.0),
            several=~is_one,
            attempts=pl.col("attempt") + pl.col("hidden").fill_null(0),
            rescued=~is_one & sound,
            failed=~sound,
        )
    )


def _attempts(chains: pl.DataFrame) -> Iterator[Attempts]:
    weight = pl.col("weight")
    summed = (
        chains.group_by("cohort", "arm")
        .agg(
            pl.len(),
            pl.col(*_SHARES, "several", "unpriced").sum(),
            fixed_point(weight).sum(),
            fixed_point(weight * pl.col("attempts")).sum().alias("attempts"),
            fixed_point(weight * pl.col("extra_cost")).sum().alias("extra_cost"),
            **{rate: fixed_point(weight.filter(share)).sum() for share, rate in _SHARES.items()},
        )
        .sort("cohort", "arm")
    )
    for row in summed.iter_rows(named=True):
        whole = float(row["weight"])
        told = row["several"] > row["unpriced"] or not row["several"]
        yield Attempts(
            cohort=row["cohort"],
            arm=row["arm"],
            chains=row["len"],
            attempts=float(row["attempts"]) / whole,
            retried=row["retried"],
            repaired=row["repaired"],
            fell_back=row["fell_back"],
            rescued=row["rescued"],
            failed=row["failed"],
            extra_cost=float(row["extra_cost"]) / whole if told else None,
            unpriced=row["unpriced"],
            retry_rate=float(row["retry_rate"]) / whole,
            repair_rate=float(row["repair_rate"]) / whole,
            fallback_rate=float(row["fallback_rate"]) / whole,
            rescue_rate=float(row["rescue_rate"]) / whole,
            failure_rate=float(row["failure_rate"]) / whole,
        )
