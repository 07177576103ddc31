"""Phoenix and MLflow as their users run them, each from its own package, and this product's command line.

Each peer runs in an environment of its own as a server on free loopback ports, gets the spans over its own OTLP/HTTP
receiver, and is asked by its own public API for what it shows of each trace.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from collectors import free_port
from otlp_json import by_protobuf
from peer_cases import Case
from peer_truth import Usage

START_SECONDS = 180
SETTLE_SECONDS = 120
STOP_SECONDS = 20
_NO_HEADERS: Mapping[str, str] = {}
_JSON = {"Content-Type": "application/json"}

# Phoenix's gRPC receiver binds to every interface and has no setting for it; nothing else is changed.
_PHOENIX_ON_LOOPBACK = """
import runpy, sys
from grpc import aio
kind = type(aio.server())
bind = kind.add_insecure_port
kind.add_insecure_port = lambda self, address: bind(self, address.replace("[::]", "127.0.0.1"))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

# What the page of a trace shows: the root's cumulative tokens, the trace's cost, and its details.
_PHOENIX_TRACE = """
query ($trace: String!) {
  getTraceByOtelId(traceId: $trace) {
    numSpans
    rootSpan { cumulativeTokenCountPrompt cumulativeTokenCountCompletion }
    costSummary { total { cost } }
    costDetailSummaryEntries { tokenType isPrompt value { tokens } }
    spans(first: 1000) { edges { node { tokenCountPrompt tokenCountCompletion } } }
  }
}
"""


_SPANVERDICT_TRACES = """
SELECT trace_id, input_tokens, output_tokens, cost_usd::VARCHAR AS cost_usd,
    (sum(calls.cache_read_tokens) FILTER (WHERE calls.is_counted))::BIGINT AS cache_read_tokens,
    (sum(calls.cache_write_tokens) FILTER (WHERE calls.is_counted))::BIGINT AS cache_write_tokens
FROM trace_costs
JOIN (SELECT trace_id, is_counted, cache_read_tokens, cache_write_tokens FROM calls) AS calls USING (trace_id)
GROUP BY ALL
"""


def spanverdict(cases: Sequence[Case], folder: Path) -> dict[str, Usage]:
    """Import the cases into a fresh store by this product's command line, and ask it for each trace."""
    files = folder / "cases"
    files.mkdir()
    for number, case in enumerate(cases):
        (files / f"{number:03}.json").write_text(json.dumps(case.document), "utf-8")
    store = str(folder / "spanverdict.duckdb")
    _product("import", str(files), "--db", store)
    _product("derive", "--db", store)
    text = _product("sql", _SPANVERDICT_TRACES, "--format", "json", "--db", store)
    rows = {row["trace_id"]: row for row in json.loads(text)}
    usages = {trace: _spanverdict_usage(row) for trace, row in rows.items()}
    return {case.name: usages.get(case.trace_id, Usage()) for case in cases}


def _product(*words: str) -> str:
    command = [sys.executable, "-m", "spanverdict", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300).stdout


def _spanverdict_usage(row: Mapping[str, Any]) -> Usage:
    cost = row["cost_usd"]
    return Usage(
        row["input_tokens"],
        row["output_tokens"],
        row["cache_read_tokens"],
        row["cache_write_tokens"],
        None if cost is None else Decimal(cost),
    )


def phoenix(python: Path, cases: Sequence[Case], folder: Path) -> dict[str, Usage]:
    """Run `phoenix serve`, send the cases, and read each trace by its GraphQL API."""
    port = free_port()
    environment = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }
    command = [str(python), "-c", _PHOENIX_ON_LOOPBACK, str(python.with_name("phoenix")), "serve"]

    def read(trace: str) -> Usage | None:
        body = {"query": _PHOENIX_TRACE, "variables": {"trace": trace}}
        answer = json.loads(_ask(port, "POST", "/graphql", json.dumps(body).encode(), _JSON) or "{}")
        if answer.get("errors"):
            raise SystemExit(f"Phoenix refused the query: {answer['errors'][0]['message']}")
        found = answer["data"]["getTraceByOtelId"]
        return None if found is None else _phoenix_usage(found)

    with _running(command, environment, folder, port, "/healthz"):
        _send(port, cases, {})
        return _settled(cases, read)


def _phoenix_usage(trace: Mapping[str, Any]) -> Usage:
    spans = [edge["node"] for edge in trace["spans"]["edges"]]
    if trace["rootSpan"] is None or all(span["tokenCountPrompt"] is None for span in spans):
        return Usage()
    details = {
        entry["tokenType"]: int(entry["value"]["tokens"])
        for entry in trace["costDetailSummaryEntries"]
        if entry["isPrompt"]
    }
    cost = trace["costSummary"]["total"]["cost"]
    return Usage(
        int(trace["rootSpan"]["cumulativeTokenCountPrompt"]),
        int(trace["rootSpan"]["cumulativeTokenCountCompletion"]),
        details.get("cache_read"),
        details.get("cache_write"),
        None if cost is None else Decimal(str(cost)),
    )


def mlflow(python: Path, cases: Sequence[Case], folder: Path) -> dict[str, Usage]:
    """Run `mlflow server` on SQLite, send the cases, and read each trace by its REST API."""
    port = free_port()
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
    command = [
        str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip

    def read(trace: str) -> Usage | None:
        answer = _ask(port, "GET", f"/api/3.0/mlflow/traces/tr-{trace}")
        return None if answer is None else _mlflow_usage(json.loads(answer)["trace"]["trace_info"])

    with _running(command, environment, folder, port, "/health"):
        _send(port, cases, {"x-mlflow-experiment-id": "0"})
        return _settled(cases, read)


def _mlflow_usage(trace: Mapping[str, Any]) -> Usage:
    metadata = trace.get("trace_metadata", {})
    tokens = json.loads(metadata.get("mlflow.trace.tokenUsage", "{}"))
    cost = json.loads(metadata.get("mlflow.trace.cost", "{}"), parse_float=Decimal).get("total_cost")
    return Usage(
        tokens.get("input_tokens"),
        tokens.get("output_tokens"),
        tokens.get("cache_read_input_tokens"),
        tokens.get("cache_creation_input_tokens"),
        None if cost is None else Decimal(cost),
    )


@contextmanager
def _running(command: list[str], environment: dict[str, str], folder: Path, port: int, health: str) -> Iterator[None]:
    """A server with all its children, from its first healthy answer to the end of the block."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port, health):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{Path(command[0])} did not start:\n{log.read_text('utf-8')[-2000:]}")
            time.sleep(0.5)
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(STOP_SECONDS)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def _settled(cases: Sequence[Case], read: Callable[[str], Usage | None]) -> dict[str, Usage]:
    """Read until every trace is there and the next reading says the same: a cost may come later than its trace."""
    deadline = time.monotonic() + SETTLE_SECONDS
    before: dict[str, Usage | None] = {}
    while True:
        now = {case.name: read(case.trace_id) for case in cases}
        known = {name: usage for name, usage in now.items() if usage is not None}
        if now == before and len(known) == len(cases):
            return known
        if time.monotonic() > deadline:
            missing = ", ".join(sorted(now.keys() - known.keys())) or "none"
            raise SystemExit(f"The traces did not settle in {SETTLE_SECONDS} s; missing: {missing}.")
        before = dict(now)
        time.sleep(3)


def _answers(port: int, path: str) -> bool:
    try:
        return _ask(port, "GET", path) is not None
    except OSError:
        return False


def _send(port: int, cases: Sequence[Case], headers: Mapping[str, str]) -> None:
    for case in cases:
        body = by_protobuf(json.dumps(case.document).encode())
        _ask(port, "POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf", **headers})


def _ask(
    port: int, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = _NO_HEADERS
) -> bytes | None:
    """One request to a server on loopback; None for 404."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status == http.client.NOT_FOUND:
        return None
    if answer.status >= http.client.BAD_REQUEST:
        raise SystemExit(f"{method} {path} was answered with {answer.status}: {content[:300]!r}")
    return content
