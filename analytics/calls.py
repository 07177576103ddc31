"""Which spans are model calls, and which spans' tokens count: each call once.

Frameworks repeat usage: an agent span carries the sum of its calls, a wrapper repeats the call inside it, two
instrumentations report the same call. What counts is decided by structure alone:

1. Reports of one call under one parent (the same response id, or a streaming request and the zero-length
   record that carries its usage) are merged.
2. An LLM or embedding span that carries tokens counts unless such a span below it carries tokens.
3. Any other span that carries tokens (agent, chain) counts only if no LLM or embedding span below or above
   it carries tokens; of several above each other, the topmost.
4. An innermost call that carries no tokens counts, with unknown tokens, unless a counted span stands above
   or below it. A call that the provider rejected (it ended in an error, before any answer) is not billed
   and does not count.

So no counted span stands above another. Spans of evaluators, and all below them, are not the application's
work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from analytics.span_tree import Mask, SpanTree

CALL_KINDS = ("LLM", "EMBEDDING")
TOKEN_COLUMNS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "cache_audio_read_tokens",
    "token_rule",
    "reported_cost_usd",
)
ANNOTATION_SCOPE = "logfire.feedback"
# After these the provider may have answered, and billed, what the client never saw.
INTERRUPTED = "(?i)timeout|timed.?out|cancel|abort|connection|disconnect|incomplete|interrupt"


def is_work(spans: pl.DataFrame, tree: SpanTree) -> Mask:
    """Whether each span is the application's own work, as opposed to a later judgement of it.

    Args:
        spans: ``gen_ai_span_kind`` and ``scope_name``.
        tree: the ancestry of the same rows.

    Returns:
        False for evaluator spans and all below them, and for annotations that arrive as spans.
    """
    evaluator = _mask(spans, pl.col("gen_ai_span_kind").eq("EVALUATOR"))
    annotation = _mask(spans, pl.col("scope_name").eq(ANNOTATION_SCOPE))
    return ~(evaluator | annotation | tree.has_ancestor(evaluator))


def find_calls(spans: pl.DataFrame, tree: SpanTree) -> pl.DataFrame:
    """Find the model calls and the spans whose tokens count.

    Args:
        spans: spans sorted by trace and start time, with ``work`` as :func:`is_work` tells.
        tree: the ancestry of the same rows.

    Returns:
        The spans that are a call or count, with merged values, and added: ``is_call`` (an innermost LLM or
        embedding span), ``is_counted``, ``is_error``, and ``step_id``: the span that the call was made
        under, wrappers of the call itself left out (null for none).
    """
    spans = spans.with_row_index("row").with_columns(is_error=pl.col("status_code").eq("ERROR").fill_null(value=False))
    generating = _mask(spans, pl.col("work") & pl.col("gen_ai_span_kind").is_in(CALL_KINDS))
    merged = _merge_reports(spans.filter(generating))
    rows = merged["row"].to_numpy()
    call = np.zeros(len(spans), dtype=np.bool_)
    call[rows] = True
    carries = _mask(spans, pl.col("work") & _carries_tokens()) & ~generating
    carries[rows] = _mask(merged, _carries_tokens())
    rejected = np.zeros(len(spans), dtype=np.bool_)
    rejected[rows] = _mask(merged, _is_rejected())

    call_carries = call & carries
    counted = call_carries & ~tree.has_descendant(call_carries)
    summary = ~call & carries & ~tree.has_descendant(call_carries) & ~tree.has_ancestor(call_carries)
    counted |= summary & ~tree.has_ancestor(summary)
    innermost = call & ~tree.has_descendant(call)
    told = tree.has_ancestor(counted) | tree.has_descendant(counted)
    counted |= innermost & ~carries & ~rejected & ~told

    kept = np.flatnonzero(innermost | counted)
    top = tree.topmost(generating)[kept]
    facts = pl.DataFrame(
        {
            "row": kept.astype(np.uint32),
            "is_call": innermost[kept],
            "is_counted": counted[kept],
            "step_id": spans["parent_span_id"].gather(top),
        }
    )
    values = pl.concat([merged, spans.filter(pl.Series(~generating & counted))])
    return (
        facts.join(values, on="row", how="left", maintain_order="left")
        .with_columns(output_tokens=_output_tokens())
        .drop("row")
    )


def _merge_reports(calls: pl.DataFrame) -> pl.DataFrame:
    """Merge the several reports of one call under one parent into the longest of them."""
    calls = calls.with_columns(report=_report_key(calls))
    same = ["trace_id", "parent_span_id", "report"]
    calls = calls.with_columns(
        repeated=pl.col("report").is_not_null() & (pl.len().over(same) > 1),
        carries=_carries_tokens(),
        length=pl.col("end_time") - pl.col("start_time"),
    )
    several = calls.filter("repeated").sort(
        ["length", "start_time", "span_id"], descending=[True, False, False], maintain_order=True
    )
    described = [name for name in calls.columns if name not in {*same, *TOKEN_COLUMNS, "start_time", "end_time", "row"}]
    one = several.group_by(same, maintain_order=True).agg(
        pl.col("row", "span_id").first(),
        pl.col("start_time").min(),
        pl.col("end_time").max(),
        pl.col(name for name in described if name not in {"span_id", "is_error"}).first(ignore_nulls=True),
        pl.col("is_error").all(),
        pl.col(TOKEN_COLUMNS).sort_by("carries", descending=True, maintain_order=True).first(),
    )
    return (
        pl.concat([calls.filter(~pl.col("repeated")), one.select(calls.columns)])
        .sort("row")
        .drop("report", "repeated", "carries", "length")
    )


def _report_key(calls: pl.DataFrame) -> pl.Series:
    """Name the call that each span reports, where spans of one parent may report the same one (else null).

    Logfire writes a streamed call as a span without usage and a zero-length one with it, without a response
    id: the k-th of the first kind belongs to the k-th of the second.
    """
    alike = ["trace_id", "parent_span_id", "scope_name", "request_model"]
    unnamed = pl.col("response_id").is_null()
    usage_record = unnamed & (pl.col("start_time") == pl.col("end_time")) & _carries_tokens()
    waiting = unnamed & _has_no_tokens() & ~pl.col("is_error")
    ordinal = (
        pl.when(usage_record)
        .then(usage_record.cum_sum().over(alike, order_by=["start_time", "span_id"]))
        .when(waiting)
        .then(waiting.cum_sum().over(alike, order_by=["start_time", "span_id"]))
    )
    emitter = pl.concat_str(pl.col("scope_name", "request_model").fill_null(""), separator="\x1f")
    streamed = pl.concat_str(pl.lit("streamed"), emitter, ordinal, separator="\x1f")
    return calls.select(key=pl.when(unnamed).then(streamed).otherwise("response_id"))["key"]


def _carries_tokens() -> pl.Expr:
    """A count above zero; null and zero both say nothing about who else reports the call."""
    return ((pl.col("input_tokens") > 0) | (pl.col("output_tokens") > 0)).fill_null(value=False)


def _has_no_tokens() -> pl.Expr:
    return pl.col("input_tokens").is_null() & pl.col("output_tokens").is_null()


def _is_rejected() -> pl.Expr:
    answered = pl.col("time_to_first_token_ms").is_not_null()
    interrupted = pl.col("error_type").str.contains(INTERRUPTED).fill_null(value=False)
    return pl.col("is_error") & _has_no_tokens() & ~answered & ~interrupted


def _output_tokens() -> pl.Expr:
    """Embeddings have no output: where the input is known, their output is a known zero."""
    embedding = pl.col("gen_ai_span_kind").eq("EMBEDDING") & pl.col("input_tokens").is_not_null()
    return pl.when(embedding).then(pl.col("output_tokens").fill_null(0)).otherwise("output_tokens")


def _mask(frame: pl.DataFrame, condition: pl.Expr) -> Mask:
    return frame.select(condition.fill_null(value=False).alias("mask"))["mask"].to_numpy().astype(np.bool_)
