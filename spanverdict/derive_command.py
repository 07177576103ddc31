"""`spanverdict derive`: calls, chains and costs, brought up to date from what has arrived."""

from __future__ import annotations

import logging
import os
import select
import sys
import time
from pathlib import Path

import click

from analytics.derive import derive
from analytics.job import JobOptions
from collector.renormalize import renormalize
from spanverdict.config import DEFAULT_FILE, ConfigError, load
from spanverdict.derivation import bring_up_to_date
from spanverdict.job_options import job_options
from spanverdict.options import Settings, store_options
from sql.access import connect, open_store
from sql.errors import StoreError

_LOG = logging.getLogger("spanverdict.derive")

REST_FACTOR = 4
"""How many times as long as it worked the follower rests: it takes a fifth of a core at most."""

_NICENESS = 10


@click.command("derive")
@click.option("--follow", is_flag=True, help="Go on for as long as standard input stays open; `serve` runs it so.")
@store_options
def derive_command(settings: Settings, *, follow: bool) -> None:
    """Bring calls, attempt chains and costs up to date, and what an older version normalised.

    A running server does so by itself every few seconds.
    """
    if follow:
        _follow(settings)
        return
    with open_store(settings.db, write=True) as store:
        renormalized, step = bring_up_to_date(store, job_options(settings.config))
    again = f"Normalised {renormalized:,} spans anew. " if renormalized else ""
    click.echo(f"{again}Derived {step.calls:,} calls of {step.traces:,} traces.", err=True)


def _follow(settings: Settings) -> None:
    """Derive again and again through the server of the store, until the process that holds standard input ends."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    os.nice(_NICENESS)
    options = _Options(settings)
    said = ""
    while True:
        started = time.monotonic()
        try:
            # Without a flush: the server loads in large batches, and what it has not loaded is derived next time.
            remote = connect(settings.db, flush=False)
            if remote is None:
                return
            try:
                renormalize(remote)
                derive(remote, options.current())
            finally:
                remote.close()
            said = ""
        except StoreError as error:
            if said != str(error):
                said = str(error)
                _LOG.warning("Calls could not be derived: %s Trying again.", error)
        rest = max(settings.config.server.derive_seconds, REST_FACTOR * (time.monotonic() - started))
        if select.select([sys.stdin], [], [], rest)[0]:
            return


class _Options:
    """The job's options, read again when the configuration file changes."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.config_file
        self._options = job_options(settings.config)
        self._read_at = self._modified()

    def current(self) -> JobOptions:
        """What the configuration says now; a file that cannot be used changes nothing."""
        modified = self._modified()
        if modified != self._read_at:
            self._read_at = modified
            try:
                self._options = job_options(load(self._file))
            except ConfigError as error:
                _LOG.warning("The configuration was changed and cannot be used: %s", error)
        return self._options

    def _modified(self) -> float | None:
        file = self._file or Path(DEFAULT_FILE)
        try:
            return file.stat().st_mtime
        except OSError:
            return None
