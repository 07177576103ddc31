"""The steps of traces: what each span did for the request, by a name that both arms share.

A step is a tool or a retriever by its name, or a model call by its place: a *planner* asks for tools or comes before
them, the *answer* is the last call of its agent that does not, a *repair* answers a failed validation, and any other
call goes by the span it was made in. Attempts of one chain (:mod:`analytics.chains`) are one step. What lies below a
step, such as the requests that a tool makes, belongs to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl

from analytics.span_tree import NO_PARENT, SpanTree
from analytics.targets import match_targets
from analytics.waiting import waited_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.span_tree import Mask

PLANNER, RETRIEVAL, TOOL, ANSWER, REPAIR, OTHER = "planner", "retrieval", "tool", "answer", "repair", "other"

APPLICATION = "application"
"""The step of what the application does between its other steps."""

STEP_LIMIT = 30
"""Most steps that are told apart; the rarest of more are taken together as ``other``."""

STEP_COLUMNS = (
    "name", "start_time", "end_time", "status_code", "gen_ai_span_kind", "guardrail_result", "response_id",
    "conversation_id", "key_value", "tool_name", "agent_name", "documents",
)  # fmt: skip
"""What is read of spans, beside their ids."""

_STAGES = {"TOOL": TOOL, "RETRIEVER": RETRIEVAL, "RERANKER": RETRIEVAL, "GUARDRAIL": OTHER}
_KIND_WORDS = {"TOOL": "tool", "RETRIEVER": "retrieval", "RERANKER": "reranking", "GUARDRAIL": "guardrail"}
_PLANS = (
    r"(?i)(^|[^a-z])(plan|planner|planning|route|router|routing|triage|orchestrat\w*|supervis\w*|dispatch\w*)([^a-z]|$)"
)
_DECORATION = (
    r"^(?:execute_tool|invoke_agent|invoke_workflow|retrieval|create_agent|chat)\s+|\.(?:tool|task|workflow|agent)$"
)
_BLOCKED = r"(?i)^(?:triggered|block\w*|fail\w*|true|denied|rejected)$"
_NAME_LIMIT = 60
_SAYS_DOCUMENTS = 0.5
_KEYS = ["trace_id", "span_id"]


class StepsOf(Protocol):
    """Whatever can find the steps of traces."""

    def of(self, trace_ids: pl.Series) -> Steps:
        """The steps of some traces."""
        ...


@dataclass(frozen=True)
class StepSource:
    """What steps are made from, kept until it is known which traces are asked about.

    Attributes:
        spans: the application's own spans: ids, ``service_name`` and :data:`STEP_COLUMNS`, by trace and start time.
        calls: what :func:`analytics.derived_calls.derived_calls` found of them.
        not_counted: the same.
        judged: evaluations with ``passed`` and the target columns of :func:`analytics.targets.match_targets`.
    """

    spans: pl.DataFrame
    calls: pl.DataFrame
    not_counted: pl.DataFrame
    judged: pl.DataFrame

    @classmethod
    def joined(cls, parts: Sequence[StepSource], judged: pl.DataFrame) -> StepSource:
        """What several parts of the traces have, at least one, kept to what steps are made from."""
        return cls(
            pl.concat([part.spans for part in parts]),
            pl.concat([part.calls.select(*_KEYS, *_CALL_COLUMNS) for part in parts]),
            pl.concat([part.not_counted for part in parts]),
            judged,
        )

    def of(self, trace_ids: pl.Series) -> Steps:
        """The steps of some traces."""
        chosen = pl.col("trace_id").is_in(trace_ids.implode())
        spans, calls, not_counted = (frame.filter(chosen) for frame in (self.spans, self.calls, self.not_counted))
        of_spans = self.judged.filter(pl.any_horizontal(pl.col("span_id", "response_id").is_not_null()))
        return find_steps(spans, calls, not_counted, match_targets(of_spans, spans))


@dataclass(frozen=True)
class Steps:
    """The steps of some traces.

    Attributes:
        by_trace: one row per trace and step: ``trace_id, step, calls, errors, blocked, retries, fallbacks, cut_off,
            filtered`` (counts), ``input_tokens, output_tokens, cost_usd`` (of what counts, null where any is unknown),
            ``own_ms`` (what users waited for it), ``documents`` (found by its retrievals, null where none told),
            ``empty`` (retrievals that found none, null likewise) and ``began_at`` (of its first span).
        judgements: one row per trace, step and evaluator that judged a span of it: ``trace_id, step, name, failed``.
        stages: step → its stage, in the order in which the steps begin.
    """

    by_trace: pl.DataFrame
    judgements: pl.DataFrame
    stages: dict[str, str]


def find_steps(spans: pl.DataFrame, calls: pl.DataFrame, not_counted: pl.DataFrame, judged: pl.DataFrame) -> Steps:
    """Fold the spans of traces into steps.

    Args:
        spans: of :class:`StepSource`.
        calls: of the same.
        not_counted: of the same.
        judged: evaluations with ``passed``, as :func:`analytics.targets.match_targets` finds their spans.
    """
    spans = spans.sort("trace_id", "start_time", "span_id")
    tree = SpanTree.of(spans)
    told = _told(spans, tree, calls)
    named = _bounded(_inherited(_named(told, tree), tree, not_counted))
    named = named.with_columns(own_ns=pl.Series(waited_for(spans, tree.parent)))
    by_trace = _by_trace(named)
    judgements = _judgements(judged, named)
    stage_of = dict(named.select("step", "stage").unique(maintain_order=True).iter_rows())
    return Steps(by_trace, judgements, {step: stage_of[step] for step in _in_order(by_trace)})


def _told(spans: pl.DataFrame, tree: SpanTree, calls: pl.DataFrame) -> pl.DataFrame:
    """The spans with what is known of the calls among them, and the agent that each works for."""
    kinds = spans["gen_ai_span_kind"]
    clean = pl.col("name").str.replace_all(_DECORATION, "").str.slice(0, _NAME_LIMIT)
    spans = spans.with_columns(
        clean=pl.when(clean.str.len_chars() > 0).then(clean).otherwise(pl.lit("span")),
        label=pl.coalesce("tool_name", "agent_name", clean).str.slice(0, _NAME_LIMIT),
        parent=pl.Series(tree.parent),
    )
    agents = (kinds == "AGENT").fill_null(value=False).to_numpy()
    agent = tree.nearest(agents)
    at_work = tree.nearest(agents | kinds.is_in(list(_STAGES)).fill_null(value=False).to_numpy())
    place = pl.int_range(pl.len()).cast(pl.Int64)
    return spans.join(calls.select(*_KEYS, *_CALL_COLUMNS), on=_KEYS, how="left", maintain_order="left").with_columns(
        pl.col("is_call", "is_counted").fill_null(value=False),
        row=place,
        agent=spans["label"].gather(pl.Series(agent).replace(NO_PARENT, None)),
        # The call of an agent that a tool runs is the agent's; the call of a tool is the tool's.
        scope=pl.when(pl.Series(agent) == NO_PARENT)
        .then(-1 - pl.col("trace_id").rle_id().cast(pl.Int64))
        .otherwise(pl.Series(agent)),
        inside=pl.when(pl.Series(at_work != agent)).then(pl.Series(at_work)),
        around=spans["clean"].gather(pl.Series(tree.parent).replace(NO_PARENT, None)),
        around_kind=kinds.gather(pl.Series(tree.parent).replace(NO_PARENT, None)),
        around_root=spans["parent"].gather(pl.Series(tree.parent).replace(NO_PARENT, None)) == NO_PARENT,
    )


_CALL_COLUMNS = (
    "is_call", "is_counted", "is_error", "chain_id", "attempt", "reason", "hidden_attempts", "hidden_fallback",
    "finish_reasons", "input_tokens", "output_tokens", "cost_usd",
)  # fmt: skip


def _named(told: pl.DataFrame, tree: SpanTree) -> pl.DataFrame:
    """Give each span that does something of its own its step and stage; null where it does not."""
    kind = pl.col("gen_ai_span_kind")
    own_kind = kind.is_in(list(_STAGES)).fill_null(value=False)
    several = told["agent"].drop_nulls().n_unique() > 1
    of_agent = (
        pl.when(pl.col("agent").is_not_null() & several).then(pl.lit(" of ") + pl.col("agent")).otherwise(pl.lit(""))
    )
    roles = _roles(told)
    told = told.join(roles, on="row", how="left", maintain_order="left").sort("row")
    in_span = ~pl.col("around_root") & pl.col("around_kind").ne_missing("AGENT")
    inner = pl.when(in_span).then(pl.lit(" ") + pl.col("around")).otherwise(pl.lit(""))
    call_name = (
        pl.when(pl.col("role") == OTHER).then(pl.lit("call") + inner + of_agent).otherwise(pl.col("role") + of_agent)
    )
    embedding = pl.col("is_call") & (kind == "EMBEDDING") & pl.col("inside").is_null()
    named = told.with_columns(
        step=pl.when(own_kind)
        .then(pl.concat_str(kind.replace_strict(_KIND_WORDS, default=None), pl.lit(" "), "label"))
        .when(embedding)
        .then(pl.lit("embedding"))
        .when(pl.col("role").is_not_null())
        .then(call_name),
        stage=pl.when(own_kind)
        .then(kind.replace_strict(_STAGES, default=None))
        .when(embedding)
        .then(pl.lit(RETRIEVAL))
        .otherwise("role"),
    )
    has_step = named["step"].is_not_null().to_numpy()
    alone = ~has_step & ~tree.has_ancestor(has_step) & ~tree.has_descendant(has_step)
    # Of spans that do none of this, the lowest is work of its own; what is above it holds it together.
    lowest = alone & ~tree.has_descendant(alone)
    is_agent = kind.eq_missing("AGENT")
    plans = is_agent & pl.col("label").str.contains(_PLANS)
    lone = pl.Series(lowest) & kind.ne_missing("LLM") & kind.ne_missing("EMBEDDING")
    word = pl.when(is_agent).then(pl.lit("agent ")).otherwise(pl.lit("step "))
    return named.with_columns(
        step=pl.when(lone).then(word + pl.col("label")).otherwise("step"),
        stage=pl.when(lone & plans).then(pl.lit(PLANNER)).when(lone).then(pl.lit(OTHER)).otherwise("stage"),
        is_main=pl.Series(has_step) | lone,
    )


def _roles(told: pl.DataFrame) -> pl.DataFrame:
    """The role of each model call: ``row`` and ``role``; calls that a tool or a retriever makes have none."""
    llm = told.filter(
        pl.col("is_call") & pl.col("gen_ai_span_kind").eq_missing("LLM") & pl.col("inside").is_null()
    ).sort("trace_id", "chain_id", "attempt", "start_time")
    chain = ["trace_id", "chain_id"]
    asks = pl.col("finish_reasons").list.contains("tool_calls").fill_null(value=False)
    chains = llm.group_by(chain, maintain_order=True).agg(
        pl.col("scope", "start_time").first(),
        asks=asks.any(),
        named=pl.any_horizontal(pl.col("agent", "around", "clean").str.contains(_PLANS).fill_null(value=False)).any(),
    )
    used = told.filter(pl.col("gen_ai_span_kind").is_in(["TOOL", "RETRIEVER"]) & pl.col("inside").is_null())
    events = pl.concat(
        [
            chains.select("scope", "start_time", *chain, is_chain=pl.lit(value=True)),
            used.select("scope", "start_time", *chain, is_chain=pl.lit(value=False)),
        ]
    ).sort("scope", "start_time", "is_chain")
    followed = events.with_columns(followed=~pl.col("is_chain").shift(-1).over("scope").fill_null(value=True)).filter(
        "is_chain"
    )
    chains = chains.join(followed.select(*chain, "followed"), on=chain, how="left").sort(
        "scope", "start_time", "chain_id"
    )
    plans = pl.col("asks") | pl.col("followed") | pl.col("named")
    last = pl.int_range(pl.len()).over("scope") == pl.len().over("scope") - 1
    chains = chains.with_columns(
        role=pl.when(plans).then(pl.lit(PLANNER)).when(last).then(pl.lit(ANSWER)).otherwise(pl.lit(OTHER))
    )
    repaired = (pl.col("reason") == "schema_repair").fill_null(value=False).cum_max().over(chain)
    return (
        llm.with_columns(repaired=repaired)
        .join(chains.select(*chain, "role"), on=chain, how="left")
        .select("row", role=pl.when("repaired").then(pl.lit(REPAIR)).otherwise("role"))
    )


def _inherited(named: pl.DataFrame, tree: SpanTree, not_counted: pl.DataFrame) -> pl.DataFrame:
    """Give the other spans the step that they report of, stand below, or wrap; the rest is the application's."""
    steps, stages = named["step"], named["stage"]
    has_step = steps.is_not_null().to_numpy()
    above = pl.Series(tree.nearest(has_step)).replace(NO_PARENT, None)
    by_id = named.select("trace_id", "step", "stage", call_span_id="span_id")
    reports = not_counted.filter(pl.col("call_span_id").is_not_null()).select(*_KEYS, "call_span_id").unique(_KEYS)
    reported = (
        named.select(_KEYS)
        .join(reports, on=_KEYS, how="left", maintain_order="left")
        .join(by_id, on=["trace_id", "call_span_id"], how="left", maintain_order="left")
    )
    wrapper = _mask(named["gen_ai_span_kind"].is_in(["LLM", "EMBEDDING"]) & steps.is_null())
    wrapped = named.with_columns(parent_call=pl.Series(tree.nearest(wrapper))).filter(
        pl.col("is_call") & (pl.col("parent_call") != NO_PARENT) & pl.col("step").is_not_null()
    )
    of_wrapper = wrapped.group_by(row="parent_call").agg(
        pl.col("step").first().alias("inner_step"), pl.col("stage").first().alias("inner_stage")
    )
    is_report = pl.col("gen_ai_span_kind").is_in(["LLM", "EMBEDDING"]).fill_null(value=False)
    joined = named.join(of_wrapper, on="row", how="left", maintain_order="left").with_columns(
        told_step=reported["step"], told_stage=reported["stage"],
        above_step=steps.gather(above), above_stage=stages.gather(above),
    )  # fmt: skip
    return joined.with_columns(
        step=pl.coalesce("step", pl.when(is_report).then("told_step"), "above_step", "inner_step", pl.lit(APPLICATION)),
        stage=pl.coalesce("stage", pl.when(is_report).then("told_stage"), "above_stage", "inner_stage", pl.lit(OTHER)),
    )


def _bounded(named: pl.DataFrame) -> pl.DataFrame:
    """Take the rarest steps together where there are too many, places of model calls last."""
    seen = (
        named.group_by("step")
        .agg(pl.col("stage").first(), traces=pl.col("trace_id").n_unique())
        .with_columns(by_place=pl.col("stage").is_in([PLANNER, ANSWER, REPAIR]) | (pl.col("step") == APPLICATION))
        .sort("by_place", "traces", "step", descending=[True, True, False])
    )
    if seen.height <= STEP_LIMIT:
        return named
    kept = pl.col("step").is_in(seen["step"].head(STEP_LIMIT - 1).implode())
    return named.with_columns(
        step=pl.when(kept).then("step").otherwise(pl.lit(OTHER)),
        stage=pl.when(kept).then("stage").otherwise(pl.lit(OTHER)),
    )


def _by_trace(named: pl.DataFrame) -> pl.DataFrame:
    main, counted = pl.col("is_main"), pl.col("is_counted")
    failed = pl.coalesce("is_error", pl.col("status_code") == "ERROR").fill_null(value=False)
    finished = pl.col("finish_reasons")
    retriever = main & pl.col("gen_ai_span_kind").is_in(["RETRIEVER", "RERANKER"])
    # Where a retriever lists what it found, it lists nothing when it finds nothing.
    says = (retriever & pl.col("documents").is_not_null()).sum() >= _SAYS_DOCUMENTS * retriever.sum()
    lists = says.over("step", "service_name") & retriever
    documents = pl.when(lists).then(pl.col("documents").fill_null(0))
    fallback = pl.col("hidden_fallback").fill_null(value=False).cast(pl.Int64)

    def total(column: str) -> pl.Expr:
        known = pl.col(column).filter(counted)
        return pl.when(known.null_count() == 0).then(known.sum()).alias(column)

    def some(value: pl.Expr) -> pl.Expr:
        return pl.when(value.is_not_null().any()).then(value.sum())

    def times(what: pl.Expr) -> pl.Expr:
        return (main & what.fill_null(value=False)).sum().cast(pl.Int64)

    return (
        named.with_columns(documents=documents)
        .group_by("trace_id", "step")
        .agg(
            calls=main.sum().cast(pl.Int64),
            errors=times(failed),
            blocked=times(pl.col("guardrail_result").str.contains(_BLOCKED)),
            retries=times(pl.col("reason") == "retry")
            + (pl.col("hidden_attempts").fill_null(0) - fallback).filter("is_call").sum(),
            fallbacks=times(pl.col("reason") == "fallback") + fallback.filter("is_call").sum(),
            cut_off=times(finished.list.contains("length")),
            filtered=times(finished.list.contains("content_filter")),
            own_ms=pl.col("own_ns").sum() / 1e6,
            documents=some(pl.col("documents")),
            empty=some((pl.col("documents") == 0).cast(pl.Int64)),
            began_at=pl.col("start_time").min(),
            **{column: total(column) for column in ("input_tokens", "output_tokens", "cost_usd")},
        )
        .sort("trace_id", "began_at", "step")
    )


def _judgements(judged: pl.DataFrame, named: pl.DataFrame) -> pl.DataFrame:
    """What evaluators said of spans, by the step of the span."""
    places = named.select(matched_trace_id="trace_id", span_id="span_id", response_id="response_id", step="step",
                          is_main="is_main")  # fmt: skip
    said = judged.filter(pl.col("passed").is_not_null()).select(
        "matched_trace_id", "matched_level", "span_id", "response_id", "name", "passed"
    )
    of_span = said.filter(pl.col("matched_level") == "span").join(
        places.select("matched_trace_id", "span_id", "step"), on=["matched_trace_id", "span_id"]
    )
    answers = places.filter("is_main").unique(["matched_trace_id", "response_id"], keep="last", maintain_order=True)
    of_response = said.filter(pl.col("matched_level") == "response").join(
        answers.select("matched_trace_id", "response_id", "step"), on=["matched_trace_id", "response_id"]
    )
    columns = ("matched_trace_id", "step", "name", "passed")
    return (
        pl.concat([of_span.select(columns), of_response.select(columns)])
        .filter(pl.col("step") != APPLICATION)
        .group_by("step", "name", trace_id="matched_trace_id")
        .agg(failed=(~pl.col("passed")).any())
        .select("trace_id", "step", "name", "failed")
        .sort("trace_id", "step", "name")
    )


def _in_order(by_trace: pl.DataFrame) -> list[str]:
    """The steps by how many others they come before, in most of the traces that have both."""
    rows = by_trace.select("trace_id", "step", "began_at", place=pl.col("began_at").rank().over("trace_id"))
    before = (pl.col("began_at") < pl.col("began_at_other")).cast(pl.Int64)
    after = (pl.col("began_at") > pl.col("began_at_other")).cast(pl.Int64)
    won = (
        rows.join(rows, on="trace_id", suffix="_other")
        .group_by("step", "step_other")
        .agg(lead=(before - after).sum())
        .group_by("step")
        .agg(won=pl.col("lead").sign().sum())
    )
    usual = rows.group_by("step").agg(pl.col("place").mean())
    return usual.join(won, on="step").sort("won", "place", "step", descending=[True, False, False])["step"].to_list()


def _mask(condition: pl.Series) -> Mask:
    return condition.fill_null(value=False).to_numpy().astype(np.bool_)
