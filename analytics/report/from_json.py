"""A report read back from its JSON: what was stored can be shown in every rendering again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from analytics.report.model import SCHEMA_VERSION, Report


def from_dict(body: Mapping[str, Any], generated_at: datetime) -> Report:
    """The inverse of :func:`analytics.report.as_json.to_dict`.

    Documents of earlier releases have fewer keys: what they do not say is absent from the report, and their metrics
    stand in the order of the document. Keys that this release does not know are passed over.

    Args:
        body: the report as plain dictionaries and lists.
        generated_at: when it was made (UTC, naive), which the document does not say.

    Raises:
        ValueError: the document has another schema version, or is no report.
    """
    if not isinstance(body, Mapping) or body.get("schema_version") != SCHEMA_VERSION:
        version = body.get("schema_version") if isinstance(body, Mapping) else None
        raise ValueError(f"the report has schema version {version}; this release reads {SCHEMA_VERSION}.")
    try:
        report: Report = _naive(TypeAdapter(Report).validate_python(_told(body, generated_at)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"the document is no report: {where}: {first['msg']}.") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the document is no report: {error!r}.") from error
    return report


def _told(body: Mapping[str, Any], generated_at: datetime) -> dict[str, Any]:
    """The document under the names of the model's fields, without what it leaves open."""
    order = {name: place for place, name in enumerate(body.get("metric_order", ()))}
    shared = body.get("shared_versions")
    changes = body["promotion"].get("share_changes", ())
    return {
        **body,
        "generated_at": generated_at,
        "promotion": {
            **body["promotion"],
            "share_changes": [(each["since"], each["candidate_share"]) for each in changes],
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
