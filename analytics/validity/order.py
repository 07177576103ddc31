"""The names of the checks, the order in which they are told, and what is told once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from analytics.report.model import Check, CheckStatus

NAMES = (
    "both_arms",
    "sample_ratio",
    "sampling",
    "prompt_version",
    "system_prompt",
    "tool_schema",
    "retrieval",
    "retrieved_context",
    "mix_shift",
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
    "incomplete_traces",
    "novelty",
)
"""Every check of a comparison of two arms, in the order in which those of one status are told."""

SEVERITY = {CheckStatus.FAIL: 0, CheckStatus.WARN: 1, CheckStatus.PASS: 2}


def in_order(found: Iterable[Check], cohorts: int) -> tuple[Check, ...]:
    """Failed checks first; a pass or warning that is the same in each of the cohorts is said once, with cohort None."""
    return tuple(sorted(_said_once(found, cohorts), key=_order))


def _order(check: Check) -> tuple[int, int, str, str]:
    return SEVERITY[check.status], NAMES.index(check.check), check.cohort or "", check.detail


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
