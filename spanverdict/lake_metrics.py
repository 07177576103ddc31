"""A shared store on the metrics page: its files, what is kept of its past, and whether this process does its tasks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from spanverdict.housekeeping import Housekeeping
from sql.errors import StoreError
from sql.lake_address import LakeAddress
from sql.lake_catalog import LakeCatalog
from sql.lake_upkeep import SMALL_BYTES


class LakeMetrics(Collector):
    """Gauges that are asked of the catalog when they are asked for, in some milliseconds.

    Args:
        address: the lake.
        housekeeping: the tasks of this process.
    """

    def __init__(self, address: LakeAddress, housekeeping: Housekeeping) -> None:
        self._address = address
        self._housekeeping = housekeeping

    def collect(self) -> Iterator[Metric]:
        """The samples; those of the catalog are left out while it cannot be reached."""
        yield GaugeMetricFamily(
            "spanverdict_leads", "1 while this process does the store's tasks.", value=int(self._housekeeping.leads)
        )
        with contextlib.suppress(StoreError):
            yield from self._of_catalog()

    def _of_catalog(self) -> Iterator[Metric]:
        with LakeCatalog(self._address) as catalog:
            tables, history = catalog.files(), catalog.history()
        files = GaugeMetricFamily("spanverdict_lake_files", "Files that hold rows now.", labels=["table"])
        small = GaugeMetricFamily("spanverdict_lake_small_files", "Those of them that are small.", labels=["table"])
        size = GaugeMetricFamily("spanverdict_lake_bytes", "Bytes of those files.", labels=["table"])
        for name, held in sorted(tables.items()):
            files.add_metric([name], len(held))
            small.add_metric([name], sum(file.size_bytes < SMALL_BYTES for file in held))
            size.add_metric([name], sum(file.size_bytes for file in held))
        yield from (files, small, size)
        yield GaugeMetricFamily(
            "spanverdict_lake_snapshots", "States of the lake that can still be read.", value=history.snapshots
        )
        yield GaugeMetricFamily(
            "spanverdict_lake_files_let_go",
            "Files that no state needs and that are not removed yet.",
            value=history.files_let_go,
        )
