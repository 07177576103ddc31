"""What the doctor says of scheduled reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result

from analytics.promotions import Promotion, promotion_row
from spanverdict import schedule_runs
from spanverdict.schedule_checks import examine_schedules
from spanverdict.schedule_config import ScheduleConfig
from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

BEGAN = datetime(2026, 11, 2)
SIX = datetime(2026, 11, 6, 6)
MINUTE = timedelta(minutes=1)
DAILY = ScheduleConfig(name="daily", cron="0 6 * * *", delay_seconds=0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OpenedStore]:
    """A store with the promotion p."""
    with store_at(tmp_path / "s.duckdb") as opened:
        promotion = Promotion("p", "m0", "m1", "concurrent", BEGAN, None, "app.cohort", None)
        opened.write({"promotions": promotion_row(promotion, BEGAN)})
        yield opened


def told(store: OpenedStore, now: datetime) -> list[tuple[str, str]]:
    """Status and detail of each finding."""
    return [(finding.status.value, finding.detail) for finding in examine_schedules(store, [DAILY], now)]


def test_a_schedule_that_nothing_runs_is_told(store: OpenedStore) -> None:
    """Neither one that was never seen, nor a slot that has gone by for ten minutes; looking changes nothing."""
    never = [("warn", "daily has not been seen by anything that runs it.")]
    assert told(store, SIX) == told(store, SIX + MINUTE) == never
    schedule_runs.register(store, [DAILY], SIX - MINUTE)
    assert told(store, SIX + MINUTE) == [("ok", "daily: no report yet; the next is of 2026-11-07 06:00 UTC.")]
    assert told(store, SIX + 10 * MINUTE) == [("warn", "daily: the report on p of 2026-11-06 06:00 UTC was not made.")]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, ("ok", "daily: the latest, of 2026-11-06 06:00 UTC, was made; the next is of 2026-11-07 06:00 UTC.")),
        ("Why.", ("warn", "daily: the report on p of 2026-11-06 06:00 UTC failed: Why.")),
    ],
)
def test_the_latest_slot_is_told(store: OpenedStore, error: str | None, expected: tuple[str, str]) -> None:
    """While it is made, once it is made, and where it failed, with its sentence."""
    seen = schedule_runs.register(store, [DAILY], BEGAN)
    (due,) = schedule_runs.open_runs(store, [DAILY], seen, SIX).due
    run = schedule_runs.claim(store, due, SIX, 2 * MINUTE)
    assert run
    assert "is being made" in told(store, SIX + MINUTE)[0][1]
    if error:
        assert schedule_runs.fail(store, run, SIX + MINUTE, error)
    else:
        assert schedule_runs.finish(store, run, SIX + MINUTE, "r" * 32, "INVALID")
    assert told(store, SIX + 2 * MINUTE) == [expected]


@pytest.mark.usefixtures("db")
def test_the_doctor_looks_at_schedules(workdir: Path, cli: Callable[..., Result]) -> None:
    """Where one is configured there is a line, with what to do; else there is none."""
    checks = lambda: [  # noqa: E731
        finding for finding in json.loads(cli("doctor", "--format", "json").stdout) if finding["check"] == "schedules"
    ]
    assert checks() == []
    (workdir / "spanverdict.toml").write_text('[[schedule]]\nname = "nightly"\ncron = "30 0 * * *"\n')
    (finding,) = checks()
    assert (finding["status"], "spanverdict serve" in finding["mend"]) == ("warn", True)
