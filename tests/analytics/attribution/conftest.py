"""Traffic of an assistant whose steps are known: a planner, a retrieval, a tool, an answer and its repair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from analytics.maturity import MaturityRules
from analytics.metrics import Metric, MetricKind
from analytics.pricing import Price, PriceBook
from analytics.promotions import Promotion
from analytics.steps import Steps
from analytics.trace_rows import SPAN_COLUMNS
from analytics.traces import EVALUATION_COLUMNS, FEEDBACK_COLUMNS, TraceFrame, trace_frame

NOON = datetime(2026, 11, 1, 12)
LATER = NOON + timedelta(days=30)
PROMOTION = Promotion("p", "m0", "m1", "concurrent", NOON, None, "app.cohort", None, stratify_by=("difficulty",))
PRICES = PriceBook([Price("m0", 1, 2), Price("m1", 1, 2)])
MODELS = {"base": "m0", "candidate": "m1"}

_KINDS = {
    "documents": pl.Int64(), "input_tokens": pl.Int64(), "output_tokens": pl.Int64(),
    "dropped_attributes_count": pl.Int64(), "max_tokens": pl.Int64(), "gateway_attempts": pl.Int64(),
    "cache_read_tokens": pl.Int64(),
    "cache_write_tokens": pl.Int64(), "cache_write_1h_tokens": pl.Int64(), "reasoning_tokens": pl.Int64(),
    "input_audio_tokens": pl.Int64(), "output_audio_tokens": pl.Int64(), "cache_audio_read_tokens": pl.Int64(),
    "finish_reasons": pl.List(pl.String), "chain_attributes": pl.List(pl.String), "stratum_values": pl.List(pl.String),
    "gateway_fallback": pl.Boolean(), "gateway_cache_hit": pl.Boolean(), "time_to_first_token_ms": pl.Float64(),
    "reported_cost_usd": pl.Float64(), "score": pl.Float64(), "value": pl.Float64(), "threshold": pl.Float64(),
    "start_time": pl.Datetime("ns"), "end_time": pl.Datetime("ns"), "event_time": pl.Datetime("ns"),
    "received_at": pl.Datetime("ns"), "replaced_at": pl.Datetime("ns"),
}  # fmt: skip


def frame(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows as a frame with the store's types; what a row does not say is null."""
    data = {name: [row.get(name) for row in rows] for name in columns}
    return pl.DataFrame(data, schema={name: _KINDS.get(name, pl.String()) for name in columns})


@dataclass(frozen=True)
class Behaviour:
    """How one model behaves; shares of traces, milliseconds."""

    plans: float = 0.6
    loops: float = 0.0
    finds_nothing: float = 0.05
    tool_fails: float = 0.03
    tool_ms: float = 300.0
    cut_off: float = 0.02
    repairs: float = 0.04
    ungrounded: float = 0.04
    ungrounded_if_nothing: float = 0.7
    hard: float = 0.5
    only_hard: bool = False


@dataclass
class Traffic:
    """Spans and evaluations of many traces."""

    rng: np.random.Generator
    spans: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)

    def send(self, arm: str, behaviour: Behaviour, usual: Behaviour, traces: int, users: int = 150) -> None:
        """So many traces of one arm over ten days; ``usual`` holds for easy requests where only hard ones differ."""
        for number in range(traces):
            hard = self.rng.random() < behaviour.hard
            acts = usual if behaviour.only_hard and not hard else behaviour
            self._trace(arm, number, acts, f"{arm}-u{self.rng.integers(users)}", "hard" if hard else "easy")

    def _trace(self, arm: str, number: int, acts: Behaviour, user: str, difficulty: str) -> None:
        rng, trace = self.rng, f"{arm}-{number:05}"
        clock = NOON + timedelta(minutes=int(rng.integers(10 * 24 * 60)))
        begun, spans = clock, []

        def add(name: str, kind: str | None, ms: float, **more: Any) -> str:
            nonlocal clock
            span_id = f"s{len(spans):03}"
            end = clock + timedelta(milliseconds=ms)
            model = {"request_model": MODELS[arm]} if kind == "LLM" else {}
            spans.append({
                "trace_id": trace, "span_id": span_id, "parent_span_id": "root", "name": name, "gen_ai_span_kind": kind,
                "start_time": clock, "end_time": end, "status_code": "UNSET", "service_name": "desk",
                "resource_id": "r", "scope_name": "app", "dropped_attributes_count": 0, **model, **more,
            })  # fmt: skip
            clock = end
            return span_id

        def call(ms: float, reason: str, tokens: int) -> str:
            used = {"input_tokens": tokens, "output_tokens": 20, "finish_reasons": [reason]}
            return add("chat", "LLM", rng.gamma(8, ms / 8), **used)

        found = 0 if rng.random() < acts.finds_nothing else 3
        add("search_policy", "RETRIEVER", rng.gamma(8, 10), documents=found)
        failed = False
        if rng.random() < acts.plans:
            rounds = 1 + (rng.geometric(0.5) if rng.random() < acts.loops else 0)
            for _ in range(rounds):
                call(200, "tool_calls", 150)
                failed = rng.random() < acts.tool_fails
                status = {"status_code": "ERROR"} if failed else {}
                add(
                    "execute_tool refund_lookup",
                    "TOOL",
                    rng.gamma(8, acts.tool_ms / 8),
                    tool_name="refund_lookup",
                    **status,
                )
        cut = rng.random() < acts.cut_off
        answer = call(800, "length" if cut else "stop", 400 + 50 * found)
        repaired = rng.random() < acts.repairs
        self._judge(trace, answer, "JSONValidation", failed=repaired)
        if repaired:
            clock += timedelta(milliseconds=1)
            self._judge(trace, call(300, "stop", 200), "JSONValidation", failed=False)
        chance = acts.ungrounded_if_nothing if found == 0 or failed or cut else acts.ungrounded
        wrong = rng.random() < chance
        self._judge(trace, None, "TaskCompletion", failed=wrong)
        root = {
            "trace_id": trace, "span_id": "root", "name": "handle", "start_time": begun, "end_time": clock,
            "status_code": "ERROR" if failed else "UNSET", "service_name": "desk", "resource_id": "r",
            "scope_name": "app", "dropped_attributes_count": 0, "user_id": user, "cohort_value": "refunds",
            "stratum_values": [difficulty],
        }  # fmt: skip
        self.spans += [root, *spans]

    def _judge(self, trace: str, span: str | None, name: str, *, failed: bool) -> None:
        self.evaluations.append({
            "evaluation_id": f"{trace}/{span}/{name}", "event_time": NOON + timedelta(days=11), "trace_id": trace,
            "span_id": span, "name": name, "label": "fail" if failed else "pass",
        })  # fmt: skip

    def frames(self, *, stratified: bool = True) -> TraceFrame:
        """The traces frame of all that was sent."""
        columns = (*SPAN_COLUMNS, *(["stratum_values"] if stratified else []))
        return trace_frame(
            frame(columns, self.spans), pl.DataFrame({"resource_id": ["r"], "attributes": ["{}"]}),
            frame(EVALUATION_COLUMNS, self.evaluations), frame(FEEDBACK_COLUMNS, []),
            promotion=PROMOTION if stratified else replace(PROMOTION, stratify_by=()), prices=PRICES, as_of=LATER,
            maturity=MaturityRules(), feedback_key=None,
        )  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Traces and their steps."""

    traces: pl.DataFrame
    steps: Steps


@pytest.fixture(scope="session")
def compared() -> Callable[..., Found]:
    """A base that behaves as usual and a candidate that differs in what is named."""

    def make(seed: int = 7, traces: int = 600, stratified: bool = True, **differs: Any) -> Found:
        traffic, usual = Traffic(np.random.default_rng(seed)), Behaviour()
        traffic.send("base", usual, usual, traces)
        traffic.send("candidate", replace(usual, **differs), usual, traces)
        made = traffic.frames(stratified=stratified)
        return Found(made.traces, made.steps.of(made.traces["trace_id"]))

    return make


@pytest.fixture(scope="session")
def steps_of() -> Callable[..., Steps]:
    """The steps of a few spans, and what evaluators said of them."""

    def make(spans: list[dict[str, Any]], evaluations: list[dict[str, Any]] | None = None) -> Steps:
        traffic = Traffic(np.random.default_rng(0), spans, evaluations or [])
        made = traffic.frames(stratified=False)
        return made.steps.of(made.traces["trace_id"])

    return make


@pytest.fixture(scope="session")
def task_failures() -> Metric:
    """Failures of TaskCompletion, which is said of whole traces."""
    return Metric("task_completion_fail_rate", MetricKind.RATE, "evaluation:TaskCompletion", "rate", None)
