"""The model calls of traces: each once, in its attempt chain, with its cost; for reports and for the store alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analytics.calls import account, is_work
from analytics.chain_failures import with_failures
from analytics.chain_rules import apply_rules
from analytics.chains import attempt_chains
from analytics.defaults import VALIDATION_EVALUATORS
from analytics.outcome_names import folded, folded_names
from analytics.span_tree import SpanTree

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from analytics.chain_rules import ChainRule
    from analytics.pricing import PriceBook


_ORDER = ("trace_id", "start_time", "span_id", "end_time")


class Derived(NamedTuple):
    """What model calls were made of spans.

    Attributes:
        calls: what :func:`analytics.calls.find_calls`, ``PriceBook.price`` and
            :func:`analytics.chains.attempt_chains` say of each call, and of each other span that counts.
        not_counted: :attr:`analytics.calls.Account.not_counted`.
    """

    calls: pl.DataFrame
    not_counted: pl.DataFrame


def ordered(spans: pl.DataFrame) -> pl.DataFrame:
    """Each span once (of two reports of one span id the later), by trace and start time."""
    spans = spans.with_columns(
        pl.col("parent_span_id").replace("", None), pl.col("start_time", "end_time").cast(pl.Datetime("ns"))
    )
    # To see that there is nothing to do costs a tenth of doing it.
    if not _in_order(spans, _ORDER):
        spans = spans.sort(_ORDER)
    identity = spans.select(pl.col("trace_id").hash() ^ pl.col("span_id").hash(1)).to_series()
    if identity.n_unique() < spans.height:
        spans = spans.unique(["trace_id", "span_id"], keep="last", maintain_order=True)
    return spans


def _in_order(rows: pl.DataFrame, columns: Sequence[str]) -> bool:
    """Whether no row comes before the one above it; nulls count as out of order."""
    later = pl.lit(value=True)
    for column in reversed(columns):
        here, above = pl.col(column), pl.col(column).shift(1)
        later = (here > above) | ((here == above) & later)
    return bool(rows.select(later.slice(1).fill_null(value=False).all()).item())


def with_work(spans: pl.DataFrame, tree: SpanTree) -> pl.DataFrame:
    """Mark the application's own spans (``work``); a trace of nothing but judgements is work of its own."""
    spans = spans.with_columns(work=pl.Series(is_work(spans, tree)), is_top=pl.Series(tree.parent < 0))
    return spans.with_columns(work=pl.col("work") | ~pl.col("work").any().over("trace_id"))


def derived_calls(
    spans: pl.DataFrame,
    tree: SpanTree,
    evaluations: pl.DataFrame,
    *,
    prices: PriceBook,
    validation_evaluators: Collection[str] = VALIDATION_EVALUATORS,
    chain_rules: Sequence[ChainRule] = (),
) -> Derived:
    """Find the calls of traces, price them, and tell which attempt chain each belongs to.

    Args:
        spans: as :func:`ordered` and :func:`with_work` leave them.
        tree: the ancestry of the same rows.
        evaluations: results with ``passed``, as ``analytics.outcomes.with_passed`` decides.
        prices: what calls cost.
        validation_evaluators: evaluators of a call's output whose failure makes the next call a schema repair.
        chain_rules: the user's own rules; ``chain_attributes`` of the spans holds what they read.

    Returns:
        The calls and what was left out.
    """
    found = account(spans, tree)
    validators = [folded(name) for name in validation_evaluators]
    failures = evaluations.filter(folded_names(pl.col("name")).is_in(validators) & ~pl.col("passed"))
    calls = apply_rules(with_failures(found, spans, tree, failures), chain_rules)
    return Derived(attempt_chains(prices.price(calls)), found.not_counted)


def with_not_counted(derived: Derived, spans: pl.DataFrame) -> pl.DataFrame:
    """The calls, and beside them the spans that carry tokens and do not count.

    Args:
        derived: what :func:`derived_calls` found.
        spans: the spans that it found them in.

    Returns:
        The columns of the calls, and of :attr:`Derived.not_counted` why a span does not count. A span that is
        no call has no chain, no attempt and no cost.
    """
    why = ("not_counted_because", "unseen_input_tokens", "unseen_output_tokens")
    keys = ["trace_id", "span_id"]
    calls = derived.calls.join(derived.not_counted.select(*keys, *why), on=keys, how="left", maintain_order="left")
    others = derived.not_counted.join(calls, on=keys, how="anti").select(*keys, *why)
    others = others.join(spans, on=keys, how="left", maintain_order="left").with_columns(
        *(pl.lit(value=False).alias(name) for name in ("is_call", "is_counted", "failed_validation", "answer_failed",
                                                       "is_last", "hidden_fallback")),
        *(pl.lit(0, pl.Int64).alias(name) for name in ("hidden_attempts", "priced_tokens", "unpriced_tokens")),
        is_error=pl.col("status_code").eq("ERROR").fill_null(value=False),
    )  # fmt: skip
    named = [name for name in calls.columns if name in others.columns]
    return pl.concat([calls, others.select(named)], how="diagonal").sort("trace_id", "start_time", "span_id")
