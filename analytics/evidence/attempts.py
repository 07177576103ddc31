"""How the attempt chains of each arm went, and what the attempts cost that came to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analytics.report.evidence import Attempts
from analytics.trace_chains import CHAIN_SUMS
from analytics.unit_days import fixed_point

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHARES = {
    "retried": "retry_rate",
    "repaired": "repair_rate",
    "fell_back": "fallback_rate",
    "rescued": "rescue_rate",
    "failed": "failure_rate",
}
"""What may be true of a chain → the share of chains of which it is."""


def attempts_by_arm(ended: pl.DataFrame) -> tuple[Attempts, ...]:
    """Add up the chains of the traces of each arm.

    Args:
        ended: the traces, as :func:`analytics.values.prepared` gives them, with :data:`CHAIN_SUMS`; a chain counts as
            often as its trace's weight says.

    Returns:
        By cohort and arm, for arms with chains; none where the traces do not tell of chains.
    """
    if not set(CHAIN_SUMS) <= set(ended.columns):
        return ()
    return tuple(_attempts(ended.filter(pl.col("chains") > 0)))


def _attempts(traces: pl.DataFrame) -> Iterator[Attempts]:
    weight = pl.col("weight")
    summed = (
        traces.group_by("cohort", "arm")
        .agg(
            pl.col("chains").sum(),
            *(pl.col(f"chains_{fact}").sum().alias(fact) for fact in (*_SHARES, "several", "unpriced")),
            fixed_point(weight * pl.col("chains")).sum().alias("weight"),
            fixed_point(weight * pl.col("chain_attempts")).sum().alias("attempts"),
            fixed_point(weight * pl.col("chain_extra_cost")).sum().alias("extra_cost"),
            **{rate: fixed_point(weight * pl.col(f"chains_{fact}")).sum() for fact, rate in _SHARES.items()},
        )
        .sort("cohort", "arm")
    )
    for row in summed.iter_rows(named=True):
        whole = float(row["weight"])
        told = row["several"] > row["unpriced"] or not row["several"]
        yield Attempts(
            cohort=row["cohort"],
            arm=row["arm"],
            chains=row["chains"],
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
