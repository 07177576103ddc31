"""Reports that are due, made one after another, each once, whichever process is asked to.

Who makes a report holds its claim in the store, renews it, and watches the process in which it is made. How it fits
together: docs/scheduling.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from spanverdict import schedule_runs
from spanverdict.alerting import announce_failure
from spanverdict.child import STOP_SECONDS
from spanverdict.config import Config, ConfigError
from spanverdict.schedule_config import ScheduleConfig
from spanverdict.schedule_runs import Run
from spanverdict.scheduled_worker import Failed, Made, Work, work_in_child
from sql.access import Access, RemoteStore, connect, open_store
from sql.address import StoreAddress
from sql.clock import utc_now
from sql.errors import StoreError, StoreUnavailableError

LEASE = timedelta(minutes=2)
"""How long a report whose process was killed is left alone."""

RENEW_SECONDS = 20.0
"""How often a claim is renewed while the report is made."""

WAIT_SECONDS = 1.0
"""The pause before looking again while another process makes a report."""


@dataclass(frozen=True)
class Outcome:
    """What became of one report.

    Attributes:
        run: which it was.
        result: the report that was made, or why there is none.
    """

    run: Run
    result: Made | Failed


def chosen(schedules: Sequence[ScheduleConfig], names: Sequence[str]) -> list[ScheduleConfig]:
    """The schedules of these names; all, where none is given.

    Raises:
        ConfigError: there is no schedule, or none of that name.
    """
    if not schedules:
        raise ConfigError("There is no schedule: write [[schedule]] with name and cron into the configuration.")
    known = {schedule.name: schedule for schedule in schedules}
    for name in names:
        if name not in known:
            raise ConfigError(f"There is no schedule {name!r}; known here are {', '.join(sorted(known))}.")
    return [schedule for schedule in schedules if not names or schedule.name in names]


def run_due(
    db: StoreAddress, config: Config, schedules: Sequence[ScheduleConfig], *, wait: bool = True
) -> Iterator[Outcome]:
    """Make the reports that are due, until nothing is.

    While another process makes one, it is waited for, unless what it makes is all there is; and so is a slot that had
    come when this began, until its delay is over.

    Args:
        db: the store.
        config: what the configuration says.
        schedules: those of its schedules that are looked at.
        wait: whether slots are waited for whose delay is not over.

    Yields:
        What became of each, when it ended.

    Raises:
        StoreUnavailableError: the store cannot be reached, or went away; what was begun can be begun anew.
        StoreError: it could not be read or written.
    """
    with _in_turn(db):
        # Of slots that come meanwhile there is no end where they come faster than their delay passes.
        delay = max((schedule.delay for schedule in schedules), default=timedelta())
        yield from _run_due(db, config, schedules, utc_now() + delay if wait else None)


def _run_due(
    db: StoreAddress, config: Config, schedules: Sequence[ScheduleConfig], wait_until: datetime | None
) -> Iterator[Outcome]:
    named = {schedule.name: schedule for schedule in schedules}
    others = {schedule.name for schedule in config.schedule} - named.keys()
    while True:
        with _reach(db) as store:
            now = utc_now()
            seen = schedule_runs.register(store, schedules, now)
            found = schedule_runs.open_runs(store, schedules, seen, now, others=others)
            for run, sentence in found.lost:
                if _fail(store, config, run, sentence):
                    yield Outcome(run, Failed(sentence))
            served = isinstance(store, RemoteStore)
            claimed = schedule_runs.claim(store, found.due[0], utc_now(), LEASE) if found.due else None
        if claimed:
            result = _make(
                claimed, Work(db, config, named[claimed.schedule], claimed.slot, claimed.promotion), served=served
            )
            if result:
                yield Outcome(claimed, result)
        elif found.due or (found.due_at and wait_until and found.due_at <= wait_until):
            # While another makes one, or until a slot that has come is due.
            time.sleep(WAIT_SECONDS)
        else:
            return


@contextlib.contextmanager
def _in_turn(db: StoreAddress) -> Iterator[None]:
    """Wait for other commands where no server runs: the store's file is now the command's, now its report's.

    The lock ends with the process, however that ends.
    """
    remote = connect(db, flush=False)
    if remote:
        remote.close()
    if remote or not isinstance(db, Path) or not db.exists():
        yield
        return
    lock = os.open(db.with_name(f"{db.name}.scheduled.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _reach(db: StoreAddress) -> Iterator[Access]:
    """The store, without a wait for what has just arrived: claims do not hang on it."""
    remote = connect(db, flush=False)
    if remote:
        try:
            yield remote
        finally:
            remote.close()
    else:
        with open_store(db, write=True) as store:
            yield store


def _make(run: Run, work: Work, *, served: bool) -> Made | Failed | None:
    """Have a claimed report made and note what came of it; None if it was taken over meanwhile."""
    try:
        result = _watched(run, work)
    except BaseException as stopped:
        # Where the store is away, the claim ends by itself.
        with contextlib.suppress(StoreError):
            _release(run, work.db, served=served, begun=isinstance(stopped, StoreError))
        raise
    if result is None:
        return None
    with _reach(work.db) as store:
        if isinstance(result, Made):
            is_ours = schedule_runs.finish(store, run, utc_now(), result.report_id, result.overall)
        else:
            is_ours = _fail(store, work.config, run, result.sentence)
    return result if is_ours else None


def _fail(store: Access, config: Config, run: Run, sentence: str) -> bool:
    """Tell of a failure and note it; False if the run was taken over meanwhile."""
    if not schedule_runs.renew(store, run, utc_now() + LEASE):
        return False
    # First the alert: should this process end here, whoever takes the run over tells of it, and a failure is told once.
    announce_failure(store, config, schedule=run.schedule, promotion=run.promotion, sentence=sentence)
    return schedule_runs.fail(store, run, utc_now(), sentence)


def _release(run: Run, db: StoreAddress, *, served: bool, begun: bool) -> None:
    """Let others have a run at once. A server that has gone is not stood in for: the next one may be starting."""
    remote = connect(db, flush=False)
    if remote:
        try:
            schedule_runs.release(remote, run, utc_now(), begun=begun)
        finally:
            remote.close()
    elif not served:
        with open_store(db, write=True) as store:
            schedule_runs.release(store, run, utc_now(), begun=begun)


def _watched(run: Run, work: Work) -> Made | Failed | None:
    """Make a report in a process of its own; None if the claim was lost meanwhile."""
    context = multiprocessing.get_context("spawn")
    answers, answer = context.Pipe(duplex=False)
    # A daemon: it is ended with this process, also if nothing here is reached any more.
    process = context.Process(target=work_in_child, args=(work, answer), name="report", daemon=True)
    deadline = time.monotonic() + 60 * work.schedule.timeout_minutes
    try:
        process.start()
        answer.close()
        while not wait([answers, process.sentinel], max(min(RENEW_SECONDS, deadline - time.monotonic()), 0)):
            if time.monotonic() >= deadline:
                return Failed(
                    f"It took longer than {work.schedule.timeout_minutes:g} minutes and was ended; give it more with "
                    "timeout_minutes, or look at fewer promotions."
                )
            if not _renewed(run, work.db):
                return None
        return _received(answers, process)
    finally:
        answers.close()
        _end(process)


def _received(answers: Connection, process: BaseProcess) -> Made | Failed:
    try:
        received: Made | Failed = answers.recv()
    except EOFError:
        process.join()
        return Failed(_how_it_ended(process.exitcode or 0))
    if isinstance(received, Failed) and received.away:
        raise StoreUnavailableError(received.sentence)
    return received


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"The process that made it ended with status {status} and without a report."
    name = signal.Signals(-status).name
    short = "; was memory short?" if name == "SIGKILL" else "."
    return f"The process that made it was ended by {name}{short}"


def _renewed(run: Run, db: StoreAddress) -> bool:
    """Whether the claim still holds; it does while the store cannot be asked, for nobody else can either."""
    try:
        remote = connect(db, flush=False)
        if remote:
            try:
                return schedule_runs.renew(remote, run, utc_now() + LEASE)
            finally:
                remote.close()
        if isinstance(db, Path):
            return True
        with open_store(db, write=True) as store:
            return schedule_runs.renew(store, run, utc_now() + LEASE)
    except StoreError:
        return True


def _end(process: BaseProcess) -> None:
    if process.pid is None:
        return
    process.terminate()
    process.join(STOP_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    process.close()
