"""`spanverdict doctor`: what is misconfigured or missing, and what to do about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from analytics.job_options import JobOptions
from spanverdict.alert_checks import examine_alerts
from spanverdict.config import DEFAULT_FILE, Config, ConfigError, load
from spanverdict.doctor import Finding, Status, examine
from spanverdict.job_options import job_options
from spanverdict.lake_checks import examine_lake, has_tasks_done
from spanverdict.options import store_option
from spanverdict.output import printable
from spanverdict.schedule_checks import examine_schedules
from spanverdict.upkeep_checks import examine_files, examine_upkeep
from sql.access import RemoteStore, connect, open_store
from sql.address import StoreAddress
from sql.clock import utc_now
from sql.errors import StoreError
from sql.journal import journal_directory
from sql.lake_address import LakeAddress
from sql.server_file import ServerFile, server_file

EXIT_FAILED = 1

_MIB = 2**20


@click.command("doctor")
@click.option("--config", "config_file", type=click.Path(path_type=Path),
              help="TOML configuration; default: spanverdict.toml in the working directory, if there.")  # fmt: skip
@store_option
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", show_default=True)
def doctor_command(config_file: Path | None, db: StoreAddress | None, form: str) -> None:
    """Say what is misconfigured or missing, and what to do. Exits with 1 if something fails, else 0."""
    findings = []
    for finding in _findings(config_file, db):
        findings.append(finding)
        if form == "table":
            click.echo(_line(finding))
    if form == "json":
        click.echo(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=2))
    raise SystemExit(EXIT_FAILED if any(finding.status is Status.FAIL for finding in findings) else 0)


def _line(finding: Finding) -> str:
    mend = f"\n{'':<8}→ {finding.mend}" if finding.mend else ""
    return printable(f"{finding.status:<6}  {finding.check}: {finding.detail}{mend}")


def _findings(config_file: Path | None, db: StoreAddress | None) -> Iterator[Finding]:
    """Everything that can be looked at: what fails does not keep the rest from being looked at, where it can be."""
    config = Config.model_construct()
    try:
        config = load(config_file)
        options = job_options(config)
    except ConfigError as error:
        yield Finding(Status.FAIL, "configuration", str(error), "correct it; the rest was looked at without it.")
        options = job_options(Config.model_construct())
    else:
        read = config_file or (Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None)
        yield Finding(Status.OK, "configuration", f"{read} can be used." if read else "No file; the defaults hold.")
    store = db or config.db
    if not isinstance(store, Path):
        yield from _lake(store, config, options)
        return
    if store.is_dir():
        yield Finding(Status.FAIL, "store", f"{store} is a folder.", "name a file for the store with --db.")
        return
    yield from _disk(store, config.ingest.reserve_mib)
    try:
        yield from _server(store)
        if not store.exists():
            mend = "start `spanverdict serve`, or name another with --db."
            yield Finding(Status.FAIL, "store", f"There is no store at {store}.", mend)
            return
        yield from examine_files(store, serving=ServerFile.read(store) is not None)
        with open_store(store) as opened:
            yield Finding(Status.OK, "store", f"{store} can be read.")
            # A file of the archive that is lost keeps the rest from being looked at.
            yield from examine_upkeep(config, store, opened, utc_now())
            serving = isinstance(opened, RemoteStore)
            yield from examine(opened, options, serving=serving, derive_seconds=config.server.derive_seconds)
            yield from examine_schedules(opened, config.schedule, utc_now())
            yield from examine_alerts(config, opened)
    except (StoreError, OSError) as error:
        yield Finding(Status.FAIL, "store", str(error), "see the sentence before; nothing more could be looked at.")


def _lake(address: LakeAddress, config: Config, options: JobOptions) -> Iterator[Finding]:
    try:
        with open_store(address) as opened:
            yield Finding(Status.OK, "store", f"{address} can be read.")
            yield from examine_lake(config, address, opened, utc_now())
            yield from examine(
                opened, options, serving=has_tasks_done(address), derive_seconds=config.server.derive_seconds
            )
            yield from examine_schedules(opened, config.schedule, utc_now())
            yield from examine_alerts(config, opened)
    except (StoreError, OSError) as error:
        yield Finding(Status.FAIL, "store", str(error), "see the sentence before; nothing more could be looked at.")


def _server(store: Path) -> Iterator[Finding]:
    told = ServerFile.read(store)
    if told is None:
        yield Finding(
            Status.WARN, "server", f"No server runs on {store}: nothing is received.", "start `spanverdict serve`."
        )
        return
    remote = connect(store, flush=False)
    if remote is None:
        yield Finding(
            Status.FAIL,
            "server",
            f"A server of {store} (process {told.pid}) is named in {server_file(store)} and does not answer.",
            "look at that process; if it was killed, start `spanverdict serve` again.",
        )
        return
    remote.close()
    yield Finding(
        Status.OK, "server", f"Process {told.pid} receives OTLP/gRPC on {told.grpc} and OTLP/HTTP on {told.http}."
    )


def _disk(store: Path, reserve_mib: int) -> Iterator[Finding]:
    if not store.parent.is_dir():
        return
    free = shutil.disk_usage(store.parent).free // _MIB
    if free < reserve_mib:
        yield Finding(
            Status.FAIL,
            "disk",
            f"{free:,} MiB are free beside {store}, fewer than the {reserve_mib:,} that ingest.reserve_mib keeps free:"
            " requests are refused.",
            "make room.",
        )
    else:
        yield Finding(Status.OK, "disk", f"{free:,} MiB are free beside {store}.")
    refused = sorted(journal_directory(store).glob("*.refused"))
    if refused:
        yield Finding(
            Status.WARN,
            "journal",
            f"The database refused what was acknowledged {len(refused):,} times; it is kept in {refused[0].parent}.",
            "the server's log says why; report it with the file, which holds what was sent.",
        )
