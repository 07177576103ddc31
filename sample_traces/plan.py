"""Draws the incident: every trace, what the provider will answer to it, and what people later say of it.

Everything is drawn from ``random.Random`` seeded with text, whose sequence is the same on every machine. What
is drawn here is what the stand-in provider serves; what the app does with it is its own.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Literal

from sample_traces import story

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sample_traces.story import Arm, Behaviour, CohortStory

Purpose = Literal["tool", "answer", "repair"]

_WEEKDAYS = (1.2, 1.15, 1.1, 1.05, 1.0, 0.6, 0.5)
_HOURS = (1, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 11, 12, 12, 11, 10, 9, 8, 7, 6, 4, 3)
_CONVERSATIONS = ((1, 2, 3), (50, 35, 15))
_TURNS = ((1, 2, 3, 4), (30, 35, 25, 10))
_SMALLEST_CACHEABLE_PROMPT = 1152
_CACHED_PREFIX = 1024


@dataclass(frozen=True)
class ModelCall:
    """One answer of the provider: what it is asked for, how it ends and what it bills."""

    purpose: Purpose
    status: int
    latency_s: float
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    valid: bool


@dataclass(frozen=True)
class Draw:
    """What happens in one trace."""

    retrieval_s: float
    calls: tuple[ModelCall, ...]
    task_failed: bool
    ungrounded: bool

    @property
    def answered(self) -> bool:
        """Whether the customer got an answer at all."""
        return self.calls[-1].status == 200


@dataclass(frozen=True)
class Outcome:
    """One row of later feedback on a trace."""

    name: str
    value: int
    delay: timedelta


@dataclass(frozen=True)
class PlannedTrace:
    """One request of one customer, and all that will come of it."""

    trace_id: str
    service: str
    cohort: str
    arm: Arm
    user_id: str
    conversation_id: str
    ticket_id: str
    start: datetime
    text_variant: int
    draw: Draw
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class _User:
    user_id: str
    service: str
    rng: Random
    propensity: dict[str, float]


def make_plan(seed: int) -> list[PlannedTrace]:
    """All traces of the incident, in the order in which they start."""
    traces = [trace for cohort in story.COHORTS.values() for trace in _plan_cohort(seed, cohort)]
    return sorted(traces, key=lambda trace: (trace.start, trace.trace_id))


def draw_trace(
    rng: Random, cohort: CohortStory, behaviour: Behaviour, propensity: dict[str, float] | None = None
) -> Draw:
    """One trace's fate under one model; ``propensity`` scales the user's probability of each outcome."""
    scale = propensity or {}
    task_failed = _happens(rng, behaviour.task_failure, scale.get("task_failure", 1.0))
    ungrounded = _happens(rng, behaviour.ungrounded, scale.get("ungrounded", 1.0))
    schema_error = _happens(rng, behaviour.schema_error, scale.get("schema_error", 1.0))
    slow = rng.random() < behaviour.slow_path
    with_tool = rng.random() < cohort.tool_share
    return Draw(
        retrieval_s=0.09 * math.exp(rng.gauss(0.0, 0.35)),
        calls=tuple(_draw_calls(rng, behaviour.usual_latency_s, with_tool=with_tool, slow=slow, repair=schema_error)),
        task_failed=task_failed,
        ungrounded=ungrounded,
    )


def response_id(trace_id: str, call_number: int) -> str:
    """The provider's id of one answer."""
    digest = hashlib.sha256(f"{trace_id}/{call_number}".encode()).hexdigest()
    return f"chatcmpl-C{digest[:20]}"


def _draw_calls(
    rng: Random, usual_latency_s: float, *, with_tool: bool, slow: bool, repair: bool
) -> Iterator[ModelCall]:
    input_tokens = round(story.INPUT_TOKENS * math.exp(rng.gauss(0.0, story.INPUT_SPREAD)))
    output_tokens = round(story.OUTPUT_TOKENS * math.exp(rng.gauss(0.0, story.OUTPUT_SPREAD)))
    latency = usual_latency_s * math.exp(rng.gauss(0.0, story.LATENCY_SPREAD))
    if with_tool:
        yield _call(rng, "tool", usual_latency_s * story.TOOL_LATENCY, input_tokens // 2, 22)
    if slow:
        latency = usual_latency_s * story.SLOW_FACTOR * math.exp(rng.gauss(0.0, story.SLOW_SPREAD))
    answer = _call(rng, "answer", latency, input_tokens, output_tokens, valid=not repair)
    if rng.random() < story.CALL_ERROR:
        yield _failed(rng)
        if rng.random() < story.RETRY_ERROR:
            yield _failed(rng)
            return
    yield answer
    if repair:
        yield _call(rng, "repair", usual_latency_s * story.REPAIR_LATENCY, 170 + output_tokens // 3, 18)


def _call(
    rng: Random,
    purpose: Purpose,
    latency_s: float,
    input_tokens: int,
    output_tokens: int,
    *,
    valid: bool = True,
) -> ModelCall:
    cacheable = input_tokens >= _SMALLEST_CACHEABLE_PROMPT
    return ModelCall(
        purpose=purpose,
        status=200,
        latency_s=latency_s * (1.0 if purpose == "answer" else math.exp(rng.gauss(0.0, story.LATENCY_SPREAD))),
        input_tokens=input_tokens,
        cached_tokens=_CACHED_PREFIX if rng.random() < story.CACHE_HIT and cacheable else 0,
        output_tokens=output_tokens,
        valid=valid,
    )


def _failed(rng: Random) -> ModelCall:
    return ModelCall(
        purpose="answer",
        status=rng.choice((429, 429, 500)),
        latency_s=0.2 * math.exp(rng.gauss(0.0, 0.4)),
        input_tokens=0,
        cached_tokens=0,
        output_tokens=0,
        valid=False,
    )


def _plan_cohort(seed: int, cohort: CohortStory) -> list[PlannedTrace]:
    """Users in matched pairs, one to each arm: the arms share services and, but for some turns, activity."""
    rng = Random(f"{seed}/{cohort.name}")
    services = [service.name for service in story.SERVICES.values() for _ in range(service.share)]
    users: list[_User] = []
    served: list[PlannedTrace] = []
    while len(served) < 2 * cohort.traces_per_arm:
        if len(users) % (2 * len(services)) == 0:
            rng.shuffle(services)
        service = services[(len(users) // 2) % len(services)]
        turns = [rng.choices(*_TURNS)[0] for _ in range(rng.choices(*_CONVERSATIONS)[0])]
        arms: list[Arm] = ["base", "candidate"]
        rng.shuffle(arms)
        for arm in arms:
            user = _make_user(seed, cohort, len(users), service)
            users.append(user)
            own_turns = turns if user.rng.random() > 0.3 else [*turns[:-1], user.rng.randint(1, 4)]
            for count in own_turns:
                served += _plan_conversation(user, cohort, arm, count, story.PROMOTED_AT, story.ENDED_AT)
    before: list[PlannedTrace] = []
    while len(before) < cohort.traces_before:
        user = rng.choice(users)
        before += _plan_conversation(
            user, cohort, "base", user.rng.choices(*_TURNS)[0], story.BEFORE_FROM, story.PROMOTED_AT
        )
    return before + served


def _make_user(seed: int, cohort: CohortStory, number: int, service: str) -> _User:
    rng = Random(f"{seed}/{cohort.name}/user/{number}")
    shape = 1.0 / story.USER_SPREAD**2
    named = ("task_failure", "ungrounded", "schema_error", *story.OUTCOMES)
    return _User(
        user_id=f"u-{rng.getrandbits(32):08x}",
        service=service,
        rng=rng,
        propensity={name: rng.gammavariate(shape, 1.0 / shape) for name in named},
    )


def _plan_conversation(
    user: _User, cohort: CohortStory, arm: Arm, turns: int, since: datetime, until: datetime
) -> Iterator[PlannedTrace]:
    rng = user.rng
    days = [since + timedelta(days=day) for day in range((until - since).days)]
    day = rng.choices(days, weights=[_WEEKDAYS[day.weekday()] for day in days])[0]
    hour = rng.choices(range(len(_HOURS)), weights=_HOURS)[0]
    start = day + timedelta(hours=hour, microseconds=rng.randrange(2_000_000_000))
    conversation_id = f"conv-{rng.getrandbits(40):010x}"
    for _ in range(turns):
        trace_id = f"{rng.getrandbits(128):032x}"
        yield PlannedTrace(
            trace_id=trace_id,
            service=user.service,
            cohort=cohort.name,
            arm=arm,
            user_id=user.user_id,
            conversation_id=conversation_id,
            ticket_id=f"NW-{rng.getrandbits(36):09x}",
            start=start,
            text_variant=rng.randrange(1 << 16),
            draw=draw_trace(rng, cohort, cohort.behaviour[arm], user.propensity),
            outcomes=tuple(_draw_outcomes(rng, user.propensity)),
        )
        start += timedelta(microseconds=rng.randrange(60_000_000, 420_000_000))


def _draw_outcomes(rng: Random, propensity: dict[str, float]) -> Iterator[Outcome]:
    for name, outcome in story.OUTCOMES.items():
        delay_h = outcome.median_delay_h * math.exp(rng.gauss(0.0, 0.7))
        delay = timedelta(seconds=round(3600 * min(max(delay_h, outcome.shortest_h), outcome.longest_h)))
        if _happens(rng, outcome.rate, propensity[name]):
            yield Outcome(name, 1, delay)
        elif name == "thumbs_down" and rng.random() < story.THUMBS_UP:
            yield Outcome(name, 0, delay)


def _happens(rng: Random, probability: float, scale: float) -> bool:
    return rng.random() < min(0.9, probability * scale)
