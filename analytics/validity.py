"""May base and candidate be compared at all? The checks that come before any verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import polars as pl

from analytics.evaluator_checks import EvaluatorContext, evaluator_checks
from analytics.mix import MISSING_TOLERANCE, MixDifference, compare_mix, mix_in_words, percent, shares_of
from analytics.promotions import Promotion
from analytics.report.model import Check, CheckStatus
from analytics.stats.sample_ratio import sample_ratio_p_value

COST_METRICS = ("cost_per_trace",)
TOKEN_METRICS = ("input_tokens", "output_tokens", *COST_METRICS)

SAMPLE_RATIO_LEVEL = 0.001
# Shares of traces: below these a difference of a deployment's field cannot move a verdict.
MIX_TOLERANCE = 0.02

_MAY_BE_CHANCE = "so few traces can differ by chance, look again with more."
_LEAST_SHOWN = 0.0001
_MOST_NAMED = 5
_SEVERITY = {CheckStatus.FAIL: 0, CheckStatus.WARN: 1, CheckStatus.PASS: 2}
_NAMES = (
    "both_arms",
    "sample_ratio",
    "prompt_version",
    "instrumentation",
    "evaluator_version",
    "evaluator_judge",
    "evaluator_threshold",
    "evaluator_direction",
    "evaluator_source",
    "evaluator_labels",
    "missing_scores",
    "unpriced",
    "missing_root",
)


def checks(
    traces: pl.DataFrame,
    *,
    promotion: Promotion,
    evaluations: pl.DataFrame | None,
    context: EvaluatorContext | None = None,
) -> tuple[Check, ...]:
    """Check cohort by cohort whether the arms may be compared.

    Args:
        traces: the wide traces frame, one row per trace of the comparison window, every row in an arm.
        promotion: what is compared; its ``candidate_share`` is what the sample ratio is held against.
        evaluations: one row per score, with ``trace_id`` (resolved), ``name`` and what
            :data:`analytics.evaluator_checks.COLUMNS` names; None if no scores are stored.
        context: what else is known of the evaluators.

    Returns:
        The checks, failed ones first. A pass or warning that is the same in every cohort is said once, with
            cohort None.
    """
    if traces.is_empty():
        detail = (
            f"No trace started with {promotion.base} or {promotion.candidate} since the promotion: "
            "check that telemetry arrives and that both names are the request models the application sends."
        )
        return (Check("both_arms", None, CheckStatus.FAIL, detail),)
    cohorts = {str(name): frame for (name,), frame in traces.sort("cohort").group_by("cohort", maintain_order=True)}
    found: list[Check] = []
    comparable: dict[str, pl.DataFrame] = {}
    for cohort, frame in cohorts.items():
        both_arms = _both_arms(cohort, frame)
        found.append(both_arms)
        if both_arms.status is CheckStatus.PASS:
            comparable[cohort] = frame
    found += _sample_ratios(comparable, promotion)
    for cohort, frame in comparable.items():
        found.append(_prompt_version(cohort, frame))
        found.append(_instrumentation(cohort, frame))
        found += evaluator_checks(cohort, frame, evaluations, context or EvaluatorContext())
        found.append(_unpriced(cohort, frame))
        found.append(_missing_root(cohort, frame))
    return tuple(sorted(_said_once(found, len(cohorts)), key=_order))


def _order(check: Check) -> tuple[int, int, str, str]:
    return _SEVERITY[check.status], _NAMES.index(check.check), check.cohort or "", check.detail


def _said_once(found: Iterable[Check], cohorts: int) -> Iterator[Check]:
    """Merge what every cohort says in the same words; failures stay with their cohort."""

    def words(check: Check) -> tuple[str, str, str, tuple[str, ...]]:
        return check.check, check.status, check.detail, check.metrics or ()

    for _, group in groupby(sorted(found, key=words), key=words):
        alike = list(group)
        if len(alike) == cohorts > 1 and alike[0].status is not CheckStatus.FAIL:
            first = alike[0]
            yield Check(first.check, None, first.status, first.detail, first.metrics)
        else:
            yield from alike


def _both_arms(cohort: str, frame: pl.DataFrame) -> Check:
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


def _users_by_arm(frame: pl.DataFrame) -> tuple[int, int]:
    """Users (base, candidate), each counted once, in the arm of the first trace.

    Counted so, users are independent draws from the intended share, by whatever the traffic is split.
    """
    first = frame.sort("start_time", "trace_id").unique("unit", keep="first", maintain_order=True)
    base = first.filter(pl.col("arm") == "base").height
    return base, first.height - base


def _sample_ratios(comparable: dict[str, pl.DataFrame], promotion: Promotion) -> list[Check]:
    """Each cohort's sample ratio, then that of the cohorts which passed, together.

    A loss too small to see in any one cohort can be plain in all of them.
    """
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


def _differs(difference: MixDifference) -> CheckStatus:
    """Fail on a difference above the tolerance; warn if it is one that few traces could show by chance."""
    if difference.distance <= MIX_TOLERANCE:
        return CheckStatus.PASS
    return CheckStatus.FAIL if difference.significant or difference.disjoint else CheckStatus.WARN


def _prompt_version(cohort: str, frame: pl.DataFrame) -> Check:
    name = "prompt_version"
    if frame["prompt_version"].null_count() == frame.height:
        detail = (
            "Not checked: the traces carry no prompt version; record one so that prompt drift can be told "
            "from the model."
        )
        return Check(name, cohort, CheckStatus.WARN, detail)
    difference = compare_mix(frame, "prompt_version")
    status = _differs(difference)
    words = mix_in_words(difference)
    detail = {
        CheckStatus.PASS: "Both arms use the same prompt versions in the same mix.",
        CheckStatus.WARN: f"The prompt-version mix {words}; {_MAY_BE_CHANCE}",
        CheckStatus.FAIL: (f"The prompt-version mix {words}: the prompt changed too, so give both arms the same one."),
    }[status]
    return Check(name, cohort, status, detail)


def _instrumentation(cohort: str, frame: pl.DataFrame) -> Check:
    compared = {
        "instrumentation": compare_mix(frame, "instrumentation"),
        "token-counting rule": compare_mix(frame, "token_rules"),
    }
    statuses = {what: _differs(difference) for what, difference in compared.items()}
    what = min(compared, key=lambda key: (_SEVERITY[statuses[key]], -compared[key].distance))
    words = mix_in_words(compared[what])
    detail = {
        CheckStatus.PASS: "Tokens are counted by the same instrumentation and rules in both arms.",
        CheckStatus.WARN: f"The mix of {what} {words}; {_MAY_BE_CHANCE}",
        CheckStatus.FAIL: (
            f"The mix of {what} {words}: tokens may not mean the same in both arms, so instrument both alike."
        ),
    }[statuses[what]]
    return Check("instrumentation", cohort, statuses[what], detail, TOKEN_METRICS)


def _unpriced(cohort: str, frame: pl.DataFrame) -> Check:
    calls = int(frame["unpriced_calls"].sum())
    if not calls:
        return Check("unpriced", cohort, CheckStatus.PASS, "Every LLM call has a price.", COST_METRICS)
    base, candidate = shares_of(frame.with_columns(pl.col("unpriced_calls") > 0), "unpriced_calls")
    have = "call has" if calls == 1 else "calls have"
    models = sorted({model for text in frame["unpriced_models"].drop_nulls() for model in text.split(",")})
    mend = (
        f"no price is known for tokens of {_listed(models)}, so run `spanverdict prices check`."
        if models
        else "their token counts are unknown, so look at what the instrumentation reports."
    )
    detail = (
        f"{calls:,} LLM {have} no known cost ({percent(base)} of base and {percent(candidate)} of candidate "
        f"traces): {mend}"
    )
    return Check("unpriced", cohort, CheckStatus.FAIL, detail, COST_METRICS)


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence: the first few and how many more there are."""
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED:,} more"


def _missing_root(cohort: str, frame: pl.DataFrame) -> Check:
    base, candidate = shares_of(frame, "missing_root")
    if abs(candidate - base) <= MISSING_TOLERANCE:
        detail = "Root spans are as complete in one arm as in the other."
        return Check("missing_root", cohort, CheckStatus.PASS, detail)
    detail = (
        f"The root span is missing in {percent(base)} of base and {percent(candidate)} of candidate "
        "traces: latency and errors of such traces are read from the spans that arrived, so look for lost "
        "telemetry."
    )
    return Check("missing_root", cohort, CheckStatus.WARN, detail)
