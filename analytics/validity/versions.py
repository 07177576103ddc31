"""Did both arms run with the same prompts and instrumentation? What a deployment sets, compared by its mix."""

from __future__ import annotations

import polars as pl

from analytics.mix import MixDifference, compare_mix, mix_in_words
from analytics.report.model import Check, CheckStatus
from analytics.validity.order import SEVERITY

COST_METRICS = ("cost_per_trace",)
TOKEN_METRICS = ("input_tokens", "output_tokens", *COST_METRICS)

# Shares of traces: below these a difference of a deployment's field cannot move a verdict.
MIX_TOLERANCE = 0.02

_MAY_BE_CHANCE = "so few traces can differ by chance, look again with more."


def differs(difference: MixDifference) -> CheckStatus:
    """Fail on a difference above the tolerance; warn if it is one that few traces could show by chance."""
    if difference.distance <= MIX_TOLERANCE:
        return CheckStatus.PASS
    return CheckStatus.FAIL if difference.significant or difference.disjoint else CheckStatus.WARN


def prompt_version(cohort: str, frame: pl.DataFrame) -> Check:
    """Whether both arms use the same prompt versions in the same mix."""
    name = "prompt_version"
    if frame["prompt_version"].null_count() == frame.height:
        detail = (
            "Not checked: the traces carry no prompt version; record one so that prompt drift can be told "
            "from the model."
        )
        return Check(name, cohort, CheckStatus.WARN, detail)
    difference = compare_mix(frame, "prompt_version")
    status = differs(difference)
    words = mix_in_words(difference)
    detail = {
        CheckStatus.PASS: "Both arms use the same prompt versions in the same mix.",
        CheckStatus.WARN: f"The prompt-version mix {words}; {_MAY_BE_CHANCE}",
        CheckStatus.FAIL: f"The prompt-version mix {words}: the prompt changed too, so give both arms the same one.",
    }[status]
    return Check(name, cohort, status, detail)


def instrumentation(cohort: str, frame: pl.DataFrame) -> Check:
    """Whether tokens are counted by the same instrumentation and rules in both arms."""
    compared = {
        "instrumentation": compare_mix(frame, "instrumentation"),
        "token-counting rule": compare_mix(frame, "token_rules"),
    }
    statuses = {what: differs(difference) for what, difference in compared.items()}
    what = min(compared, key=lambda key: (SEVERITY[statuses[key]], -compared[key].distance))
    words = mix_in_words(compared[what])
    detail = {
        CheckStatus.PASS: "Tokens are counted by the same instrumentation and rules in both arms.",
        CheckStatus.WARN: f"The mix of {what} {words}; {_MAY_BE_CHANCE}",
        CheckStatus.FAIL: (
            f"The mix of {what} {words}: tokens may not mean the same in both arms, so instrument both alike."
        ),
    }[statuses[what]]
    return Check("instrumentation", cohort, statuses[what], detail, TOKEN_METRICS)
