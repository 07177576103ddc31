"""Scheduled reports on the metrics page: what became of them, and when the next is due."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from spanverdict.schedule_config import ScheduleConfig
from sql import statements
from sql.access import Access
from sql.clock import utc_now
from sql.errors import StoreError


class ScheduleMetrics(Collector):
    """Counts of all runs that the store knows, read when they are asked for.

    Args:
        store: what was made.
        schedules: what is configured.
    """

    def __init__(self, store: Access, schedules: Sequence[ScheduleConfig]) -> None:
        self._store = store
        self._schedules = schedules

    def collect(self) -> Iterator[Metric]:
        """The samples; those of the store are left out while it cannot be read."""
        if not self._schedules:
            return
        with contextlib.suppress(StoreError):
            yield from self._made()
        coming = GaugeMetricFamily(
            "spanverdict_schedule_next_slot_timestamp_seconds",
            "When a schedule has its next slot.",
            labels=["schedule"],
        )
        now = utc_now()
        for schedule in self._schedules:
            slot = schedule.slots.following(now)
            if slot is not None:
                coming.add_metric([schedule.name], slot.replace(tzinfo=UTC).timestamp())
        yield coming

    def _made(self) -> Iterator[Metric]:
        rows = self._store.read(statements.read("schedule_counts")).to_pylist()
        runs = CounterMetricFamily(
            "spanverdict_scheduled_reports", "Scheduled reports by what became of them.", labels=["schedule", "status"]
        )
        ended = GaugeMetricFamily(
            "spanverdict_scheduled_report_timestamp_seconds",
            "When a scheduled report was last made, or failed.",
            labels=["schedule", "status"],
        )
        for row in rows:
            runs.add_metric([row["schedule"], row["status"]], row["runs"])
            if row["finished_at"] is not None:
                ended.add_metric([row["schedule"], row["status"]], row["finished_at"])
        yield from (runs, ended)
