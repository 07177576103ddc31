"""A promotion: which candidate was put beside which base, since when, and how traffic is split into cohorts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from sql import statements
from sql.access import Access

_SCHEMA = pa.schema(
    {
        "name": pa.string(),
        "base": pa.string(),
        "candidate": pa.string(),
        "design": pa.string(),
        "started_at": pa.timestamp("us"),
        "ended_at": pa.timestamp("us"),
        "cohort_by": pa.string(),
        "candidate_share": pa.float64(),
        "created_at": pa.timestamp("us"),
    }
)


class NoPromotionError(Exception):
    """There is no promotion of that name."""


@dataclass(frozen=True)
class Promotion:
    """One candidate release under comparison.

    Attributes:
        name: the name people use for it.
        base: request model of the base arm.
        candidate: request model of the candidate arm.
        design: how the arms were made; "concurrent" means both models serve the same period.
        at: when the candidate began to serve (UTC, naive).
        ended_at: when the comparison ended (UTC, naive); None while it runs.
        cohort_by: the span or resource attribute whose value is the cohort.
        candidate_share: the share of users meant for the candidate, for the sample-ratio check; None if not stated.
    """

    name: str
    base: str
    candidate: str
    design: str
    at: datetime
    ended_at: datetime | None
    cohort_by: str
    candidate_share: float | None


DESIGNS = ("concurrent",)
"""How the arms may have been made: both models serve the same period, each user one of them."""


def promotion_row(promotion: Promotion, created_at: datetime) -> pa.Table:
    """The row of a new promotion, for the named write ``promotions``."""
    row = {
        "name": promotion.name,
        "base": promotion.base,
        "candidate": promotion.candidate,
        "design": promotion.design,
        "started_at": promotion.at,
        "ended_at": promotion.ended_at,
        "cohort_by": promotion.cohort_by,
        "candidate_share": promotion.candidate_share,
        "created_at": created_at,
    }
    return pa.Table.from_pylist([row], _SCHEMA)


def end_row(name: str, ended_at: datetime) -> pa.Table:
    """The row that ends a promotion, for the named write ``promotion_ends``."""
    return pa.Table.from_pylist(
        [{"name": name, "ended_at": ended_at}], pa.schema([_SCHEMA.field("name"), _SCHEMA.field("ended_at")])
    )


def find_promotion(store: Access, name: str) -> Promotion:
    """Look a promotion up by its name.

    Raises:
        NoPromotionError: there is none of that name; the message names those that are there.
    """
    rows = {row["name"]: row for row in store.read(statements.read("promotions")).to_pylist()}
    if name not in rows:
        known = f"known here are {', '.join(sorted(rows))}" if rows else "none is registered yet"
        raise NoPromotionError(
            f"There is no promotion {name!r}; {known}. Register it with `spanverdict promotion add`."
        )
    row = rows[name]
    return Promotion(
        name=name,
        base=row["base"],
        candidate=row["candidate"],
        design=row["design"],
        at=row["started_at"],
        ended_at=row["ended_at"],
        cohort_by=row["cohort_by"],
        candidate_share=row["candidate_share"],
    )
