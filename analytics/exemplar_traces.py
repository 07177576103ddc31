"""The traces that a report shows: for each finding some of both arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from analytics.promotions import EVERYTHING
from analytics.report.findings import findings, kept_alarms, shown_exemplars
from analytics.report.model import Report, Verdict
from analytics.trace_reading import Bounds, read_traces
from analytics.trace_view import TraceView
from sql.access import Reader

OF_EACH_ARM = 2
"""Traces of one arm that a finding shows."""

MOST_TRACES = 24
"""Traces of one report: it is one file, which people send to each other."""

BOUNDS = Bounds(spans=60, text=4_000, trace_text=20_000, messages=12)
"""How much of each is shown there."""

_MARGIN = timedelta(days=1)
"""How long before the arms begin a trace of theirs may have begun: clocks differ."""


def exemplar_traces(store: Reader, report: Report) -> Sequence[TraceView]:
    """Read the traces that show what a report found, the gravest finding's first.

    They are as the store knows them by the report's own moment.

    Args:
        store: where they are.
        report: what was found.

    Returns:
        Each trace once; those that are stored no longer are left out.

    Raises:
        QueryError: the store could not answer.
    """
    chosen = list(dict.fromkeys(_chosen(report)))[:MOST_TRACES]
    began = report.promotion.arms_since
    since = None if report.promotion.at <= EVERYTHING + _MARGIN else began - _MARGIN
    found = read_traces(store, chosen, bounds=BOUNDS, since=since, until=report.as_of)
    return [found[trace_id] for trace_id in chosen if trace_id in found]


def _chosen(report: Report) -> Iterator[str]:
    shown = [*findings(report, Verdict.REGRESSED), *kept_alarms(report), *findings(report, Verdict.IMPROVED)]
    # Of each finding one trace of each arm, before any shows a second.
    for place in range(OF_EACH_ARM):
        for finding in shown:
            exemplars = shown_exemplars(finding.result)
            for arm in ("candidate", "base"):
                yield from exemplars.get(arm, ())[place : place + 1]
