"""Words by which evaluators, users and business systems say that something was good or bad, as labels spell them."""

from __future__ import annotations

KNOWN_OUTCOMES = ("thumbs_down", "escalated", "reopened")
"""These mean the same in every product; any other outcome needs a direction before it can be judged."""

PASS_LABELS = frozenset(
    [
        "pass",
        "passed",
        "success",
        "succeeded",
        "successful",
        "ok",
        "correct",
        "right",
        "grounded",
        "factual",
        "faithful",
        "valid",
        "relevant",
        "complete",
        "completed",
        "resolved",
        "compliant",
        "safe",
        "clean",
        "non_toxic",
        "not_toxic",
    ]
)
FAIL_LABELS = frozenset(
    [
        "fail",
        "failed",
        "failure",
        "incorrect",
        "wrong",
        "ungrounded",
        "not_grounded",
        "hallucinated",
        "hallucination",
        "unfaithful",
        "invalid",
        "irrelevant",
        "not_relevant",
        "incomplete",
        "unresolved",
        "noncompliant",
        "non_compliant",
        "unsafe",
        "toxic",
    ]
)
