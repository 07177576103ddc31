"""Who had traces when: the rows on which sums of a metric stand, shared by metrics whose values the same traces have.

A row is what a unit has on one look in one stratum, period and arm. Most units come once a day, so that most rows are
one trace; only those that are more are added up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl

from analytics.pairs import PAIR

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from analytics.stats.sums import IndexArray

ONE = 2.0**40
"""What one of a metric's unit is in fixed point."""

KEYS = ("cohort", "unit", "look", "stratum", "period", PAIR, "arm")
WEIGHTS = ("n", "weight", "weight_squared")

_Made = TypeVar("_Made")

# Beyond this a value of the fixed point would not fit into 128 bits together with others.
_LARGEST = 2.0**120
# Below this sums of whole numbers fit into 64 bits.
_SMALL = 2.0**62


def fixed_point(value: pl.Expr) -> pl.Expr:
    """A value as a whole number of :data:`ONE`-ths, whose sums do not depend on the order."""
    return whole(value).cast(pl.Int128)


def whole(value: pl.Expr) -> pl.Expr:
    """The same as a floating-point number."""
    return (value.cast(pl.Float64) * ONE).round().clip(-_LARGEST, _LARGEST)


@dataclass(frozen=True)
class UnitDays:
    """The rows of some traces.

    Attributes:
        frame: :data:`KEYS`, sorted by them, and :data:`WEIGHTS`: traces, and in fixed point the sums of their weights
            and of the weights' squares.
        order: which trace stands at each place in the order of the keys; None where they stand so.
        starts: where in that order each row begins; None where each trace is a row of its own.
        longest: most traces of a row.
        kept: what was made of these rows and is asked for again and again; by name.
    """

    frame: pl.DataFrame
    order: pl.Series | None = None
    starts: IndexArray | None = None
    longest: int = 1
    kept: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, traces: pl.DataFrame) -> UnitDays:
        """The rows of traces.

        Args:
            traces: the keys (``pair`` may be absent) and ``weight``.
        """
        pair = pl.col(PAIR).cast(pl.String) if PAIR in traces.columns else pl.lit(None, dtype=pl.String)
        keys = traces.with_columns(pair.alias(PAIR)).select(KEYS)
        order = None
        varying = _varying(keys)
        if not _in_order(keys.select(varying)):
            order = keys.with_row_index("place").sort(*KEYS, "place")["place"]
            keys = keys[order]
        starts = _row_starts(keys, varying)
        weight = traces["weight"] if order is None else traces["weight"].gather(order)
        unweighted = bool((weight == 1.0).all())
        if len(starts) == keys.height:
            rows = cls(keys, order)
            n = pl.repeat(1, keys.height, dtype=pl.Int64, eager=True)
        else:
            rows = cls(keys[starts], order, starts, int(np.diff(starts, append=keys.height).max()))
            n = pl.Series(np.diff(starts, append=keys.height), dtype=pl.Int64)
        if unweighted:
            sums = [n * int(ONE), n * int(ONE)]
        else:
            told = traces.select(whole(pl.col("weight")).alias("1"), whole(pl.col("weight") ** 2).alias("2"))
            sums = [rows.added(told["1"]), rows.added(told["2"])]
        named = (each.alias(name) for each, name in zip((n, *sums), WEIGHTS, strict=True))
        return cls(rows.frame.with_columns(named), rows.order, rows.starts, rows.longest)

    def made(self, name: Hashable, make: Callable[[], _Made]) -> _Made:
        """What is made of these rows, once for all who share them."""
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]  # type: ignore[no-any-return]  # it is what make gives

    def added(self, values: pl.Series) -> pl.Series:
        """The sum of the traces' values in each row, in fixed point.

        Args:
            values: one for each trace, in the order in which the traces were given, as :func:`whole` makes them.
        """
        numbers = (values if self.order is None else values.gather(self.order)).to_numpy()
        most = float(np.abs(numbers).max(initial=0.0))
        if most * self.longest >= _SMALL:
            return self._added_at_length(pl.Series(numbers))
        each = numbers.astype(np.int64)
        return pl.Series(each if self.starts is None else np.add.reduceat(each, self.starts), dtype=pl.Int64)

    def _added_at_length(self, values: pl.Series) -> pl.Series:
        """The same of what does not fit into 64 bits."""
        rows = np.arange(len(values), dtype=np.uint32)
        if self.starts is not None:
            rows = np.repeat(np.arange(len(self.starts), dtype=np.uint32), np.diff(self.starts, append=len(values)))
        numbered = pl.DataFrame({"row": pl.Series(rows), "value": values.cast(pl.Int128)})
        return numbered.group_by("row", maintain_order=True).agg(pl.col("value").sum())["value"]


def _row_starts(keys: pl.DataFrame, varying: Sequence[str]) -> IndexArray:
    """Where a row differs from the one before, the first of all included; nothing but the varying keys can."""
    differs = np.zeros(keys.height, dtype=np.bool_)
    if varying:
        same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in varying)
        differs = keys.select(~same).to_series().to_numpy().copy()
    differs[:1] = True
    return np.flatnonzero(differs)


def _in_order(keys: pl.DataFrame) -> bool:
    """Whether the rows are sorted by all keys."""
    in_order: pl.Expr = pl.lit(value=True)
    for name in reversed(keys.columns):
        here, before = pl.col(name), pl.col(name).shift(1)
        # What is absent comes first.
        above = (here > before).fill_null(here.is_not_null())
        in_order = above | (here.eq_missing(before) & in_order)
    return not keys.columns or bool(keys.select(in_order).to_series()[1:].all())


def _varying(keys: pl.DataFrame) -> list[str]:
    """The keys that are not alike in all rows."""
    if keys.is_empty():
        return []
    told = keys.select(pl.all().ne_missing(pl.all().first()).any())
    return [name for name in keys.columns if told[name].item()]
