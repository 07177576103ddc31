"""The fingerprint of a report: the same for the same data, however they lie in memory, and for no other."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest

from analytics.compact import compact, in_order
from analytics.fingerprint import fingerprint

START = datetime(2026, 3, 1)
TRACES = pl.DataFrame(
    {
        "trace_id": [f"{number:04x}" for number in range(200)],
        "end_time": [START + timedelta(minutes=number % 50) for number in range(200)],
        "cohort": [f"cohort {number % 3}" for number in range(200)],
        "stratum": [None] * 200,
        "arm": ["base" if number % 2 else "candidate" for number in range(200)],
        "unit": [f"user {number * 7 % 20}" for number in range(200)],
        "prompt_version": [None if number % 5 else f"v{number % 2}" for number in range(200)],
        "latency_ms": [None if number % 9 == 0 else number / 7 for number in range(200)],
        "retries": [number % 4 for number in range(200)],
        "error": [number % 11 == 0 for number in range(200)],
    },
    schema_overrides={"end_time": pl.Datetime("ns"), "stratum": pl.String},
)


def hashed(traces: pl.DataFrame) -> str:
    """The fingerprint of traces as a report reads them."""
    (rows,) = in_order(compact(traces))
    return fingerprint("given", [rows.filter(pl.col("arm").is_not_null())])


def test_it_does_not_depend_on_how_rows_lie() -> None:
    """Their order, the pieces they came in, and traces of no arm change nothing."""
    expected = hashed(TRACES)
    assert hashed(TRACES.sample(fraction=1.0, shuffle=True, seed=3)) == expected
    assert hashed(pl.concat([TRACES[120:], TRACES[:50], TRACES[50:120]], rechunk=False)) == expected
    other = TRACES.head(3).with_columns(
        arm=pl.lit(None, dtype=pl.String), unit=pl.lit("another user"), retries=pl.lit(100_000, dtype=pl.Int64),
        trace_id=pl.col("trace_id") + "0", prompt_version=pl.lit("0"),
    )  # fmt: skip
    assert hashed(pl.concat([other, TRACES])) == expected
    assert fingerprint("given", [TRACES]) == fingerprint("given", [TRACES.reverse()])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("latency_ms", 1.0),
        ("latency_ms", None),
        ("prompt_version", "v2"),
        ("retries", 9),
        ("error", True),
        ("unit", "user 99"),
        ("cohort", "another"),
        ("trace_id", "ffff"),
        ("end_time", START - timedelta(days=1)),
    ],
)
def test_it_depends_on_every_value(column: str, value: object) -> None:
    """One value of one trace changes it."""
    changed = pl.when(pl.col("trace_id") == "0001").then(pl.lit(value, dtype=TRACES.schema[column])).otherwise(column)
    assert hashed(TRACES.with_columns(changed.alias(column))) != hashed(TRACES)


def test_it_depends_on_what_was_given() -> None:
    """So do the options, and which traces are from before."""
    assert fingerprint("given", [TRACES]) != fingerprint("other", [TRACES])
    assert fingerprint("given", [TRACES, TRACES.clear()]) != fingerprint("given", [TRACES.clear(), TRACES])
