"""A report read back from its JSON: what was stored can be shown in every rendering again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from analytics.report.model import SCHEMA_VERSION, Report


def from_dict(body: Mapping[str, Any], generated_at: datetime) -> Report:
    """The inverse of :func:`analytics.report.as_json.to_dict`.

    Args:
        body: the report as plain dictionaries and lists.
        generated_at: when it was made (UTC, naive), which the document does not say.

    Raises:
        ValueError: the document has another schema version, or is no report.
    """
    if body.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"the report has schema version {body.get('schema_version')}; this release reads 1.")
    order = {name: place for place, name in enumerate(body["metric_order"])}
    shared = body["shared_versions"]
    told = {
        **body,
        "generated_at": generated_at,
        "promotion": {
            **body["promotion"],
            "share_changes": [(each["since"], each["candidate_share"]) for each in body["promotion"]["share_changes"]],
        },
        "cohorts": [_cohort(cohort, order) for cohort in body["cohorts"]],
        "shared": None
        if shared is None
        else {
            "cohorts": [_cohort(cohort, order) for cohort in shared["cohorts"]],
            "fields": shared["checks"],
            "kept": shared["kept"],
        },
    }
    report: Report = _naive(TypeAdapter(Report).validate_python(told))
    return report


def _cohort(cohort: Mapping[str, Any], order: Mapping[str, int]) -> dict[str, Any]:
    """A cohort with its metrics in the report's order, open ends of intervals infinite."""
    metrics = sorted(cohort["metrics"], key=lambda metric: order.get(metric["metric"], len(order)))
    return {**cohort, "metrics": [{**metric, "interval": _interval(metric["interval"])} for metric in metrics]}


def _interval(bounds: list[float | None] | None) -> tuple[float, float] | None:
    if bounds is None:
        return None
    low, high = bounds
    return (-math.inf if low is None else low, math.inf if high is None else high)


def _naive(value: Any) -> Any:  # noqa: ANN401 (any part of a report)
    """The same with times as the store has them: UTC, without saying so."""
    if isinstance(value, datetime):
        return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, tuple):
        return tuple(_naive(each) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _naive(getattr(value, field.name)) for field in fields(value)})
    return value
