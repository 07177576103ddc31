"""Strata: kinds of requests within which the arms are compared, so that a different mix cannot pass for an effect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

UNKNOWN_STRATUM = "(none)"
_BETWEEN = " / "


def with_strata(
    traces: pl.DataFrame, spans: pl.DataFrame, resources: pl.DataFrame, stratify_by: Sequence[str]
) -> pl.DataFrame:
    """Add the column ``stratum`` to traces: the values of the stratifying attributes, joined; null without any.

    Args:
        traces: ``trace_id``.
        spans: the traces' spans in the order of time: ``trace_id``, ``parent_span_id``, ``resource_id`` and, unless
            ``stratify_by`` is empty, ``stratum_values``, a list of each attribute's value as text, null where absent.
        resources: ``resource_id`` and ``attributes``, a JSON object as text.
        stratify_by: names of span or resource attributes. The root span's value holds, else the earliest span's, else
            the resource's.
    """
    if not stratify_by:
        return traces.with_columns(stratum=pl.lit(None, dtype=pl.String))
    said = [json.loads(text) for text in resources["attributes"].to_list()]
    of_resources = pl.DataFrame(
        {
            "resource_id": resources["resource_id"],
            **{f"resource_{place}": [_text(one.get(name)) for one in said] for place, name in enumerate(stratify_by)},
        },
        schema={"resource_id": pl.String} | {f"resource_{place}": pl.String for place in range(len(stratify_by))},
    ).unique("resource_id", keep="first", maintain_order=True)
    own = [f"value_{place}" for place in range(len(stratify_by))]
    values = (
        spans.sort(pl.col("parent_span_id").is_null(), descending=True, maintain_order=True)
        .join(of_resources, on="resource_id", how="left", maintain_order="left")
        .with_columns(
            pl.col("stratum_values").list.get(place, null_on_oob=True).replace("", None).alias(name)
            for place, name in enumerate(own)
        )
        .group_by("trace_id")
        .agg(pl.col(r"^(value|resource)_\d+$").first(ignore_nulls=True))
        .select(
            "trace_id",
            stratum=pl.concat_str(
                [pl.coalesce(name, f"resource_{place}", pl.lit(UNKNOWN_STRATUM)) for place, name in enumerate(own)],
                separator=_BETWEEN,
            ),
        )
    )
    unknown = pl.lit(_BETWEEN.join([UNKNOWN_STRATUM] * len(stratify_by)))
    return traces.join(values, on="trace_id", how="left", maintain_order="left").with_columns(
        pl.col("stratum").fill_null(unknown)
    )


def _text(value: object) -> str | None:
    """An attribute's value as the span attributes' text has it."""
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value)
