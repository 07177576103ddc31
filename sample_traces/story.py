"""The incident as data: who talks to whom, when, and what is true of either model in every cohort.

Northwind Pay's support assistant answers customers in three channels. From 2 to 15 November 2026 half of the
users were served by a model fine-tuned on refund cases, the other half by the model it was tuned from. Rates
are probabilities per trace, latencies are seconds, prices are USD per million tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal

Arm = Literal["base", "candidate"]

DEFAULT_SEED: Final = 20261115
PROMOTION: Final = "refunds-v2"
MODELS: Final[dict[Arm, str]] = {
    "base": "gpt-4o-mini-2024-07-18",
    "candidate": "ft:gpt-4o-mini-2024-07-18:northwind-pay:refunds-v2:B7xQ2kLm",
}

BEFORE_FROM: Final = datetime(2026, 10, 26, tzinfo=UTC)
PROMOTED_AT: Final = datetime(2026, 11, 2, tzinfo=UTC)
ENDED_AT: Final = datetime(2026, 11, 16, tzinfo=UTC)
MATURE_AT: Final = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass(frozen=True)
class Price:
    """USD per million tokens of one model."""

    input_per_mtok: float
    output_per_mtok: float
    cache_read_per_mtok: float


PRICES: Final[dict[Arm, Price]] = {
    "base": Price(0.15, 0.60, 0.075),
    # Northwind's contract bills tuned models at the base model's rate.
    "candidate": Price(0.15, 0.60, 0.075),
}


@dataclass(frozen=True)
class Behaviour:
    """How one model behaves in one cohort.

    Attributes:
        task_failure: probability that the answer does not settle the customer's request.
        ungrounded: probability that the answer claims what the retrieved policy does not say.
        schema_error: probability that the first answer breaks the app's JSON schema.
        slow_path: probability that the provider serves the answer from a cold replica.
        usual_latency_s: median seconds of an answering call outside the slow path.
    """

    task_failure: float
    ungrounded: float
    schema_error: float
    slow_path: float
    usual_latency_s: float


@dataclass(frozen=True)
class CohortStory:
    """One cohort: its traffic, its prompt and both models' behaviour.

    Attributes:
        name: value of the ``app.cohort`` attribute.
        traces_per_arm: traces of either arm while both models served, about.
        traces_before: traces of the base model in the week before, about.
        prompt_name: name of the prompt; the same for both arms.
        prompt_version: version of the prompt; the same for both arms.
        tool_share: share of traces in which the model first asks for a tool.
        behaviour: what is true of either model.
    """

    name: str
    traces_per_arm: int
    traces_before: int
    prompt_name: str
    prompt_version: str
    tool_share: float
    behaviour: dict[Arm, Behaviour]


_CHARGEBACK = Behaviour(task_failure=0.22, ungrounded=0.05, schema_error=0.04, slow_path=0.007, usual_latency_s=1.35)
_POLICY = Behaviour(task_failure=0.12, ungrounded=0.06, schema_error=0.04, slow_path=0.007, usual_latency_s=1.55)
_IDENTITY = Behaviour(task_failure=0.10, ungrounded=0.05, schema_error=0.04, slow_path=0.007, usual_latency_s=1.20)
_OUT_OF_DOMAIN = Behaviour(task_failure=0.30, ungrounded=0.12, schema_error=0.05, slow_path=0.007, usual_latency_s=1.30)

COHORTS: Final[dict[str, CohortStory]] = {
    cohort.name: cohort
    for cohort in (
        CohortStory(
            name="chargeback",
            traces_per_arm=1250,
            traces_before=700,
            prompt_name="chargeback_answer",
            prompt_version="7",
            tool_share=0.20,
            behaviour={"base": _CHARGEBACK, "candidate": replace(_CHARGEBACK, task_failure=0.09)},
        ),
        CohortStory(
            name="policy_exception",
            traces_per_arm=1250,
            traces_before=700,
            prompt_name="policy_exception_answer",
            prompt_version="4",
            tool_share=0.0,
            behaviour={"base": _POLICY, "candidate": replace(_POLICY, ungrounded=0.16)},
        ),
        CohortStory(
            name="identity_verification",
            traces_per_arm=1300,
            traces_before=700,
            prompt_name="identity_verification_answer",
            prompt_version="11",
            tool_share=0.0,
            behaviour={
                "base": _IDENTITY,
                # Usual calls are 6.5 % faster: with the slow path and the repairs the median stays.
                "candidate": replace(_IDENTITY, schema_error=0.13, slow_path=0.065, usual_latency_s=1.20 * 0.935),
            },
        ),
        CohortStory(
            name="out_of_domain",
            traces_per_arm=36,
            traces_before=20,
            prompt_name="out_of_domain_answer",
            prompt_version="2",
            tool_share=0.0,
            behaviour={"base": _OUT_OF_DOMAIN, "candidate": _OUT_OF_DOMAIN},
        ),
    )
}

# The same in every cohort and for both models.
CALL_ERROR: Final = 0.02
RETRY_ERROR: Final = 0.10
LATENCY_SPREAD: Final = 0.25
SLOW_FACTOR: Final = 4.5
SLOW_SPREAD: Final = 0.15
REPAIR_LATENCY: Final = 0.30
"""Of the usual latency: a repair asks for one field."""
TOOL_LATENCY: Final = 0.40
"""Of the usual latency: the model only names the tool."""
BEFORE_WORK_S: Final = 0.004
AFTER_WORK_S: Final = 0.002
RETRY_PAUSE_S: Final = 0.25
TOOL_RUN_S: Final = 0.035
"""What the app's own steps take."""
INPUT_TOKENS: Final = 1150
INPUT_SPREAD: Final = 0.20
OUTPUT_TOKENS: Final = 135
OUTPUT_SPREAD: Final = 0.28
CACHE_HIT: Final = 0.4
USER_SPREAD: Final = 0.4
"""Coefficient of variation of a user's own propensity to each outcome: users come back, and differ."""


@dataclass(frozen=True)
class OutcomeStory:
    """Feedback that arrives later: how often, and how long after the trace began."""

    rate: float
    median_delay_h: float
    shortest_h: float
    longest_h: float


OUTCOMES: Final[dict[str, OutcomeStory]] = {
    "thumbs_down": OutcomeStory(rate=0.05, median_delay_h=0.4, shortest_h=0.05, longest_h=20),
    "escalated": OutcomeStory(rate=0.04, median_delay_h=3, shortest_h=0.2, longest_h=22),
    "reopened": OutcomeStory(rate=0.03, median_delay_h=60, shortest_h=24, longest_h=144),
}
THUMBS_UP: Final = 0.06
"""Share of traces rated up, recorded as ``thumbs_down`` = 0."""


@dataclass(frozen=True)
class Service:
    """One deployed channel of the assistant and the instrumentation its team chose."""

    name: str
    version: str
    channel: str
    convention: Literal["otel_genai", "openinference", "openllmetry"]
    share: int
    """Users of ten."""


SERVICES: Final[dict[str, Service]] = {
    service.name: service
    for service in (
        Service("support-web-chat", "3.14.0", "web_chat", "otel_genai", 4),
        Service("support-mobile", "2.8.1", "mobile", "openinference", 3),
        Service("support-email", "1.21.4", "email", "openllmetry", 3),
    )
}
