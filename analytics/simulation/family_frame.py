"""Drawn families as the wide traces frame that reports are made of, and the metrics they have there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from analytics.metrics import EVALUATION_PREFIX, OUTCOME_PREFIX, Metric, metrics_for
from analytics.simulation.draw import PROMOTED_AT
from analytics.simulation.family import COST, LATENCY, TASKS, Drawn
from analytics.simulation.family_sums import COST_PER_TRACE, LATENCY_P50, LATENCY_P99
from analytics.simulation.scenarios import EVALUATORS, OUTCOMES

FIRST_DAY = PROMOTED_AT.replace(tzinfo=None)
"""The first day of a frame, naive UTC as in the store."""

_COLUMNS: Mapping[str, str] = {
    **{metric: f"{EVALUATION_PREFIX}{evaluator}" for metric, evaluator in EVALUATORS.items()},
    **{outcome: f"{OUTCOME_PREFIX}{outcome}" for outcome in OUTCOMES},
    "error": "error",
    "schema_repair": "schema_repairs",
    LATENCY: LATENCY,
    COST: COST,
}
_NS_A_DAY = 86_400 * 10**9
_SECONDS_OF_A_DAY = 86_000


def family_metrics() -> dict[str, Metric]:
    """The product's metric of each of a family's metrics, with its default weight."""
    known = metrics_for(pl.DataFrame({column: [0.0] for column in _COLUMNS.values()}), {})
    by_column = {metric.column: metric for metric in known}
    by_name = {metric.name: metric for metric in known}
    rates = {metric: by_column[column] for metric, column in _COLUMNS.items() if metric not in (LATENCY, COST)}
    return rates | {name: by_name[name] for name in (LATENCY_P50, LATENCY_P99, COST_PER_TRACE)}


def traces_frame(drawn: Drawn) -> pl.DataFrame:
    """One row per trace; traces of a day end one after the other, and the day axis begins on `FIRST_DAY`."""
    numbers = np.arange(len(drawn.user))
    ends = drawn.day * _NS_A_DAY + numbers % _SECONDS_OF_A_DAY * 10**9
    hard, drifted, lost = (pl.lit(pl.Series(flags)) for flags in (drawn.hard, drawn.drifted, drawn.lost))
    return (
        pl.DataFrame(
            {
                "trace_id": pl.Series(numbers).cast(pl.String).str.zfill(9),
                "end_time": np.datetime64(FIRST_DAY, "ns") + ends.astype("timedelta64[ns]"),
                "cohort": pl.Series(drawn.cohort).cast(pl.String).str.zfill(5),
                "unit": pl.Series(drawn.user).cast(pl.String),
                **{_COLUMNS[name]: values for name, values in drawn.values.items()},
            }
        )
        .with_columns(
            arm=pl.when(pl.lit(pl.Series(drawn.candidate))).then(pl.lit("candidate")).otherwise(pl.lit("base")),
            stratum=pl.when(hard).then(pl.lit("hard")).otherwise(pl.lit("easy")),
            prompt_version=pl.when(drifted).then(pl.lit("8")).otherwise(pl.lit("7")),
        )
        .with_columns(
            # A score that was lost is missing in one evaluator's column.
            pl.when(~lost).then(column).alias(column)
            for column in {_COLUMNS[TASKS]} & {_COLUMNS[name] for name in drawn.values}
        )
    )
