"""The mirrored design: requests that a gateway answered with the base and sent to the candidate as well.

Each pair is one request; users met the base's answer alone. What a pair says of the candidate is whether it answered,
how long that took and how many tokens, not what a user would have made of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import polars as pl

from analytics.pairs import PAIR
from analytics.pricing import PRICE_COLUMNS, PriceBook
from analytics.promotions import Promotion
from analytics.report.model import Check, CheckStatus
from analytics.trace_rows import NO_COHORT
from sql import statements
from sql.access import Access

_ARMS = {"base": "source", "candidate": "shadow"}
_MEASURES = ("latency_ms", "status_code", "input_tokens", "output_tokens", "total_tokens")
_FIRST_ERROR = 400
_WORDS = {
    "latency_ms": "latency",
    "error": "errors",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "total_tokens": "tokens",
    "cost_usd": "cost",
}
"""What a pair may tell: column of the frame → how a check calls it."""


def read_mirrored(
    store: Access, promotion: Promotion, prices: PriceBook, as_of: datetime
) -> tuple[pl.DataFrame, tuple[Check, ...]]:
    """Read the pairs of a promotion as rows of two arms.

    Args:
        store: where pairs and spans are.
        promotion: names the two models; the cohort attribute is looked for in the source's trace.
        prices: what calls cost; a pair has a cost where input and output tokens are known on both sides.
        as_of: pairs up to then (UTC, naive).

    Returns:
        Two rows per pair with ``trace_id`` (the request's, where it is not stored the request id), ``start_time``,
        ``end_time``, ``cohort``, ``arm``, ``unit``, ``pair`` and what is known of ``error``, ``latency_ms``, tokens and
        ``cost_usd``; and the checks.
    """
    until = as_of if promotion.ended_at is None else min(as_of, promotion.ended_at)
    given: dict[str, Any] = {
        "base": promotion.base, "candidate": promotion.candidate, "since": promotion.at, "until": until,
    }  # fmt: skip
    cohort_path = None if promotion.cohort_by is None else "/" + _escaped(promotion.cohort_by)
    pairs = _frame(store, "mirror_pairs", given)
    sources = _frame(store, "mirror_sources", {**given, "cohort_path": cohort_path})
    (missing,) = _frame(store, "mirror_missing", given)["missing"]
    described = sources.join(_resource_cohorts(store, promotion.cohort_by), on="resource_id", how="left")
    known = pairs.join(described, on="request_id", how="left", maintain_order="left").with_columns(
        trace=pl.coalesce("trace_id", "request_id"),
        cohort=pl.coalesce("cohort_value", "resource_cohort", pl.lit(NO_COHORT)),
        unit=pl.coalesce("user_id", "conversation_id", "request_id"),
        pair=pl.concat_str("request_id", pl.col("experiment_id").fill_null(""), separator="\n"),
    )
    rows = _with_costs(pl.concat(_arm(known, arm, promotion) for arm in _ARMS), prices)
    untold = [column for column in _WORDS if rows[column].null_count() == rows.height]
    checks = tuple(_checks(known, rows, untold, missing, promotion))
    return rows.drop(untold).sort(PAIR, "arm"), checks


def _frame(store: Access, name: str, parameters: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(store.read(statements.read(name), parameters)))


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _resource_cohorts(store: Access, cohort_by: str | None) -> pl.DataFrame:
    """What resources say of the cohort."""
    rows: list[tuple[str, str | None]] = []
    for resource_id, text in _frame(store, "report_resources", {}).select("resource_id", "attributes").iter_rows():
        value = json.loads(text).get(cohort_by) if cohort_by else None
        rows.append((resource_id, None if value in (None, "") else str(value)))
    schema = {"resource_id": pl.String, "resource_cohort": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").unique("resource_id")


def _arm(pairs: pl.DataFrame, arm: str, promotion: Promotion) -> pl.DataFrame:
    """One side of the pairs; a side failed if it has an error, no status or one from 400 on."""
    side = _ARMS[arm]
    status = pl.col(f"{side}_status_code")
    failed = (status >= _FIRST_ERROR) | (status == 0)
    if arm == "candidate":
        failed = pl.col("shadow_error").is_not_null() | failed
    return pairs.select(
        pl.col("trace").alias("trace_id"),
        pl.col("created_at").alias("start_time"),
        pl.col("created_at").alias("end_time"),
        "cohort",
        pl.lit(arm).alias("arm"),
        "unit",
        PAIR,
        *(pl.col(f"{side}_{name}").alias(name) for name in _MEASURES),
        error=failed,
        model=pl.lit(getattr(promotion, arm)),
    ).with_columns(
        # A failure's time and tokens are not those of an answer.
        pl.when(~pl.col("error").fill_null(value=False)).then("latency_ms"),
        total_tokens=pl.coalesce("total_tokens", pl.col("input_tokens") + pl.col("output_tokens")),
    )


def _with_costs(rows: pl.DataFrame, prices: PriceBook) -> pl.DataFrame:
    """Price each side by its model's price, where its tokens are told apart."""
    calls = rows.with_columns(request_model="model", response_model="model")
    given = {"start_time", "request_model", "response_model", "input_tokens", "output_tokens"}
    schema = {"gateway_cache_hit": pl.Boolean(), "reported_cost_usd": pl.Float64()}
    text = {"provider", "server_address", "service_tier"}
    for name in PRICE_COLUMNS:
        if name not in given:
            kind = schema.get(name, pl.String() if name in text else pl.Int64())
            calls = calls.with_columns(pl.lit(None, dtype=kind).alias(name))
    priced = prices.price(calls.with_columns(pl.col("start_time").cast(pl.Datetime("ns"))))
    return rows.with_columns(cost_usd=priced["cost_usd"].cast(pl.Float64)).drop("model", "status_code")


def _checks(
    pairs: pl.DataFrame, rows: pl.DataFrame, untold: list[str], missing: int, promotion: Promotion
) -> Iterator[Check]:
    """What has to be known before a mirrored comparison is read."""
    if pairs.is_empty():
        detail = (
            f"No mirrored pair of {promotion.base} and {promotion.candidate} is stored: import the gateway's results"
            " with `spanverdict mirror import`, and check that both names are the models it writes."
        )
        yield Check("mirrored_pairs", None, CheckStatus.FAIL, detail)
        return
    yield _unpaired(pairs, missing)
    told = ", ".join([*(_WORDS[column] for column in untold), "what users and evaluators say of an answer"])
    detail = f"Not told by these pairs, and so not compared: {told}."
    yield Check("mirrored_metrics", None, CheckStatus.WARN, detail)
    detail = (
        f"The latency of {promotion.candidate} is that of a request beside the user's, not streamed and cut off by the"
        " gateway: it is not what users would wait."
    )
    yield Check("mirrored_latency", None, CheckStatus.WARN, detail)
    failed = rows.filter(pl.col("error")).group_by("arm").len()
    if "base" not in set(failed["arm"]):
        detail = (
            f"Not one of the {pairs.height:,} requests failed at {promotion.base}: a gateway that mirrors only what it"
            " answered sets the candidate's errors against none, so read the error rate by itself."
        )
        yield Check("mirrored_errors", None, CheckStatus.WARN, detail)


def _unpaired(pairs: pl.DataFrame, missing: int) -> Check:
    """Requests without a pair, and pairs without a trace."""
    unknown = pairs["trace_id"].null_count()
    if not missing and not unknown:
        detail = f"Each of the {pairs.height:,} pairs has its trace, and every such request its pair."
        return Check("unpaired_shadows", None, CheckStatus.PASS, detail)
    parts = []
    if missing:
        parts.append(
            f"{missing:,} requests of the same time have no pair: not sampled, dropped, or overwritten in the gateway's"
            " buffer before it was emptied"
        )
    if unknown:
        parts.append(
            f"{unknown:,} of {pairs.height:,} pairs are of requests whose trace is not stored, so their cohort and user"
            " are unknown"
        )
    return Check("unpaired_shadows", None, CheckStatus.WARN, f"{'; '.join(parts)}.")
