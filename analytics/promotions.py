"""A promotion: which candidate was put beside which base, since when, and how traffic is split into cohorts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from analytics.errors import InputError
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
        "dataset": pa.string(),
        "planned_end": pa.timestamp("us"),
        "stratify_by": pa.list_(pa.string()),
    }
)

CONCURRENT = "concurrent"
HELD_OUT = "held_out"
MIRRORED = "mirrored"
BEFORE_AFTER = "before_after"
DESIGNS = (CONCURRENT, BEFORE_AFTER, HELD_OUT, MIRRORED)
"""How the arms may have been made: both models serve the same period, each user one of them; the candidate took over
from the base at one moment; both ran the items of a data set; a gateway sent what one model answered to the other."""

PRE_PERIOD = timedelta(days=28)
"""How far before the promotion traffic is read, to freeze thresholds and variances on."""

EVERYTHING = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
"""The beginning of a comparison that takes whatever is stored."""


class NoPromotionError(InputError):
    """There is no promotion of that name."""


@dataclass(frozen=True)
class Promotion:
    """One candidate release under comparison.

    Attributes:
        name: the name people use for it.
        base: request model of the base arm.
        candidate: request model of the candidate arm.
        design: how the arms were made, one of :data:`DESIGNS`.
        at: when the candidate began to serve, or from when on runs count (UTC, naive).
        ended_at: when the comparison ended (UTC, naive); None while it runs.
        cohort_by: the span or resource attribute whose value is the cohort; None where the data set says it, or where
            all are one cohort.
        candidate_share: the share of users meant for the candidate, for the sample-ratio check; None if not stated.
        dataset: the data set whose items both models ran; None in other designs.
        planned_end: when the comparison is to end, as declared before it began (UTC, naive); None where it is open.
        stratify_by: attributes of requests whose values are the strata within which the arms are compared.
        share_changes: (from when on, the share of users meant for the candidate), by time.
    """

    name: str
    base: str
    candidate: str
    design: str
    at: datetime
    ended_at: datetime | None
    cohort_by: str | None
    candidate_share: float | None
    dataset: str | None = None
    planned_end: datetime | None = None
    stratify_by: tuple[str, ...] = ()
    share_changes: tuple[tuple[datetime, float], ...] = ()

    @property
    def arms_since(self) -> datetime:
        """From when on traces belong to an arm (UTC, naive): the base's may all be from before the promotion."""
        return self.at - PRE_PERIOD if self.design == BEFORE_AFTER else self.at

    @property
    def is_paired(self) -> bool:
        """Whether both models answered the same things."""
        return self.design in (HELD_OUT, MIRRORED)


def check_design(promotion: Promotion) -> None:
    """Refuse what the promotion's design has no use for, or cannot do without.

    Raises:
        ValueError: with one sentence that names the option and the mend.
    """
    design = promotion.design
    if not promotion.is_paired and promotion.at == EVERYTHING:
        raise ValueError(f"--at is missing: the design {design} needs to know when the candidate began to serve.")
    if not promotion.is_paired and promotion.cohort_by is None:
        raise ValueError(f"--cohort-by is missing: the design {design} needs an attribute that holds the cohort.")
    if design == HELD_OUT and promotion.dataset is None:
        raise ValueError("--dataset is missing: name the data set whose items both models ran.")
    if design != HELD_OUT and promotion.dataset is not None:
        raise ValueError(f"--dataset belongs to --design {HELD_OUT}; the design here is {design}.")
    _check_shares(promotion)
    _check_planned_end(promotion)
    _check_strata(promotion)


def _check_shares(promotion: Promotion) -> None:
    if promotion.candidate_share is None or promotion.design == CONCURRENT:
        return
    why = "both models answer everything" if promotion.is_paired else "all users get the candidate from --at on"
    raise ValueError(f"--candidate-share does not apply: in the design {promotion.design} {why}.")


def _check_planned_end(promotion: Promotion) -> None:
    if promotion.planned_end is None:
        return
    if promotion.at == EVERYTHING:
        raise ValueError("--at is missing: --planned-end says how long the comparison lasts, from its beginning on.")
    if promotion.planned_end <= promotion.at:
        raise ValueError(
            f"--planned-end is {promotion.planned_end.isoformat()}Z, which is not after the beginning, "
            f"{promotion.at.isoformat()}Z: give a later time, or leave it out."
        )


def _check_strata(promotion: Promotion) -> None:
    if not promotion.stratify_by:
        return
    if promotion.is_paired:
        raise ValueError(
            f"--stratify-by does not apply: in the design {promotion.design} both models answer the same requests."
        )
    if promotion.cohort_by in promotion.stratify_by:
        raise ValueError(f"--stratify-by {promotion.cohort_by} is what cohorts are made by already: leave it out.")
    twice = next((name for name in promotion.stratify_by if promotion.stratify_by.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"--stratify-by {twice} is given twice: give each attribute once.")


def check_share_change(promotion: Promotion, since: datetime) -> None:
    """Refuse a change of the candidate's share that the comparison has no use for.

    Raises:
        ValueError: with one sentence that says why, and what is possible.
    """
    if promotion.design != CONCURRENT:
        raise ValueError(
            f"{promotion.name} has the design {promotion.design}: only in {CONCURRENT} has the candidate a share."
        )
    if since <= promotion.at:
        raise ValueError(
            f"{promotion.name} began at {promotion.at.isoformat()}Z with the share that `promotion add` was given; "
            "a change comes after that."
        )
    if promotion.ended_at is not None and since >= promotion.ended_at:
        raise ValueError(f"{promotion.name} ended at {promotion.ended_at.isoformat()}Z; a change comes before that.")


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
        "dataset": promotion.dataset,
        "planned_end": promotion.planned_end,
        "stratify_by": list(promotion.stratify_by),
    }
    return pa.Table.from_pylist([row], _SCHEMA)


def share_row(name: str, since: datetime, candidate_share: float, created_at: datetime) -> pa.Table:
    """The row that changes the candidate's share, for the named write ``promotion_shares``."""
    row = {"promotion": name, "since": since, "candidate_share": candidate_share, "created_at": created_at}
    schema = pa.schema(
        {
            "promotion": pa.string(),
            "since": pa.timestamp("us"),
            "candidate_share": pa.float64(),
            "created_at": pa.timestamp("us"),
        }
    )
    return pa.Table.from_pylist([row], schema)


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
        dataset=row["dataset"],
        planned_end=row["planned_end"],
        stratify_by=tuple(row["stratify_by"]),
        share_changes=tuple((change["since"], change["candidate_share"]) for change in row["share_changes"]),
    )
