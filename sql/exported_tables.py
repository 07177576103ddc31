"""What of the store goes out and comes back: its tables, their days and their order.

What belongs to one installation (schedules, alerts, the ledger of what came in, how far derivations have come, which
outcome speaks of which trace) is not among them: it is made anew, or means nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ExportedTable:
    """A table that is exported.

    Attributes:
        name: the table.
        what: what it is part of, for a person.
        time: the column whose UTC day is the partition; None for small tables, which go into one file.
        order: how rows are sorted.
        changed: an aggregate that tells whether rows of an hour were replaced since; empty without days.
        restored_by: the named write that takes its rows back.
        stands: for outcomes, whether the rows hold or have been replaced.
    """

    name: str
    what: str
    time: str | None
    order: tuple[str, ...]
    changed: str
    restored_by: str
    stands: bool | None = None


TABLES = (
    ExportedTable("promotions", "promotions", None, ("name",), "", "promotions"),
    ExportedTable("promotion_shares", "promotions", None, ("promotion", "since"), "", "promotion_shares"),
    ExportedTable("dataset_items", "promotions", None, ("dataset", "item_id"), "", "dataset_items"),
    ExportedTable(
        "mirror_pairs", "promotions", "created_at", ("created_at", "request_id"), "max(received_at)", "mirror_pairs"
    ),
    ExportedTable("reports", "reports", "as_of", ("as_of", "report_id"), "max(generated_at)", "reports"),
    ExportedTable("calibrations", "reports", "as_of", ("as_of", "calibration_id"), "max(generated_at)", "calibrations"),
    ExportedTable("resources", "spans", None, ("resource_id",), "", "restored_resources"),
    ExportedTable(
        "log_records", "logs", "event_time", ("event_time", "trace_id", "log_id"), "max(received_at)",
        "restored_log_records",
    ),
    ExportedTable(
        "evaluations", "outcomes", "event_time", ("event_time", "trace_id", "evaluation_id"), "max(received_at)",
        "restored_evaluations", stands=True,
    ),
    ExportedTable(
        "superseded_evaluations", "outcomes", "event_time", ("event_time", "trace_id", "evaluation_id"),
        "max(received_at)", "restored_evaluations", stands=False,
    ),
    ExportedTable(
        "feedback", "outcomes", "event_time", ("event_time", "trace_id", "feedback_id"), "max(received_at)",
        "restored_feedback", stands=True,
    ),
    ExportedTable(
        "superseded_feedback", "outcomes", "event_time", ("event_time", "trace_id", "feedback_id"), "max(received_at)",
        "restored_feedback", stands=False,
    ),
    ExportedTable(
        "spans", "spans", "start_time", ("start_time", "trace_id", "span_id"),
        "max(received_at)::VARCHAR || ' ' || sum(normalizer_version)::VARCHAR", "restored_spans",
    ),
    ExportedTable("calls", "traces", "start_time", ("start_time", "trace_id", "span_id"), "max(derived_at)",
                  "restored_calls"),
)  # fmt: skip
"""The tables, in the order in which they come back: what outcomes say first, calls after their spans."""

BY_NAME: Mapping[str, ExportedTable] = {table.name: table for table in TABLES}

WHAT = tuple(dict.fromkeys(table.what for table in TABLES))
"""What may be asked for."""


def hours_query(table: ExportedTable) -> str:
    """How many rows each hour of a table has within ``$since`` and ``$until``, and what tells that they changed."""
    return (
        f"SELECT date_trunc('hour', {table.time})::TIMESTAMP AS hour, count(*) AS rows, ({table.changed})::VARCHAR AS"
        f" changed FROM {table.name} WHERE {table.time} >= $since::TIMESTAMP AND {table.time} < $until::TIMESTAMP"
        " GROUP BY hour ORDER BY hour"
    )


def whole_query(table: ExportedTable) -> str:
    """How many rows a small table has, and what tells that they changed."""
    return f"SELECT count(*) AS rows, bit_xor(hash(whole))::VARCHAR AS changed FROM {table.name} AS whole"


def rows_query(table: ExportedTable) -> str:
    """The rows of a table in order; of one with days those within ``$since`` and ``$until``."""
    within = f" WHERE {table.time} >= $since::TIMESTAMP AND {table.time} < $until::TIMESTAMP" if table.time else ""
    return f"SELECT * FROM {table.name}{within} ORDER BY {', '.join(table.order)}"
