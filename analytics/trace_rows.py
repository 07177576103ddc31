"""What each trace's own spans say of it: one row per trace, whatever part of the traces is at hand.

Nothing here looks beyond a trace, so the rows of parts, put together, are those of the whole.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analytics.calls import CALL_COLUMNS
from analytics.chains import COUNT_COLUMNS, chain_counts
from analytics.defaults import VALIDATION_EVALUATORS
from analytics.derived_calls import derived_calls, ordered, with_work
from analytics.span_tree import SpanTree
from analytics.strata import with_strata
from analytics.trace_calls import TOKENS, listed, models, usage, versioned
from analytics.trace_chains import CHAIN_SUMS, chain_sums

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from analytics.chain_rules import ChainRule
    from analytics.pricing import PriceBook
    from analytics.promotions import Promotion

# What is read of the spans table; cohort_value and key_value are the span's own attributes that the
# promotion and the configuration name, as text, null where absent.
SPAN_COLUMNS = (
    *CALL_COLUMNS,
    "service_tier",
    "server_address",
    "scope_version",
    "conversation_id",
    "user_id",
    "prompt_name",
    "prompt_version",
    "tool_name",
    "agent_name",
    "documents",
    "dropped_attributes_count",
    "resource_id",
    "cohort_value",
    "key_value",
)
RESOURCE_COLUMNS = ("resource_id", "attributes")
NO_COHORT = "(none)"
NANOSECONDS_PER_MS = 1_000_000

ROW_COLUMNS = (
    "trace_id",
    "start_time",
    "end_time",
    "latency_ms",
    "cohort",
    "stratum",
    "arm",
    "unit",
    "user_id",
    "conversation_id",
    "services",
    "prompt_version",
    "instrumentation",
    "token_rules",
    "first_model",
    "last_model",
    "llm_calls",
    *TOKENS,
    "cost_usd",
    "priced_tokens",
    "unpriced_tokens",
    "unpriced_calls",
    "unpriced_models",
    "error",
    "tool_errors",
    "retries",
    "schema_repairs",
    "fallbacks",
    "missing_root",
    "orphaned_spans",
    "dropped_attributes",
    *CHAIN_SUMS,
)
"""What is known of a trace from its own spans."""


class TraceRows(NamedTuple):
    """What spans say of their traces.

    Attributes:
        traces: :data:`ROW_COLUMNS`, one row per trace, sorted by trace id, also of traces that have not ended.
        spans: the spans in order, each once, with ``work`` and, where a resource stands in for it, ``key_value``.
        calls: what :func:`analytics.derived_calls.derived_calls` found of them.
        not_counted: the same.
    """

    traces: pl.DataFrame
    spans: pl.DataFrame
    calls: pl.DataFrame
    not_counted: pl.DataFrame


def trace_rows(
    spans: pl.DataFrame,
    resources: pl.DataFrame,
    evaluations: pl.DataFrame,
    *,
    promotion: Promotion,
    prices: PriceBook,
    feedback_key: str | None,
    validation_evaluators: Collection[str] = VALIDATION_EVALUATORS,
    chain_rules: Sequence[ChainRule] = (),
) -> TraceRows:
    """Make the rows of traces.

    Args:
        spans: :data:`SPAN_COLUMNS`, all spans of each trace; with ``stratum_values`` where the promotion has strata.
        resources: :data:`RESOURCE_COLUMNS`; ``attributes`` is a JSON object as text.
        evaluations: with ``passed``; those of validation evaluators tell which calls are repairs.
        promotion: names the two models, the cohort's attribute and the strata's.
        prices: what calls cost.
        feedback_key: the attribute that holds the application's key; None: there is none.
        validation_evaluators: evaluators of a call's output whose failure makes the next call a schema repair.
        chain_rules: the user's own rules for attempt chains.
    """
    spans = _with_resource_values(_told(spans, promotion), resources, promotion.cohort_by, feedback_key)
    tree = SpanTree.of(spans)
    spans = with_work(spans, tree)
    traces = _times(spans)
    derived = derived_calls(
        spans,
        tree,
        evaluations,
        prices=prices,
        validation_evaluators=validation_evaluators,
        chain_rules=chain_rules,
    )
    calls = derived.calls
    parts = (
        _descriptions(spans),
        models(calls, promotion),
        usage(calls),
        chain_counts(calls.filter(pl.col("is_call") & (pl.col("gen_ai_span_kind") == "LLM"))),
        chain_sums(calls),
    )
    for part in parts:
        traces = traces.join(part, on="trace_id", how="left", maintain_order="left")
    traces = with_strata(traces, spans.filter("work"), resources, promotion.stratify_by)
    unrescued = pl.col("unrescued").fill_null(value=False)
    counts = ("llm_calls", "priced_tokens", "unpriced_tokens", "unpriced_calls", *COUNT_COLUMNS, *CHAIN_SUMS)
    traces = (
        traces.with_columns(
            pl.col("cohort").fill_null(NO_COHORT),
            pl.col(counts).fill_null(0),
            unit=pl.coalesce("user_id", "conversation_id", "trace_id"),
            error=pl.col("root_failed") | (~pl.col("root_succeeded") & unrescued),
        )
        .select(ROW_COLUMNS)
        .sort("trace_id")
    )
    return TraceRows(traces, spans, calls, derived.not_counted)


def _told(spans: pl.DataFrame, promotion: Promotion) -> pl.DataFrame:
    """The spans in order, each once, where an empty text says nothing."""
    empty_is_absent = pl.col("user_id", "conversation_id", "cohort_value", "key_value")
    named = [*SPAN_COLUMNS, "stratum_values"] if promotion.stratify_by else SPAN_COLUMNS
    return ordered(spans.select(named).with_columns(empty_is_absent.replace("", None)))


def _with_resource_values(
    spans: pl.DataFrame, resources: pl.DataFrame, cohort_by: str | None, feedback_key: str | None
) -> pl.DataFrame:
    """Add what the resource says of the cohort, and let it stand in for a key that the span does not have."""
    attributes = [json.loads(text) for text in resources["attributes"].to_list()]
    values = pl.DataFrame(
        {
            "resource_id": resources["resource_id"],
            "resource_cohort": [_text(one.get(cohort_by)) if cohort_by else None for one in attributes],
            "resource_key": [_text(one.get(feedback_key)) if feedback_key else None for one in attributes],
        },
        schema={"resource_id": pl.String, "resource_cohort": pl.String, "resource_key": pl.String},
    ).unique("resource_id", keep="first", maintain_order=True)
    return (
        spans.join(values, on="resource_id", how="left", maintain_order="left")
        .with_columns(key_value=pl.coalesce("key_value", "resource_key"))
        .drop("resource_key")
    )


def _text(value: object) -> str | None:
    """An attribute's value as the span attributes' text has it."""
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value)


def _times(spans: pl.DataFrame) -> pl.DataFrame:
    """When each trace began and ended, what its user waited, and how its root fared.

    Without a root (a span without parent) the spans whose parent is missing stand in: one that failed makes
    the trace failed.
    """
    work = spans.filter("work")
    failed = pl.col("status_code") == "ERROR"
    whole = work.group_by("trace_id").agg(
        pl.col("start_time").min(),
        pl.col("end_time").max(),
        top_failed=(pl.col("is_top") & failed).any(),
    )
    root = (
        work.filter(pl.col("parent_span_id").is_null())
        .unique("trace_id", keep="first", maintain_order=True)
        .select(
            "trace_id",
            root_time=pl.col("end_time") - pl.col("start_time"),
            root_status="status_code",
        )
    )
    lasted = pl.coalesce("root_time", pl.col("end_time") - pl.col("start_time")).dt.total_nanoseconds()
    return (
        whole.join(root, on="trace_id", how="left")
        .select(
            "trace_id",
            "start_time",
            "end_time",
            # A negative duration is a broken clock, not a latency.
            latency_ms=pl.when(lasted >= 0).then((lasted / NANOSECONDS_PER_MS).round(6)),
            missing_root=pl.col("root_status").is_null(),
            root_failed=pl.coalesce(pl.col("root_status") == "ERROR", "top_failed"),
            root_succeeded=pl.col("root_status").eq("OK").fill_null(value=False),
        )
        .sort("trace_id")
    )


def _descriptions(spans: pl.DataFrame) -> pl.DataFrame:
    """What a trace's own spans say of cohort, user, services, release: the root first, then the earliest."""
    work = spans.filter("work")
    stated = ("cohort_value", "resource_cohort", "user_id", "conversation_id")
    spoken = (
        work.sort(pl.col("parent_span_id").is_null(), descending=True, maintain_order=True)
        .group_by("trace_id")
        .agg(
            pl.col(stated).first(ignore_nulls=True),
            tool_errors=(pl.col("gen_ai_span_kind").eq("TOOL") & pl.col("status_code").eq("ERROR"))
            .sum()
            .cast(pl.Int64),
            orphaned_spans=(pl.col("is_top") & pl.col("parent_span_id").is_not_null()).sum().cast(pl.Int64),
            dropped_attributes=pl.col("dropped_attributes_count").cast(pl.Int64).sum(),
        )
        .with_columns(cohort=pl.coalesce("cohort_value", "resource_cohort"))
        .drop("cohort_value", "resource_cohort")
    )
    services = listed(work, "services", pl.col("service_name"))
    prompts = listed(work, "prompt_version", versioned("prompt_name", "prompt_version"))
    return spoken.join(services, on="trace_id", how="left").join(prompts, on="trace_id", how="left")
