"""Reports in the store: every one that was made, under an identity that its content gives."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

import pyarrow as pa

from analytics.report import as_json
from analytics.report.from_json import from_dict
from analytics.report.model import Report
from sql import statements
from sql.access import Access

_MOMENT = pa.timestamp("us")
_SCHEMA = pa.schema(
    {
        "report_id": pa.string(),
        "promotion": pa.string(),
        "as_of": _MOMENT,
        "generated_at": _MOMENT,
        "data_watermark": _MOMENT,
        "fingerprint": pa.string(),
        "overall": pa.string(),
        "body": pa.string(),
    }
)


def report_id(report: Report) -> str:
    """A report's identity, 32 hex digits: the same inputs give the same document, and that the same identity."""
    return hashlib.sha256(as_json.render(report).encode()).hexdigest()[:32]


def store_report(store: Access, report: Report) -> str:
    """Keep a report in the store; the same report is kept once. Returns its identity."""
    identity = report_id(report)
    row = {
        "report_id": identity,
        "promotion": report.promotion.name,
        "as_of": report.as_of,
        "generated_at": report.generated_at,
        "data_watermark": report.data_watermark,
        "fingerprint": report.fingerprint,
        "overall": report.overall.value,
        "body": as_json.render(report),
    }
    store.write({"reports": pa.Table.from_pylist([row], _SCHEMA)})
    return identity


def newest_report(store: Access, promotion: str, *, before: datetime | None = None) -> Report | None:
    """The newest report of a promotion by the moment it speaks of, then by its making; None where there is none.

    Args:
        store: where reports are.
        promotion: the promotion's name.
        before: only reports that speak of a moment before this one (UTC, naive).
    """
    parameters = {"promotion": promotion, "before": before}
    rows = store.read(statements.read("newest_report"), parameters).to_pylist()
    return from_dict(json.loads(rows[0]["body"]), rows[0]["generated_at"]) if rows else None
