"""`report --scheduled` and the schedules of a server: each report once, whoever makes it and whatever dies."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import Result

from analytics import dask_engine
from analytics.promotions import Promotion, promotion_row
from spanverdict import schedule_runs, scheduled_reports, scheduled_worker
from spanverdict.config import Config
from spanverdict.schedule_config import ScheduleConfig
from spanverdict.scheduled_worker import Failed, Work, file_name
from sql.access import open_store
from sql.address import StoreAddress
from tests.processes import PRODUCT_PATH
from tests.stores import lakes, missing_at, store_at

pytestmark = pytest.mark.any_store(slow=True)

BEGAN = datetime(2026, 11, 2)
NAME = ScheduleConfig(name="nightly", cron="30 0 * * *", delay_seconds=0)


@pytest.fixture
def schedule(workdir: Path, db: StoreAddress) -> Callable[..., datetime]:
    """Configures a schedule that was seen long ago, and promotions that run; says which slot is the latest."""

    def configure(*promotions: str, keys: str = "") -> datetime:
        (workdir / "spanverdict.toml").write_text(
            f'[[schedule]]\nname = "nightly"\ncron = "{NAME.cron}"\ndelay_seconds = 0\n{keys}'
        )
        with store_at(db) as store:
            for name in promotions:
                row = Promotion(name, "m0", "m1", "concurrent", BEGAN, None, "app.cohort", None)
                store.write({"promotions": promotion_row(row, BEGAN)})
            schedule_runs.register(store, [NAME], BEGAN)
        slot = NAME.slots.latest(datetime.now(UTC).replace(tzinfo=None))
        assert slot
        return slot

    return configure


@pytest.fixture
def begin(workdir: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Begins `report --scheduled` in a process of its own; whatever still runs at the end is killed."""
    begun: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        begun.append(
            subprocess.Popen(
                [sys.executable, "-m", "spanverdict", "report", "--scheduled"], cwd=workdir, text=True,
                env={**os.environ, "PYTHONPATH": PRODUCT_PATH}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def runs(db: StoreAddress) -> list[dict[str, Any]]:
    """What the store says of all runs."""
    with open_store(db) as store:
        return store.read("FROM schedule_runs ORDER BY schedule, slot, promotion").to_pylist()


def told(db: StoreAddress) -> list[tuple[str, str, str]]:
    """What alerts say: the change, the promotion, the sentence."""
    with open_store(db) as store:
        events = store.read("SELECT change, promotion, sentence FROM alert_events ORDER BY sentence").to_pylist()
    return [tuple(event.values()) for event in events]


def eventually(there: Callable[[], Any]) -> Any:
    """What is there, once it is."""
    deadline = time.monotonic() + 60
    while not (found := there()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
    return found


def workers(pid: int) -> list[psutil.Process]:
    """The processes in which a command makes reports."""
    below = psutil.Process(pid).children(recursive=True)
    return [process for process in below if any("spawn_main" in word for word in process.cmdline())]


def forget_lease(db: StoreAddress) -> None:
    """Let the time of a claim be over."""
    (row,) = runs(db)
    row = {name: row[name] for name in ("schedule", "slot", "promotion", "attempts", "holder", "lease_until")}
    with open_store(db, write=True) as store:
        assert schedule_runs.renew(store, schedule_runs.Run(**row), datetime(2026, 1, 1))


def test_what_is_due_is_made_once(
    workdir: Path,
    db: StoreAddress,
    cli: Callable[..., Result],
    schedule: Callable[..., datetime],
    fill: Callable[..., None],
) -> None:
    """A report speaks of its slot, is stored, and stands in files as the command writes them; then nothing is due."""
    slot = schedule("p", keys='formats = ["html", "md", "json", "junit"]\ndirectory = "out/nightly"')
    fill(db, "m0", failing=3)
    fill(db, "m1", failing=30)
    made = cli("report", "--scheduled")
    assert made.exit_code == 1, made.output
    assert made.stdout.startswith(f"nightly {slot.isoformat()}Z p: Roll back p: error rate on refunds rose")
    assert made.stderr == ""
    (run,) = runs(db)
    assert (run["status"], run["overall"], run["attempts"], run["slot"]) == ("done", "REGRESSED", 1, slot)
    (shown,) = json.loads(cli("sql", "--named", "scheduled_reports", "--format", "json").stdout)
    assert (shown["promotion"], shown["status"], shown["report_id"]) == ("p", "done", run["report_id"])
    for form in ("html", "md", "json", "junit"):
        again = cli("report", "p", "--as-of", f"{slot.isoformat()}Z", "--format", form, "--out", "again")
        assert again.exit_code == 1
        kept = workdir / "out" / "nightly" / file_name("p", slot, form)
        assert kept.read_bytes() == Path("again").read_bytes()
    with open_store(db) as store:
        reports = store.read("SELECT report_id, as_of FROM reports").to_pylist()
    assert reports == [{"report_id": run["report_id"], "as_of": slot}], "the same slot gives the same report"
    assert len(list((workdir / "out" / "nightly").iterdir())) == 4, "no draft is left"
    assert "error rate on refunds rose" in " ".join(said for _, _, said in told(db)), "a regression is an alert"
    idle = cli("report", "--scheduled")
    assert (idle.exit_code, idle.output) == (0, "")


def test_what_fails_is_recorded_and_the_rest_is_made(
    db: StoreAddress, cli: Callable[..., Result], schedule: Callable[..., datetime]
) -> None:
    """An unknown promotion fails with its sentence; the next one is reported on; it is not tried again and again."""
    schedule("p", keys='promotions = ["nobody", "p"]')
    made = cli("report", "--scheduled")
    assert made.exit_code == 2
    assert "nightly" in made.stderr
    assert " nobody failed: There is no promotion 'nobody'; known here are p." in made.stderr
    assert " p: No verdict on p" in made.stdout
    failed, done = runs(db)
    assert (failed["status"], done["status"]) == ("failed", "done")
    assert failed["error"].startswith("There is no promotion 'nobody'")
    assert cli("report", "--scheduled").output == ""
    ((promotion, said),) = [event[1:] for event in told(db) if event[0] == "failed_run"]
    assert promotion == "nobody"
    assert said.startswith("The run of nobody by nightly failed: There is no promotion")


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("timeout_minutes = 0.002", "It took longer than 0.002 minutes and was ended"),
        ('formats = ["md"]\ndirectory = "spanverdict.toml"', "spanverdict.toml: File exists."),
    ],
)
def test_a_report_that_takes_too_long_or_cannot_be_written_has_failed(
    db: StoreAddress, cli: Callable[..., Result], schedule: Callable[..., datetime], keys: str, sentence: str
) -> None:
    """What is wrong is said, and recorded."""
    schedule("p", keys=keys)
    made = cli("report", "--scheduled")
    assert made.exit_code == 2
    assert f"failed: {sentence}" in made.stderr
    assert [run["error"].startswith(sentence) for run in runs(db)] == [True]
    # Where only the files failed, what the report found is told beside the failure.
    found = {change for change, _, _ in told(db)} - {"failed_run"}
    assert bool(found) == ("directory" in keys)


def test_a_report_whose_process_is_killed_has_failed(
    db: StoreAddress, schedule: Callable[..., datetime], begin: Callable[[], subprocess.Popen[str]]
) -> None:
    """As the kernel does where memory is short: the command lives, records it and says so."""
    schedule("p")
    command = begin()
    eventually(lambda: workers(command.pid))[0].kill()
    _, said = command.communicate(timeout=60)
    assert command.returncode == 2
    assert "failed: The process that made it was ended by SIGKILL; was memory short?" in said
    assert [run["status"] for run in runs(db)] == ["failed"]


def test_a_command_that_is_stopped_gives_its_claim_back(
    db: StoreAddress,
    cli: Callable[..., Result],
    schedule: Callable[..., datetime],
    begin: Callable[[], subprocess.Popen[str]],
) -> None:
    """After SIGTERM the next command makes the report at once, as its first attempt."""
    schedule("p")
    command = begin()
    worker = eventually(lambda: workers(command.pid))[0]
    command.send_signal(signal.SIGTERM)
    assert command.wait(timeout=60) == 128 + signal.SIGTERM
    assert not worker.is_running()
    assert cli("report", "--scheduled").exit_code == 3
    assert [(run["status"], run["attempts"]) for run in runs(db)] == [("done", 1)]


def test_a_command_that_is_killed_is_stood_in_for(
    db: StoreAddress,
    cli: Callable[..., Result],
    schedule: Callable[..., datetime],
    begin: Callable[[], subprocess.Popen[str]],
) -> None:
    """After SIGKILL its report's process ends too; nobody makes the report while the claim holds, then another does."""
    schedule("p")
    command = begin()
    worker = eventually(lambda: workers(command.pid))[0]
    command.kill()
    worker.wait(timeout=60)
    assert cli("report", "--scheduled").output == "", "the claim still holds"
    forget_lease(db)
    assert cli("report", "--scheduled").exit_code == 3
    assert [(run["status"], run["attempts"]) for run in runs(db)] == [("done", 2)]


def test_without_a_server_commands_wait_for_one_another(
    db: StoreAddress, schedule: Callable[..., datetime], begin: Callable[[], subprocess.Popen[str]]
) -> None:
    """Of two commands on one file the first makes the report, the second finds nothing to do; neither is refused."""
    schedule("p")
    both = [begin(), begin()]
    said = [each.communicate(timeout=120) for each in both]
    assert sorted(each.returncode for each in both) == [0, 3], said
    assert [(run["status"], run["attempts"]) for run in runs(db)] == [("done", 1)]


def test_many_who_try_make_each_report_once(
    workdir: Path,
    db: StoreAddress,
    schedule: Callable[..., datetime],
    start_server: Callable[..., Any],
    command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """A server and three commands at the same time: each report is begun once, one after another, and told once."""
    slot = schedule("p", "q")
    server = start_server(db, "--config", str(workdir / "spanverdict.toml"))
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: command("report", "--scheduled"), range(3)))
    eventually(lambda: [run["status"] for run in runs(db)] == ["done", "done"])
    assert {each.returncode for each in done} <= {0, 3}, [each.stderr for each in done]
    found = sorted(runs(db), key=lambda run: run["started_at"])
    assert [(run["slot"], run["attempts"]) for run in found] == [(slot, 1), (slot, 1)]
    assert found[0]["finished_at"] <= found[1]["started_at"], "never two at a time"
    assert server.stop() == 0
    told = "".join(each.stdout for each in done) + (workdir / "server-0.log").read_text()
    assert [told.count(f"nightly {slot.isoformat()}Z {name}: ") for name in ("p", "q")] == [1, 1]
    assert len({run["report_id"] for run in found}) == 2


def test_a_server_makes_up_for_the_slot_it_missed(
    workdir: Path, db: StoreAddress, schedule: Callable[..., datetime], start_server: Callable[..., Any]
) -> None:
    """A server that is killed takes its report's process with it; the next one makes the report, and only once."""
    schedule("p")
    options = ("--config", str(workdir / "spanverdict.toml"))
    first = start_server(db, *options)
    worker = eventually(lambda: workers(first.process.pid))[0]
    between = worker.parent()
    first.stop(signal.SIGKILL)
    worker.wait(timeout=60)
    between.wait(timeout=60)
    assert [run["status"] for run in runs(db)] == ["running"]
    forget_lease(db)
    second = start_server(db, *options)
    eventually(lambda: runs(db)[0]["status"] == "done")
    with urllib.request.urlopen(f"http://{second.told.monitoring}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    assert 'spanverdict_scheduled_reports_total{schedule="nightly",status="done"} 1.0' in page
    assert 'spanverdict_scheduled_report_timestamp_seconds{schedule="nightly",status="done"}' in page
    assert 'spanverdict_schedule_next_slot_timestamp_seconds{schedule="nightly"}' in page
    assert second.stop() == 0
    # The command of a file's server has nobody any more to whom it could give its claim back.
    attempts = 1 if lakes() else 2
    assert [(run["status"], run["attempts"]) for run in runs(db)] == [("done", attempts)]


def test_without_a_store_or_a_schedule(workdir: Path, cli: Callable[..., Result]) -> None:
    """Each is told by its exit status and a sentence."""
    none = cli("report", "--scheduled")
    assert (none.exit_code, "There is no schedule: write [[schedule]]" in none.stderr) == (2, True)
    (workdir / "spanverdict.toml").write_text('[[schedule]]\nname = "nightly"\ncron = "30 0 * * *"\n')
    assert cli("report", "--scheduled", "--db", missing_at(workdir / "none.duckdb")).exit_code == 4
    unknown = cli("report", "--scheduled", "--schedule", "weekly")
    assert (unknown.exit_code, unknown.stderr) == (
        2, "Error: There is no schedule 'weekly'; known here are nightly.\n")  # fmt: skip
    for arguments in (
        ("p", "--scheduled"),
        ("p", "--schedule", "nightly"),
        (),
        ("--scheduled", "--as-of", "2026-11-02"),
    ):
        assert cli("report", *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("promotion", "expected"),
    [
        ("refunds-v2.1", r"refunds-v2\.1-20261102T053000Z\.xml"),
        ("../../etc/cron.d/x", r"_\._\.\._etc_cron\.d_x-[0-9a-f]{8}-20261102T053000Z\.xml"),
        ("-rf", r"_rf-[0-9a-f]{8}-20261102T053000Z\.xml"),
        ("ü" * 400, r"_{100}-[0-9a-f]{8}-20261102T053000Z\.xml"),
    ],
)
def test_files_have_plain_names(promotion: str, expected: str) -> None:
    """A promotion's name leads to no other folder, and two names never to one file."""
    assert re.fullmatch(expected, file_name(promotion, datetime(2026, 11, 2, 5, 30), "junit"))


def test_slots_that_come_faster_than_their_delay_do_not_keep_a_command(
    db: StoreAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot that had come at the beginning is waited for, those that come meanwhile are not; or none at all."""
    often = ScheduleConfig(name="often", cron="* * * * *", delay_seconds=60)
    row = Promotion("p", "m0", "m1", "concurrent", BEGAN, None, "app.cohort", None)
    with store_at(db) as store:
        store.write({"promotions": promotion_row(row, BEGAN)})
        schedule_runs.register(store, [often], BEGAN)
    moments = (BEGAN + timedelta(days=1, seconds=5 * number) for number in range(60))
    monkeypatch.setattr(scheduled_reports, "utc_now", lambda: next(moments))
    monkeypatch.setattr(scheduled_reports, "WAIT_SECONDS", 0)
    monkeypatch.setattr(scheduled_reports, "_watched", lambda _run, _work: scheduled_worker.Failed("not tried."))
    made = list(scheduled_reports.run_due(db, Config(schedule=(often,)), [often]))
    slots = [(outcome.run.slot - BEGAN).total_seconds() / 60 - 24 * 60 for outcome in made]
    assert slots == [-1, 0]
    assert list(scheduled_reports.run_due(db, Config(schedule=(often,)), [often], wait=False)) == []


@pytest.mark.any_store
def test_an_engine_that_is_away_is_tried_again(promoted: StoreAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that does not answer is no fault of the report: the slot stays open, as when the store is away."""
    monkeypatch.setattr(dask_engine, "CONNECT_SECONDS", 0.3)
    config = Config.model_validate({"report": {"engine": "dask://127.0.0.1:1"}})
    made = scheduled_worker._made(Work(promoted, config, NAME, BEGAN, "p"))
    assert isinstance(made, Failed)
    assert made.away
    assert made.sentence.startswith("dask://127.0.0.1:1 cannot be reached: ")
