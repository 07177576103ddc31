"""How the mix of a categorical column differs between the arms, and whether chance could have done it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import polars as pl

# Fields that a deployment sets do not wander: chance is the answer only where it could plainly have done it.
CHANCE_LEVEL = 0.001

MISSING_TOLERANCE = 0.02
"""A difference in shares of missing values below which no verdict is moved."""


@dataclass(frozen=True)
class Share:
    """One value's share of the traces of each arm, in [0, 1]; the value None stands for "not recorded"."""

    value: str | None
    base: float
    candidate: float


@dataclass(frozen=True)
class MixDifference:
    """The difference of two mixes.

    Attributes:
        distance: total-variation distance, half the sum of the absolute differences of shares, in [0, 1].
        significant: some share differs more than chance explains, at level ``CHANCE_LEVEL`` over all values.
        disjoint: no value occurs in both arms.
        shares: the values, the most different first; of two alike the candidate's.
    """

    distance: float
    significant: bool
    disjoint: bool
    shares: tuple[Share, ...]


def compare_mix(traces: pl.DataFrame, column: str, level: float = CHANCE_LEVEL) -> MixDifference:
    """Compare a column's mix of values between the arms.

    The test of each value's share is a z-test with the cluster variance pooled over both arms (a user's
    traces tend to agree, so the user is the unit), Bonferroni-corrected over the values. With y = 1 where a
    trace has the value, R0 its pooled share, and sums over the (arm, unit) pairs k::

        s2 = max(sum (y_k - R0 n_k)^2 / N, R0 (1 - R0)),   z = (R_c - R_b) / sqrt(s2 (1/N_b + 1/N_c))

    (the delta-method variance of a ratio, Deng, Knoblich & Lu, KDD 2018, under the null of equal shares).

    Args:
        traces: one row per trace with ``arm``, ``unit`` and ``column``; both arms must have rows.
        column: the column to compare; null counts as a value of its own.
        level: of ``significant``, over all values.

    Returns:
        The difference.
    """
    rows = traces.select("arm", "unit", pl.col(column).alias("value"))
    base_total = int((rows["arm"] == "base").sum())
    candidate_total = rows.height - base_total
    if rows["value"].n_unique() == 1:
        only = rows["value"].head(1).cast(pl.String).item()
        return MixDifference(0.0, significant=False, disjoint=False, shares=(Share(only, 1.0, 1.0),))
    sizes = rows.group_by("arm", "unit").len("n")
    sum_nn = float(sizes.select((pl.col("n").cast(pl.Float64) ** 2).sum()).item())
    values = (
        rows.group_by("arm", "unit", "value")
        .len("y")
        .join(sizes, on=["arm", "unit"])
        .group_by("value")
        .agg(
            pl.col("y").filter(pl.col("arm") == "base").sum().alias("base"),
            pl.col("y").filter(pl.col("arm") == "candidate").sum().alias("candidate"),
            (pl.col("y").cast(pl.Float64) ** 2).sum().alias("sum_yy"),
            (pl.col("y").cast(pl.Float64) * pl.col("n")).sum().alias("sum_yn"),
        )
        .with_columns(
            pl.col("value").cast(pl.String),
            (pl.col("base") / base_total).alias("base_share"),
            (pl.col("candidate") / candidate_total).alias("candidate_share"),
            ((pl.col("base") + pl.col("candidate")) / rows.height).alias("pooled"),
        )
        .with_columns((pl.col("candidate_share") - pl.col("base_share")).round(12).alias("gain"))
        .with_columns(pl.col("gain").abs().alias("difference"))
        .sort("difference", "gain", "value", descending=[True, True, False], nulls_last=True)
    )
    critical = NormalDist().inv_cdf(1 - level / (2 * max(1, values.height)))
    spread = 1 / base_total + 1 / candidate_total
    significant = False
    for row in values.iter_rows(named=True):
        pooled = row["pooled"]
        clustered = (row["sum_yy"] - 2 * pooled * row["sum_yn"] + pooled**2 * sum_nn) / rows.height
        error = math.sqrt(max(clustered, pooled * (1 - pooled)) * spread)
        significant = significant or row["difference"] > critical * error
    return MixDifference(
        distance=float(values["difference"].sum()) / 2,
        significant=significant,
        disjoint=values.filter((pl.col("base") > 0) & (pl.col("candidate") > 0)).is_empty(),
        shares=tuple(
            Share(value, base, candidate)
            for value, base, candidate in values.select("value", "base_share", "candidate_share").iter_rows()
        ),
    )


def mix_in_words(difference: MixDifference, of: str = "traces") -> str:
    """How a mix differs, as a part of a sentence."""
    most = difference.shares[0]
    value = "none recorded" if most.value is None else most.value
    return (
        f"differs on {percent(difference.distance)} of {of}, most for {value} "
        f"({percent(most.base)} of base, {percent(most.candidate)} of candidate)"
    )


def shares_of(frame: pl.DataFrame, column: str) -> tuple[float, float]:
    """Share of traces of each arm (base, candidate) for which a Boolean column is true, null being not."""
    by_arm = dict(frame.group_by("arm").agg(pl.col(column).fill_null(value=False).mean()).iter_rows())
    return float(by_arm["base"]), float(by_arm["candidate"])


def percent(share: float) -> str:
    """Write a share for a check's sentence."""
    return f"{100 * share:.1f} %"
