"""Small cohorts taken together, so that what is too small to be judged alone is not left unjudged."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALL_COHORTS = "(small cohorts)"
"""Where a small cohort goes that has no parent of its own."""

_BETWEEN = " / "
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class PoolingRules:
    """Which cohorts are taken together.

    Attributes:
        below: a cohort with fewer traces a day than this is small; None pools nothing.
        parents: cohort → the cohort that it belongs to when it is small.
    """

    below: float | None = None
    parents: Mapping[str, str] = field(default_factory=dict)


class Pooled(NamedTuple):
    """The traces with small cohorts renamed, and what each pooled cohort consists of."""

    window: pl.DataFrame
    pre_period: pl.DataFrame
    members: Mapping[str, tuple[str, ...]]


def pooled(window: pl.DataFrame, pre_period: pl.DataFrame, rules: PoolingRules) -> Pooled:
    """Take small cohorts together.

    Whether a cohort is small is decided once, by its base traces a day before the comparison, or by the traces of its
    first 24 hours where there were none before; not by how it went. A cohort that was there before counts among the
    small ones also while nothing has come of it since, so that what is taken together stays so. In the pooled cohort
    the arms are compared within the cohorts that make it up, so that a different mix of them is no effect.

    Args:
        window: the comparison's traces: ``cohort``, ``stratum`` and ``start_time``.
        pre_period: the base arm's from before.
        rules: which are small, and where they go.
    """
    if rules.below is None or window.is_empty():
        return Pooled(window, pre_period, {})
    expected = _expected(window, pre_period)
    small = sorted(cohort for cohort, traces in expected.items() if traces < rules.below)
    parents = {cohort: rules.parents.get(cohort, SMALL_COHORTS) for cohort in small}
    members: dict[str, list[str]] = {}
    for cohort, parent in parents.items():
        members.setdefault(parent, []).append(cohort)
    for parent, children in members.items():
        # A parent that has traffic of its own is a member too.
        if parent in expected and parent not in parents:
            children.append(parent)
    renamed = {cohort: parent for parent, of in members.items() for cohort in of if len(of) > 1}
    if not renamed:
        return Pooled(window, pre_period, {})

    def taken(frame: pl.DataFrame) -> pl.DataFrame:
        inside = pl.col("cohort").is_in(list(renamed))
        stratum = pl.concat_str(["cohort", "stratum"], separator=_BETWEEN, ignore_nulls=True)
        return frame.with_columns(
            stratum=pl.when(inside).then(stratum).otherwise(pl.col("stratum").cast(pl.String)),
            cohort=pl.col("cohort").cast(pl.String).replace(renamed),
        )

    found = {parent: tuple(sorted(of)) for parent, of in sorted(members.items()) if len(of) > 1}
    return Pooled(taken(window), taken(pre_period), found)


def _expected(window: pl.DataFrame, pre_period: pl.DataFrame) -> dict[str, float]:
    """Traces a day of each cohort, as known when the comparison began, or in the cohort's first 24 hours."""
    start = pl.col("start_time")
    first = window.filter(start < start.min().over("cohort") + _DAY).group_by("cohort").len()
    days = pre_period.select(start.dt.date().n_unique()).item()
    before = {cohort: count / days for cohort, count in pre_period.group_by("cohort").len().rows()}
    return {cohort: float(count) for cohort, count in first.rows()} | before
