"""Charts of a report as static SVG, drawn by matplotlib: loaded only where a page is rendered.

Every chart stands in a page and takes its colours and its font from there; what it shows is said in words beside it.
"""

from __future__ import annotations

import analytics.report.charts.quiet  # noqa: F401 (before the others import matplotlib)
from analytics.report.charts.canvas import Chart
from analytics.report.charts.composition import composition_chart
from analytics.report.charts.distribution import distribution_chart
from analytics.report.charts.forest import forest_chart
from analytics.report.charts.interval import interval_chart
from analytics.report.charts.over_time import over_time_chart

__all__ = [
    "Chart",
    "composition_chart",
    "distribution_chart",
    "forest_chart",
    "interval_chart",
    "over_time_chart",
]
