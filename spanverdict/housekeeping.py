"""What is done for a store from time to time: deriving, schedules, alerts, guards, archiving, retention, upkeep.

For a file its server does it. For a lake one process at a time does, whichever holds the leadership, and another takes
over when that one ends.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from spanverdict.alert_tasks import DeliveryTask, alert_tasks
from spanverdict.archive_task import ArchiveTask
from spanverdict.background import Background, Task
from spanverdict.config import Config
from spanverdict.follower import Follower
from spanverdict.lake_upkeep_task import LakeUpkeepTask
from spanverdict.prune_task import PruneTask
from spanverdict.schedule_task import ScheduledReports
from sql.errors import StoreError
from sql.lake_address import LakeAddress
from sql.lake_turn import Leadership
from sql.opened_store import OpenedStore
from sql.telemetry_writer import TelemetryWriter

_LOG = logging.getLogger("spanverdict.serve")

LOOK_SECONDS = 2.0
"""How often it is looked whether the leadership is free, or still ours."""


class Housekeeping:
    """The tasks of one process, as long as they are its own.

    Args:
        config: what is to be done.
        store: the open store.
        config_file: the configuration file that was named, None if none was.
        writer: what this process stores telemetry with; None if it does not.
    """

    def __init__(
        self, config: Config, store: OpenedStore, config_file: Path | None, writer: TelemetryWriter | None
    ) -> None:
        self._config = config
        self._store = store
        self._config_file = config_file
        self._writer = writer
        self._stopping = threading.Event()
        self._leading: _Tasks | None = None
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    @property
    def leads(self) -> bool:
        """Whether the store's tasks are this process's now."""
        return self._leading is not None

    def start(self) -> None:
        """Begin, at once where the store is a file."""
        if isinstance(self._store.address, LakeAddress):
            self._thread.start()
        else:
            self._lead()

    def stop(self) -> None:
        """End the jobs that run, and begin no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._follow()

    def _run(self) -> None:
        address = self._store.address
        if not isinstance(address, LakeAddress):
            raise TypeError(address)
        leadership = Leadership(address)
        try:
            while not self._stopping.is_set():
                self._look(leadership)
                self._stopping.wait(LOOK_SECONDS)
        finally:
            # Others may begin when nothing of ours runs any more.
            self._follow()
            leadership.release()

    def _look(self, leadership: Leadership) -> None:
        try:
            leads = leadership.held()
        except StoreError as error:
            if self._leading:
                _LOG.warning("%s Its tasks wait.", error)
            leads = False
        if leads and not self._leading:
            _LOG.info("The tasks of %s are this process's now.", self._store.address)
            self._lead()
        elif not leads:
            self._follow()

    def _lead(self) -> None:
        self._leading = _Tasks(self._config, self._store, self._config_file, self._writer)
        self._leading.start()

    def _follow(self) -> None:
        if self._leading:
            self._leading.stop()
            self._leading = None


class _Tasks:
    """Everything that runs beside a store, from one start to one stop."""

    def __init__(
        self, config: Config, store: OpenedStore, config_file: Path | None, writer: TelemetryWriter | None
    ) -> None:
        address = store.address
        owns = writer if isinstance(address, Path) else None
        # What other processes have stored waits, too; the owner of a file knows of all.
        self._work_waits = owns is None or owns.last_received_at() is not None
        self._follower = Follower(owns, address, config_file, config.server.derive_seconds)
        self._backgrounds = [Background(tasks, address, config_file) for tasks in _tasks(config, store)]

    def start(self) -> None:
        self._follower.start(work_waits=self._work_waits)
        for background in self._backgrounds:
            background.start()

    def stop(self) -> None:
        for background in self._backgrounds:
            background.stop()
        self._follower.stop()


def _tasks(config: Config, store: OpenedStore) -> tuple[list[Task], ...]:
    """What is done from time to time: deliveries, which wait for nothing; what takes memory, one by one; merges."""
    tasks = alert_tasks(config, store)
    deliveries: list[Task] = [task for task in tasks if isinstance(task, DeliveryTask)]
    heavy = [task for task in tasks if not isinstance(task, DeliveryTask)]
    if config.schedule and config.server.run_schedules:
        heavy.append(ScheduledReports(config, store))
    if config.archive.enabled and isinstance(store.address, Path):
        heavy.append(ArchiveTask(config.archive, store))
    if config.retention.deletes:
        heavy.append(PruneTask())
    # A report may take minutes, in which every commit makes another small file.
    merges: list[Task] = [LakeUpkeepTask(store.address)] if isinstance(store.address, LakeAddress) else []
    return deliveries, heavy, merges
