"""Were traces kept with a known probability, and by the same rules in both arms?"""

from __future__ import annotations

import polars as pl

from analytics.mix import compare_mix, mix_in_words, percent
from analytics.report.model import Check, CheckStatus
from analytics.validity.versions import MIX_TOLERANCE, differs

_RECORD = (
    "record the probability with which each trace was kept (tracestate ot=th, sampling.probability, or the attribute "
    "that report.keep_probability_attribute names)"
)


def sampling(cohort: str, frame: pl.DataFrame) -> Check | None:
    """Whether the traces that arrived can speak for those that a sampler dropped; None where no sampler left a word.

    With the probability of each, traces are weighed by its inverse. Without, arms are comparable only if the sampler
    chose alike in both.
    """
    if "keep_probability" not in frame.columns:
        return None
    known = frame["keep_probability"].drop_nulls()
    if known.len():
        return _probabilities(cohort, frame, least=float(known.min()))  # type: ignore[arg-type]
    if frame["sampling_rule"].null_count() == frame.height:
        return None
    difference = compare_mix(frame, "sampling_rule")
    status = differs(difference)
    if status is CheckStatus.PASS:
        detail = (
            "A sampler chose the traces, by the same rules in both arms, and how many it dropped is not known: rates "
            f"are those of the kept traces; {_RECORD}."
        )
        return Check("sampling", cohort, CheckStatus.WARN, detail)
    detail = (
        f"What a sampler kept traces for {mix_in_words(difference)}: a rate of kept traces says nothing; {_RECORD}."
    )
    return Check("sampling", cohort, status, detail)


def _probabilities(cohort: str, frame: pl.DataFrame, least: float) -> Check:
    unknown = {
        arm: float(part["keep_probability"].is_null().mean() or 0.0)  # type: ignore[arg-type]
        for (arm,), part in frame.group_by("arm")
    }
    base, candidate = unknown.get("base", 0.0), unknown.get("candidate", 0.0)
    if least < 1 and max(base, candidate) > MIX_TOLERANCE:
        detail = (
            f"The probability of being kept is unknown for {percent(base)} of base and {percent(candidate)} of "
            f"candidate traces, and down to {percent(least)} where it is known: without it kept traces cannot "
            f"speak for dropped ones; {_RECORD} on all traces."
        )
        return Check("sampling", cohort, CheckStatus.FAIL, detail)
    detail = (
        "Every trace was kept."
        if least == 1
        else "Traces are weighed by the inverse of the probability with which a sampler kept them."
    )
    return Check("sampling", cohort, CheckStatus.PASS, detail)
