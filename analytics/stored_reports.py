"""Reports in the store: every one that was made, under an identity that its content gives."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from analytics.errors import InputError
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
    return _identity(as_json.render(report))


def _identity(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:32]


def store_report(store: Access, report: Report) -> str:
    """Keep a report in the store; the same report is kept once. Returns its identity."""
    body = as_json.render(report)
    identity = _identity(body)
    row = {
        "report_id": identity,
        "promotion": report.promotion.name,
        "as_of": report.as_of,
        "generated_at": report.generated_at,
        "data_watermark": report.data_watermark,
        "fingerprint": report.fingerprint,
        "overall": report.overall.value,
        "body": body,
    }
    store.write({"reports": pa.Table.from_pylist([row], _SCHEMA)})
    return identity


class StoredReportError(InputError):
    """There is no such report in the store, or this release cannot read it."""


@dataclass(frozen=True)
class StoredReport:
    """A report as the store has it.

    Attributes:
        report_id: its identity.
        body: the JSON document, as the release that made it wrote it.
        report: the same, read.
    """

    report_id: str
    body: str
    report: Report


def list_reports(store: Access, *, promotion: str | None = None, limit: int | None = None) -> pa.Table:
    """The stored reports, those that speak of the latest moment first.

    Args:
        store: where reports are.
        promotion: only reports of this promotion.
        limit: at most so many.

    Returns:
        ``report_id``, ``promotion``, ``as_of``, ``generated_at`` (when it was made), ``overall``, ``data_watermark``,
        ``fingerprint`` and ``headline``, one row a report; times are UTC.
    """
    return store.read(statements.read("stored_reports"), {"promotion": promotion, "limit": limit})


def find_report(store: Access, identity: str) -> StoredReport:
    """A stored report by its identity, or by a beginning of it that no other report has.

    Raises:
        StoredReportError: there is none, there are several, or this release cannot read it.
    """
    found = store.read(statements.read("reports_by_id"), {"prefix": identity.lower()}).to_pylist() if identity else []
    whole = [row for row in found if row["report_id"] == identity.lower()]
    rows = whole or found
    if not rows:
        raise StoredReportError(f"There is no report {identity!r} in the store; see `spanverdict reports list`.")
    if len(rows) > 1:
        known = ", ".join(row["report_id"] for row in rows)
        raise StoredReportError(f"Several reports begin with {identity!r} ({known}): give more of the identity.")
    return _read(rows[0])


def previous_report(store: Access, of: Report) -> StoredReport | None:
    """The newest report of the same promotion that speaks of an earlier moment; None where there is none."""
    rows = _newest(store, of.promotion.name, of.as_of)
    return _read(rows[0]) if rows else None


def _read(row: dict[str, Any]) -> StoredReport:
    try:
        report = from_dict(json.loads(row["body"]), row["generated_at"])
    except ValueError as error:
        raise StoredReportError(f"Report {row['report_id']} cannot be shown: {error}") from error
    return StoredReport(row["report_id"], row["body"], report)


def newest_report(store: Access, promotion: str, *, before: datetime) -> StoredReport:
    """The newest report of a promotion by the moment it speaks of, then by its making.

    Args:
        store: where reports are.
        promotion: the promotion's name.
        before: only reports that speak of a moment before this one (UTC, naive). Whoever acts gives the present: a
            report with a later ``--as-of`` would else be the newest for as long as that.

    Raises:
        StoredReportError: there is none, or this release cannot read it.
    """
    rows = _newest(store, promotion, before)
    if not rows:
        later = " but of later moments" if _newest(store, promotion, None) else ""
        raise StoredReportError(
            f"There is no report of {promotion!r} yet{later}: make one with `spanverdict report {promotion}`."
        )
    return _read(rows[0])


def _newest(store: Access, promotion: str, before: datetime | None) -> list[dict[str, Any]]:
    parameters = {"promotion": promotion, "before": before}
    rows: list[dict[str, Any]] = store.read(statements.read("newest_report"), parameters).to_pylist()
    return rows
