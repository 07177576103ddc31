"""Draws the traces of a scenario: users, arms, failures, latencies, tokens and what is said of them later.

A binary metric is a thresholded Gaussian liability: part of it the user's own, part the trace's, common to all
metrics, so that metrics and a user's traces are correlated (the random-effects probit; e.g. Agresti, Categorical Data
Analysis, 3rd edition, section 13.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import polars as pl

from analytics.simulation.scenarios import OUTCOMES, RATES, SLOW_PATH, Scenario

COHORTS = (
    "chargeback",
    "identity_verification",
    "policy_exception",
    "refund_status",
    "address_change",
    "account_closure",
    "card_replacement",
    "fraud_report",
    "payment_plan",
    "fee_dispute",
    "transfer_limit",
    "statement_request",
    "password_reset",
    "tax_document",
    "currency_exchange",
    "merchant_dispute",
    "loan_question",
    "direct_debit",
    "gift_card",
    "other",
)
TRACES_PER_DAY = (500, 1500, 500, 1500, 500, 200, 500, 1500, 500, 200, 200, 200, 200, 200, 60, 60, 60, 60, 60, 60)
"""Traces a day in the base arm, by cohort."""

PROMOTED_AT = datetime(2026, 11, 2, tzinfo=UTC)
DAYS_BEFORE = 7
"""Days of base traffic before the promotion."""

MATURITY = {"thumbs_down": timedelta(days=1), "escalated": timedelta(days=1), "reopened": timedelta(days=7)}
"""By when after its trace feedback of each name has come."""

_TRACES_PER_USER = 4
_ACTIVITY_SHAPE = 0.7
_USER_SHARE = 0.15
_TRACE_SHARE = 0.15
_HARD_LIABILITY = 0.8
_DRIFTED_PROMPT_LIABILITY = 0.5
_STRICTER_BY = 0.3
_COHORT_SPREAD = 0.15
_USUAL_MS = 900.0
_LATENCY_SPREAD = 0.45
_SLOW_MS = 2500.0
_SLOW_TAIL = 2.5
_OUTPUT_TOKENS = 220.0
_OUTPUT_SPREAD = 1.1
_INPUT_TOKENS = 800.0
_INPUT_SPREAD = 0.3
_WEEKDAYS = np.array((1.2, 1.15, 1.1, 1.05, 1.0, 0.8, 0.7))
_NORMAL = NormalDist()

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """How much is simulated.

    Attributes:
        days: days after the promotion.
        cohorts: how many of the cohorts.
        scale: what the traces a day of each cohort are multiplied by.
    """

    days: int = 14
    cohorts: int = len(COHORTS)
    scale: float = 1.0


@dataclass(frozen=True)
class _Users:
    """The users of one cohort: how active each is, what each adds to every liability, and each one's arm."""

    weights: Floats
    common: Floats
    own: dict[str, Floats]
    is_candidate: npt.NDArray[np.bool_]


def draw_days(scenario: Scenario, seed: int, size: Size) -> Iterator[tuple[datetime, pl.DataFrame]]:
    """The traces of each day, from some days before the promotion on.

    Args:
        scenario: what is drawn.
        seed: the same seed gives the same traces.
        size: how much.

    Yields:
        The day (UTC) and its traces: ``trace_id, cohort, user_id, is_candidate, is_hard, prompt_version,
        evaluator_version, start_ns, latency_ms, input_tokens, output_tokens``, one Boolean column per binary
        metric, ``score_lost`` and ``<outcome>_delay_s`` per outcome.
    """
    users = [_draw_users(scenario, _generator(seed, cohort, 0), row, size) for row, cohort in _cohorts(size)]
    for day in range(-DAYS_BEFORE, size.days):
        shock = scenario.day_shock * _generator(seed, "day", day + DAYS_BEFORE).standard_normal()
        frames = [
            _draw_day(scenario, _generator(seed, cohort, day + DAYS_BEFORE + 1), users[row], row, day, shock, size)
            for row, cohort in _cohorts(size)
        ]
        yield PROMOTED_AT + timedelta(days=day), pl.concat(frames).sort("start_ns", "trace_id")


def base_rate(metric: str, row: int) -> float:
    """The base arm's rate of a binary metric in a cohort, over easy and hard requests alike."""
    spread = _generator(0, f"{metric}/{COHORTS[row]}", 0).uniform(-_COHORT_SPREAD, _COHORT_SPREAD)
    return RATES[metric] * (1 + float(spread))


def _cohorts(size: Size) -> list[tuple[int, str]]:
    return list(enumerate(COHORTS[: size.cohorts]))


def _generator(seed: int, what: str, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, number, *what.encode()])


def _per_day(scenario: Scenario, row: int, size: Size) -> float:
    return TRACES_PER_DAY[row] * size.scale / (1 - scenario.share)


def _draw_users(scenario: Scenario, rng: np.random.Generator, row: int, size: Size) -> _Users:
    count = max(2, round(_per_day(scenario, row, size) * size.days / _TRACES_PER_USER))
    activity = rng.gamma(_ACTIVITY_SHAPE, size=count)
    return _Users(
        weights=activity / activity.sum(),
        common=rng.standard_normal(count),
        own={metric: rng.standard_normal(count) for metric in (*RATES, "latency", "tokens")},
        is_candidate=rng.random(count) < scenario.share,
    )


def _draw_day(
    scenario: Scenario, rng: np.random.Generator, users: _Users, row: int, day: int, shock: float, size: Size
) -> pl.DataFrame:
    start_of_day = PROMOTED_AT + timedelta(days=day)
    count = int(rng.poisson(_per_day(scenario, row, size) * _WEEKDAYS[start_of_day.weekday()]))
    who = rng.choice(len(users.weights), size=count, p=users.weights)
    promoted = day >= 0
    if scenario.split == "user":
        candidate = users.is_candidate[who] & promoted
    elif scenario.split == "request":
        candidate = (rng.random(count) < scenario.share) & promoted
    else:
        candidate = np.full(count, promoted)
    touched = scenario.affected is None or row < scenario.affected
    changed = candidate if touched and day >= scenario.onset_day else np.zeros(count, dtype=bool)
    hard = rng.random(count) < np.where(candidate, *reversed(scenario.hard_share))
    drifted = candidate & (rng.random(count) < scenario.drifted_prompt)
    stricter = candidate & scenario.drifted_evaluator
    trace = rng.standard_normal(count)
    common = np.sqrt(_USER_SHARE / 2) * users.common[who] + np.sqrt(_TRACE_SHARE) * trace + shock

    failed = {}
    for metric in RATES:
        own = np.sqrt(_USER_SHARE / 2) * users.own[metric][who]
        noise = np.sqrt(1 - _USER_SHARE - _TRACE_SHARE) * rng.standard_normal(count)
        liability = common + own + noise + _DRIFTED_PROMPT_LIABILITY * drifted
        if metric == "task_completion":
            liability = liability + _HARD_LIABILITY * hard + _STRICTER_BY * stricter
        usual = base_rate(metric, row)
        rates = np.where(changed, usual + scenario.added.get(metric, 0.0), usual)
        failed[metric] = liability > _thresholds(rates, scenario if metric == "task_completion" else None)

    slow = rng.random(count) < np.where(changed, scenario.slow_factor, 1.0) * SLOW_PATH
    spread = np.sqrt(_USER_SHARE) * users.own["latency"][who] + np.sqrt(1 - _USER_SHARE) * rng.standard_normal(count)
    latency = np.where(
        slow, _SLOW_MS * (1 + rng.pareto(_SLOW_TAIL, count)), _USUAL_MS * np.exp(_LATENCY_SPREAD * spread)
    )
    written = np.sqrt(_USER_SHARE) * users.own["tokens"][who] + np.sqrt(1 - _USER_SHARE) * rng.standard_normal(count)
    output = _OUTPUT_TOKENS * np.exp(_OUTPUT_SPREAD * written) * np.where(changed, scenario.token_factor, 1.0)
    midnight = int(start_of_day.timestamp()) * 10**9
    ids = rng.integers(0, 256, (count, 16), dtype=np.uint8)
    # Never all zero: such an id is invalid.
    ids[:, 0] |= 1
    return pl.DataFrame(
        {
            "trace_id": [octets.tobytes().hex() for octets in ids],
            "cohort": np.full(count, COHORTS[row]),
            "user_id": [f"u-{row}-{number}" for number in who],
            "is_candidate": candidate,
            "is_hard": hard,
            "prompt_version": np.where(drifted, "8", "7"),
            "evaluator_version": np.where(stricter, "2", "1"),
            "start_ns": midnight + rng.integers(0, 86_400 * 10**9, count),
            "latency_ms": latency,
            "input_tokens": np.maximum(1, _INPUT_TOKENS * np.exp(_INPUT_SPREAD * rng.standard_normal(count))).astype(
                np.int64
            ),
            "output_tokens": np.maximum(1, output).astype(np.int64),
            **failed,
            "score_lost": candidate & failed["task_completion"] & (rng.random(count) < scenario.lost_scores),
            **{f"{name}_delay_s": _delays(rng, count, MATURITY[name]) for name in OUTCOMES},
        },
        schema_overrides={"cohort": pl.String, "prompt_version": pl.String, "evaluator_version": pl.String},
    )


def _thresholds(rates: Floats, mixed: Scenario | None) -> Floats:
    """The liability beyond which a trace fails.

    Where hard requests fail more often, a threshold at which the base arm's own mix of them has the stated rate.
    """
    distinct, places = np.unique(rates, return_inverse=True)
    share = mixed.hard_share[0] if mixed else 0.0
    found = np.array([_threshold(float(rate), share) for rate in distinct])
    return found[places]


def _threshold(rate: float, hard_share: float) -> float:
    low, high = -10.0, 10.0
    while high - low > 1e-9:  # noqa: PLR2004 (far below what any number of traces can tell)
        middle = (low + high) / 2
        easy, hard = 1 - _NORMAL.cdf(middle), 1 - _NORMAL.cdf(middle - _HARD_LIABILITY)
        failing = (1 - hard_share) * easy + hard_share * hard
        low, high = (middle, high) if failing > rate else (low, middle)
    return low


def _delays(rng: np.random.Generator, count: int, within: timedelta) -> Floats:
    """Seconds until feedback comes: most of it early, none after ``within``."""
    whole = within.total_seconds()
    return np.minimum(rng.exponential(whole / 5, count), 0.99 * whole)
