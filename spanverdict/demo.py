"""The demo: the sample incident through the real path, from OTLP files to verdicts."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import click
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console
from rich.progress import track

from analytics.derive import derive
from analytics.feedback_file import read_feedback
from analytics.job import run_report
from analytics.outcome_matching import match_outcomes
from analytics.promotions import Promotion, promotion_row
from analytics.report import render
from analytics.report.model import Report
from analytics.stored_reports import store_report
from collector.otlp_json import to_protobuf
from collector.sender import Sender
from collector.signals import Signal
from spanverdict.config import load
from spanverdict.job_options import job_options
from spanverdict.report_output import is_colored, rendered
from sql.access import open_store
from sql.clock import utc_now
from sql.errors import StoreUnavailableError
from sql.server_file import ServerFile, server_file

START_SECONDS = 30
"""How long the demo waits for its server."""

MARK = ".spanverdict-demo"
"""The file that marks a demo's folder."""

CONNECTIONS = 8
"""Requests in flight, as from eight applications: they share commits."""


def run_demo(directory: Path, *, browser: bool) -> None:
    """Start a collector, send the sample traces, register the promotion, print and write the report.

    Args:
        directory: where the store and the reports go; an earlier demo's files are replaced.
        browser: open the HTML report when done.

    Raises:
        StoreUnavailableError: the server did not start.
        SendError: the collector refused a request.
    """
    directory.mkdir(parents=True, exist_ok=True)
    store = directory / "demo.duckdb"
    if ServerFile.read(store):
        raise StoreUnavailableError(
            f"A server runs on {store} already; stop it first, or name another folder with --dir."
        )
    _own(directory, store)
    for old in (store, store.with_name(store.name + ".wal"), server_file(store)):
        old.unlink(missing_ok=True)
    with as_file(files("sample_traces")) as sample:
        truth = json.loads((sample / "truth.json").read_text("utf-8"))
        config = directory / "spanverdict.toml"
        config.write_bytes((sample / "spanverdict.toml").read_bytes())
        with _server(store, config) as server:
            _send_all(sample, server)
            report, page_text = _compare(store, sample, truth)
    (directory / "report.html").write_text(page_text, "utf-8")
    (directory / "report.json").write_text(render(report, "json"), "utf-8")
    click.echo(render(report, "table", color=is_colored(None)))
    click.echo(_against_truth(report, truth))
    command = _command()
    page = (directory / "report.html").resolve()
    click.echo(f"\nReport: {page}\n        {page.with_suffix('.json')}")
    click.echo(f"Ask it: {command} sql --db {store} --named models_by_day")
    click.echo(f'        {command} sql --db {store} "SELECT request_model, count(*) FROM llm_calls GROUP BY ALL"')
    given = f"--db {store} --config {config}"
    click.echo(f"Again:  {command} report {report.promotion.name} {given}")
    click.echo(f"Routes: {command} routes {report.promotion.name} --format flagd {given}")
    click.echo(f"Pages:  {command} serve {given}, then open http://127.0.0.1:4318/")
    if browser:
        webbrowser.open(page.as_uri())


def _command() -> str:
    """How to call the command line from here: by its name where the shell finds it, else by its path."""
    return "spanverdict" if shutil.which("spanverdict") else str(Path(sys.executable).with_name("spanverdict"))


def _own(directory: Path, store: Path) -> None:
    """Make sure that what is replaced is an earlier demo's: such a folder is marked."""
    mark = directory / MARK
    if store.exists() and not mark.exists():
        raise StoreUnavailableError(f"{store} was not made by a demo; name another folder with --dir.")
    mark.write_text("The files of this folder belong to `spanverdict demo`, which replaces them.\n", "utf-8")


@contextmanager
def _server(store: Path, config: Path) -> Iterator[ServerFile]:
    """A real `spanverdict serve` in its own process, on free loopback ports, ended by SIGTERM."""
    command = [
        sys.executable, "-m", "spanverdict", "serve", "--db", str(store), "--config", str(config),
        "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--sql", "127.0.0.1:0", "--monitoring", "127.0.0.1:0",
    ]  # fmt: skip
    log = store.with_name("server.log")
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603 (our own command)
    try:
        deadline = time.monotonic() + START_SECONDS
        while (told := ServerFile.read(store)) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise StoreUnavailableError(f"The demo's server did not start; its last words: {_last_line(log)}")
            time.sleep(0.05)
        yield told
    finally:
        process.terminate()
        process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "none"


def _send_all(sample: Path, server: ServerFile) -> None:
    """Send every OTLP file over gRPC; each request is acknowledged after its rows are on disk."""
    console = Console(stderr=True)
    lines = list(_lines(sample))
    spans = logs = 0
    started = time.monotonic()
    with Sender(server.grpc) as sender, ThreadPoolExecutor(CONNECTIONS) as pool:
        sent = []
        for is_traces, line in track(lines, "Sending OTLP", console=console, disable=not console.is_terminal):
            # Parsing is this process's work; sending is waiting for commits, so only that is shared among threads.
            if is_traces:
                traces = ExportTraceServiceRequest.FromString(to_protobuf(line, Signal.TRACES))
                spans += sum(len(scope.spans) for item in traces.resource_spans for scope in item.scope_spans)
                sent.append(pool.submit(sender.send, traces))
            else:
                records = ExportLogsServiceRequest.FromString(to_protobuf(line, Signal.LOGS))
                logs += sum(len(scope.log_records) for item in records.resource_logs for scope in item.scope_logs)
                sent.append(pool.submit(sender.send, records))
        for future in sent:
            future.result()
    elapsed = time.monotonic() - started
    click.echo(
        f"Sent {spans} spans and {logs} log records over OTLP/gRPC, each acknowledged after its commit"
        f" ({elapsed:.0f} s).",
        err=True,
    )


def _lines(sample: Path) -> Iterator[tuple[bool, bytes]]:
    """Every line of the OTLP files, and whether it holds traces (else log records)."""
    for path in sorted(sample.glob("*.jsonl.gz")):
        with gzip.open(path, "rb") as lines:
            for line in lines:
                yield ".traces." in path.name, line


def _compare(store: Path, sample: Path, truth: dict[str, Any]) -> tuple[Report, str]:
    told = truth["promotion"]
    promotion = Promotion(
        name=told["name"], base=told["base"], candidate=told["candidate"], design=told["design"],
        at=_time(told["at"]), ended_at=_time(told["ended_at"]), cohort_by=told["cohort_by"],
        candidate_share=told["candidate_share"],
    )  # fmt: skip
    options = job_options(load(sample / "spanverdict.toml"))
    with open_store(store, write=True) as access:
        rows = read_feedback(sample / "feedback.csv", utc_now())
        stored = access.write({"feedback": rows})["feedback"]
        click.echo(f"Imported {stored} outcomes from feedback.csv.", err=True)
        access.write({"promotions": promotion_row(promotion, utc_now())})
        derive(access, options)
        match_outcomes(access, options.feedback_key)
        report = run_report(access, promotion.name, options, as_of=_time(truth["as_of"]), now=utc_now())
        store_report(access, report)
        return report, rendered(access, report, "html")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)


def _against_truth(report: Report, truth: dict[str, Any]) -> str:
    """What the sample was made to show beside what the report found."""
    found = {
        (cohort.cohort, metric.metric): metric.verdict.value for cohort in report.cohorts for metric in cohort.metrics
    }
    lines = ["Known truth of the sample:"]
    for row in truth["must"]:
        verdict = found.get((row["cohort"], row["metric"]), "absent")
        agrees = "found" if verdict == row["verdict"] else f"NOT FOUND, report says {verdict}"
        lines.append(f"  {row['cohort']} {row['metric']} {row['verdict']}: {agrees}")
    wrong = [
        f"{cohort} {metric}: {found[cohort, metric]}"
        for cohort, told in truth["cohorts"].items()
        for metric, told_metric in told["metrics"].items()
        if found.get((cohort, metric), told_metric["expected"][0]) not in told_metric["expected"]
    ]
    lines.append(f"  other verdicts against the truth: {'; '.join(wrong) or 'none'}")
    return "\n".join(lines)
