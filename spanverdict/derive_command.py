"""`spanverdict derive`: calls, chains, costs and the traces of outcomes, brought up to date from what has arrived."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from analytics.derive import derive
from analytics.job_options import JobOptions
from analytics.outcome_matching import match_outcomes
from collector.renormalize import renormalize
from spanverdict.config import DEFAULT_FILE, ConfigError, load
from spanverdict.derivation import bring_up_to_date
from spanverdict.job_options import job_options
from spanverdict.options import Settings, store_options
from sql.access import Access, connect, open_store
from sql.address import StoreAddress
from sql.errors import StoreError

_LOG = logging.getLogger("spanverdict.derive")

REST_FACTOR = 4
"""How many times as long as it worked the follower rests: it takes a fifth of a core at most."""

LOOK_BACK_SECONDS = 600
"""How often the follower looks over all of history for outcomes that are not found around their own time."""

LOOK_BACK_REST_FACTOR = 50
"""How many times as long as such a look took it does without: it takes a fiftieth of a core at most."""

_NICENESS = 10


@click.command("derive")
@click.option("--follow", is_flag=True, help="Go on for as long as standard input stays open; `serve` runs it so.")
@store_options
def derive_command(settings: Settings, *, follow: bool) -> None:
    """Bring calls, attempt chains, costs and the traces of outcomes up to date, and what an older version normalised.

    A running server does so by itself every few seconds.
    """
    if follow:
        _follow(settings)
        return
    with open_store(settings.db, write=True) as store:
        renormalized, step, matched = bring_up_to_date(store, job_options(settings.config))
    again = f"Normalised {renormalized:,} spans anew. " if renormalized else ""
    looked = f" Looked for {matched.outcomes:,} outcomes, found {matched.matched:,}." if matched.outcomes else ""
    click.echo(f"{again}Derived {step.calls:,} calls of {step.traces:,} traces.{looked}", err=True)


def _follow(settings: Settings) -> None:
    """Derive again and again through the server of the store, until the process that holds standard input ends."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    os.nice(_NICENESS)
    options = _Options(settings)
    said = ""
    look_back_at = 0.0
    while True:
        started = time.monotonic()
        try:
            with _reach(settings.db) as store:
                if store is None:
                    return
                renormalize(store)
                current = options.current()
                derive(store, current)
                look_back = time.monotonic() >= look_back_at
                matching_since = time.monotonic()
                match_outcomes(store, current.feedback_key, look_back=look_back)
                if look_back:
                    took = time.monotonic() - matching_since
                    look_back_at = time.monotonic() + max(LOOK_BACK_SECONDS, LOOK_BACK_REST_FACTOR * took)
            said = ""
        except StoreError as error:
            if said != str(error):
                said = str(error)
                _LOG.warning("What has arrived could not be derived: %s Trying again.", error)
        rest = max(settings.config.server.derive_seconds, REST_FACTOR * (time.monotonic() - started))
        if select.select([sys.stdin], [], [], rest)[0]:
            return


@contextlib.contextmanager
def _reach(address: StoreAddress) -> Iterator[Access | None]:
    """A lake, attached; of a file its server, None if it is gone."""
    if not isinstance(address, Path):
        with open_store(address, write=True) as lake:
            yield lake
        return
    # Without a flush: the server loads in large batches, and what it has not loaded is derived next time.
    remote = connect(address, flush=False)
    try:
        yield remote
    finally:
        if remote:
            remote.close()


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
