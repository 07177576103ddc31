"""The matching job: keeps the table of matches in step with the outcomes and the traces that have arrived.

The writes of outcomes leave each new one in a queue. It is looked for among the spans around its own time first, and
once among all of history. What a trace still to come may concern stays open, and is looked at again when spans arrive
that share one of its values. Each step says what it found and how far it came in one transaction, so that a process
that dies, or two that match at once, leave nothing half done. What a step costs grows with what is new and with what
happened around the same time, not with all that is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa

from analytics.job_options import json_pointer
from analytics.targets import LEVELS, match_known
from sql import statements
from sql.access import Access
from sql.clock import utc_now

OUTCOMES_AT_ONCE = 20_000
"""New outcomes looked for in one step."""

FAR_OUTCOMES_AT_ONCE = 200_000
"""Outcomes looked for in one look over all of history."""

SPANS_AT_ONCE = 100_000
"""Spans that arrived and are looked at in one step."""

MATCHES_AT_ONCE = 200_000
"""Matches written at once, as far as one outcome does not have more."""

MOST_TRACES = 1_000
"""Traces of one conversation or key that an outcome is carried to: what has more is no conversation."""

MOST_OF_ONE = 1_000
"""Open outcomes of one conversation or key that are looked at when a trace of it arrives, the latest ones."""

BEFORE = timedelta(days=2)
"""How long before an outcome its trace is looked for at first."""

AFTER = timedelta(hours=1)
"""How long after an outcome its trace is looked for at first: clocks differ, and conversations go on."""

LATEST_OUTCOME = timedelta(days=400)
"""How long after a trace began an outcome that came before it may have happened to be found by it."""

EARLIEST_OUTCOME = timedelta(days=90)
"""How long before a trace began the same."""

_FIRST = datetime(1970, 1, 1)  # noqa: DTZ001 (the store's times are naive UTC)
_LAST = datetime(2262, 1, 1)  # noqa: DTZ001

_TARGETS = tuple(LEVELS.values())
_RANKS = {level: rank for rank, level in enumerate(LEVELS)}


@dataclass(frozen=True)
class MatchStep:
    """What one step did, and what was left to do before it.

    Attributes:
        outcomes: outcomes looked at.
        matched: of those, how many match a trace now.
        outcomes_left: new outcomes that waited when the step began.
        spans_left: spans that had arrived and were not looked at when the step began.
    """

    outcomes: int
    matched: int
    outcomes_left: int
    spans_left: int


@dataclass(frozen=True)
class _State:
    """How far the job is, and what arrived since."""

    number: int
    spans_after: datetime
    spans_through: datetime | None
    first_start: datetime | None
    last_start: datetime | None
    spans_left: int
    outcomes_left: int
    first_outcome: datetime | None
    look_backs_left: int
    key_attribute: str | None


def match_outcomes(
    store: Access,
    key_attribute: str | None,
    progress: Callable[[MatchStep], object] = lambda _: None,
    *,
    look_back: bool = True,
) -> MatchStep:
    """Bring the table of matches up to date with what is in the store.

    Args:
        store: where outcomes and spans are, and where matches go.
        key_attribute: the span or resource attribute that an outcome's ``key`` is matched with; None matches
            none. An evaluation may carry it itself.
        progress: told after each step.
        look_back: look over all of history for those that are not found around their own time. It costs as
            much as history is long, so who follows does it now and then.

    Returns:
        The sum of all steps; nothing is left, unless another process has meanwhile begun to match by another
        attribute.

    Raises:
        StoreError: the store could not answer or could not be written; what was matched before stays.
    """
    outcomes = matched = 0
    if _state(store).key_attribute != key_attribute:
        store.write({"key_attributes": pa.table({"key_attribute": pa.array([key_attribute], pa.string())})})
    while (state := _state(store)).key_attribute == key_attribute:
        if state.outcomes_left:
            step = _match_new(store, state)
        elif state.spans_through is not None:
            step = _match_open(store, state)
        elif look_back and state.look_backs_left:
            step = _match_far(store, state)
        else:
            break
        if step is None:
            # Another process matched meanwhile, or an outcome was corrected: what is left is looked at anew.
            continue
        outcomes, matched = outcomes + step.outcomes, matched + step.matched
        progress(step)
    return MatchStep(outcomes, matched, 0, 0)


def _state(store: Access) -> _State:
    (at,) = store.read(statements.read("matched_through")).to_pylist()
    arrived = {"spans_after": at["spans_after"], "most_spans": SPANS_AT_ONCE}
    (found,) = store.read(statements.read("matching"), arrived).to_pylist()
    return _State(**at, **found)


def _match_new(store: Access, state: _State) -> MatchStep | None:
    """Look for outcomes of the queue among the spans around their time."""
    rows = _frame(
        store,
        "match_new_outcomes",
        {
            "most": OUTCOMES_AT_ONCE,
            "until": _shifted(state.first_outcome or _FIRST, BEFORE),
            "key_path": None if state.key_attribute is None else json_pointer(state.key_attribute),
        },
    )
    if rows.is_empty():
        return None
    rows = rows.with_columns(look_back=pl.lit(value=True))
    first, last = _moments(rows["event_time"])
    part, hits = next(_found(store, rows, _shifted(first, -BEFORE), _shifted(last, AFTER)))
    return _written(store, state, part, hits, state.spans_after)


def _match_far(store: Access, state: _State) -> MatchStep | None:
    """Look for open outcomes among all spans."""
    rows = _frame(store, "match_far_outcomes", {"most": FAR_OUTCOMES_AT_ONCE})
    rows = rows.with_columns(look_back=pl.lit(value=False))
    step: MatchStep | None = None
    for number, (part, hits) in enumerate(_found(store, rows, _FIRST, _LAST)):
        written = _written(store, _later(state, number), part, hits, state.spans_after)
        if written is None:
            return None
        step = _sum(step, written)
    return step


def _match_open(store: Access, state: _State) -> MatchStep | None:
    """Look at the spans that arrived: at their keys, and at open outcomes that they may concern."""
    window = {"spans_after": state.spans_after, "spans_through": state.spans_through}
    keys: list[str] = []
    if state.key_attribute is not None:
        told = _frame(store, "match_keys", window | {"key_path": json_pointer(state.key_attribute)})
        keys = told["key"].unique().to_list()
        if keys:
            store.write({"trace_keys": told.with_columns(key_attribute=pl.lit(state.key_attribute)).to_arrow()})
    first, last = state.first_start or _FIRST, state.last_start or _LAST
    rows = _frame(
        store,
        "match_open_outcomes",
        window
        | {
            "earliest": _shifted(first, -EARLIEST_OUTCOME),
            "latest": _shifted(last, LATEST_OUTCOME),
            "keys": keys,
            "most_of_one": MOST_OF_ONE,
        },
    )
    parts = list(_found(store, rows, first, _shifted(last, timedelta(seconds=1))))
    step: MatchStep | None = None
    for number, (part, hits) in enumerate(parts):
        through = state.spans_through if number == len(parts) - 1 else state.spans_after
        written = _written(store, _later(state, number), part, hits, through)
        if written is None:
            return None
        step = _sum(step, written)
    return step


def _found(
    store: Access, rows: pl.DataFrame, since: datetime, until: datetime
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The outcomes in parts that do not have too many matches at once, each with its matches; one part at least."""
    known = _known(store, rows, since, until)
    # A bound from above: all levels together.
    sizes = known.group_by("level", "value").agg(size=pl.len())
    expected = rows.with_row_index("position").select("position", *_TARGETS)
    counts = (
        expected.unpivot(index="position", variable_name="column")
        .with_columns(level=pl.col("column").replace_strict({column: level for level, column in LEVELS.items()}))
        .join(sizes, on=["level", "value"])
        .group_by("position")
        .agg(pl.col("size").sum())
    )
    totals = (
        expected.select("position")
        .join(counts, on="position", how="left", maintain_order="left")["size"]
        .fill_null(0)
        .cum_sum()
    )
    begin = 0
    while begin < rows.height or begin == 0:
        before = totals[begin - 1] if begin else 0
        end = max(begin + 1, int((totals <= before + MATCHES_AT_ONCE).sum()))
        part = rows.slice(begin, end - begin)
        yield part, match_known(part, known)
        begin = end


def _known(store: Access, rows: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    """The traces of every value that the outcomes name, among the spans that began between two moments."""
    named = {
        "span_ids": "span_id", "trace_ids": "trace_id", "response_ids": "response_id",
        "conversation_ids": "conversation_id", "keys": "key",
    }  # fmt: skip
    values = {parameter: rows[column].drop_nulls().unique().to_list() for parameter, column in named.items()}
    return _frame(store, "match_targets", values | {"since": since, "until": until, "most_traces": MOST_TRACES}).rename(
        {"trace_id": "matched_trace_id"}
    )


def _written(
    store: Access, state: _State, rows: pl.DataFrame, hits: pl.DataFrame, spans_through: datetime | None
) -> MatchStep | None:
    """Write what was found for some outcomes; None if another process was faster."""
    # What is less exact than what holds already says nothing new.
    found = hits.filter(_rank("matched_level") <= _rank("level")).select(
        "kind",
        "outcome_id",
        "matched_trace_id",
        "matched_level",
        is_more_exact=pl.col("level").is_not_null() & (_rank("matched_level") < _rank("level")),
    )
    told = (
        rows.join(found, on=["kind", "outcome_id"], how="left")
        .with_columns(
            level=pl.coalesce("matched_level", "level"), is_more_exact=pl.col("is_more_exact").fill_null(value=False)
        )
        .with_columns(is_open=_is_open())
        .drop("matched_level")
    )
    matched = told.filter(pl.col("level").is_not_null()).select("kind", "outcome_id").n_unique()
    if told.is_empty():
        # How far the spans have been looked at is said all the same.
        told = told.clear(1)
    told = told.with_columns(
        after_number=pl.lit(state.number, pl.Int64),
        spans_through=pl.lit(spans_through, pl.Datetime("us")),
        matched_at=pl.lit(utc_now(), pl.Datetime("us")),
    )
    if not store.write({"matched_outcomes": told.to_arrow()})["matched_outcomes"]:
        return None
    return MatchStep(rows.height, matched, state.outcomes_left, state.spans_left)


def _rank(column: str) -> pl.Expr:
    """How exact a level is, 0 the most; past the last where there is none."""
    return pl.col(column).replace_strict(_RANKS, default=None, return_dtype=pl.Int64).fill_null(len(_RANKS))


def _is_open() -> pl.Expr:
    """Whether a trace still to come may change what an outcome speaks of."""
    named = pl.coalesce(
        pl.when(pl.col(column).is_not_null()).then(rank) for rank, column in enumerate(_TARGETS)
    ).fill_null(len(_RANKS))
    # A span agrees with the trace that is stated beside it, so that trace is the one in any case.
    settled = (_rank("level") == named) | (pl.col("trace_id").is_not_null() & (_rank("level") <= _RANKS["trace"]))
    growing = pl.col("level").is_in(["conversation", "key"])
    return pl.col("is_stored") & (pl.col("level").is_null() | growing | ~settled)


def _later(state: _State, writes: int) -> _State:
    """The state after some writes of one's own."""
    return replace(state, number=state.number + writes)


def _sum(before: MatchStep | None, step: MatchStep) -> MatchStep:
    if before is None:
        return step
    return replace(step, outcomes=before.outcomes + step.outcomes, matched=before.matched + step.matched)


def _moments(times: pl.Series) -> tuple[datetime, datetime]:
    """The first and the last of some times."""
    first, last = times.min(), times.max()
    return (first, last) if isinstance(first, datetime) and isinstance(last, datetime) else (_FIRST, _LAST)


def _shifted(moment: datetime, by: timedelta) -> datetime:
    """A moment moved, within what the store can hold."""
    return min(max(_FIRST, moment) + by, _LAST) if by > timedelta() else max(min(moment, _LAST) + by, _FIRST)


def _frame(store: Access, query: str, parameters: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(store.read(statements.read(query), parameters)))
