"""What a trace's model calls say of it: its arm and models, its tokens and cost, who counted them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analytics.pricing import usd

if TYPE_CHECKING:
    from analytics.promotions import Promotion

PARTS = ("cache_read_tokens", "reasoning_tokens")
"""Parts of the input and of the output."""

TOKENS = ("input_tokens", "output_tokens", *PARTS)
"""The counts that are added up by trace."""


def models(calls: pl.DataFrame, promotion: Promotion) -> pl.DataFrame:
    """The arm of each trace, its first and last model, and its number of LLM calls.

    The arm is that of the earliest call for one of the two models, whether it succeeded or not; an agent
    that alone reports usage speaks for its calls.
    """
    asked = pl.col("request_model")
    arm = asked.replace_strict({promotion.candidate: "candidate", promotion.base: "base"}, default=None)
    model = pl.coalesce("request_model", "response_model")
    llm = pl.col("is_call")
    return (
        calls.filter(pl.col("gen_ai_span_kind").ne_missing("EMBEDDING"))
        .sort("start_time", "span_id")
        .group_by("trace_id")
        .agg(
            arm=arm.first(ignore_nulls=True),
            first_model=model.filter(llm).first(ignore_nulls=True),
            last_model=model.filter(llm).last(ignore_nulls=True),
            llm_calls=llm.sum().cast(pl.Int64),
        )
    )


def usage(calls: pl.DataFrame) -> pl.DataFrame:
    """Tokens and cost of each trace that made a call: null where a counted call's are not known.

    A trace in which every call was rejected used nothing, and that is known.
    """
    counted = pl.col("is_counted")
    # No embedding is read from a cache of prompts, or reasons.
    embedding = pl.col("gen_ai_span_kind").eq_missing("EMBEDDING")
    calls = calls.with_columns(pl.when(embedding).then(pl.col(PARTS).fill_null(0)).otherwise(pl.col(PARTS)))
    sums = calls.group_by("trace_id").agg(
        *(
            pl.when(~(counted & pl.col(name).is_null()).any()).then(pl.col(name).filter(counted).sum()).alias(name)
            for name in (*TOKENS, "cost_usd")
        ),
        pl.col("priced_tokens", "unpriced_tokens").filter(counted).sum(),
        unpriced_calls=(counted & pl.col("cost_usd").is_null()).sum().cast(pl.Int64),
    )
    sums = sums.with_columns(usd(pl.col("cost_usd")))
    read = calls.filter(counted)
    emitters = read.filter(pl.col("gen_ai_span_kind") == "LLM")
    instrumentation = listed(emitters, "instrumentation", versioned("scope_name", "scope_version"))
    rules = listed(read, "token_rules", pl.col("token_rule"))
    # A call whose tokens were not told has no cost either, but that is not its price's fault.
    told = pl.all_horizontal(pl.col("input_tokens", "output_tokens").is_not_null())
    unpriced = listed(
        read.filter(told & pl.col("cost_usd").is_null()),
        "unpriced_models",
        pl.coalesce("request_model", "response_model", pl.lit("(no model)")),
    )
    for part in (instrumentation, rules, unpriced):
        sums = sums.join(part, on="trace_id", how="left")
    return sums


def listed(frame: pl.DataFrame, name: str, value: pl.Expr) -> pl.DataFrame:
    """The distinct values of each trace, sorted and joined by commas."""
    return (
        frame.select("trace_id", value.alias(name))
        .drop_nulls()
        .unique()
        .sort("trace_id", name)
        .group_by("trace_id")
        .agg(pl.col(name).str.join(","))
    )


def versioned(name: str, version: str) -> pl.Expr:
    """Write a name and its version as "name@version", or whichever of the two is known."""
    both = pl.concat_str(name, version, separator="@")
    return pl.coalesce(both, name, pl.lit("@") + pl.col(version))
