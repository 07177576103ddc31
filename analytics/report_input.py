"""What a report is made of: traces, what was said of them, and whether what was said finds its traces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.conditions import read_conditions, read_requests, with_conditions
from analytics.datasets import find_items
from analytics.engine import Engine, Here
from analytics.evaluators import with_passed
from analytics.held_out import as_pairs, item_parameters, items_of_resources, items_of_spans, separate_runs
from analytics.job_options import json_pointer
from analytics.maturity import Maturity, MaturityRules
from analytics.outcome_names import by_kind
from analytics.part_rows import NAMED_BY, span_parameters
from analytics.promotions import PRE_PERIOD
from analytics.targets import match_targets
from analytics.trace_parts import whole_window
from analytics.trace_slices import read_by_traces
from analytics.traces import judged_by, trace_frame, with_outcomes
from analytics.unmatched import unmatched_checks
from analytics.window_traces import WindowTraces
from sql import statements

if TYPE_CHECKING:
    from analytics.job_options import JobOptions
    from analytics.part_files import PartFiles
    from analytics.promotions import Promotion
    from analytics.report.model import Check
    from analytics.steps import StepsOf
    from sql.access import Access

_TARGETS = ("trace_id", "span_id", "response_id", "conversation_id", "key_value")


@dataclass(frozen=True)
class ReadTraces:
    """What a report is made of.

    Attributes:
        evaluations: those that stand, with ``trace_id`` resolved and ``passed``, once per trace.
        traces: the wide traces frame with the pre-period.
        maturities: how long each outcome and evaluator is waited for, by column.
        outcome_checks: whether feedback finds its traces, and what retention deleted.
        steps: what the traces' steps can be found from.
        requests: what root spans say of requests; None where that is not asked.
    """

    evaluations: pl.DataFrame
    traces: pl.DataFrame
    maturities: Mapping[str, Maturity]
    outcome_checks: tuple[Check, ...]
    steps: StepsOf
    requests: pl.DataFrame | None = None


@dataclass(frozen=True)
class _Said:
    """The tables that a window's traces are read with."""

    resources: pl.DataFrame
    evaluations: pl.DataFrame
    feedback: pl.DataFrame


def read_traces(
    store: Access,
    promotion: Promotion,
    options: JobOptions,
    as_of: datetime,
    files: PartFiles | None = None,
    engine: Engine | None = None,
) -> ReadTraces:
    """Read what a report needs.

    Args:
        store: where spans, evaluations and feedback are.
        promotion: what is compared.
        options: prices, rules and margins.
        as_of: the moment the world is looked at (UTC, naive).
        files: where the rows of traces are kept from one report to the next; None: nowhere.
        engine: where the rows of traces are made; None: in this process.

    Raises:
        EngineError: the engine failed.
    """
    since = promotion.at if promotion.is_paired else promotion.at - PRE_PERIOD
    said = _said(store, options, since, as_of)
    if promotion.dataset is not None:
        return _read_runs(store, promotion, options, said, since, as_of)
    judged = judged_by(said.evaluations, options.evaluator_rules, as_of)
    window = WindowTraces(store, promotion, options, said.resources, judged, since, as_of, files, engine or Here())
    rows = window.read()
    named = ("trace_id", *NAMED_BY)
    known = pl.concat([rows.ended.select(named), rows.under_way.select(named)])
    targets = _targets(store, known, said, since, as_of)
    del known
    traces, settled = with_outcomes(
        rows.ended.drop(NAMED_BY),
        targets,
        judged,
        said.feedback,
        at=promotion.at,
        as_of=as_of,
        maturity=_maturity_rules(options),
    )
    stands = pl.col("replaced_at").is_null()
    outcome_checks = unmatched_checks(
        said.feedback.filter(stands), targets, promotion=promotion, as_of=as_of, feedback_key=options.feedback_key
    )
    requests = read_requests(store, promotion, options.conditions, until=as_of)
    matched = _matched(said.evaluations, targets, options)
    return ReadTraces(matched, traces, settled, tuple(outcome_checks), window, requests)


def _said(store: Access, options: JobOptions, since: datetime, as_of: datetime) -> _Said:
    window = {"since": since, "until": as_of}
    key_path = None if options.feedback_key is None else json_pointer(options.feedback_key)
    resources, judgements, told = (
        _frame(store, f"report_{name}", given)
        for name, given in (
            ("resources", {}),
            ("evaluations", window | {"key_path": key_path}),
            ("feedback", window),
        )
    )
    return _Said(resources, *by_kind(judgements, told, options.names))


def _targets(store: Access, rows: pl.DataFrame, said: _Said, since: datetime, until: datetime) -> pl.DataFrame:
    """What ``match_targets`` finds among the spans of these traces for what was said, without reading all of them."""
    outcomes = pl.concat([said.evaluations, said.feedback], how="diagonal")
    found = []
    if any(outcomes[name].drop_nulls().len() for name in ("span_id", "response_id")):
        named = _frame(store, "report_targets", {"since": since, "until": until})
        found.append(named.join(rows.select("trace_id"), on="trace_id", how="semi"))
    for column, listed in (("trace_id", None), ("conversation_id", "conversation_ids"), ("key", "keys")):
        asked = outcomes.select(value=column).drop_nulls().unique() if column in outcomes.columns else None
        if asked is None or asked.is_empty():
            continue
        if listed is None:
            found.append(rows.select("trace_id").join(asked, left_on="trace_id", right_on="value", how="semi"))
            continue
        known = rows.select("trace_id", value=listed).drop_nulls().explode("value")
        name = NAMED_BY[listed]
        found.append(known.join(asked, on="value", how="semi").rename({"value": name}))
    nothing = pl.DataFrame(schema=dict.fromkeys(_TARGETS, pl.String))
    return pl.concat([nothing, *found], how="diagonal")


def _matched(evaluations: pl.DataFrame, targets: pl.DataFrame, options: JobOptions) -> pl.DataFrame:
    """The evaluations that stand beside their traces: a result may name a span, a response or a conversation alone."""
    judged = with_passed(evaluations.filter(pl.col("replaced_at").is_null()), options.evaluator_rules)
    return match_targets(judged, targets).with_columns(trace_id="matched_trace_id")


def _maturity_rules(options: JobOptions) -> MaturityRules:
    return MaturityRules(options.overrides, options.outcomes, options.evaluator_rules, options.names)


def _read_runs(
    store: Access, promotion: Promotion, options: JobOptions, said: _Said, since: datetime, as_of: datetime
) -> ReadTraces:
    """Read the runs of a data set's items: they are few beside production's traces, and read as a whole."""
    if promotion.dataset is None:
        raise ValueError(f"{promotion.name} has no data set.")
    items = find_items(store, promotion.dataset)
    of_resources = items_of_resources(said.resources, options.item_attributes, items)
    looked_for = item_parameters(options.item_attributes, of_resources)
    named = _frame(store, "item_spans", {"since": since, "until": as_of, **looked_for})
    of_items = items_of_spans(named, of_resources, items)
    window = whole_window(since, as_of)
    chosen = {"chosen": of_items["trace_id"].unique().to_list()}
    parameters = {**window, **chosen, **span_parameters(promotion, options)}
    spans = read_by_traces(store, statements.read("report_spans"), parameters)
    runs = separate_runs(spans, said.evaluations, said.feedback, of_items)
    framed = trace_frame(
        runs.spans,
        said.resources,
        runs.evaluations,
        runs.feedback,
        promotion=promotion,
        prices=options.prices,
        as_of=as_of,
        maturity=_maturity_rules(options),
        feedback_key=options.feedback_key,
        evaluator_rules=options.evaluator_rules,
        validation_evaluators=options.validation_evaluators,
        chain_rules=options.chain_rules,
    )
    traces = with_conditions(framed.traces, read_conditions(store, promotion, options.conditions, window))
    matched = _matched(runs.evaluations, runs.spans, options)
    return ReadTraces(matched, as_pairs(traces, runs, items), framed.maturities, (), framed.steps)


def _frame(store: Access, query: str, parameters: Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(store.read(statements.read(query), parameters)))
