"""What customers write and what the assistant answers: short, invented, in the shape of the real thing."""

from __future__ import annotations

import json
from typing import Any, Final

ACTIONS: Final = (
    "open_dispute",
    "explain_policy",
    "request_document",
    "grant_exception",
    "hand_over",
    "none",
)

SYSTEM_PROMPT: Final = (
    "You are the support assistant of Northwind Pay. Answer from the policy excerpts only. "
    f"Reply with one JSON object: answer (string), action (one of {', '.join(ACTIONS)}), "
    "citations (list of excerpt ids)."
)
REPAIR_PROMPT: Final = (
    "Your last reply broke the schema: {problem} Reply with a JSON object of the corrected field only."
)

# The values that a wrong field takes, as models write them.
WRONG_ACTIONS: Final = ("Open a dispute", "ask_for_document", "refund", "escalate to human")

_MERCHANTS: Final = ("Blue Harbor Books", "Tern Airlines", "Kettle & Co", "Osprey Outdoor", "Lumen Streaming")

_QUESTIONS: Final[dict[str, tuple[str, ...]]] = {
    "chargeback": (
        "I was charged {amount} by {merchant} but never got the order. Can I get my money back?",
        "{merchant} billed me twice, {amount} each. How do I dispute one of them?",
        "I cancelled with {merchant} {days} days ago and still see {amount}. Please reverse it.",
    ),
    "policy_exception": (
        "My transfer fee of {amount} was charged during your outage {days} days ago. Can you waive it?",
        "I missed the refund window for {merchant} by {days} days, I was in hospital. Any exception?",
        "Can my daily limit go above {amount} just for tomorrow?",
    ),
    "identity_verification": (
        "My passport was rejected {days} days ago. Which document do you accept instead?",
        "The selfie check fails every time. How else can I verify my account?",
        "I moved {days} days ago. Do I need to verify my new address?",
    ),
    "out_of_domain": (
        "Which index fund should I buy with {amount}?",
        "Can you write a poem about {merchant}?",
        "Will the exchange rate go up in {days} days?",
    ),
}

_ANSWERS: Final[dict[str, tuple[str, ...]]] = {
    "chargeback": (
        "I opened a dispute over {amount}. {merchant} has 10 days to respond; you get a credit within 5.",
        "A cancelled charge can be disputed for 120 days. Please send the confirmation of {merchant}.",
    ),
    "policy_exception": (
        "Fees charged during an incident are waived on request; {amount} will be credited in 2 days.",
        "The window is 60 days and can be extended after a hospital stay. Please send the discharge letter.",
    ),
    "identity_verification": (
        "A national id card or a residence permit will do. It has to be valid for 30 days more.",
        "Please add a proof of address that is not older than 90 days, such as a utility bill.",
    ),
    "out_of_domain": (
        "I can help with your Northwind Pay account, but not with this. What can I do for you there?",
        "That is outside of what I can answer. I can connect you with a colleague if you like.",
    ),
}

_ACTION_OF: Final[dict[str, str]] = {
    "chargeback": "open_dispute",
    "policy_exception": "explain_policy",
    "identity_verification": "request_document",
    "out_of_domain": "none",
}

_PREFIX: Final[dict[str, str]] = {
    "chargeback": "CB",
    "policy_exception": "PE",
    "identity_verification": "IV",
    "out_of_domain": "OD",
}


def excerpt_ids(cohort: str, variant: int) -> tuple[str, str]:
    """The ids of the two policy excerpts that the search finds."""
    return f"{_PREFIX[cohort]}-{1 + variant % 9}", f"{_PREFIX[cohort]}-{11 + variant % 7}"


def question(cohort: str, variant: int) -> str:
    """What the customer asks."""
    return _fill(_QUESTIONS[cohort], variant)


def answer(cohort: str, variant: int, *, valid: bool) -> str:
    """The assistant's answer as JSON text; not ``valid`` means that one field breaks the schema."""
    fields: dict[str, Any] = {
        "answer": _fill(_ANSWERS[cohort], variant),
        "action": _ACTION_OF[cohort],
        "citations": list(excerpt_ids(cohort, variant)),
    }
    if not valid and variant % 3 == 0:
        fields["citations"] = ", ".join(fields["citations"])
    elif not valid:
        fields["action"] = WRONG_ACTIONS[variant % len(WRONG_ACTIONS)]
    return json.dumps(fields)


def repair(cohort: str, variant: int) -> str:
    """The corrected field alone, as JSON text."""
    if variant % 3 == 0:
        return json.dumps({"citations": list(excerpt_ids(cohort, variant))})
    return json.dumps({"action": _ACTION_OF[cohort]})


def schema_problem(fields: dict[str, Any]) -> str | None:
    """What breaks the app's schema, as one sentence; None if nothing does."""
    if not isinstance(fields.get("answer"), str):
        return "answer must be a string."
    if fields.get("action") not in ACTIONS:
        return f"action must be one of {', '.join(ACTIONS)}."
    citations = fields.get("citations")
    if not isinstance(citations, list) or not all(isinstance(item, str) for item in citations):
        return "citations must be a list of strings."
    return None


def _fill(templates: tuple[str, ...], variant: int) -> str:
    return templates[variant % len(templates)].format(
        amount=f"${5 + variant % 241}.{variant % 100:02d}",
        merchant=_MERCHANTS[variant % len(_MERCHANTS)],
        days=2 + variant % 27,
    )
