"""`spanverdict scheduler`."""

from __future__ import annotations

import logging
import signal
import sys
import threading

import click

from spanverdict.options import Settings, store_options


@click.command("scheduler")
@store_options
def scheduler_command(settings: Settings) -> None:
    """Do what is done for a shared store from time to time, without receiving anything; until SIGTERM or Ctrl-C.

    Deriving, scheduled reports, alerts, guards, retention and upkeep: one process at a time does it, of all that were
    started.
    """
    from spanverdict.config import ConfigError  # noqa: PLC0415 (not loaded for --help)
    from spanverdict.housekeeping import Housekeeping  # noqa: PLC0415 (as above)
    from sql.lake_address import LakeAddress  # noqa: PLC0415 (as above)
    from sql.lake_store import LakeStore  # noqa: PLC0415 (as above)

    if not isinstance(settings.db, LakeAddress):
        raise ConfigError(f"{settings.db} is a file, whose server does this: start `spanverdict serve`.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    server = settings.config.server
    with LakeStore(
        settings.db, memory_limit=server.memory_for(settings.db), query_seconds=server.query_seconds
    ) as store:
        housekeeping = Housekeeping(settings.config, store, settings.config_file, None)
        housekeeping.start()
        click.echo(f"Looking after {settings.db}, in turn with others.", err=True)
        try:
            stopping.wait()
        finally:
            housekeeping.stop()
    click.echo("Stopped.", err=True)
