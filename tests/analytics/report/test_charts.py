"""Charts put every mark where its number is, take their colours from the page, and say what they show."""

from __future__ import annotations

import itertools
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.report.charts import (
    Chart,
    composition_chart,
    distribution_chart,
    forest_chart,
    interval_chart,
    over_time_chart,
)
from analytics.report.charts.canvas import spread
from analytics.report.evidence import DayValues, Distribution, OverTime
from analytics.report.model import CohortResult, Composition, Decision, MetricResult, Report, Verdict
from analytics.report.text import visible
from analytics.report.values import ArmValue

NUMBERS = st.one_of(st.none(), st.floats())
ARM = ArmValue(1, 0.5)


def elements(chart: Chart) -> list[ET.Element]:
    """The chart's shapes and texts."""
    return list(ET.fromstring(f"<svg>{chart.drawing}</svg>"))  # noqa: S314 (our own output)


def place(chart: Chart, colour: str, tag: str = "path") -> list[float]:
    """The horizontal places of the shapes of a colour, in the order in which they were drawn."""
    found = []
    for element in elements(chart):
        style = element.get("style", "")
        if element.tag == tag and f"var(--{colour})" in style:
            numbers = re.findall(r"-?[\d.]+", element.get("transform") or element.get("d", ""))
            found.append(float(numbers[0]))
    return found


def texts(chart: Chart) -> list[str]:
    """The chart's texts."""
    return [element.text or "" for element in elements(chart) if element.tag == "text"]


def test_an_interval_stands_against_its_margin(build: Any) -> None:
    """Margin, effect and ends stand at distances from zero in proportion to their values."""
    chart = interval_chart(build.metric("m", Verdict.REGRESSED, effect=0.03, interval=(0.02, 0.04), margin=0.01))
    assert chart is not None
    (zero,) = place(chart, "ink")
    _shaded, margin, low, effect = place(chart, "bad")[:4]
    step = margin - zero
    assert step > 0
    assert (low, effect) == pytest.approx((zero + 2 * step, zero + 3 * step), abs=0.3)
    assert texts(chart)[-2:] == ["margin 1.0 points", "+3.0 points"]
    assert chart.description == "Effect +3.0 points, interval +2.0 to +4.0 points; margin 1.0 points, higher is worse."


@pytest.mark.parametrize("bounds", [None, (math.nan, 0.1), (0.0, 0.0)])
def test_draws_nothing_where_there_is_nothing(build: Any, bounds: tuple[float, float] | None) -> None:
    """No interval, or none of any size, gives no chart."""
    result = build.metric("m", Verdict.INVALID, effect=None, interval=bounds, margin=None)
    assert interval_chart(result) is None
    assert forest_chart(build.cohort("eu", Decision.HOLD, result)) is None
    assert composition_chart(result) is None
    assert over_time_chart(OverTime("eu", "m", "rate", ())) is None
    assert distribution_chart(Distribution("eu", "cost", "usd", (0.5,), (None,), (None,), {})) is None


def test_an_open_end_is_an_arrow(build: Any) -> None:
    """An infinite bound has a mark more than a finite one, and is said."""
    closed = interval_chart(build.metric("m", Verdict.INCONCLUSIVE, interval=(-0.04, 0.04)))
    opened = interval_chart(build.metric("m", Verdict.INCONCLUSIVE, interval=(-math.inf, 0.04)))
    assert closed is not None
    assert opened is not None
    assert len(place(opened, "ink")) == len(place(closed, "ink")) + 1
    assert "at most +4.0 points" in opened.description


def test_a_forest_has_each_metric_in_margins(build: Any) -> None:
    """Effects of any unit stand on one axis, worse to the right also where lower is worse; none is left out."""
    cohort = build.cohort(
        "eu", Decision.HOLD,
        build.metric("a", Verdict.REGRESSED, effect=0.05, interval=(0.03, 0.07), margin=0.025),
        build.metric("b", Verdict.IMPROVED, unit="ms", effect=20.0, interval=(10.0, 30.0), margin=-10.0),
    )  # fmt: skip
    chart = forest_chart(cohort)
    assert chart is not None
    assert "a REGRESSED, +2.0 (+1.2 to +2.8)" in chart.description
    assert "b improved, -2.0 (-3.0 to -1.0)" in chart.description
    assert {"a", "b", "margin"} <= set(texts(chart))
    assert min(place(chart, "bad")[1:]) > max(place(chart, "good"))


def test_a_day_without_values_is_a_gap(report: Report) -> None:
    """A line stops at a day on which its arm has no value, and goes on after it: zero is not drawn in its place."""
    found = report.evidence.over_time[0]
    chart = over_time_chart(found)
    assert chart is not None
    lines = [e.get("d", "") for e in elements(chart) if "var(--candidate)" in e.get("style", "") and e.tag == "path"]
    assert max(line.count("M") for line in lines) == 2
    assert "on 2026-11-02" in chart.description
    assert "with both" in chart.description


def test_quantile_curves_say_the_tail(report: Report) -> None:
    """The description names the median and the tail of each arm, where the arm has traces enough."""
    first, small = report.evidence.distributions[0], report.evidence.distributions[2]
    chart = distribution_chart(first)
    assert chart is not None
    assert re.match(r"base \(1,204 traces\): half of the traces are above 1,450 ms, 1 in 10 ", chart.description)
    assert {"half", "1 in 10", "1 in 100", "base", "candidate"} <= set(texts(chart))
    few = distribution_chart(small)
    assert few is not None
    assert "1 in 100" not in few.description


def test_a_wide_distribution_is_logarithmic() -> None:
    """Factors say more than differences from the eightfold on, and only of positive values."""
    places = (0.5, 0.9, 0.99)
    wide = Distribution("eu", "latency", "ms", places, (1.0, 5.0, 80.0), (1.0, 6.0, 90.0), {"base": 9, "candidate": 9})
    chart, zero = distribution_chart(wide), distribution_chart(replace(wide, base=(0.0, 5.0, 80.0)))
    assert chart is not None
    assert zero is not None
    assert chart.title == "Latency of both arms, logarithmic"
    assert zero.title == "Latency of both arms"


def test_a_difference_by_mix_has_its_parts(build: Any) -> None:
    """Raw, within and mix are three bars with their numbers."""
    parts = Composition(0.037, 0.05, -0.013, reversed=False)
    chart = composition_chart(build.metric("m", Verdict.REGRESSED, composition=parts))
    assert chart is not None
    assert {"raw", "within", "mix", "+3.7 points", "+5.0 points", "-1.3 points"} == set(texts(chart))


def test_charts_stand_together_in_a_page(report: Report) -> None:
    """No chart has a name, a reference, a colour or a font of its own."""
    drawn = [interval_chart(result) for cohort in report.cohorts for result in cohort.metrics]
    drawn += [forest_chart(cohort) for cohort in report.cohorts]
    drawn += [over_time_chart(found) for found in report.evidence.over_time]
    drawn += [distribution_chart(found) for found in report.evidence.distributions]
    charts = [chart for chart in drawn if chart is not None]
    assert len(charts) > 15
    for chart in charts:
        assert not re.search(r"\bid=|href|url\(|#[0-9a-f]{3,6}|font-family|~", chart.drawing)
        assert re.search(r"\d", chart.description)
        assert {element.tag for element in elements(chart)} <= {"path", "text"}


@pytest.mark.parametrize("text", ["$x^2$ </text><script>", "\u4e00\u4e8c", "~0~", "%s {0}", "\u202ex"])
def test_names_are_text(build: Any, text: str) -> None:
    """A name is neither mathematics nor markup, whatever its characters, and needs no glyph to be measured."""
    chart = forest_chart(build.cohort("eu", Decision.HOLD, build.metric(text, Verdict.REGRESSED)))
    assert chart is not None
    assert visible(text, 27) in texts(chart)
    assert "<script>" not in chart.drawing


def test_a_chart_is_the_same_on_every_machine(build: Any, tmp_path: Path) -> None:
    """Neither a user's settings of the library nor a home that cannot be written changes a page, or says anything."""
    (tmp_path / "matplotlibrc").write_text("svg.fonttype: path\nlines.linewidth: 9\ntext.usetex: true\n")
    program = (
        "from analytics.report.charts import composition_chart\n"
        "from analytics.report.model import Composition, MetricResult\n"
        "parts = Composition(0.037, 0.05, -0.013, reversed=False)\n"
        "result = MetricResult('m', None, '', None, None, None, None, None, 'rate', composition=parts)\n"
        "print(composition_chart(result).drawing)"
    )
    there = {"MATPLOTLIBRC": str(tmp_path), "HOME": "/proc/none", "MPLCONFIGDIR": "/proc/none"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[3], env=os.environ | there, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    parts = Composition(0.037, 0.05, -0.013, reversed=False)
    here = composition_chart(build.metric("m", Verdict.REGRESSED, composition=parts))
    assert here is not None
    assert (done.stdout, done.stderr) == (f"{here.drawing}\n", "")


@settings(deadline=None, max_examples=30)
@given(low=NUMBERS, high=NUMBERS, effect=NUMBERS, margin=NUMBERS)
def test_whatever_the_numbers_a_chart_stays_inside(
    low: float | None, high: float | None, effect: float | None, margin: float | None
) -> None:
    """No number breaks a chart or the drawing of the others, and every place in it is a finite number."""
    interval = None if low is None or high is None else (min(low, high), max(low, high))
    result = MetricResult("m", Verdict.REGRESSED, "", ARM, ARM, effect, interval, margin, "ms")
    cohort = CohortResult("c", Decision.HOLD, "", {}, (result,))
    days = (DayValues(date(2026, 11, 2), ArmValue(1, low), ArmValue(1, high)),)
    distribution = Distribution("c", "latency", "ms", (0.5, 0.9), (low, effect), (high, margin), {})
    parts = None if None in (low, high, effect) else Composition(low or 0.0, high or 0.0, effect or 0.0, reversed=False)
    for chart in (
        interval_chart(result),
        forest_chart(cohort),
        over_time_chart(OverTime("c", "m", "ms", days)),
        distribution_chart(distribution),
        composition_chart(replace(result, composition=parts)),
    ):
        if chart is not None:
            assert not re.search(r"\b(nan|inf)\b", chart.drawing)
            assert all(abs(float(number)) < 2000 for number in re.findall(r"[MLC ](-?[\d.]+)", chart.drawing))


@given(st.lists(st.floats(-10, 10)).map(sorted))
def test_labels_are_apart(places: list[float]) -> None:
    """Places keep their order, and no two are nearer than asked."""
    moved = list(spread(places, 0.5))
    assert len(moved) == len(places)
    assert all(after - before >= 0.5 - 1e-9 for before, after in itertools.pairwise(moved))
    assert all(after >= before for before, after in zip(places, moved, strict=True))
