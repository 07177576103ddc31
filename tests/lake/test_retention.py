"""Retention and the doctor of a shared store."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import Result

from spanverdict.config import Config
from spanverdict.doctor import Status
from spanverdict.housekeeping import Housekeeping
from spanverdict.lake_checks import examine_lake
from spanverdict.lake_metrics import LakeMetrics
from spanverdict.lake_upkeep_task import AGAIN_AFTER, MERGE_EVERY, TIDY_EVERY, LakeUpkeepTask
from spanverdict.pruning import Deletion, Limits, Pruner
from spanverdict.retention_config import RetentionConfig
from spanverdict.store_sizes import sizes_of
from sql.clock import utc_now
from sql.lake_address import LakeAddress
from sql.lake_store import LakeStore
from sql.lake_upkeep import SOON

Cli = Callable[..., Result]
Rows = Callable[..., dict[str, pa.Table]]
TODAY = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
SECRET = "what the user said"


def day_of(rows: Rows, ago: int) -> dict[str, pa.Table]:
    """Five spans of a day so many days ago."""
    begin = int((TODAY - timedelta(days=ago)).timestamp()) * 10**9
    return rows(
        *(
            {"trace_id": bytes([ago] * 16), "span_id": bytes([ago, number] * 4), "start_time_unix_nano": begin + number,
             "end_time_unix_nano": begin + 10**9,
             "attributes": {"gen_ai.operation.name": "chat", "gen_ai.input.messages": SECRET * 50}}
            for number in range(5)
        )
    )  # fmt: skip


@pytest.fixture
def store(lake: LakeAddress, rows: Rows) -> Any:
    """A lake with five spans of each of the last five days."""
    with LakeStore(lake) as opened:
        for ago in range(1, 6):
            opened.write(day_of(rows, ago))
        yield opened


def left(store: LakeStore) -> dict[int, tuple[int, int]]:
    """How many days ago → spans, and spans that still tell what was said."""
    found = store.read(
        "SELECT $today::DATE - start_time::DATE AS ago, count(span_id) AS spans,"
        f" count(span_id) FILTER (attributes::VARCHAR LIKE '%{SECRET}%') AS telling FROM spans GROUP BY ALL",
        {"today": TODAY},
    )
    return {row["ago"]: (row["spans"], row["telling"]) for row in found.to_pylist()}


def limits(**keys: int | str) -> Limits:
    """What a configuration of retention comes to."""
    return Limits.of(RetentionConfig.model_validate(keys), utc_now())


def test_what_is_too_old_goes(store: LakeStore, lake: LakeAddress) -> None:
    """As it was planned, content first; it is noted, and the catalog tells that it takes less."""
    done: list[Deletion] = []
    pruner = Pruner(store, lake, utc_now(), (), done.append)
    before = sizes_of(store, lake).used_bytes()
    planned = pruner.planned(limits(content_days=2, spans_days=4))
    assert left(store) == dict.fromkeys(range(1, 6), (5, 5))
    assert [(deletion.what, deletion.rows) for deletion in planned] == [("content", 5), ("content", 5), ("rows", 5)]
    assert 0 < sum(deletion.size_bytes for deletion in planned) < before
    assert pruner.prune(limits(content_days=2, spans_days=4))
    assert done == planned
    assert left(store) == {1: (5, 5), 2: (5, 5), 3: (5, 0), 4: (5, 0)}
    assert sizes_of(store, lake).used_bytes() < before
    pruned = store.read(
        "SELECT what, sum(rows)::BIGINT AS rows FROM pruned_days GROUP BY ALL ORDER BY what"
    ).to_pylist()
    assert pruned == [{"what": "content", "rows": 10}, {"what": "rows", "rows": 5}]
    assert not pruner.planned(limits(content_days=2, spans_days=4))


def test_what_does_not_fit_goes(store: LakeStore, lake: LakeAddress, cli: Cli, tmp_path: Path) -> None:
    """The oldest content, then the oldest rows; what is younger than two days stays, and the command says so."""
    config = tmp_path / "retention.toml"
    config.write_text('[retention]\nmax_size = "1KB"\n')
    done = cli("prune", "--store", lake, "--config", config, "--format", "json")
    assert done.exit_code == 0
    kinds = [(row["held_in"], row["deleted"], row["rows"]) for row in json.loads(done.stdout)]
    assert kinds == [("lake", "content", 5)] * 3 + [("lake", "rows", 5)] * 3
    assert "Deleted 15 rows and the content of 15. Queries that began before" in done.stderr
    assert "more than retention.max_size" in done.stderr
    assert left(store) == {1: (5, 5), 2: (5, 5)}


def test_the_doctor_and_the_metrics_say_who_does_the_tasks(store: LakeStore, lake: LakeAddress, cli: Cli) -> None:
    """Nobody, then this process, by its number; sizes, files and snapshots are told."""
    housekeeping = Housekeeping(Config(), store, None, None)
    metrics = LakeMetrics(lake, housekeeping)

    samples = [sample for family in metrics.collect() for sample in family.samples]
    gauges = {(sample.name, sample.labels.get("table")): sample.value for sample in samples}
    assert gauges["spanverdict_leads", None] == 0
    assert gauges["spanverdict_lake_small_files", "live_spans"] == gauges["spanverdict_lake_files", "live_spans"] == 5
    found = {finding.check: finding for finding in examine_lake(Config(), lake, store, utc_now() + timedelta(hours=1))}
    assert (found["tasks"].status, "spanverdict scheduler" in str(found["tasks"].mend)) == (Status.WARN, True)
    assert "seconds ahead of the catalog's" in found["clock"].detail
    leading = threading.Event()
    housekeeping._lead = leading.set  # type: ignore[method-assign]
    housekeeping.start()
    try:
        assert leading.wait(10)
        told = cli("doctor", "--store", lake).stdout
    finally:
        housekeeping.stop()
    assert f"tasks: spanverdict {os.getpid()} on " in told
    assert "clock: The clock here and the catalog's agree." in told
    assert "ok      files: 6 files, 6 of them small" in told
    assert "The rows take about" in told


def test_upkeep_is_due(store: LakeStore, lake: LakeAddress, rows: Rows) -> None:
    """Each hour all of it; each minute a merge where enough files have come; what failed is tried again soon."""
    task = LakeUpkeepTask(lake)
    now = TODAY
    assert task.due(now) is None
    now += MERGE_EVERY
    assert task.due(now) == ("compact", "--quiet")
    task.ended(4)
    assert task.due(now + MERGE_EVERY) is None
    now += AGAIN_AFTER
    assert task.due(now) == ("compact", "--quiet")
    task.ended(0)
    now += MERGE_EVERY
    assert task.due(now) is None
    for ago in range(SOON - 5):
        store.write(day_of(rows, 20 + ago))
    assert task.due(now) is None
    now += MERGE_EVERY
    assert task.due(now) == ("compact", "--merge-only", "--quiet")
    assert task.due(now + TIDY_EVERY) == ("compact", "--quiet")
