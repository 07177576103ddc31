"""The derivation job: keeps the table of calls (each once, chained, priced) in step with what has arrived.

What arrived since the last derivation decides which traces are looked at again, whole. Each step replaces the calls of
some traces and says how far it came in one transaction, so that a process that dies, or two that derive at once, leave
nothing half done: the next one goes on from there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa

from analytics.derived_calls import derived_calls, ordered, with_not_counted, with_work
from analytics.evaluators import with_passed
from analytics.job_options import JobOptions, chain_paths
from analytics.outcome_names import folded
from analytics.span_tree import SpanTree
from sql import statements
from sql.access import Access
from sql.clock import utc_now
from sql.errors import StoreError

_LOG = logging.getLogger("spanverdict.derive")

SPANS_AT_ONCE = 100_000
"""Spans read and arrivals looked at in one step: what bounds the job's memory."""

TRACES_AT_ONCE = 20_000
"""Marked traces looked at in one step."""

LARGEST_TRACE = 100_000
"""Spans of a trace beyond which its calls are not derived: a sender that never ends a trace must not end the job."""

CALL_COLUMNS = (
    "trace_id",
    "span_id",
    "start_time",
    "end_time",
    "service_name",
    "gen_ai_span_kind",
    "provider",
    "request_model",
    "response_model",
    "is_call",
    "is_counted",
    "not_counted_because",
    "is_error",
    "error_type",
    "failed_validation",
    "chain_id",
    "attempt",
    "reason",
    "is_last",
    "hidden_attempts",
    "hidden_fallback",
    "answer_failed",
    "step_id",
    "wrapper_start_time",
    "wrapper_end_time",
    "input_tokens",
    "output_tokens",
    "unseen_input_tokens",
    "unseen_output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "token_rule",
    "token_conflict",
    "cost_usd",
    "priced_cost_usd",
    "priced_tokens",
    "unpriced_tokens",
    "price_source",
    "price_name",
    "reported_cost_usd",
)
"""The columns of the table of calls, without the time of the derivation."""

_EVER, _NEVER = datetime(1677, 9, 22), datetime(2262, 4, 11)  # noqa: DTZ001 (the store's times are naive UTC)
"""Days between which the times of all spans lie."""


@dataclass(frozen=True)
class Step:
    """What one step did, and what was left to do before it.

    Attributes:
        traces: traces looked at.
        calls: calls written.
        spans_left: spans that had arrived and were not looked at yet when the step began.
        traces_left: traces marked to be derived anew when the step began.
    """

    traces: int
    calls: int
    spans_left: int
    traces_left: int


@dataclass(frozen=True)
class _Window:
    """What a step looks at: arrivals after one moment up to another, and marked traces up to an id.

    It finds the rest of their traces among the spans that began since a moment, until another.
    """

    number: int
    spans_after: datetime
    evaluations_after: datetime
    spans_through: datetime
    evaluations_through: datetime
    stale_through: str | None
    marked_through: datetime | None
    spans_left: int
    traces_left: int
    since: datetime
    until: datetime

    @property
    def is_empty(self) -> bool:
        arrived = self.spans_through > self.spans_after or self.evaluations_through > self.evaluations_after
        return not arrived and self.stale_through is None


class _Trace(NamedTuple):
    """A trace of a window: how many spans of it there are, and when the first and the last of them began (ns)."""

    trace_id: str
    spans: int
    first: int
    last: int


def derive(store: Access, options: JobOptions, progress: Callable[[Step], object] = lambda _: None) -> Step:
    """Bring the table of calls up to date with what is in the store.

    Args:
        store: where spans and evaluations are, and where calls go.
        options: prices and how validators' results are read.
        progress: told after each step.

    Returns:
        The sum of all steps: traces looked at and calls written; nothing is left.

    Raises:
        StoreError: the store could not answer or could not be written; what was derived before stays.
    """
    traces = calls = 0
    while not (window := _window(store, options)).is_empty:
        step = _derive_window(store, options, window)
        if step is None:
            # Another process derived meanwhile: what it left is looked at anew.
            continue
        traces, calls = traces + step.traces, calls + step.calls
        progress(step)
    return Step(traces, calls, 0, 0)


def mark_stale(store: Access, *, since: datetime | None = None, model: str | None = None) -> int:
    """Mark traces so that the next derivation looks at them anew, for example because prices have changed.

    Args:
        store: the store.
        since: only traces with a call from this moment on (UTC, naive); None for all.
        model: only traces with a call that asked for, or was answered by, this model; None for all.

    Returns:
        How many traces were marked.
    """
    schema = pa.schema({"since": pa.timestamp("ns"), "model": pa.string()})
    row = pa.Table.from_pylist([{"since": since, "model": model}], schema)
    return store.write({"stale_traces": row})["stale_traces"]


def _window(store: Access, options: JobOptions) -> _Window:
    at = _first(store, "derivation")
    found = _first(
        store,
        "derive_window",
        {
            "spans_after": at["spans_through"],
            "evaluations_after": at["evaluations_through"],
            "most_spans": SPANS_AT_ONCE,
            "most_traces": TRACES_AT_ONCE,
            "validators": _validators(options),
            "spread_seconds": options.trace_spread.total_seconds(),
        },
    )
    return _Window(
        number=at["number"],
        spans_after=at["spans_through"],
        evaluations_after=at["evaluations_through"],
        spans_through=found["spans_through"] or at["spans_through"],
        evaluations_through=found["evaluations_through"] or at["evaluations_through"],
        stale_through=found["stale_through"],
        marked_through=found["marked_through"],
        spans_left=found["spans_left"],
        traces_left=found["traces_left"],
        since=max(found["since"] or _EVER, _EVER),
        until=min(found["until"] or _NEVER, _NEVER),
    )


def _first(store: Access, query: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    row: dict[str, Any] = store.read(statements.read(query), parameters).to_pylist()[0]
    return row


def _derive_window(store: Access, options: JobOptions, window: _Window) -> Step | None:
    """Derive the traces of a window, part by part; None if another process derived meanwhile."""
    found = store.read(
        statements.read("derive_traces"),
        {
            "spans_after": window.spans_after,
            "spans_through": window.spans_through,
            "evaluations_after": window.evaluations_after,
            "evaluations_through": window.evaluations_through,
            "stale_through": window.stale_through,
            "since": window.since,
            "until": window.until,
            "validators": _validators(options),
        },
    )
    parts = list(_parts(found)) or [[]]
    written = 0
    for number, traces in enumerate(parts):
        calls = _calls_of(store, options, traces)
        is_last = number == len(parts) - 1
        # A row for each trace, also where it has no call left: its earlier calls go.
        looked_at = pl.Series("trace_id", [trace.trace_id for trace in traces] or [None], pl.String).to_frame()
        rows = pl.concat([calls, looked_at.join(calls, on="trace_id", how="anti")], how="diagonal").with_columns(
            after_number=pl.lit(window.number + number, pl.Int64),
            spans_through=_moment(window.spans_through if is_last else window.spans_after),
            evaluations_through=_moment(window.evaluations_through if is_last else window.evaluations_after),
            # What was marked is done with the last part, also where a trace has gone or is too large to be read.
            stale_through=pl.lit(window.stale_through if is_last else None, pl.String),
            marked_through=_moment(window.marked_through),
            derived_at=_moment(utc_now()),
            since=_moment(window.since),
            until=_moment(window.until),
        )
        if not store.write({"derived_calls": rows.to_arrow()})["derived_calls"]:
            return None
        written += len(calls)
    return Step(found.num_rows, written, window.spans_left, window.traces_left)


def _validators(options: JobOptions) -> list[str]:
    return [folded(name) for name in options.validation_evaluators]


def _parts(found: pa.Table) -> Iterator[list[_Trace]]:
    """Traces in parts that are not too large to read at once; traces too large to read at all are told."""
    part: list[_Trace] = []
    size = 0
    for trace in (_Trace(**row) for row in found.to_pylist()):
        if trace.spans > LARGEST_TRACE:
            _LOG.warning(
                "Trace %s has %d spans: calls are derived of at most %d.", trace.trace_id, trace.spans, LARGEST_TRACE
            )
            continue
        if part and size + trace.spans > SPANS_AT_ONCE:
            yield part
            part, size = [], 0
        part.append(trace)
        size += trace.spans
    if part:
        yield part


def _calls_of(store: Access, options: JobOptions, traces: list[_Trace]) -> pl.DataFrame:
    """The calls of some traces; one whose calls cannot be derived is left out and told: it holds up no other."""
    try:
        return _derived(store, options, traces)
    except (StoreError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # polars' panics are no Exceptions.
        if not traces:
            raise
        if len(traces) == 1:
            # Its type and not its words, which may quote what was sent.
            _LOG.error("The calls of trace %s cannot be derived (%s).", traces[0].trace_id, type(error).__name__)
            return _derived(store, options, [])
    middle = len(traces) // 2
    return pl.concat([_calls_of(store, options, half) for half in (traces[:middle], traces[middle:])])


def _derived(store: Access, options: JobOptions, traces: list[_Trace]) -> pl.DataFrame:
    """The calls of some traces, in the columns of the table."""
    trace_ids = [trace.trace_id for trace in traces]
    first = min((trace.first for trace in traces), default=0)
    last = max((trace.last for trace in traces), default=0)
    spans = ordered(
        _frame(
            store,
            "derive_spans",
            {"trace_ids": trace_ids, "first": first, "last": last, "chain_paths": chain_paths(options)},
        )
    )
    evaluations = _frame(
        store,
        "derive_evaluations",
        {
            "trace_ids": trace_ids,
            "first": first,
            "spread_seconds": options.trace_spread.total_seconds(),
            "validators": _validators(options),
        },
    )
    tree = SpanTree.of(spans)
    derived = derived_calls(
        with_work(spans, tree),
        tree,
        with_passed(evaluations, options.evaluator_rules),
        prices=options.prices,
        validation_evaluators=options.validation_evaluators,
        chain_rules=options.chain_rules,
    )
    return with_not_counted(derived, spans).select(CALL_COLUMNS)


def _frame(store: Access, query: str, parameters: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(store.read(statements.read(query), parameters)))


def _moment(moment: datetime | None) -> pl.Expr:
    return pl.lit(moment, pl.Datetime("us"))
