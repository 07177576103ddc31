"""The SQL that ships with the package: migrations, views, writes and named queries, as files."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_ROOT = files("sql")

VIEWS = (
    "llm_calls",
    "attempt_chains",
    "call_costs",
    "trace_costs",
    "unpriced_tokens",
    "derivation_progress",
    "matching_progress",
    "outcomes",
    "evaluations_by_trace",
    "feedback_by_trace",
    "unmatched_outcomes",
    "unmatched_outcomes_by_age",
    "trace_totals",
    "ingest_ledger",
)
"""The views, in the order in which they are created."""

WRITES = frozenset(
    {
        "spans",
        "resources",
        "log_records",
        "evaluations",
        "ingest_loads",
        "feedback",
        "dataset_items",
        "mirror_pairs",
        "promotions",
        "promotion_ends",
        "promotion_shares",
        "calibrations",
        "reports",
        "imports",
        "derived_calls",
        "stale_traces",
        "renormalized_spans",
        "normalizer_versions",
        "trace_keys",
        "key_attributes",
        "matched_outcomes",
        "schedules",
        "schedule_claims",
        "schedule_progress",
        "alert_announcements",
        "alert_claims",
        "alert_outcomes",
        "restored_resources",
        "restored_log_records",
        "restored_spans",
        "restored_calls",
        "restored_evaluations",
        "restored_feedback",
        "restored_progress",
        "backups",
        "pruned_days",
        "pruned_spans",
        "pruned_log_records",
        "pruned_outcomes",
        "pruned_derived",
        "pruned_reports",
        "pruned_span_content",
        "pruned_log_content",
        "forgotten_files",
    }
)
"""The named writes; each takes one Arrow table called ``incoming``."""

CHECKS = frozenset({"feedback"})
"""The named checks: what would become of rows; each takes one Arrow table called ``incoming``."""


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """All migrations as (version, SQL text), oldest first."""
    names = sorted(entry.name for entry in (_ROOT / "migrations").iterdir() if entry.name.endswith(".sql"))
    return tuple((int(name.split("_", 1)[0]), (_ROOT / "migrations" / name).read_text("utf-8")) for name in names)


@cache
def view(name: str) -> str:
    """The text of one view."""
    return (_ROOT / "views" / f"{name}.sql").read_text("utf-8")


WRITTEN_AS = {"restored_resources": "resources", "restored_log_records": "log_records"}
"""Writes with the text of another one. What an export brings back keeps the time at which it was received, also in a
lake, which gives telemetry the time of its commit."""


@cache
def write(name: str) -> str:
    """The text of one named write.

    Raises:
        KeyError: there is no such write.
    """
    if name not in WRITES:
        raise KeyError(name)
    return (_ROOT / "writes" / f"{WRITTEN_AS.get(name, name)}.sql").read_text("utf-8")


@cache
def insert(name: str) -> str:
    """The text of what a named write comes to when none of its rows is stored already.

    Raises:
        FileNotFoundError: there is no such text.
    """
    return (_ROOT / "inserts" / f"{name}.sql").read_text("utf-8")


@cache
def lake_write(name: str) -> str:
    """The text of what a named write of telemetry comes to in a lake.

    Raises:
        FileNotFoundError: there is no such text.
    """
    return (_ROOT / "lake_writes" / f"{name}.sql").read_text("utf-8")


@cache
def read(name: str) -> str:
    """The text of a query that the jobs and the command line use themselves.

    Raises:
        FileNotFoundError: there is no such query.
    """
    return (_ROOT / "reads" / f"{name}.sql").read_text("utf-8")


@cache
def check(name: str) -> str:
    """The text of a query about rows that may be written: one SELECT on a table called ``incoming``.

    Raises:
        KeyError: there is no such query.
    """
    if name not in CHECKS:
        raise KeyError(name)
    return (_ROOT / "checks" / f"{name}.sql").read_text("utf-8")


@cache
def query_names() -> tuple[str, ...]:
    """The names of the saved queries, sorted."""
    return tuple(
        sorted(
            entry.name.removesuffix(".sql") for entry in (_ROOT / "queries").iterdir() if entry.name.endswith(".sql")
        )
    )


@cache
def query(name: str) -> str:
    """The text of one saved query.

    Raises:
        KeyError: there is no query of that name.
    """
    if name not in query_names():
        raise KeyError(name)
    return (_ROOT / "queries" / f"{name}.sql").read_text("utf-8")
