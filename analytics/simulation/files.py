"""Writes a scenario as what production would have sent: OTLP/JSON lines, feedback, a configuration, and the truth.

OTLP/JSON encoding: OpenTelemetry protocol specification 1.11, "JSON Protobuf Encoding" (ids in lowercase hex, 64-bit
integers as strings), one export request a line as the OpenTelemetry Collector's file exporter writes it.
"""

from __future__ import annotations

import errno
import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from analytics.simulation.draw import COHORTS, MATURITY, PROMOTED_AT, Size, base_rate, candidate_rate, draw_days
from analytics.simulation.scenarios import EVALUATORS, OUTCOMES, RATES, Scenario
from analytics.simulation.spans import BASE, CANDIDATE, joined, members, request_id, span_id, spans, text, timed

PROMOTION = "simulated"
OTLP = "otlp"
MIRROR = "mirror.jsonl"

_TRACES_A_REQUEST = 200
_SCORED_AFTER_NS = 5 * 10**9

_RESOURCE = '"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"simulated-app"}}]}'
_SCOPE = '"scope":{"name":"simulated","version":"1.0.0"}'

_TRACES = ("resourceSpans", "scopeSpans", "spans")
_LOGS = ("resourceLogs", "scopeLogs", "logRecords")

CONFIGURATION = f"""# Configuration for reports on simulated traffic.

[[prices]]
model = "{BASE}"
input_per_mtok = 0.01
output_per_mtok = 10

[[prices]]
model = "{CANDIDATE}"
input_per_mtok = 0.01
output_per_mtok = 10

[[chains.rules]]
when_attribute = "app.attempt"
equals = "schema_repair"
reason = "schema_repair"
"""


def write_scenario(
    out: Path, scenario: Scenario, seed: int, size: Size, progress: Callable[[int], object] = lambda _: None
) -> int:
    """Write a scenario's files into a folder.

    Args:
        out: the folder, made if absent; what to import is in its folder ``otlp``.
        scenario: what to draw.
        seed: the same seed gives the same files, byte for byte.
        size: how much.
        progress: told after each day how many traces it had.

    Returns:
        How many traces were written.

    Raises:
        OSError: a file cannot be written, or another simulation's files are there, with which these would mix.
    """
    otlp = out / OTLP
    otlp.mkdir(parents=True, exist_ok=True)
    if any(otlp.iterdir()):
        raise FileExistsError(errno.EEXIST, "There are files already, name a new folder with --out", str(otlp))
    said: list[pl.DataFrame] = []
    mirrored: list[pl.Series] = []
    total = 0
    for day, traces in draw_days(scenario, seed, size):
        name = f"{day:%Y-%m-%d}"
        stored = timed(traces.filter("is_kept") if scenario.kept < 1 else traces)
        _write_lines(otlp / f"{name}.traces.jsonl.gz", _requests(spans(scenario, stored), *_TRACES))
        _write_lines(otlp / f"{name}.logs.jsonl.gz", _requests(_scores(stored), *_LOGS))
        said.append(_feedback(timed(traces)))
        if scenario.split == "mirrored":
            mirrored.append(mirror_results(stored))
        total += stored.height
        progress(stored.height)
    pl.concat(said).sort("time", "id").write_csv(out / "feedback.csv")
    if mirrored:
        (out / MIRROR).write_text("".join(f"{line}\n" for part in mirrored for line in part), "utf-8")
    (out / "spanverdict.toml").write_text(CONFIGURATION, "utf-8")
    (out / "truth.json").write_text(json.dumps(truth(scenario, seed, size), indent=2) + "\n", "utf-8")
    return total


def promotion_of(scenario: Scenario, size: Size) -> dict[str, object]:
    """How the promotion is to be registered."""
    concurrent = scenario.design == "concurrent"
    return {
        "name": PROMOTION,
        "base": BASE,
        "candidate": CANDIDATE,
        "design": scenario.design,
        "at": _after(0),
        "cohort_by": "app.cohort",
        "candidate_share": scenario.share if concurrent else None,
        "share_changes": [
            {"since": _after(day), "candidate_share": share} for day, share in scenario.share_steps if day < size.days
        ],
        "planned_end": _after(size.days) if scenario.planned_end else None,
        "stratify_by": ["app.difficulty"] if scenario.stratified else [],
    }


def truth(scenario: Scenario, seed: int, size: Size) -> dict[str, object]:
    """What was simulated: the promotion, the rates of both arms, and what a report has to say."""
    ended = PROMOTED_AT + timedelta(days=size.days)
    rows = range(size.cohorts)
    affected = [row for row in rows if scenario.is_affected(row, size.cohorts)]
    changes = bool(scenario.expected) or bool(scenario.checks)
    return {
        "scenario": scenario.name,
        "summary": scenario.summary,
        "seed": seed,
        "is_trap": scenario.is_trap,
        "promotion": promotion_of(scenario, size),
        "looks": [_after(day + 1) for day in range(size.days)],
        "all_mature_at": _iso(ended + max(MATURITY.values())),
        "failing_checks": list(scenario.checks),
        "affected_cohorts": [COHORTS[row] for row in affected] if changes else [],
        "control_cohorts": [COHORTS[row] for row in rows if scenario.is_control(row, size.cohorts)],
        "expected": {metric: list(verdicts) for metric, verdicts in scenario.expected.items()},
        "may_move": list(scenario.moved),
        "begins_at": "retrieval" if scenario.empty_searches else None,
        "rates": {
            COHORTS[row]: {
                metric: {
                    "base": round(base_rate(metric, row), 6),
                    "candidate": round(
                        candidate_rate(scenario, metric, row) if row in affected else base_rate(metric, row), 6
                    ),
                }
                for metric in RATES
            }
            for row in rows
        },
    }


def _after(days: int) -> str:
    return _iso(PROMOTED_AT + timedelta(days=days))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _requests(of_traces: pl.Series, resources: str, scopes: str, records: str) -> Iterator[str]:
    for first in range(0, len(of_traces), _TRACES_A_REQUEST):
        several = ",".join(of_traces[first : first + _TRACES_A_REQUEST].to_list())
        yield f'{{"{resources}":[{{{_RESOURCE},"{scopes}":[{{{_SCOPE},"{records}":[{several}]}}]}}]}}\n'


def _scores(traces: pl.DataFrame) -> pl.Series:
    """The evaluation results of each trace as log records in JSON, one text a trace; a failed request is not scored."""
    records = []
    for number, (metric, evaluator) in enumerate(EVALUATORS.items()):
        failing = pl.col(metric)
        record = members(
            '{"timeUnixNano":"', pl.col("end_ns") + _SCORED_AFTER_NS + number, '","traceId":"', pl.col("trace_id"),
            '","spanId":"', span_id(1), '","eventName":"gen_ai.evaluation.result","attributes":[',
            joined(
                text("gen_ai.evaluation.name", evaluator),
                text("gen_ai.evaluation.score.label", pl.when(failing).then(pl.lit("fail")).otherwise(pl.lit("pass"))),
                text("gen_ai.evaluation.evaluator.version", pl.col("evaluator_version")),
            ),
            "]}",
        )  # fmt: skip
        lost = pl.col("score_lost") if metric == "task_completion" else pl.lit(value=False)
        records.append(pl.when(~lost).then(record))
    return traces.filter(~pl.col("error")).select(records=joined(*records))["records"]


def _feedback(traces: pl.DataFrame) -> pl.DataFrame:
    """The rows of feedback on some traces, in the columns of a feedback file."""
    return pl.concat(
        traces.filter(name).select(
            time=pl.from_epoch(
                pl.col("end_ns") // 1000 + (pl.col(f"{name}_delay_s") * 1e6).cast(pl.Int64), "us"
            ).dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ"),
            name=pl.lit(name),
            value=pl.lit(1),
            trace_id="trace_id",
            source=pl.lit("simulated"),
            id=members(name, "-", pl.col("trace_id")),
        )
        for name in OUTCOMES
    )


def mirror_results(traces: pl.DataFrame) -> pl.Series:
    """What a gateway writes of requests that it sent to the candidate as well, one JSON object each.

    The names are those of the Agent Command Center's webhook; it counts tokens as one sum, and writes zeros for an
    answer that did not come.
    """

    def number(value: pl.Expr) -> pl.Expr:
        return value.round().cast(pl.Int64)

    failed = pl.col("mirrored_error")
    used = pl.col("input_tokens") + pl.col("mirrored_output_tokens")
    return traces.select(
        line=members(
            '{"request_id":"', request_id(), f'","experiment":"{PROMOTION}","source_model":"{BASE}",'
            f'"shadow_model":"{CANDIDATE}","source_latency_ms":', number(pl.col("latency_ms")),
            ',"shadow_latency_ms":', number(pl.col("mirrored_latency_ms")),
            ',"source_tokens":', pl.col("input_tokens") + pl.col("output_tokens"),
            ',"shadow_tokens":', pl.when(failed).then(0).otherwise(used),
            ',"source_status_code":', pl.when("error").then(500).otherwise(200),
            ',"shadow_status_code":', pl.when(failed).then(0).otherwise(200),
            ',"shadow_error":"', pl.when(failed).then(pl.lit("timeout")).otherwise(pl.lit("")), '","created_at":"',
            pl.from_epoch("call_start_ns", "ns").dt.to_string("%Y-%m-%dT%H:%M:%S%.9fZ"), '"}',
        )
    )["line"]  # fmt: skip


def _write_lines(path: Path, lines: Iterator[str]) -> None:
    # No name and no time in the gzip header: the bytes depend on the content alone.
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=1, mtime=0) as file:
        for line in lines:
            file.write(line.encode())
