"""Reports of a lake on a distributed engine: its workers open the lake themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from analytics import part_rows
from analytics.dask_engine import DaskEngine
from analytics.job import run_report
from analytics.job_options import JobOptions
from analytics.promotions import Promotion, promotion_row
from analytics.report import as_json
from sql.access import open_store
from sql.lake_address import LakeAddress
from tests.analytics.test_window_traces import A_DAY, AT, DAYS, UNTIL, _trace


@pytest.mark.slow
def test_workers_read_the_lake(lake: LakeAddress, rows: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is the same to the byte, and no span passed through the process that asked for it."""
    monkeypatch.setattr(part_rows, "SPANS_AT_ONCE", 7)
    promotion = Promotion("p", "m0", "m1", "concurrent", AT + timedelta(days=1), None, "app.cohort", 0.5)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
        open_store(lake, write=True) as store,
    ):
        store.write({"promotions": promotion_row(promotion, AT)})
        store.write(rows(*(span for number in range(DAYS * A_DAY) for span in _trace(number))))
        here = run_report(store, "p", JobOptions(), as_of=UNTIL, now=UNTIL)
        read: list[Path] = []
        opened = part_rows.open_store

        def counted(address: Any) -> Any:
            read.append(address)
            return opened(address)

        monkeypatch.setattr(part_rows, "open_store", counted)
        engine = DaskEngine(client, "dask://here:1", lake)
        there = run_report(store, "p", JobOptions(), as_of=UNTIL, now=UNTIL, engine=engine)
    assert as_json.render(there) == as_json.render(here)
    assert len(there.cohorts) == 2
    assert read == [lake] * DAYS
