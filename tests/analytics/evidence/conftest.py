"""Traffic whose evidence is known: the wide traces frame, made by hand or drawn."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from analytics.metrics import Metric, MetricKind
from analytics.report.model import CohortResult, Decision, MetricResult, Verdict
from analytics.report.values import ArmValue

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 3, 2)
METRICS = (
    Metric("error_rate", MetricKind.RATE, "error", "rate", None),
    Metric("reopened_rate", MetricKind.RATE, "outcome:reopened", "rate", None, maturity=timedelta(days=3)),
    Metric("latency_p50", MetricKind.QUANTILE, "latency_ms", "ms", 0.1, "relative", quantile=0.5),
    Metric("latency_p95", MetricKind.TAIL, "latency_ms", "ms", 0.2, "relative", quantile=0.95),
    Metric("cost_per_trace", MetricKind.MEAN, "cost_usd", "usd", 0.1, "relative"),
)
_SCHEMA = {
    "trace_id": pl.String,
    "start_time": pl.Datetime("ns"),
    "end_time": pl.Datetime("ns"),
    "cohort": pl.String,
    "arm": pl.String,
    "unit": pl.String,
    "error": pl.Boolean,
    "outcome:reopened": pl.Float64,
    "latency_ms": pl.Float64,
    "cost_usd": pl.Float64,
    "input_tokens": pl.Int64,
    "output_tokens": pl.Int64,
    "cache_read_tokens": pl.Int64,
    "reasoning_tokens": pl.Int64,
    "llm_calls": pl.Int64,
}


@pytest.fixture(scope="session")
def start() -> datetime:
    """When the traffic begins, at midnight."""
    return START


@pytest.fixture(scope="session")
def metrics() -> tuple[Metric, ...]:
    """One metric of each kind, and an outcome that is final after three days."""
    return METRICS


@pytest.fixture(scope="session")
def traces() -> Callable[..., pl.DataFrame]:
    """A traces frame of dicts: each trace lasts a second from ``hours`` on; what is not said is plain, or unknown."""

    def make(*rows: dict[str, Any]) -> pl.DataFrame:
        made = []
        for number, given in enumerate(rows):
            told = dict(given)
            begun = START + timedelta(hours=told.pop("hours", 0))
            plain = {
                "trace_id": f"t{number:05}", "start_time": begun, "end_time": begun + timedelta(seconds=1),
                "cohort": "refunds", "arm": "base", "unit": f"u{number}", "error": False, "llm_calls": 1,
            }  # fmt: skip
            made.append(plain | told)
        extra = {"keep_probability": pl.Float64, "pair": pl.String}
        schema = _SCHEMA | {name: kind for name, kind in extra.items() if any(name in row for row in made)}
        return pl.DataFrame(made, schema=schema)

    return make


@pytest.fixture(scope="session")
def traffic() -> pl.DataFrame:
    """Two thousand traces of two cohorts over ten days, one in four kept by a sampler with another probability."""
    n, rng = 2_000, np.random.default_rng(7)
    begun = np.datetime64(START, "ns") + (rng.integers(0, 10 * 86_400, n) * 10**9).astype("timedelta64[ns]")
    latency = np.round(rng.lognormal(7.0, 0.5, n), 3)
    kept = np.where(rng.random(n) < 0.25, 0.3, 1.0)
    return pl.DataFrame(
        {
            "trace_id": [f"{number:08x}" for number in rng.permutation(n)],
            "start_time": begun,
            "end_time": begun + (latency * 10**6).astype("timedelta64[ns]"),
            "cohort": rng.choice(["left", "right"], n),
            "arm": rng.choice(["base", "candidate"], n),
            "unit": rng.integers(0, n // 5, n).astype(str),
            "error": rng.random(n) < 0.1,
            "outcome:reopened": (rng.random(n) < 0.2).astype(float),
            "latency_ms": latency,
            "cost_usd": np.where(rng.random(n) < 0.9, rng.lognormal(-7.0, 0.4, n), np.nan),
            "input_tokens": rng.integers(10, 2_000, n),
            "output_tokens": rng.integers(10, 200, n),
            "llm_calls": rng.integers(1, 4, n),
            "keep_probability": kept,
        }
    ).with_columns(pl.col("cost_usd").fill_nan(None))


@pytest.fixture(scope="session")
def judged() -> Callable[..., CohortResult]:
    """A cohort whose metrics are given as name → verdict, or name → what a result says."""

    def make(cohort: str, **metrics: Verdict | dict[str, Any]) -> CohortResult:
        units = {metric.name: metric.unit for metric in METRICS}
        results = []
        for name, said in metrics.items():
            told = said if isinstance(said, dict) else {"verdict": said}
            plain = {
                "metric": name, "verdict": Verdict.INCONCLUSIVE, "reason": "", "base": ArmValue(10, 0.1),
                "candidate": ArmValue(10, 0.1), "effect": 0.0, "interval": None, "margin": 0.01,
                "unit": units.get(name, "rate"),
            }  # fmt: skip
            results.append(MetricResult(**(plain | told)))
        return CohortResult(cohort, Decision.HOLD, "", {"base": 10, "candidate": 10}, tuple(results))

    return make
