"""Which strata carry a difference between the arms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.metrics import MetricKind
from analytics.report.model import StratumDifference
from analytics.report.text import name as fit
from analytics.report.values import ArmValue
from analytics.stats.contrast import RATIO_SCALES, mean_difference
from analytics.stats.heterogeneity import heterogeneity_p_value
from analytics.steps import TOOL
from analytics.value_sums import value_sums
from analytics.values import ARMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analytics.metrics import Metric
    from analytics.stats.sums import BoolArray, FloatArray
    from analytics.steps import Steps

MOST_STRATA = 20
LEAST_TRACES = 20
"""Traces of each arm from which a stratum stands alone."""

LEVEL = 0.05
_REST = "others"
_UNTOLD = "(none)"
_CARRIES = 0.5
_BEYOND_ITS_TRAFFIC = 1.2


@dataclass(frozen=True)
class Parts:
    """The strata of a cell.

    Attributes:
        strata: the one with the largest share first; empty where nothing that is known of the traces sets them apart.
        labels: each trace's stratum.
        uneven: whether the difference is not the same in all strata, beyond chance.
        traffic: stratum → its share of the traces.
    """

    strata: tuple[StratumDifference, ...]
    labels: pl.Series
    uneven: bool
    traffic: dict[str, float]

    def in_words(self) -> list[str]:
        """What to say of the stratum that carries the difference; nothing where none stands out."""
        if not self.uneven or not self.strata:
            return []
        most = self.strata[0]
        if most.share is None or most.share < max(_CARRIES, _BEYOND_ITS_TRAFFIC * self.traffic[most.stratum]):
            return []
        traffic = self.traffic[most.stratum]
        return [f"{fit(most.stratum)} carries {100 * most.share:.0f} % of it with {100 * traffic:.0f} % of the traces"]


def strata_parts(traces: pl.DataFrame, bad: FloatArray, metric: Metric, steps: Steps | None) -> Parts:
    """Split a cell's difference by stratum.

    A stratum's part is the difference within it times its share of all traces; shares of the parts add up to 1 over the
    strata that both arms have. Without strata of the promotion, what else is known of each trace stands in: its prompt
    version, its services, the first tool that it ran; of these the one whose values differ most, if beyond chance
    (Cochran's Q, Bonferroni-corrected).

    Args:
        traces: the cell's traces.
        bad: how bad each is.
        metric: the metric.
        steps: their steps.
    """
    if (traces["stratum"] != "").any():
        parts, p = _parts(traces, traces["stratum"], bad, metric)
        return Parts(parts.strata, parts.labels, p <= LEVEL, parts.traffic)
    tried = [_parts(traces, labels, bad, metric) for labels in _dimensions(traces, steps)]
    tried = [(parts, p) for parts, p in tried if len(parts.strata) > 1]
    if tried:
        parts, p = min(tried, key=lambda each: each[1])
        if p <= LEVEL / len(tried):
            return parts
    nothing = pl.Series("label", [None] * traces.height, dtype=pl.String)
    return Parts((), nothing, uneven=False, traffic={})


def _dimensions(traces: pl.DataFrame, steps: Steps | None) -> Iterator[pl.Series]:
    """What is known of each trace beside its stratum."""
    for column, called in (("prompt_version", "prompt"), ("services", "service")):
        if column in traces.columns:
            yield traces.select(pl.lit(f"{called} ") + pl.col(column).fill_null(_UNTOLD)).to_series()
    if steps is not None:
        tools = [step for step, stage in steps.stages.items() if stage == TOOL]
        first = (
            steps.by_trace.filter(pl.col("step").is_in(tools))
            .sort("trace_id", "began_at", "step")
            .unique("trace_id", keep="first", maintain_order=True)
            .select("trace_id", "step")
        )
        ran = traces.select("trace_id").join(first, on="trace_id", how="left", maintain_order="left")["step"]
        yield pl.select(pl.lit("first ") + ran.fill_null("tool (none)")).to_series()


def _parts(traces: pl.DataFrame, labels: pl.Series, bad: FloatArray, metric: Metric) -> tuple[Parts, float]:
    """The strata by one label, and the p-value of their being alike."""
    labels = _bounded(labels, traces["arm"])
    values = labels.unique().sort().to_list()
    known = np.array([(labels == value).to_numpy() for value in values])
    sums = value_sums(traces, np.broadcast_to(bad, known.shape), known, within_strata=False)
    contrast = mean_difference(sums, RATIO_SCALES, relative=True)
    both = (sums.base.n > 0)[:, -1] & (sums.candidate.n > 0)[:, -1]
    effect = np.where(both, contrast.effect[:, -1], np.nan)
    weight = traces["weight"].to_numpy()
    traffic = np.where(known, weight, 0.0).sum(axis=1) / weight.sum()
    part = traffic * effect
    total = np.nansum(part)
    share = part / total if total > 0 else np.full(len(part), np.nan)
    shown = [_arm_values(traces, rows, metric) for rows in known]
    strata = [
        StratumDifference(value, *arms, share=float(of_all) if np.isfinite(of_all) else None)
        for value, arms, of_all in zip(values, shown, share, strict=True)
    ]
    strata.sort(key=lambda each: (each.share is None, -(each.share or 0.0), each.stratum))
    p = heterogeneity_p_value(effect[both], contrast.variance[both, -1])
    return Parts(tuple(strata), labels, uneven=True, traffic=dict(zip(values, traffic.tolist(), strict=True))), p


def _bounded(labels: pl.Series, arms: pl.Series) -> pl.Series:
    """Take together the strata of too few traces in an arm, and the smallest of too many."""
    counts = (
        pl.DataFrame({"label": labels, "arm": arms})
        .group_by("label")
        .agg(base=(pl.col("arm") == "base").sum(), candidate=(pl.col("arm") == "candidate").sum())
        .with_columns(fewest=pl.min_horizontal("base", "candidate"))
        .sort("fewest", "label", descending=[True, False])
    )
    kept = counts.filter(pl.col("fewest") >= LEAST_TRACES).head(MOST_STRATA - 1)["label"]
    if counts.height <= len(kept) + 1:
        return labels
    return pl.select(pl.when(labels.is_in(kept.implode())).then(labels).otherwise(pl.lit(_REST))).to_series()


def _arm_values(traces: pl.DataFrame, rows: BoolArray, metric: Metric) -> tuple[ArmValue, ArmValue]:
    """Both arms' traces and values of a stratum, as the report shows the metric."""
    of_stratum = traces.filter(pl.Series(rows))
    sides = []
    for arm in ARMS:
        ours = of_stratum.filter(pl.col("arm") == arm)
        raw, weight = ours["raw"].to_numpy(), ours["weight"].to_numpy()
        if not len(raw):
            sides.append(ArmValue(0, None))
        elif metric.quantile is not None:
            sides.append(ArmValue(len(raw), float(np.quantile(raw, metric.quantile))))
        else:
            shown = (raw > 0).astype(np.float64) if metric.kind is MetricKind.RATE else raw
            sides.append(ArmValue(len(raw), float(np.average(shown, weights=weight))))
    return sides[0], sides[1]
