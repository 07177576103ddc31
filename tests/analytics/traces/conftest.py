"""Hand-built spans, evaluations and feedback, and the frame made of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from analytics.calls import Account, account
from analytics.chain_rules import ChainRule
from analytics.derived_calls import derived_calls, ordered, with_work
from analytics.evaluators import with_passed
from analytics.maturity import MaturityRules
from analytics.pricing import Price, PriceBook
from analytics.promotions import Promotion
from analytics.span_tree import SpanTree
from analytics.trace_rows import SPAN_COLUMNS
from analytics.traces import EVALUATION_COLUMNS, FEEDBACK_COLUMNS, trace_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOON = datetime(2026, 11, 1, 12)

_INTEGERS = {
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "cache_audio_read_tokens",
    "dropped_attributes_count",
    "max_tokens",
    "gateway_attempts",
    "documents",
}
_LISTS = {"finish_reasons", "chain_attributes"}
_BOOLEANS = {"gateway_fallback", "gateway_cache_hit"}
_FLOATS = {"time_to_first_token_ms", "reported_cost_usd", "score", "value", "threshold"}
_TIMES = {"start_time", "end_time", "event_time", "received_at", "replaced_at"}

Row = dict[str, Any]


def _frame(columns: tuple[str, ...], rows: list[Row]) -> pl.DataFrame:
    def kind(column: str) -> pl.DataType:
        if column in _INTEGERS:
            return pl.Int64()
        if column in _FLOATS:
            return pl.Float64()
        if column in _LISTS:
            return pl.List(pl.String)
        if column in _BOOLEANS:
            return pl.Boolean()
        return pl.Datetime("ns") if column in _TIMES else pl.String()

    data = {column: [row.get(column) for row in rows] for column in columns}
    return pl.DataFrame(data, schema={column: kind(column) for column in columns})


@pytest.fixture(scope="session")
def span() -> Callable[..., Row]:
    """One span: its id, parent, kind, and when it starts and ends in seconds after noon."""

    def make(span_id: str, parent: str | None, kind: str, start: float = 0, end: float = 1, **more: object) -> Row:
        return {
            "trace_id": "t1",
            "span_id": span_id,
            "parent_span_id": parent,
            "start_time": NOON + timedelta(seconds=start),
            "end_time": NOON + timedelta(seconds=end),
            "status_code": "UNSET",
            "gen_ai_span_kind": kind,
            "service_name": "assistant",
            "scope_name": "instrumentation.openai",
            "scope_version": "1.0",
            "resource_id": "r1",
            "dropped_attributes_count": 0,
            **({"request_model": "base-model", "provider": "openai"} if kind in {"LLM", "EMBEDDING"} else {}),
            **more,
        }

    return make


@pytest.fixture(scope="session")
def feedback() -> Callable[..., Row]:
    """One feedback row, so many hours after noon."""

    def make(name: str, hours: float, **more: object) -> Row:
        time = NOON + timedelta(hours=hours)
        return {
            "feedback_id": f"{name}-{hours}",
            "event_time": time,
            "received_at": time,
            "name": name,
            **more,
        }

    return make


@pytest.fixture(scope="session")
def evaluation() -> Callable[..., Row]:
    """One evaluation, a minute after noon."""

    def make(name: str, **more: object) -> Row:
        identity = "-".join(str(value) for value in more.values())
        return {
            "evaluation_id": f"{name}-{identity}",
            "event_time": NOON + timedelta(minutes=1),
            "name": name,
            **more,
        }

    return make


@pytest.fixture(scope="session")
def span_rows() -> Callable[[list[Row]], pl.DataFrame]:
    """Spans as a frame."""
    return lambda rows: _frame(SPAN_COLUMNS, rows)


@pytest.fixture(scope="session")
def evaluation_rows() -> Callable[[list[Row]], pl.DataFrame]:
    """Evaluations as a frame."""
    return lambda rows: _frame(EVALUATION_COLUMNS, rows)


@pytest.fixture(scope="session")
def feedback_rows() -> Callable[[list[Row]], pl.DataFrame]:
    """Feedback as a frame."""
    return lambda rows: _frame(FEEDBACK_COLUMNS, rows)


@pytest.fixture(scope="session")
def found() -> Callable[[list[Row]], Account]:
    """What counts of spans, and what was left out."""

    def make(rows: list[Row]) -> Account:
        spans = ordered(_frame(SPAN_COLUMNS, rows))
        tree = SpanTree.of(spans)
        return account(with_work(spans, tree), tree)

    return make


@pytest.fixture(scope="session")
def chains() -> Callable[..., pl.DataFrame]:
    """The calls of spans in their chains, as reports and the table of calls have them; each model costs 1 and 2 USD."""

    def make(rows: list[Row], evaluations: list[Row] | None = None, rules: Sequence[ChainRule] = ()) -> pl.DataFrame:
        spans = ordered(_frame(SPAN_COLUMNS, rows))
        tree = SpanTree.of(spans)
        return derived_calls(
            with_work(spans, tree),
            tree,
            with_passed(_frame(EVALUATION_COLUMNS, evaluations or []), None),
            prices=PriceBook([Price("base-model", 1, 2), Price("candidate-model", 1, 2)]),
            chain_rules=rules,
        ).calls

    return make


@pytest.fixture(scope="session")
def frame() -> Callable[..., pl.DataFrame]:
    """The traces frame of spans and outcomes, seen a month later; both models cost 1 and 2 USD."""

    def make(
        spans: list[Row],
        evaluations: list[Row] | None = None,
        feedback: list[Row] | None = None,
        resources: dict[str, str] | None = None,
        as_of: datetime = NOON + timedelta(days=30),
        **more: Any,
    ) -> pl.DataFrame:
        promotion = Promotion(
            name="p",
            base="base-model",
            candidate="candidate-model",
            design="concurrent",
            at=NOON,
            ended_at=None,
            cohort_by="app.cohort",
            candidate_share=None,
        )
        resources = {"r1": "{}"} if resources is None else resources
        options: dict[str, Any] = {
            "prices": PriceBook([Price("base-model", 1, 2), Price("candidate-model", 1, 2)]),
            "maturity": MaturityRules(),
            "feedback_key": "app.ticket",
        }
        return trace_frame(
            _frame(SPAN_COLUMNS, spans),
            pl.DataFrame({"resource_id": list(resources), "attributes": list(resources.values())}),
            _frame(EVALUATION_COLUMNS, evaluations or []),
            _frame(FEEDBACK_COLUMNS, feedback or []),
            promotion=promotion,
            as_of=as_of,
            **{**options, **more},
        ).traces

    return make
