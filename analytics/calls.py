"""Which spans are model calls, and which spans' tokens count: each call once.

Frameworks repeat usage: an agent span carries the sum of its calls, a wrapper repeats the call inside it, a
gateway repeats its client, two instrumentations report the same call. What counts is decided by structure:

1. Reports of one call that lie beside each other are merged (:mod:`analytics.call_reports`).
2. An LLM span that carries tokens counts unless an LLM span below it carries tokens; an embedding span
   likewise among embeddings. An LLM span without output above an embedding repeats that embedding.
3. Any other span that carries tokens (agent, chain) sums up LLM calls where it tells output, else embeddings
   too. It counts only if no such call below or above it carries tokens; of several above each other, the
   topmost. Where the calls below tell less than the sum, they count, and the difference is shown
   (:func:`account`), not added: what it consists of is not known.
4. An innermost call that carries no tokens counts, with unknown tokens, unless a counted span stands above
   or below it. A call that the provider rejected (it ended in an error, before any answer) is not billed
   and does not count.
5. A call that a gateway answered from its cache was not made, and does not count.

So no counted span stands above another of its kind. Spans of evaluators, and all below them, are not the
application's work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from analytics.call_reports import TOKEN_COLUMNS, carries_tokens, has_no_tokens, merge_reports
from analytics.call_tree import CallTree
from analytics.span_tree import NO_PARENT

if TYPE_CHECKING:
    from analytics.span_tree import Mask, SpanTree

CALL_KINDS = ("LLM", "EMBEDDING")
# What is read of a span to tell calls and their chains.
CALL_COLUMNS = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "start_time",
    "end_time",
    "status_code",
    "service_name",
    "scope_name",
    "gen_ai_span_kind",
    "provider",
    "request_model",
    "response_model",
    "response_id",
    *TOKEN_COLUMNS,
    "finish_reasons",
    "max_tokens",
    "time_to_first_token_ms",
    "error_type",
    "guardrail_result",
    "reported_cost_usd",
    "attempt_group",
    "gateway_attempts",
    "gateway_fallback",
    "gateway_cache_hit",
    "chain_attributes",
)
ANNOTATION_SCOPE = "logfire.feedback"
# After these the provider may have answered, and billed, what the client never saw.
INTERRUPTED = (
    "(?i)timeout|timed.?out|cancel|abort|connection|disconnect|incomplete|interrupt|no.?object|validation|pars"
)

JUDGEMENT = "a judgement of the work, or below one"
OTHER_REPORT = "another report of the same call"
REPEATS_CALL = "repeats a call below it"
SUMS_CALLS = "sums up calls below it"
PART_OF_CALL = "part of a call above it"
PART_OF_SUM = "part of a sum above it"
FROM_CACHE = "answered from a gateway's cache"


class Account(NamedTuple):
    """Where every token went.

    Attributes:
        calls: as :func:`find_calls` returns them.
        reports: ``trace_id``, ``span_id``, ``response_id`` of every LLM and embedding span of the work, and
            ``call_span_id``: the call that it is about.
        not_counted: one row for each span that carries tokens and does not count: ``trace_id``, ``span_id``,
            ``input_tokens``, ``output_tokens``, ``not_counted_because``, ``call_span_id`` (the span that stands
            for it, where it is one) and ``unseen_input_tokens``, ``unseen_output_tokens``: what a sum tells
            beyond the counted calls below it (0 for no more, null where that is not known or it is no sum).
    """

    calls: pl.DataFrame
    reports: pl.DataFrame
    not_counted: pl.DataFrame


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
        spans: :data:`CALL_COLUMNS`, sorted by trace and start time, with ``work`` as :func:`is_work` tells.
        tree: the ancestry of the same rows.

    Returns:
        The spans that are a call or count, with merged values, and added: ``is_call`` (an innermost LLM or
        embedding span), ``is_counted``, ``is_error`` and its place among wrappers
        (:meth:`analytics.call_tree.CallTree.places`).
    """
    return account(spans, tree).calls


def account(spans: pl.DataFrame, tree: SpanTree) -> Account:
    """Find the model calls, and tell of every span with tokens that does not count why.

    Args:
        spans: as for :func:`find_calls`.
        tree: the ancestry of the same rows.

    Returns:
        Calls and what was left out.
    """
    spans = spans.with_row_index("row").with_columns(
        pl.col("chain_attributes").list.drop_nulls().list.len().fill_null(0).alias("told_attributes"),
        is_error=pl.col("status_code").eq("ERROR").fill_null(value=False),
    )
    spans = spans.with_columns(chain_attributes=pl.when(pl.col("told_attributes") > 0).then("chain_attributes")).drop(
        "told_attributes"
    )
    generating = _mask(spans, pl.col("work") & pl.col("gen_ai_span_kind").is_in(CALL_KINDS))
    carries = _mask(spans, carries_tokens())
    tree_of_calls = CallTree(spans, tree, merge_reports(spans.filter(generating), tree))
    found = _Decision(spans, tree_of_calls, carries & ~generating & _mask(spans, pl.col("work")))
    kept = np.flatnonzero(found.is_call | found.counted)
    facts = pl.DataFrame(
        {
            "row": kept.astype(np.uint32),
            "is_call": found.is_call[kept],
            "is_counted": found.counted[kept],
            "is_summary": ~generating[kept],
        }
    )
    values = pl.concat([tree_of_calls.calls, spans.filter(pl.Series(~generating & found.counted))])
    placed = ("attempt_group", "chain_attributes", "gateway_attempts", "gateway_fallback")
    return Account(
        facts.join(values.drop(placed), on="row", how="left", maintain_order="left")
        .join(tree_of_calls.places(found.is_call, found.counted), on="row", how="left", maintain_order="left")
        .with_columns(
            output_tokens=_output_tokens(),
            step_id=pl.when("is_summary").then("parent_span_id").otherwise("step_id"),
            hidden_attempts=pl.col("hidden_attempts").fill_null(0),
            gateway_fallback=pl.col("gateway_fallback").fill_null(value=False),
        )
        .drop("row", "is_summary"),
        tree_of_calls.reports(found.is_call),
        _not_counted(spans, tree_of_calls, found, carries),
    )


class _Decision:
    """The rules above, as masks over all spans of the batch (merged calls at the row where they stand)."""

    def __init__(self, spans: pl.DataFrame, calls: CallTree, sums: Mask) -> None:
        tree = calls.tree
        carrying = calls.where(carries_tokens())
        is_llm = calls.where(pl.col("gen_ai_span_kind").eq("LLM"))
        is_embedding = calls.where(pl.col("gen_ai_span_kind").eq("EMBEDDING"))
        without_output = calls.where((pl.col("output_tokens").fill_null(0) == 0) & (pl.col("input_tokens") > 0))
        around_embedding = is_llm & without_output & calls.has_below(is_embedding & carrying)
        llm, embedding = is_llm & ~around_embedding, is_embedding | around_embedding

        self.is_call = np.zeros_like(sums)
        self.repeats = np.zeros_like(sums)
        for call in (llm, embedding):
            self.is_call |= call & ~calls.has_below(call)
            self.repeats |= call & carrying & calls.has_below(call & carrying)
        hit = calls.where(pl.col("gateway_cache_hit"))
        hit |= calls.generating & tree.has_ancestor(hit & llm) & ~embedding
        made = self.is_call & ~hit
        only_hits_below = llm & calls.has_below(hit & llm) & ~calls.has_below(made & llm)
        self.cached = hit | only_hits_below
        self.counted = calls.generating & carrying & ~self.repeats & ~self.cached

        sums_llm = sums & _mask(spans, pl.col("output_tokens") > 0)
        tellers = llm & carrying, calls.generating & carrying
        below = np.where(sums_llm, *(calls.has_below(teller) for teller in tellers))
        above = np.where(sums_llm, *(tree.has_ancestor(teller) for teller in tellers))
        self.sums_calls = sums & below
        self.part_of_call = sums & ~below & above
        alone = sums & ~below & ~above
        self.part_of_sum = alone & tree.has_ancestor(alone)
        self.counted |= alone & ~self.part_of_sum

        unknown = self.is_call & ~carrying & ~self.cached & ~calls.where(_is_rejected())
        for call, summed in ((llm, sums), (embedding, sums & ~sums_llm)):
            teller = self.counted & (call | summed)
            self.counted |= unknown & call & ~tree.has_ancestor(teller) & ~calls.has_below(teller)


def _not_counted(spans: pl.DataFrame, calls: CallTree, found: _Decision, carries: Mask) -> pl.DataFrame:
    """Name every span that carries tokens and does not count, and why."""
    reasons = {
        OTHER_REPORT: calls.report_of != np.arange(len(carries)),
        FROM_CACHE: found.cached,
        REPEATS_CALL: found.repeats,
        SUMS_CALLS: found.sums_calls,
        PART_OF_CALL: found.part_of_call,
        PART_OF_SUM: found.part_of_sum,
    }
    left_out = np.flatnonzero(carries & ~found.counted)
    because = np.select([mask[left_out] for mask in reasons.values()], list(reasons), JUDGEMENT)
    is_sum = np.isin(because, (REPEATS_CALL, SUMS_CALLS))
    frame = spans[left_out].select("trace_id", "span_id", "input_tokens", "output_tokens")
    stands = np.where(because == JUDGEMENT, NO_PARENT, calls.teller(found.counted)[left_out])
    return frame.with_columns(
        not_counted_because=pl.Series(because, dtype=pl.String),
        call_span_id=spans["span_id"].gather(pl.Series(stands).replace(NO_PARENT, None)),
        is_sum=pl.Series(is_sum),
        **{
            f"unseen_{tokens}": calls.unseen(tokens, found.counted).gather(left_out)
            for tokens in ("input_tokens", "output_tokens")
        },
    ).select(pl.exclude("is_sum", "^unseen_.*$"), pl.when("is_sum").then(pl.col("^unseen_.*$")))


def _is_rejected() -> pl.Expr:
    answered = pl.col("time_to_first_token_ms").is_not_null()
    interrupted = pl.col("error_type").str.contains(INTERRUPTED).fill_null(value=False)
    return pl.col("is_error") & has_no_tokens() & ~answered & ~interrupted


def _output_tokens() -> pl.Expr:
    """Embeddings have no output: where the input is known, their output is a known zero."""
    embedding = pl.col("gen_ai_span_kind").eq("EMBEDDING") & pl.col("input_tokens").is_not_null()
    return pl.when(embedding).then(pl.col("output_tokens").fill_null(0)).otherwise("output_tokens")


def _mask(frame: pl.DataFrame, condition: pl.Expr) -> Mask:
    return frame.select(condition.fill_null(value=False).alias("mask"))["mask"].to_numpy().astype(np.bool_)
