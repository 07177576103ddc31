"""Are both arms there, and did users come to them in the intended proportion?"""

from __future__ import annotations

import polars as pl

from analytics.mix import percent
from analytics.promotions import Promotion
from analytics.report.model import Check, CheckStatus
from analytics.stats.sample_ratio import sample_ratio_p_value

SAMPLE_RATIO_LEVEL = 0.001

_LEAST_SHOWN = 0.0001


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

    A loss too small to see in any one cohort can be plain in all of them.
    """
    if promotion.is_paired:
        return []
    if promotion.candidate_share is None:
        detail = "Not checked: state the candidate's intended share of users with --candidate-share."
        return [Check("sample_ratio", None, CheckStatus.WARN, detail)]
    share = promotion.candidate_share
    each = [_sample_ratio(cohort, _users_by_arm(frame), share) for cohort, frame in comparable.items()]
    passed = [comparable[c.cohort] for c in each if c.cohort is not None and c.status is CheckStatus.PASS]
    if len(passed) > 1:
        together = _sample_ratio(None, _users_by_arm(pl.concat(passed)), share)
        if together.status is CheckStatus.FAIL:
            return [c for c in each if c.status is CheckStatus.FAIL] + [together]
    return each


def _users_by_arm(frame: pl.DataFrame) -> tuple[int, int]:
    """Users (base, candidate), each counted once, in the arm of the first trace.

    Counted so, users are independent draws from the intended share, by whatever the traffic is split.
    """
    first = frame.sort("start_time", "trace_id").unique("unit", keep="first", maintain_order=True)
    base = first.filter(pl.col("arm") == "base").height
    return base, first.height - base


def _sample_ratio(cohort: str | None, users: tuple[int, int], share: float) -> Check:
    p_value = sample_ratio_p_value(users, (1 - share, share))
    if p_value >= SAMPLE_RATIO_LEVEL:
        detail = f"Users arrive in the intended proportion ({percent(share)} candidate)."
        return Check("sample_ratio", cohort, CheckStatus.PASS, detail)
    observed = users[1] / sum(users)
    where = "over all cohorts " if cohort is None else ""
    shown = "p < 0.0001" if p_value < _LEAST_SHOWN else f"p = {p_value:.4f}"
    detail = (
        f"{users[0]:,} users met base and {users[1]:,} the candidate {where}({percent(observed)} candidate, "
        f"intended {percent(share)}, {shown}): find out where users or their traces are lost or misrouted "
        "before reading any metric."
    )
    return Check("sample_ratio", cohort, CheckStatus.FAIL, detail)
