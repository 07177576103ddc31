"""The view of chains and the frame of chains are one thing in two languages."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analytics.calls import CALL_COLUMNS as SPAN_COLUMNS
from analytics.chain_frame import CHAIN_COLUMNS, chain_frame
from analytics.chain_rules import ChainRule
from analytics.derive import CALL_COLUMNS
from analytics.derived_calls import Derived, derived_calls, ordered, with_not_counted, with_work
from analytics.pricing import PriceBook
from analytics.span_tree import SpanTree
from tests.stores import store_at

pytestmark = pytest.mark.any_store


NOON = datetime(2026, 11, 1, 12)
COUNTS = {"max_tokens", "gateway_attempts"}


def _spans(seed: int) -> pl.DataFrame:
    """Traces of agents, client calls, attempts and validators, with errors, groups and gateways' words at random."""
    dice = random.Random(seed)  # noqa: S311 (a test's dice)
    rows: list[dict[str, Any]] = []
    for number in range(300):
        trace, position = divmod(number, 10)
        start = NOON + timedelta(seconds=position + dice.random())
        parent = dice.choice((0, 0, max(position - 1, 0)))
        kind = dice.choice(("LLM", "LLM", "LLM", "EMBEDDING", "CHAIN", "TOOL"))
        failed = dice.random() < 0.3
        told = not failed and dice.random() < 0.9
        rows.append(
            {
                "trace_id": f"{trace:032x}",
                "span_id": f"{number:016x}",
                "parent_span_id": f"{10 * trace + parent:016x}" if position else None,
                "name": dice.choice(("chat", "validate")),
                "start_time": start,
                "end_time": start + timedelta(seconds=dice.choice((-1, 0.1, 0.5, 3))),
                "status_code": "ERROR" if failed else "UNSET",
                "service_name": dice.choice((None, "app", "gateway")),
                "gen_ai_span_kind": kind if position else "AGENT",
                "request_model": dice.choice(("base", "base", "other", None)),
                "response_model": dice.choice((None, "base-2026", "other-2026")),
                "input_tokens": dice.choice((100, 50)) if told else None,
                "output_tokens": 10 if told else None,
                "error_type": dice.choice((None, "RateLimitError", "TimeoutError")) if failed else None,
                "attempt_group": dice.choice((None, None, None, None, "g")),
                "gateway_attempts": dice.choice((None, None, None, 1, 3)),
                "gateway_fallback": dice.choice((None, None, True)),
                "finish_reasons": dice.choice((None, ["stop"], ["content_filter"])),
                "chain_attributes": [dice.choice((None, None, "repair"))],
            }
        )  # fmt: skip
    kinds = {
        **dict.fromkeys(SPAN_COLUMNS, pl.String()),
        **dict.fromkeys([name for name in SPAN_COLUMNS if name.endswith("_tokens")], pl.Int64()),
        **dict.fromkeys(COUNTS, pl.Int64()),
        **dict.fromkeys(("start_time", "end_time"), pl.Datetime("us")),
        **dict.fromkeys(("time_to_first_token_ms", "reported_cost_usd"), pl.Float64()),
        **dict.fromkeys(("gateway_fallback", "gateway_cache_hit"), pl.Boolean()),
        **dict.fromkeys(("finish_reasons", "chain_attributes"), pl.List(pl.String())),
        **dict.fromkeys(("service_tier", "server_address"), pl.String()),
    }
    return ordered(pl.DataFrame(rows, schema=kinds))


@pytest.mark.parametrize("seed", range(5))
def test_view_and_frame_say_the_same(tmp_path: Path, seed: int) -> None:
    """Every column of every chain is equal, to the last digit of cost."""
    spans = _spans(seed)
    tree = SpanTree.of(spans)
    spans = with_work(spans, tree)
    nothing = pl.DataFrame(
        schema={**dict.fromkeys(("trace_id", "span_id", "response_id", "name"), pl.String()), "passed": pl.Boolean()}
    )
    rules = [ChainRule(when_attribute="app.reason", equals="repair", reason="schema_repair")]
    derived = derived_calls(spans, tree, nothing, prices=PriceBook(), chain_rules=rules)
    cost = pl.when(pl.col("request_model") == "base").then(pl.col("input_tokens") * 7 + pl.col("output_tokens"))
    cost = (cost * 10_000_001).cast(pl.Decimal(38, 0)) / pl.lit(10**12, pl.Decimal(38, 12))
    calls = derived.calls.with_columns(
        cost_usd=cost.cast(pl.Decimal(18, 12)),
        priced_cost_usd=pl.lit(0).cast(pl.Decimal(18, 12)),
        priced_tokens=pl.lit(0, pl.Int64),
        unpriced_tokens=pl.lit(0, pl.Int64),
        price_source=pl.lit(None, pl.String),
        price_name=pl.lit(None, pl.String),
    )
    rows = with_not_counted(Derived(calls, derived.not_counted), spans).select(CALL_COLUMNS)
    moment = pl.lit(NOON, pl.Datetime("us"))
    when = dict.fromkeys(
        ("spans_through", "evaluations_through", "marked_through", "derived_at", "since", "until"), moment
    )
    with store_at(tmp_path / "s.duckdb") as store:
        assert store.write(
            {
                "derived_calls": rows.with_columns(
                    after_number=pl.lit(0, pl.Int64), stale_through=pl.lit(None, pl.String), **when
                ).to_arrow()
            }
        )
        columns = ", ".join(CHAIN_COLUMNS)
        read = store.read(f"SELECT {columns} FROM attempt_chains ORDER BY trace_id, start_time, chain_id")
    expected = chain_frame(calls)
    told = pl.DataFrame(pl.from_arrow(read)).cast(dict(expected.schema))
    for column in CHAIN_COLUMNS:
        assert told[column].to_list() == expected[column].to_list(), column
    assert expected["attempts"].max() > 2
    assert expected.select("cost_usd").null_count().item() > 0
    assert rows["not_counted_because"].null_count() < rows.height
