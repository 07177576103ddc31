"""One scheduled report, made in a process of its own: its memory, its crash or its endlessness stay its own."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import threading
import traceback
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path

from analytics.errors import EngineError, InputError
from analytics.report import exit_status, headline
from analytics.report.model import Report
from spanverdict.atomic_file import replace_file
from spanverdict.config import Config, ConfigError
from spanverdict.report_output import rendered
from spanverdict.schedule_config import ScheduleConfig
from sql.access import Access, open_store
from sql.address import StoreAddress, beside
from sql.clock import utc_now
from sql.errors import StoreError, StoreUnavailableError

_SUFFIXES = {"html": ".html", "md": ".md", "json": ".json", "junit": ".xml"}

_LONGEST_NAME = 100


@dataclass(frozen=True)
class Work:
    """What is to be made.

    Attributes:
        db: the store.
        config: what the configuration says.
        schedule: whose slot it is.
        slot: the moment that the report speaks of (UTC, naive).
        promotion: the promotion's name.
    """

    db: StoreAddress
    config: Config
    schedule: ScheduleConfig
    slot: datetime
    promotion: str


@dataclass(frozen=True)
class Made:
    """A report that was made and stored.

    Attributes:
        report_id: its identity.
        overall: its overall verdict.
        headline: it in one sentence.
        status: what `spanverdict report` returns to the shell for it.
    """

    report_id: str
    overall: str
    headline: str
    status: int


@dataclass(frozen=True)
class Failed:
    """A report that could not be made.

    Attributes:
        sentence: why.
        away: whether the store or the engine could not be reached, so that it is to be tried again.
    """

    sentence: str
    away: bool = False


def work_in_child(work: Work, answer: Connection) -> None:
    """Make a report and send what came of it; ends with the process that started it.

    Args:
        work: what is to be made.
        answer: where to send a :class:`Made` or a :class:`Failed`.
    """
    # The terminal's Ctrl-C is for the process that started it, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    answer.send(_made(work))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent:
        parent.join()
        # Nobody waits for the report: what another process does in this one's place must not be done twice.
        os._exit(1)


def _made(work: Work) -> Made | Failed:
    try:
        return _make(work)
    except (EngineError, StoreUnavailableError) as error:
        return Failed(str(error), away=True)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is recorded and told)
        return Failed(_sentence(error))


def _make(work: Work) -> Made:
    # The process that only looks whether something is due does without what these load.
    from analytics.engine import engine_at  # noqa: PLC0415
    from analytics.job import run_report  # noqa: PLC0415
    from analytics.part_files import files_of  # noqa: PLC0415
    from analytics.stored_reports import store_report  # noqa: PLC0415
    from spanverdict.alerting import announce  # noqa: PLC0415
    from spanverdict.job_options import job_options  # noqa: PLC0415

    options = job_options(work.config)
    with open_store(work.db, write=True) as store:
        files = files_of(beside(work.db))
        with engine_at(work.config.report.engine, work.db) as engine:
            report = run_report(
                store, work.promotion, options, as_of=work.slot, now=utc_now(), files=files, engine=engine
            )
        identity = store_report(store, report)
        try:
            _write_files(store, work, report)
        except Exception:
            # What the report found is told all the same.
            announce(store, work.config, report, identity, is_run_over=False)
            raise
        announce(store, work.config, report, identity)
    status = exit_status(report, fail_on_undecided=work.schedule.fail_on_undecided)
    return Made(identity, report.overall.value, headline(report), status)


def _write_files(store: Access, work: Work, report: Report) -> None:
    directory = work.schedule.directory
    if directory is None:
        return
    directory.mkdir(parents=True, exist_ok=True)
    for form in work.schedule.formats:
        replace_file(directory / file_name(work.promotion, work.slot, form), rendered(store, report, form).encode())


def file_name(promotion: str, as_of: datetime, form: str) -> str:
    """The name of a report's file: the promotion and the moment it speaks of, such as ``p-20261102T060000Z.html``.

    A promotion whose name has other characters than file names should have is told apart by a hash of it.

    Args:
        promotion: the promotion's name.
        as_of: the moment (UTC, naive).
        form: html, md, json or junit.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]|^[.-]", "_", promotion)[:_LONGEST_NAME]
    if plain != promotion:
        plain = f"{plain}-{hashlib.sha256(promotion.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return f"{plain}-{as_of:%Y%m%dT%H%M%SZ}{_SUFFIXES[form]}"


def _sentence(error: Exception) -> str:
    """What went wrong, as the command line would say it; what nobody foresaw with its place."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, (InputError, ConfigError, StoreError)):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}: {error}"
