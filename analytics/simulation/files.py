"""Writes a scenario as what production would have sent: OTLP/JSON lines, feedback, a configuration, and the truth.

OTLP/JSON encoding: OpenTelemetry protocol specification 1.11, "JSON Protobuf Encoding" (ids in lowercase hex, 64-bit
integers as strings), one export request a line as the OpenTelemetry Collector's file exporter writes it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from analytics.simulation.draw import COHORTS, MATURITY, PROMOTED_AT, Size, base_rate, draw_days
from analytics.simulation.scenarios import EVALUATORS, OUTCOMES, RATES, Scenario

BASE = "sim-base"
CANDIDATE = "sim-candidate"
PROMOTION = "simulated"
OTLP = "otlp"

_TRACES_A_REQUEST = 200
_SCORED_AFTER_NS = 5 * 10**9
_NS_PER_MS = 1_000_000
_ROOT_MARGIN_MS = 20.0

_RESOURCE = '"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"simulated-app"}}]}'
_SCOPE = '"scope":{"name":"simulated","version":"1.0.0"}'

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
        out: the folder, made if absent; what to import is in its folder ``otlp``. Files of the same names are replaced.
        scenario: what to draw.
        seed: the same seed gives the same files, byte for byte.
        size: how much.
        progress: told after each day how many traces it had.

    Returns:
        How many traces were written.

    Raises:
        OSError: a file cannot be written.
    """
    otlp = out / OTLP
    otlp.mkdir(parents=True, exist_ok=True)
    said: list[pl.DataFrame] = []
    total = 0
    for day, traces in draw_days(scenario, seed, size):
        name = f"{day:%Y-%m-%d}"
        _write_lines(otlp / f"{name}.traces.jsonl.gz", _trace_requests(traces))
        _write_lines(otlp / f"{name}.logs.jsonl.gz", _score_requests(traces))
        said.append(_feedback(traces))
        total += traces.height
        progress(traces.height)
    pl.concat(said).sort("time", "id").write_csv(out / "feedback.csv")
    (out / "spanverdict.toml").write_text(CONFIGURATION, "utf-8")
    (out / "truth.json").write_text(json.dumps(truth(scenario, seed, size), indent=2) + "\n", "utf-8")
    return total


def promotion_of(scenario: Scenario) -> dict[str, object]:
    """How the promotion is to be registered."""
    return {
        "name": PROMOTION,
        "base": BASE,
        "candidate": CANDIDATE,
        "design": scenario.design,
        "at": _iso(PROMOTED_AT),
        "cohort_by": "app.cohort",
        "candidate_share": None if scenario.split == "before_after" else scenario.share,
    }


def truth(scenario: Scenario, seed: int, size: Size) -> dict[str, object]:
    """What was simulated: the promotion, the rates of both arms, and what a report has to say."""
    ended = PROMOTED_AT + timedelta(days=size.days)
    affected = size.cohorts if scenario.affected is None else min(scenario.affected, size.cohorts)
    changes = bool(scenario.expected) or bool(scenario.checks)
    return {
        "scenario": scenario.name,
        "summary": scenario.summary,
        "seed": seed,
        "promotion": promotion_of(scenario),
        "looks": [_iso(PROMOTED_AT + timedelta(days=day + 1)) for day in range(size.days)],
        "all_mature_at": _iso(ended + max(MATURITY.values())),
        "failing_checks": list(scenario.checks),
        "affected_cohorts": list(COHORTS[:affected]) if changes else [],
        "expected": {metric: list(verdicts) for metric, verdicts in scenario.expected.items()},
        "rates": {
            cohort: {
                metric: {
                    "base": round(base_rate(metric, row), 6),
                    "candidate": round(
                        base_rate(metric, row) + (scenario.added.get(metric, 0.0) if row < affected else 0.0), 6
                    ),
                }
                for metric in RATES
            }
            for row, cohort in enumerate(COHORTS[: size.cohorts])
        },
    }


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _trace_requests(traces: pl.DataFrame) -> Iterator[str]:
    yield from _requests(_spans(traces)["spans"], "resourceSpans", "scopeSpans", "spans")


def _score_requests(traces: pl.DataFrame) -> Iterator[str]:
    yield from _requests(_scores(traces)["records"], "resourceLogs", "scopeLogs", "logRecords")


def _requests(members: pl.Series, resources: str, scopes: str, records: str) -> Iterator[str]:
    for first in range(0, len(members), _TRACES_A_REQUEST):
        joined = ",".join(members[first : first + _TRACES_A_REQUEST].to_list())
        yield f'{{"{resources}":[{{{_RESOURCE},"{scopes}":[{{{_SCOPE},"{records}":[{joined}]}}]}}]}}\n'


def _members(*parts: pl.Expr | str) -> pl.Expr:
    """Texts and columns, one after the other."""
    return pl.concat_str([pl.lit(part) if isinstance(part, str) else part.cast(pl.String) for part in parts])


def _text(key: str, value: pl.Expr | str) -> pl.Expr:
    return _members(f'{{"key":"{key}","value":{{"stringValue":"', value, '"}}')


def _whole(key: str, value: pl.Expr) -> pl.Expr:
    return _members(f'{{"key":"{key}","value":{{"intValue":"', value, '"}}')


def _joined(*attributes: pl.Expr) -> pl.Expr:
    return pl.concat_str(attributes, separator=",")


def _span_id(number: int) -> pl.Expr:
    """Span ids from their trace's id: the root is 1, its calls follow."""
    return _members(pl.col("trace_id").str.slice(0, 15), str(number))


def _span(
    number: int, name: str, kind: int, start: pl.Expr, end: pl.Expr, status: pl.Expr, *attributes: pl.Expr
) -> pl.Expr:
    parent = "" if number == 1 else _members('"parentSpanId":"', _span_id(1), '",')
    return _members(
        '{"traceId":"', pl.col("trace_id"), '","spanId":"', _span_id(number), '",', parent,
        f'"name":"{name}","kind":{kind},"startTimeUnixNano":"', start, '","endTimeUnixNano":"', end,
        '","attributes":[', _joined(*attributes), '],"status":{', status, "}}",
    )  # fmt: skip


def _timed(traces: pl.DataFrame) -> pl.DataFrame:
    """The traces with the times of their spans in Unix nanoseconds."""
    whole = (pl.col("latency_ms") * _NS_PER_MS).cast(pl.Int64)
    call = pl.col("start_ns") + int(_ROOT_MARGIN_MS / 2 * _NS_PER_MS)
    return traces.with_columns(
        end_ns=pl.col("start_ns") + whole + int(_ROOT_MARGIN_MS * _NS_PER_MS),
        call_start_ns=call,
        call_end_ns=call + whole,
        # A repair takes the last third of the time; without one the first call takes all of it.
        repair_ns=call + whole * 2 // 3,
        model=pl.when("is_candidate").then(pl.lit(CANDIDATE)).otherwise(pl.lit(BASE)),
    )


def _spans(traces: pl.DataFrame) -> pl.DataFrame:
    """The spans of each trace as JSON, one text a trace."""
    nothing = pl.lit("")
    failed = pl.when("error").then(pl.lit('"code":2')).otherwise(nothing)
    root = _span(
        1, "answer", 2, pl.col("start_ns"), pl.col("end_ns"), failed,
        _text("app.cohort", pl.col("cohort")),
        _text("user.id", pl.col("user_id")),
        _text("app.difficulty", pl.when("is_hard").then(pl.lit("hard")).otherwise(pl.lit("easy"))),
        _text("gen_ai.prompt.name", "answer"),
        _text("gen_ai.prompt.version", pl.col("prompt_version")),
    )  # fmt: skip
    asked = (
        _text("gen_ai.operation.name", "chat"),
        _text("gen_ai.provider.name", "openai"),
        _text("gen_ai.request.model", pl.col("model")),
        _text("gen_ai.response.model", pl.col("model")),
    )
    used = (
        _whole("gen_ai.usage.input_tokens", pl.col("input_tokens")),
        _whole("gen_ai.usage.output_tokens", pl.col("output_tokens")),
    )
    repaired = pl.col("schema_repair")
    first = _span(
        2, "chat", 3, pl.col("call_start_ns"), pl.when(repaired).then("repair_ns").otherwise("call_end_ns"), failed,
        *asked, *used,
    )  # fmt: skip
    # The first answer's tokens are the trace's; a repair is short.
    repair = _span(
        3, "chat", 3, pl.col("repair_ns"), pl.col("call_end_ns"), failed, *asked,
        _whole("gen_ai.usage.input_tokens", pl.lit(50)), _whole("gen_ai.usage.output_tokens", pl.lit(10)),
        _text("app.attempt", "schema_repair"),
    )  # fmt: skip
    second = pl.when(repaired).then(_members(",", repair)).otherwise(nothing)
    return _timed(traces).select(spans=_members(root, ",", first, second))


def _scores(traces: pl.DataFrame) -> pl.DataFrame:
    """The evaluation results of each trace as log records in JSON, one text a trace; a failed request is not scored."""
    records = []
    for number, (metric, evaluator) in enumerate(EVALUATORS.items()):
        failing = pl.col(metric)
        record = _members(
            '{"timeUnixNano":"', pl.col("end_ns") + _SCORED_AFTER_NS + number, '","traceId":"', pl.col("trace_id"),
            '","spanId":"', _span_id(1), '","eventName":"gen_ai.evaluation.result","attributes":[',
            _joined(
                _text("gen_ai.evaluation.name", evaluator),
                _text("gen_ai.evaluation.score.label", pl.when(failing).then(pl.lit("fail")).otherwise(pl.lit("pass"))),
                _text("gen_ai.evaluation.evaluator.version", pl.col("evaluator_version")),
            ),
            "]}",
        )  # fmt: skip
        lost = pl.col("score_lost") if metric == "task_completion" else pl.lit(value=False)
        records.append(pl.when(~lost).then(record))
    return (
        _timed(traces).filter(~pl.col("error")).select(records=pl.concat_str(records, separator=",", ignore_nulls=True))
    )


def _feedback(traces: pl.DataFrame) -> pl.DataFrame:
    """The rows of feedback on some traces, in the columns of a feedback file."""
    timed = _timed(traces)
    return pl.concat(
        timed.filter(name).select(
            time=pl.from_epoch(
                pl.col("end_ns") // 1000 + (pl.col(f"{name}_delay_s") * 1e6).cast(pl.Int64), "us"
            ).dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ"),
            name=pl.lit(name),
            value=pl.lit(1),
            trace_id="trace_id",
            source=pl.lit("simulated"),
            id=_members(name, "-", pl.col("trace_id")),
        )
        for name in OUTCOMES
    )


def _write_lines(path: Path, lines: Iterator[str]) -> None:
    # No name and no time in the gzip header: the bytes depend on the content alone.
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=1, mtime=0) as file:
        for line in lines:
            file.write(line.encode())
