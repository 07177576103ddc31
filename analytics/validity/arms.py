"""Are both arms there, and did users come to them in the intended proportion?"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import polars as pl

from analytics.metrics import EVALUATION_PREFIX, metric_names
from analytics.mix import percent
from analytics.promotions import Promotion
from analytics.report.model import Check, CheckStatus
from analytics.stats.sample_ratio import periods_p_value
from analytics.values import KEEP_PROBABILITY

SAMPLE_RATIO_LEVEL = 0.001

_LEAST_SHOWN = 0.0001
_MOSTLY = 0.9

_READ = ("trace_id", "unit", "arm", "start_time")

Shares = tuple[tuple[datetime, float], ...]
"""(From when on, the candidate's intended share of users), by time."""


def both_arms(cohort: str, frame: pl.DataFrame) -> Check:
    """Whether the cohort has traces of both arms."""
    base = frame.filter(pl.col("arm") == "base").height
    candidate = frame.height - base
    if base and candidate:
        return Check("both_arms", cohort, CheckStatus.PASS, "Both arms have traces.")
    empty, other, count = ("base", "candidate", candidate) if candidate else ("candidate", "base", base)
    detail = (
        f"The {empty} arm has no trace while the {other} arm has {count:,}: "
        f"send some of this cohort's traffic to the {empty} model."
    )
    return Check("both_arms", cohort, CheckStatus.FAIL, detail)


def sample_ratios(comparable: dict[str, pl.DataFrame], promotion: Promotion) -> list[Check]:
    """Each cohort's sample ratio, then that of the cohorts which passed, together.

    A loss too small to see in any one cohort can be plain in all of them. Where the share was changed, users are held
    against the share of the time at which each was first seen.
    """
    if promotion.is_paired:
        return []
    if promotion.candidate_share is None:
        detail = "Not checked: state the candidate's intended share of users with --candidate-share."
        return [Check("sample_ratio", None, CheckStatus.WARN, detail)]
    shares = ((promotion.at, promotion.candidate_share), *promotion.share_changes)
    each = [
        _sampled_apart(cohort) if kept_unevenly(frame) else _sample_ratio(cohort, frame, shares)
        for cohort, frame in comparable.items()
    ]
    passed = [comparable[c.cohort] for c in each if c.cohort is not None and c.status is CheckStatus.PASS]
    if len(passed) > 1:
        together = _sample_ratio(None, pl.concat(part.select(_READ) for part in passed), shares)
        if together.status is CheckStatus.FAIL:
            return [c for c in each if c.status is CheckStatus.FAIL] + [together]
    return each


def scored_ratios(comparable: dict[str, pl.DataFrame], promotion: Promotion) -> list[Check]:
    """The sample ratio of the users with a score, by evaluator, where the cohort's own holds.

    Traces may arrive of all users, and scores of those of one arm alone.
    """
    if promotion.is_paired or promotion.candidate_share is None:
        return []
    shares = ((promotion.at, promotion.candidate_share), *promotion.share_changes)
    found = []
    for cohort, frame in comparable.items():
        # Where a part of the traces is scored, how many users have a score depends on how often each asks.
        scored = {
            column: metric
            for column, metric in metric_names(frame.columns).items()
            if column.startswith(EVALUATION_PREFIX) and _known(frame[column]) >= _MOSTLY
        }
        if not scored or kept_unevenly(frame) or _sample_ratio(cohort, frame, shares).status is CheckStatus.FAIL:
            continue
        for column, metric in scored.items():
            of = f"with a score of {column.removeprefix(EVALUATION_PREFIX)} "
            check = _sample_ratio(cohort, frame.filter(pl.col(column).is_not_null()), shares, of)
            if check.status is CheckStatus.FAIL:
                found.append(replace(check, metrics=(metric,)))
    return found


def _users(frame: pl.DataFrame, shares: Shares) -> list[tuple[float, tuple[int, int]]]:
    """Users (base, candidate) by the share intended when each was first seen; each counted once, in the arm first met.

    Counted so, users are independent draws from the intended share, by whatever the traffic is split.
    """
    is_base = pl.col("arm") == "base"
    first = frame.group_by("unit").agg(pl.col("arm").first(), pl.col("start_time").min(), pl.len(), base=is_base.sum())
    both = first.filter((pl.col("base") > 0) & (pl.col("base") < pl.col("len")))
    if not both.is_empty():
        met = frame.select("unit", "arm", "start_time", "trace_id").join(both, on="unit", how="semi")
        met = met.sort("start_time", "trace_id").unique("unit", keep="first", maintain_order=True)
        first = pl.concat(
            part.select("unit", "arm", "start_time") for part in (first.join(both, on="unit", how="anti"), met)
        )
    moments = [moment for moment, _ in shares[1:]]
    period = pl.sum_horizontal(
        [pl.lit(0, pl.Int32)] + [(pl.col("start_time") >= moment).cast(pl.Int32) for moment in moments]
    )
    counts = {
        (number, arm): count for number, arm, count in first.group_by(period.alias("period"), "arm").len().iter_rows()
    }
    return [
        (share, (counts.get((number, "base"), 0), counts.get((number, "candidate"), 0)))
        for number, (_, share) in enumerate(shares)
    ]


def _sample_ratio(cohort: str | None, frame: pl.DataFrame, shares: Shares, of: str = "") -> Check:
    # A share of 0 or 1 leaves nothing to chance, so it is no proportion that users could miss by chance.
    users = [(share, counts) for share, counts in _users(frame, shares) if 0 < share < 1]
    p_value = periods_p_value([counts for _, counts in users], [(1 - share, share) for share, _ in users])
    total = sum(sum(counts) for _, counts in users)
    intended = sum(share * sum(counts) for share, counts in users) / total if total else shares[0][1]
    if p_value >= SAMPLE_RATIO_LEVEL:
        often = "proportion" if len(shares) == 1 else "proportions of each time"
        detail = f"Users {of}arrive in the intended {often} ({percent(intended)} candidate)."
        return Check("sample_ratio", cohort, CheckStatus.PASS, detail)
    base, candidate = (sum(counts[arm] for _, counts in users) for arm in (0, 1))
    where = "over all cohorts " if cohort is None else ""
    shown = "p < 0.0001" if p_value < _LEAST_SHOWN else f"p = {p_value:.4f}"
    detail = (
        f"{base:,} users {of}met base and {candidate:,} the candidate {where}({percent(candidate / total)} candidate, "
        f"intended {percent(intended)}, {shown}): find out where users or their traces are lost or misrouted "
        "before reading any metric."
    )
    return Check("sample_ratio", cohort, CheckStatus.FAIL, detail)


def kept_unevenly(frame: pl.DataFrame) -> bool:
    """Whether traces were kept with different probabilities: then how many users are seen depends on how it went."""
    return KEEP_PROBABILITY in frame.columns and frame[KEEP_PROBABILITY].fill_null(1.0).n_unique() > 1


def _sampled_apart(cohort: str) -> Check:
    detail = (
        "Not checked: a sampler kept traces with different probabilities, so that the users who are seen are not those "
        "who came; compare the arms' users where they are assigned."
    )
    return Check("sample_ratio", cohort, CheckStatus.WARN, detail)


def _known(column: pl.Series) -> float:
    return 1 - column.null_count() / len(column)
