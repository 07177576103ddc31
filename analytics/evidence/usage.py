"""What each arm used: cost, tokens and model calls of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analytics.report.evidence import Usage
from analytics.unit_days import ONE, fixed_point

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEANS = {
    "cost": "cost_usd",
    "input_tokens": "input_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "output_tokens": "output_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "calls": "llm_calls",
}
"""What is averaged → its column of the traces frame."""

USED = tuple(_MEANS.values())
"""The columns that are read, where they are there."""


def usage_by_arm(ended: pl.DataFrame) -> tuple[Usage, ...]:
    """Average what the traces of each arm used, over the traces that tell it.

    Args:
        ended: the traces, as :func:`analytics.values.prepared` gives them; a trace counts as often as its weight says.

    Returns:
        By cohort and arm, for arms with traces.
    """
    return tuple(_usages(ended))


def _usages(ended: pl.DataFrame) -> Iterator[Usage]:
    absent = [pl.lit(None, dtype=pl.Float64).alias(name) for name in _MEANS.values() if name not in ended.columns]
    weight = pl.col("weight")
    known = {name: pl.col(column).is_not_null() for name, column in _MEANS.items()}
    rows = ended.with_columns(*absent)
    sums = {name: fixed_point(weight * pl.col(column).cast(pl.Float64)).sum() for name, column in _MEANS.items()}
    weights = {name: fixed_point(weight.filter(known[name])).sum() for name in _MEANS}
    if (rows["weight"] == 1.0).all():
        # Whole numbers add up exactly as they are.
        whole = {name: column for name, column in _MEANS.items() if rows.schema[column].is_integer()}
        sums |= {name: pl.col(column).cast(pl.Int64).sum().cast(pl.Int128) * int(ONE) for name, column in whole.items()}
        weights = {name: known[name].sum().cast(pl.Int128) * int(ONE) for name in _MEANS}
    summed = (
        rows.group_by("cohort", "arm")
        .agg(
            pl.len(),
            *(known[name].sum().alias(f"{name} n") for name in _MEANS),
            *(weights[name].alias(f"{name} weight") for name in _MEANS),
            *(sums[name].alias(f"{name} sum") for name in _MEANS),
        )
        .sort("cohort", "arm")
    )
    for row in summed.iter_rows(named=True):
        means = {
            name: float(row[f"{name} sum"]) / float(row[f"{name} weight"]) if row[f"{name} n"] else None
            for name in _MEANS
        }
        n = {name: row[f"{name} n"] for name in _MEANS}
        yield Usage(row["cohort"], row["arm"], row["len"], unpriced=row["len"] - n["cost"], n=n, **means)
