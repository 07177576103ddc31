"""The JSON report keeps its contract: keys, nulls for the undefined, one order, UTC."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from analytics.report import as_json
from analytics.report.model import Decision, Report, Verdict
from analytics.report.values import ArmValue


def leaves(value: Any) -> Iterator[Any]:
    """Every scalar of a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def test_has_the_keys_of_the_contract(report: Report) -> None:
    """Every documented key is there at every level."""
    document = as_json.to_dict(report)
    assert set(document) >= {
        "schema_version", "promotion", "generated_at", "as_of", "data_watermark", "fingerprint", "alpha",
        "overall", "checks", "cohorts",
    }  # fmt: skip
    assert set(document["promotion"]) >= {"name", "base", "candidate", "design", "at", "cohort_by"}
    assert set(document["checks"][0]) >= {"check", "cohort", "status", "detail"}
    assert set(document["cohorts"][0]) >= {"cohort", "decision", "traces", "metrics"}
    assert set(document["cohorts"][0]["metrics"][0]) >= {
        "metric", "verdict", "reason", "base", "candidate", "effect", "interval", "margin", "unit",
        "more_traces_needed", "smallest_detectable", "exemplars",
    }  # fmt: skip
    assert document["schema_version"] == 1


def test_comes_back_from_text_unchanged(report: Report) -> None:
    """Parsing the text gives the dictionary."""
    assert json.loads(as_json.render(report)) == as_json.to_dict(report)


@pytest.mark.parametrize("nothing", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_writes_null_where_nothing_is_defined(build: Any, nothing: float) -> None:
    """NaN and infinities become null in every numeric field."""
    broken = build.metric(
        "error_rate",
        Verdict.INCONCLUSIVE,
        base=ArmValue(0, nothing),
        effect=nothing,
        interval=(nothing, 0.5),
        margin=nothing,
        smallest_detectable=nothing,
        p_value=nothing,
    )
    report = build.report(build.cohort("eu", Decision.HOLD, broken))
    written = as_json.to_dict(report)["cohorts"][0]["metrics"][0]
    assert written["base"] == {"n": 0, "value": None}
    assert written["interval"] == [None, 0.5]
    assert [written[key] for key in ("effect", "margin", "smallest_detectable", "p_value")] == [None] * 4
    assert not {"NaN", "Infinity", "-Infinity"} & set(as_json.render(report).replace(",", " ").split())


def test_writes_numbers_of_numpy_as_plain_numbers(build: Any) -> None:
    """Values that come out of arrays are written like any other."""
    result = build.metric(
        "error_rate",
        Verdict.NO_REGRESSION,
        base=ArmValue(np.int64(7), np.float64(0.25)),  # type: ignore[arg-type]
        interval=(np.float64(-0.1), np.float64(0.1)),
        more_traces_needed=np.int64(12),
    )
    written = as_json.to_dict(build.report(build.cohort("eu", Decision.PROMOTE, result)))["cohorts"][0]["metrics"][0]
    assert all(type(leaf) in {int, float, str, type(None)} for leaf in leaves(written))
    assert (written["base"], written["more_traces_needed"]) == ({"n": 7, "value": 0.25}, 12)


def test_order_of_the_input_does_not_matter(report: Report) -> None:
    """Cohorts, metrics and checks given in reverse give the same bytes."""
    backwards = replace(
        report,
        checks=report.checks[::-1],
        cohorts=tuple(replace(each, metrics=each.metrics[::-1]) for each in report.cohorts[::-1]),
    )
    first, second = as_json.to_dict(report), as_json.to_dict(backwards)
    assert (first["checks"], first["cohorts"]) == (second["checks"], second["cohorts"])


def test_failed_checks_come_first(report: Report) -> None:
    """Checks are listed failed, warned, passed."""
    statuses = [check["status"] for check in as_json.to_dict(report)["checks"]]
    assert statuses == ["fail", "warn", "pass", "pass"]


def test_times_are_utc_with_z(report: Report) -> None:
    """Naive moments are UTC; others are turned into UTC."""
    east = datetime(2026, 11, 16, 2, 0, tzinfo=timezone(timedelta(hours=2)))
    document = as_json.to_dict(replace(report, as_of=east))
    assert document["as_of"] == "2026-11-16T00:00:00Z"
    assert document["generated_at"] == document["as_of"]
    assert document["promotion"]["ended_at"] is None
