"""May base and candidate be compared at all? The checks that come before any verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import polars as pl

from analytics.metrics import EVALUATION_PREFIX, metrics_for
from analytics.mix import MixDifference, compare_mix
from analytics.promotions import Promotion
from analytics.report.model import Check, CheckStatus
from analytics.stats.sample_ratio import sample_ratio_p_value

COST_METRICS = ("cost_per_trace",)
TOKEN_METRICS = ("input_tokens", "output_tokens", *COST_METRICS)

SAMPLE_RATIO_LEVEL = 0.001
# Shares of traces: below these a difference of a deployment's field cannot move a verdict.
MIX_TOLERANCE = 0.02
MISSING_TOLERANCE = 0.02

_MAY_BE_CHANCE = "so few traces can differ by chance, look again with more."
_LEAST_SHOWN = 0.0001
_ARMS = 2
_MOST_NAMED = 5
_SEVERITY = {CheckStatus.FAIL: 0, CheckStatus.WARN: 1, CheckStatus.PASS: 2}
_NAMES = (
    "both_arms",
    "sample_ratio",
    "prompt_version",
    "instrumentation",
    "evaluator_version",
    "missing_scores",
    "unpriced",
    "missing_root",
)


def checks(traces: pl.DataFrame, *, promotion: Promotion, evaluations: pl.DataFrame | None) -> tuple[Check, ...]:
    """Check cohort by cohort whether the arms may be compared.

    Args:
        traces: the wide traces frame, one row per trace of the comparison window, every row in an arm.
        promotion: what is compared; its ``candidate_share`` is what the sample ratio is held against.
        evaluations: one row per score, with ``trace_id`` (resolved), ``name`` and ``evaluator_version``; None
            if no scores are stored.

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
    fail_rates = _fail_rates(traces)
    for cohort, frame in comparable.items():
        found.append(_prompt_version(cohort, frame))
        found.append(_instrumentation(cohort, frame))
        found += _evaluator_versions(cohort, frame, evaluations, fail_rates)
        found += _missing_scores(cohort, frame, fail_rates)
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


def _sample_ratio(cohort: str | None, users: tuple[int, int], share: float) -> Check:
    p_value = sample_ratio_p_value(users, (1 - share, share))
    if p_value >= SAMPLE_RATIO_LEVEL:
        detail = f"Users arrive in the intended proportion ({_percent(share)} candidate)."
        return Check("sample_ratio", cohort, CheckStatus.PASS, detail)
    observed = users[1] / sum(users)
    where = "over all cohorts " if cohort is None else ""
    shown = "p < 0.0001" if p_value < _LEAST_SHOWN else f"p = {p_value:.4f}"
    detail = (
        f"{users[0]:,} users met base and {users[1]:,} the candidate {where}({_percent(observed)} candidate, "
        f"intended {_percent(share)}, {shown}): find out where users or their traces are lost or misrouted "
        "before reading any metric."
    )
    return Check("sample_ratio", cohort, CheckStatus.FAIL, detail)


def _differs(difference: MixDifference) -> CheckStatus:
    """Fail on a difference above the tolerance; warn if it is one that few traces could show by chance."""
    if difference.distance <= MIX_TOLERANCE:
        return CheckStatus.PASS
    return CheckStatus.FAIL if difference.significant or difference.disjoint else CheckStatus.WARN


def _mix_in_words(difference: MixDifference, of: str = "traces") -> str:
    most = difference.shares[0]
    value = "none recorded" if most.value is None else most.value
    return (
        f"differs on {_percent(difference.distance)} of {of}, most for {value} "
        f"({_percent(most.base)} of base, {_percent(most.candidate)} of candidate)"
    )


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
    words = _mix_in_words(difference)
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
    words = _mix_in_words(compared[what])
    detail = {
        CheckStatus.PASS: "Tokens are counted by the same instrumentation and rules in both arms.",
        CheckStatus.WARN: f"The mix of {what} {words}; {_MAY_BE_CHANCE}",
        CheckStatus.FAIL: (
            f"The mix of {what} {words}: tokens may not mean the same in both arms, so instrument both alike."
        ),
    }[statuses[what]]
    return Check("instrumentation", cohort, statuses[what], detail, TOKEN_METRICS)


def _fail_rates(traces: pl.DataFrame) -> dict[str, str]:
    """Evaluator → the metric that its scores feed."""
    return {
        metric.column.removeprefix(EVALUATION_PREFIX): metric.name
        for metric in metrics_for(traces, {})
        if metric.column.startswith(EVALUATION_PREFIX)
    }


def _evaluator_versions(
    cohort: str, frame: pl.DataFrame, evaluations: pl.DataFrame | None, fail_rates: Mapping[str, str]
) -> Iterator[Check]:
    scored = [e for e in fail_rates if frame[f"{EVALUATION_PREFIX}{e}"].null_count() < frame.height]
    for evaluator in scored:
        if evaluations is None:
            rows = frame.clear()
        else:
            graded = evaluations.filter(pl.col("name") == evaluator).select("trace_id", "evaluator_version")
            rows = graded.join(frame.select("trace_id", "arm", "unit"), on="trace_id")
        if rows["arm"].n_unique() == _ARMS:
            yield _evaluator_version(cohort, evaluator, rows, fail_rates[evaluator])
        else:
            detail = f"Not checked: scores of {evaluator} with a trace id are missing in at least one arm."
            yield Check("evaluator_version", cohort, CheckStatus.WARN, detail, (fail_rates[evaluator],))


def _evaluator_version(cohort: str, evaluator: str, rows: pl.DataFrame, metric: str) -> Check:
    name, metrics = "evaluator_version", (metric,)
    if rows["evaluator_version"].null_count() == rows.height:
        detail = f"Not checked: the scores of {evaluator} carry no evaluator version."
        return Check(name, cohort, CheckStatus.WARN, detail, metrics)
    difference = compare_mix(rows, "evaluator_version")
    lopsided = [share for share in difference.shares if (share.base > 0) != (share.candidate > 0)]
    if difference.disjoint or difference.significant:
        detail = (
            f"The version of {evaluator} {_mix_in_words(difference, of='scores')}: "
            "the arms were not graded alike, so score both again with one version."
        )
        return Check(name, cohort, CheckStatus.FAIL, detail, metrics)
    if lopsided:
        detail = (
            f"{evaluator} graded a few traces of one arm only with version "
            f"{lopsided[0].value or 'none recorded'}, as chance may have it; score them again with the "
            "common version to be sure."
        )
        return Check(name, cohort, CheckStatus.WARN, detail, metrics)
    detail = f"{evaluator} graded both arms with the same versions."
    return Check(name, cohort, CheckStatus.PASS, detail, metrics)


def _missing_scores(cohort: str, frame: pl.DataFrame, fail_rates: Mapping[str, str]) -> Iterator[Check]:
    for evaluator, metric in fail_rates.items():
        column = f"{EVALUATION_PREFIX}{evaluator}"
        if frame[column].null_count() == frame.height:
            continue
        metrics = (metric,)
        missing = frame.select("arm", "unit", pl.col(column).is_null().alias("missing"))
        difference = compare_mix(missing, "missing")
        if difference.distance <= MISSING_TOLERANCE or not difference.significant:
            detail = f"Scores of {evaluator} are missing alike in both arms."
            yield Check("missing_scores", cohort, CheckStatus.PASS, detail, metrics)
            continue
        base, candidate = _rates(missing, "missing")
        detail = (
            f"Scores of {evaluator} are missing on {_percent(base)} of base and {_percent(candidate)} of "
            "candidate traces: the missing ones may be the failures, so find out why they were not scored."
        )
        yield Check("missing_scores", cohort, CheckStatus.FAIL, detail, metrics)


def _unpriced(cohort: str, frame: pl.DataFrame) -> Check:
    calls = int(frame["unpriced_calls"].sum())
    if not calls:
        return Check("unpriced", cohort, CheckStatus.PASS, "Every LLM call has a price.", COST_METRICS)
    base, candidate = _rates(frame.with_columns(pl.col("unpriced_calls") > 0), "unpriced_calls")
    have = "call has" if calls == 1 else "calls have"
    models = sorted({model for text in frame["unpriced_models"].drop_nulls() for model in text.split(",")})
    mend = (
        f"no price is known for tokens of {_listed(models)}, so run `spanverdict prices check`."
        if models
        else "their token counts are unknown, so look at what the instrumentation reports."
    )
    detail = (
        f"{calls:,} LLM {have} no known cost ({_percent(base)} of base and {_percent(candidate)} of candidate "
        f"traces): {mend}"
    )
    return Check("unpriced", cohort, CheckStatus.FAIL, detail, COST_METRICS)


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence: the first few and how many more there are."""
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED:,} more"


def _missing_root(cohort: str, frame: pl.DataFrame) -> Check:
    base, candidate = _rates(frame, "missing_root")
    if abs(candidate - base) <= MISSING_TOLERANCE:
        detail = "Root spans are as complete in one arm as in the other."
        return Check("missing_root", cohort, CheckStatus.PASS, detail)
    detail = (
        f"The root span is missing in {_percent(base)} of base and {_percent(candidate)} of candidate "
        "traces: latency and errors of such traces are read from the spans that arrived, so look for lost "
        "telemetry."
    )
    return Check("missing_root", cohort, CheckStatus.WARN, detail)


def _rates(frame: pl.DataFrame, column: str) -> tuple[float, float]:
    """Share of traces of each arm (base, candidate) for which a Boolean column is true."""
    by_arm = dict(frame.group_by("arm").agg(pl.col(column).mean()).iter_rows())
    return float(by_arm["base"]), float(by_arm["candidate"])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
