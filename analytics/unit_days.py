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
_HALF = 32

# Beyond this a value of the fixed point would not fit into 128 bits together with others.
_LARGEST = 2.0**120
# Below this sums of whole numbers fit into 64 bits.
_SMALL = 2.0**62


def fixed_point(value: pl.Expr) -> pl.Expr:
    """A value as a whole number of :data:`ONE`-ths, whose sums do not depend on the order."""
    return _whole(value).cast(pl.Int128)


def _whole(value: pl.Expr) -> pl.Expr:
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
        if not _in_order(keys):
            order = keys.with_row_index("place").sort(*KEYS, "place")["place"]
            keys = keys[order]
        starts = _row_starts(keys)
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
            sums = [rows.added(each) for each in (traces["weight"], traces["weight"] ** 2)]
        told = (each.alias(name) for each, name in zip((n, *sums), WEIGHTS, strict=True))
        return cls(rows.frame.with_columns(told), rows.order, rows.starts, rows.longest)

    def made(self, name: Hashable, make: Callable[[], _Made]) -> _Made:
        """What is made of these rows, once for all who share them."""
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]  # type: ignore[no-any-return]  # it is what make gives

    def sums_by_arm(self, values: pl.Series) -> pl.DataFrame:
        """Exact sums of whole numbers over the rows of each cohort's arms: ``cohort``, ``arm`` and ``sum`` (Float64)."""
        if values.dtype != pl.Int64:
            rows = self.frame.select("cohort", "arm").with_columns(sum=values.cast(pl.Int128))
            return rows.group_by("cohort", "arm").agg(pl.col("sum").sum().cast(pl.Float64))
        groups, group = self.made("arms", self._arms)
        whole = values.to_numpy()
        # Halves of so few bits that their sums are exact in floating point.
        high, low = whole >> _HALF, whole & ((1 << _HALF) - 1)
        sums = (np.bincount(group, weights=half, minlength=groups.height) for half in (high, low))
        told = [float((int(top) << _HALF) + int(rest)) for top, rest in zip(*sums, strict=True)]
        return groups.with_columns(sum=pl.Series(told, dtype=pl.Float64))

    def _arms(self) -> tuple[pl.DataFrame, IndexArray]:
        """The arms of each cohort, and the number of each row's."""
        runs = self.frame["cohort"].rle()
        cohort = np.repeat(np.arange(len(runs)), runs.struct.field("len").to_numpy())
        number = 2 * cohort + (self.frame["arm"] == "candidate").to_numpy()
        arms = pl.Series("arm", ["base", "candidate"] * len(runs)).cast(self.frame.schema["arm"])
        groups = runs.struct.field("value").alias("cohort").gather(np.repeat(np.arange(len(runs)), 2)).to_frame()
        return groups.with_columns(arms), number

    def added(self, values: pl.Series) -> pl.Series:
        """The sum of the traces' values in each row, in fixed point.

        Args:
            values: one for each trace, in the order in which the traces were given.
        """
        whole = pl.select(_whole(pl.lit(values))).to_series()
        if self.order is not None:
            whole = whole.gather(self.order)
        most = whole.abs().max()
        fits = most is None or float(most) * self.longest < _SMALL  # type: ignore[arg-type]  # a number's maximum
        whole = whole.cast(pl.Int64 if fits else pl.Int128)
        if self.starts is None:
            return whole
        if fits:
            return pl.Series(np.add.reduceat(whole.to_numpy(), self.starts), dtype=pl.Int64)
        row = np.zeros(len(whole), dtype=np.uint32)
        row[self.starts[1:]] = 1
        numbered = pl.DataFrame({"row": pl.Series(np.cumsum(row, dtype=np.uint32)), "value": whole})
        return numbered.group_by("row", maintain_order=True).agg(pl.col("value").sum())["value"]


def _row_starts(keys: pl.DataFrame) -> IndexArray:
    """Where a row differs from the one before, the first of all included."""
    same = [pl.col(name).eq_missing(pl.col(name).shift(1)) for name in _varying(keys)]
    differs = keys.select(~pl.all_horizontal(pl.lit(value=True), *same)).to_series().to_numpy().copy()
    differs = np.broadcast_to(differs, keys.height).copy()
    differs[:1] = True
    return np.flatnonzero(differs)


def _in_order(keys: pl.DataFrame) -> bool:
    """Whether the rows are sorted by all keys."""
    in_order: pl.Expr = pl.lit(value=True)
    for name in reversed(_varying(keys)):
        here, before = pl.col(name), pl.col(name).shift(1)
        # What is absent comes first.
        above = (here > before).fill_null(here.is_not_null())
        in_order = above | (here.eq_missing(before) & in_order)
    return bool(keys.select(in_order).to_series()[1:].all())


def _varying(keys: pl.DataFrame) -> Sequence[str]:
    """The keys that are not alike in all rows."""
    return [name for name in keys.columns if keys[name].ne_missing(keys[name].shift(1))[1:].any()]
