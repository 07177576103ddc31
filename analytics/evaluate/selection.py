"""What a run judges: which calls or traces, and what was recorded of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from analytics.evaluate.documents import documents
from analytics.evaluate.errors import TRANSIENT
from analytics.evaluate.messages import parsed
from analytics.evaluate.recorded import EVENTS, Event, content, object_of
from analytics.evaluate.registry import SOURCE, Description
from analytics.evaluate.subject import Call, Subject
from analytics.job_options import json_pointer
from analytics.promotions import Promotion
from sql import statements
from sql.access import Access

MOST_BYTES = 4 * 2**20
"""Bytes of the attributes of one span, or of one log record, that are read."""

MOST_SPANS = 5_000
"""Spans of one trace that are read."""

LONGEST_ITEM_ID = 1_024

_HASH_DIGITS = 16


@dataclass(frozen=True)
class Selection:
    """Which calls a run looks at.

    Attributes:
        since: those that began then or later (UTC, naive); None for all.
        until: those that began before; None for all.
        promotion: only traces of its arms, while it ran; None for all traces.
        cohorts: only traces of these cohorts of the promotion; empty for all.
        sample: the share of traces: always the same ones, whatever their time, model and cohort.
        simulated: traces that a simulator made take part.
    """

    since: datetime | None = None
    until: datetime | None = None
    promotion: Promotion | None = None
    cohorts: tuple[str, ...] = ()
    sample: float = 1.0
    simulated: bool = False


@dataclass(frozen=True)
class Target:
    """What one result will speak of.

    Attributes:
        trace_id: the trace.
        span_id: the call's span; None for the trace as a whole.
        arm: ``base`` or ``candidate``, of a promotion's traces.
    """

    trace_id: str
    span_id: str | None
    arm: str | None


@dataclass(frozen=True)
class Targets:
    """What there is to judge.

    Attributes:
        open: what is still to be judged, in an order that tells nothing of time, model or cohort: wherever a run
            stops, what it has judged is a random part of every arm.
        judged: how many have been judged already, by arm.
    """

    open: tuple[Target, ...]
    judged: Mapping[str | None, int]


def targets(store: Access, selection: Selection, evaluator: Description, *, again: bool) -> Targets:
    """Find what an evaluator is to judge.

    Args:
        store: where spans, calls and evaluations are.
        selection: which calls.
        evaluator: who judges; what this version of it has judged by its judge model is done.
        again: judge that once more.

    Raises:
        QueryError: the store could not answer.
    """
    promotion = selection.promotion
    cohort_by = promotion.cohort_by if promotion else None
    since = [moment for moment in (selection.since, promotion and promotion.arms_since) if moment]
    until = [moment for moment in (selection.until, promotion and promotion.ended_at) if moment]
    rows = store.read(
        statements.read("evaluate_targets"),
        {
            "simulated": selection.simulated,
            "since": max(since, default=None),
            "until": min(until, default=None),
            "sample_below": None
            if selection.sample >= 1
            else f"{int(selection.sample * 16**_HASH_DIGITS):0{_HASH_DIGITS}x}",
            "base": promotion.base if promotion else None,
            "candidate": promotion.candidate if promotion else None,
            "cohort_path": json_pointer(cohort_by) if cohort_by and selection.cohorts else "/",
            "cohorts": list(selection.cohorts) or None,
            "level": evaluator.level,
            "name": evaluator.name,
            "source": SOURCE,
            "version": evaluator.version,
            "judge_model": evaluator.judge_model,
            "transient": list(TRANSIENT),
        },
    )
    columns = (rows[name].to_pylist() for name in ("trace_id", "span_id", "arm", "judged"))
    still: list[Target] = []
    judged: dict[str | None, int] = defaultdict(int)
    for trace_id, span_id, arm, done in zip(*columns, strict=True):
        if done and not again:
            judged[arm] += 1
        else:
            still.append(Target(trace_id, span_id, arm))
    return Targets(tuple(still), dict(judged))


def subjects(
    store: Access, wanted: Sequence[Target], *, item_attributes: Sequence[str], dataset: str | None = None
) -> list[Subject]:
    """Read what was recorded of targets, in their order.

    Args:
        store: where spans, log records and data set items are.
        wanted: what is to be judged.
        item_attributes: where a trace may say which item of a data set it is of, best first; ``a.b`` is also the
            member ``b`` of an attribute ``a`` that is a JSON object.
        dataset: the data set that items are looked for in; None for any, where no two contradict each other.

    Raises:
        QueryError: the store could not answer.
    """
    trace_ids = sorted({target.trace_id for target in wanted})
    bounds: dict[str, Any] = {"trace_ids": trace_ids, "most_bytes": MOST_BYTES}
    logs = store.read(statements.read("evaluate_logs"), {**bounds, "event_names": list(EVENTS)}).to_pylist()
    spoken: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for row in logs:
        event = Event(row["event_name"], object_of(row["attributes"]), _json(row["body"]))
        spoken[row["trace_id"], row["span_id"]].append(event)
    traces: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in store.read(statements.read("evaluate_spans"), {**bounds, "most_spans": MOST_SPANS}).to_pylist():
        row["attributes"] = object_of(row["attributes"])
        traces[row["trace_id"]].append(row)
    items = {trace_id: _item_id(traces[trace_id], item_attributes) for trace_id in trace_ids}
    expected = _expected(store, items.values(), dataset)
    return [
        _subject(target, traces[target.trace_id], spoken, expected.get(items[target.trace_id] or ""))
        for target in wanted
    ]


def _subject(
    target: Target,
    spans: Sequence[dict[str, Any]],
    spoken: Mapping[tuple[str, str], list[Event]],
    expected: Any,  # noqa: ANN401
) -> Subject:
    in_order = sorted(spans, key=lambda span: (span["start_ns"], span["span_id"]))
    chosen = [
        span for span in in_order if (span["span_id"] == target.span_id if target.span_id else span["is_counted_call"])
    ]
    begun = chosen[-1]["start_ns"] if chosen else None
    found = [
        documents(span["attributes"])
        for span in in_order
        if span["gen_ai_span_kind"] in ("RETRIEVER", "RERANKER") and begun is not None and span["start_ns"] <= begun
    ]
    attributes: dict[str, Any] = {}
    for span in spans:
        attributes = {**span["attributes"], **attributes}
    return Subject(
        target.trace_id,
        target.span_id,
        tuple(_call(span, spoken[span["trace_id"], span["span_id"]]) for span in chosen),
        tuple(span["tool_name"] for span in in_order if span["gen_ai_span_kind"] == "TOOL" and span["tool_name"]),
        # Of a context that is not there as a whole nothing is told: what is missing may be what an answer rests on.
        () if None in found else tuple(text for texts in found for text in texts or ()),
        attributes,
        expected,
    )


def _call(span: Mapping[str, Any], logs: Sequence[Event]) -> Call:
    events = [
        Event(event.get("name", ""), event.get("attributes") or {})
        for event in _json(span["events"]) or ()
        if isinstance(event, dict)
    ]
    told = content(span["attributes"], [*events, *logs])
    return Call(
        span["trace_id"], span["span_id"], span["start_time"], span["request_model"], span["prompt_name"],
        told.messages, told.answers, told.tools, told.output_schema, told.withheld or span["too_large"],
        span["attributes"],
    )  # fmt: skip


def _item_id(spans: Iterable[Mapping[str, Any]], item_attributes: Sequence[str]) -> str | None:
    """The item that a trace names; of several attributes the first in the list."""
    for name in item_attributes:
        parent, _, key = name.rpartition(".")
        for span in spans:
            value = span["attributes"].get(name)
            holder = parsed(span["attributes"].get(parent)) if value is None and parent else None
            value = holder.get(key) if isinstance(holder, dict) else value
            told = str(value) if isinstance(value, str | int) else ""
            if told and len(told) <= LONGEST_ITEM_ID and told.isprintable():
                return told
    return None


def _expected(store: Access, items: Iterable[str | None], dataset: str | None) -> dict[str, Any]:
    """What items expect, by their ids; what two data sets say differently is not known."""
    wanted = sorted({item for item in items if item})
    if not wanted:
        return {}
    rows = store.read(statements.read("evaluate_expected"), {"item_ids": wanted}).to_pylist()
    said: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        if dataset is None or row["dataset"] == dataset:
            said[row["item_id"]].append(_json(row["expected"]))
    return {item: answers[0] for item, answers in said.items() if all(answer == answers[0] for answer in answers)}


def _json(text: str | None) -> Any:  # noqa: ANN401 (JSON)
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
