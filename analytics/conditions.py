"""Under which conditions a trace ran: its tools, its instructions, what it retrieved from, and how it was sampled.

They are read in the store (``sql/reads/report_conditions.sql``), where definitions and instructions become hashes, and
stand beside the traces as columns for the checks and for weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.job_options import json_pointer
from analytics.promotions import BEFORE_AFTER
from analytics.trace_slices import read_by_traces
from analytics.validity.mix_shift import MOST_TRACES, MOST_VALUES, PASSED_OVER
from sql import statements

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from analytics.condition_attributes import ConditionAttributes
    from analytics.promotions import Promotion
    from sql.access import Access

CONDITION_COLUMNS = {
    "tool_schema": pl.String,
    "system_prompt": pl.String,
    "retrieval_version": pl.String,
    "retrieved_documents": pl.Float64,
    "keep_probability": pl.Float64,
    "sampling_rule": pl.String,
}
"""What is known of each trace; null where nothing is: hashes of the first model call's definitions of tools and of its
instructions, the index of the first retrieval, documents per retrieval, the probability with which a sampler keeps such
a trace, in (0, 1], and what the sampler went by."""

_MOST_TOOLS = 64


def read_conditions(
    store: Access, promotion: Promotion, attributes: ConditionAttributes, part: Mapping[str, Any]
) -> pl.DataFrame:
    """Read :data:`CONDITION_COLUMNS` by ``trace_id``, of traces that say any.

    Of the time before a promotion only the sampling is read, unless before and after are compared.

    Args:
        store: where spans are.
        promotion: what is compared.
        attributes: what the configuration names.
        part: of which traces, as :attr:`analytics.trace_parts.TracePart.parameters` says.
    """

    def path(attribute: str | None) -> str | None:
        return None if attribute is None else json_pointer(attribute)

    given = {
        **part,
        "conditions_since": part["since"] if promotion.design == BEFORE_AFTER else promotion.at,
        "tool_path": path(attributes.tool_schema),
        "instruction_path": path(attributes.system_prompt),
        "retrieval_path": path(attributes.retrieval_version),
        "keep_path": path(attributes.keep_probability),
        "numbered_tool_paths": [
            f"/{stem}.{number}.{leaf}"
            for stem, leaves in (
                ("llm.tools", ("tool.json_schema",)),
                ("llm.request.functions", ("name", "description", "parameters")),
            )
            for number in range(_MOST_TOOLS)
            for leaf in leaves
        ],
    }
    return read_by_traces(store, statements.read("report_conditions"), given)


def read_requests(
    store: Access, promotion: Promotion, attributes: ConditionAttributes, *, until: datetime
) -> pl.DataFrame | None:
    """Read what root spans say of requests, as :func:`analytics.validity.mix_shift.request_mix` takes it.

    Returns:
        None where the arms met the same requests, or one after the other, or are compared within strata.
    """
    if promotion.is_paired or promotion.stratify_by or promotion.design == BEFORE_AFTER:
        return None
    given = {
        "since": promotion.at,
        "until": until,
        "traces": MOST_TRACES,
        "values": MOST_VALUES,
        "names": list(attributes.request),
        "passed_over": PASSED_OVER,
    }
    said = read_by_traces(store, statements.read("report_requests"), given)
    # A name may have few values in each part of the traces, and many in all.
    counted = said.filter(pl.col("value").is_not_null()).group_by("name").agg(values=pl.col("value").n_unique())
    many = pl.concat(
        [
            said.filter(pl.col("trace_id").is_null())["name"],
            counted.filter(pl.col("values") > MOST_VALUES)["name"],
        ]
    )
    passed_over = pl.col("is_long").fill_null(value=False) | pl.col("name").is_in(many.implode()).fill_null(value=False)
    return said.filter(pl.col("trace_id").is_not_null() & ~passed_over).drop("is_long")


def with_conditions(traces: pl.DataFrame, conditions: pl.DataFrame) -> pl.DataFrame:
    """Add :data:`CONDITION_COLUMNS` to traces.

    Args:
        traces: ``trace_id``.
        conditions: what the read ``report_conditions`` gave.
    """
    known = conditions.select("trace_id", *(pl.col(name).cast(kind) for name, kind in CONDITION_COLUMNS.items()))
    return traces.join(known, on="trace_id", how="left", maintain_order="left")
