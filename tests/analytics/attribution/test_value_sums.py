"""Many values of the same traces, summed as each were a cell of its own."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from analytics.value_sums import value_sums


def test_sums_are_those_of_the_units() -> None:
    """Products are of a unit's running totals; what is not known of a trace does not count."""
    rng = np.random.default_rng(5)
    traces = pl.DataFrame({
        "unit": [f"u{n}" for n in rng.integers(9, size=80)],
        "look": [date(2026, 11, 1 + n) for n in rng.integers(4, size=80)],
        "arm": np.where(rng.random(80) < 0.5, "base", "candidate"),
        "stratum": "", "period": 0, "weight": 1.0,
    }).sort("unit", "look")  # fmt: skip
    values, known = rng.random((3, 80)), rng.random((3, 80)) < 0.8
    sums = value_sums(traces, values, known)
    looks = traces["look"].unique().sort().to_list()
    for row in range(3):
        for place, look in enumerate(looks):
            seen = traces.with_columns(y=pl.Series(values[row])).filter(
                pl.Series(known[row]) & (pl.col("look") <= look)
            )
            for arm, ours in (("base", sums.base), ("candidate", sums.candidate)):
                units = seen.filter(pl.col("arm") == arm).group_by("unit").agg(n=pl.len(), y=pl.col("y").sum())
                n, y = units["n"].to_numpy().astype(float), units["y"].to_numpy()
                expected = [len(n), n.sum(), y.sum(), (n * n).sum(), (y * n).sum(), (y * y).sum()]
                found = [getattr(ours, name)[row, place] for name in ("units", "n", "y", "nn", "yn", "yy")]
                np.testing.assert_allclose(found, expected, atol=1e-9)
