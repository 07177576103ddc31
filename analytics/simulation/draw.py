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
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from analytics.simulation.population import (
    ACTIVITY_SHAPE,
    DRIFTED_LIABILITY,
    HARD_LIABILITY,
    SLOW_TAIL,
    STRICTER_BY,
    TRACE_SHARE,
    TRACES_PER_USER,
    USER_SHARE,
    WEEKDAYS,
    Kinds,
    beyond,
    threshold,
)
from analytics.simulation.scenarios import EVALUATORS, OUTCOMES, RATES, SLOW_PATH, Scenario

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
MATURITY = {"thumbs_down": timedelta(days=1), "escalated": timedelta(days=1), "reopened": timedelta(days=7)}
"""By when after its trace feedback of each name has come."""

MOST_DOCUMENTS = 3
"""How many documents a search finds at most."""

_SHARED_BY_MODELS = 0.6
"""Correlation of what two models make of one request: 15 % is the user, 45 % the request."""
_EMPTY_LIABILITY = 1.2
_COHORT_SPREAD = 0.15
_USUAL_MS = 900.0
_LATENCY_SPREAD = 0.45
_SLOW_MS = 2500.0
_OUTPUT_TOKENS = 220.0
_OUTPUT_SPREAD = 1.1
_INPUT_TOKENS = 800.0
_INPUT_SPREAD = 0.3
_EMPTY_SEARCHES = 0.05
_FAILED_TOOLS = 0.01
_TIMED_OUT = 30_000.0
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
    """The users of one cohort: how active each is, what each adds to every liability, where in the split each stands.

    A user meets the candidate once its share is above the user's place, so nobody goes back to the base.
    """

    weights: Floats
    common: Floats
    own: dict[str, Floats]
    places: Floats


@dataclass(frozen=True)
class _Request:
    """What requests were to the model that answered, each a standard normal: its error's liability, pace, length."""

    error: Floats
    pace: Floats
    length: Floats


def draw_days(scenario: Scenario, seed: int, size: Size) -> Iterator[tuple[datetime, pl.DataFrame]]:
    """The traces of each day, from some days before the promotion on.

    Args:
        scenario: what is drawn.
        seed: the same seed gives the same traces.
        size: how much.

    Yields:
        The day (UTC) and its traces: ``trace_id, cohort, user_id, is_candidate, is_hard, is_drifted, prompt_version,
        evaluator_version, start_ns, latency_ms, input_tokens, output_tokens``, one Boolean column per binary
        metric, ``score_lost`` and ``<outcome>_delay_s`` per outcome; ``keep_probability`` and ``is_kept`` where a
        sampler is at work; ``documents`` and ``tool_failed`` where steps show; ``mirrored_error``,
        ``mirrored_latency_ms`` and ``mirrored_output_tokens`` of what the candidate made of the same request.
    """
    users = [_draw_users(scenario, _generator(seed, cohort, 0), row, size) for row, cohort in _cohorts(size)]
    shock = 0.0
    for day in range(-scenario.days_before, size.days):
        number = day + scenario.days_before
        fresh = scenario.day_shock * float(_generator(seed, "day", number).standard_normal())
        memory = scenario.shock_memory if number else 0.0
        shock = memory * shock + float(np.sqrt(1 - memory**2)) * fresh
        frames = [
            _draw_day(scenario, _generator(seed, cohort, number + 1), users[row], row, day, shock, size)
            for row, cohort in _cohorts(size)
        ]
        yield PROMOTED_AT + timedelta(days=day), pl.concat(frames).sort("start_ns", "trace_id")


def base_rate(metric: str, row: int) -> float:
    """The base arm's rate of a binary metric in a cohort, over easy and hard requests alike."""
    spread = _generator(0, f"{metric}/{COHORTS[row]}", 0).uniform(-_COHORT_SPREAD, _COHORT_SPREAD)
    return RATES[metric] * (1 + float(spread))


def candidate_rate(scenario: Scenario, metric: str, row: int) -> float:
    """The candidate's rate of a binary metric in a cohort that it changes, at the base arm's mix of requests."""
    usual = base_rate(metric, row)
    if metric == "task_completion" and scenario.empty_searches:
        limit = threshold(usual, _kinds(scenario, metric, _EMPTY_SEARCHES))
        return beyond(limit, _kinds(scenario, metric, _EMPTY_SEARCHES + scenario.empty_searches))
    return usual + scenario.added.get(metric, 0.0)


def _cohorts(size: Size) -> list[tuple[int, str]]:
    return list(enumerate(COHORTS[: size.cohorts]))


def _generator(seed: int, what: str, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, number, *what.encode()])


def _per_day(scenario: Scenario, row: int, size: Size) -> float:
    # Where both arms serve at once, the base's traffic stays; where the base serves alone, that is all there is.
    share = scenario.share_on(size.days) if scenario.split in ("user", "request") else 0.0
    return TRACES_PER_DAY[row] * size.scale / (1 - share)


def _draw_users(scenario: Scenario, rng: np.random.Generator, row: int, size: Size) -> _Users:
    count = max(2, round(_per_day(scenario, row, size) * size.days / TRACES_PER_USER))
    activity = rng.gamma(ACTIVITY_SHAPE, size=count)
    return _Users(
        weights=activity / activity.sum(),
        common=rng.standard_normal(count),
        own={metric: rng.standard_normal(count) for metric in (*RATES, "latency", "tokens")},
        places=rng.random(count),
    )


def _draw_day(
    scenario: Scenario, rng: np.random.Generator, users: _Users, row: int, day: int, shock: float, size: Size
) -> pl.DataFrame:
    start_of_day = PROMOTED_AT + timedelta(days=day)
    count = int(rng.poisson(_per_day(scenario, row, size) * WEEKDAYS[start_of_day.weekday()]))
    who = rng.choice(len(users.weights), size=count, p=users.weights)
    candidate = _arms(scenario, rng, users.places[who], day)
    if scenario.is_control(row, size.cohorts):
        candidate = np.zeros(count, dtype=bool)
    touched = scenario.is_affected(row, size.cohorts) and day >= scenario.onset_day
    changed = candidate if touched else np.zeros(count, dtype=bool)
    hard = rng.random(count) < np.where(candidate, *reversed(scenario.hard_share))
    drifted = candidate & (rng.random(count) < scenario.drifted)
    stricter = candidate & scenario.drifted_evaluator
    steps = _steps(scenario, rng, changed) if scenario.steps else {}
    trace = rng.standard_normal(count)
    common = np.sqrt(USER_SHARE / 2) * users.common[who] + np.sqrt(TRACE_SHARE) * trace + shock

    failed, liabilities = {}, {}
    for metric in RATES:
        own = np.sqrt(USER_SHARE / 2) * users.own[metric][who]
        noise = np.sqrt(1 - USER_SHARE - TRACE_SHARE) * rng.standard_normal(count)
        liability = common + own + noise + DRIFTED_LIABILITY * drifted
        if metric == "task_completion":
            liability = liability + HARD_LIABILITY * hard + STRICTER_BY * stricter
            if steps:
                liability = liability + _EMPTY_LIABILITY * (steps["documents"] == 0)
        liabilities[metric] = liability
        usual = base_rate(metric, row)
        rates = np.where(changed, usual + scenario.added.get(metric, 0.0), usual)
        failed[metric] = liability > _thresholds(rates, _kinds(scenario, metric, _EMPTY_SEARCHES if steps else 0.0))

    pace, length = (
        np.sqrt(USER_SHARE) * users.own[what][who] + np.sqrt(1 - USER_SHARE) * rng.standard_normal(count)
        for what in ("latency", "tokens")
    )
    midnight = int(start_of_day.timestamp()) * 10**9
    ids = rng.integers(0, 256, (count, 16), dtype=np.uint8)
    # Never all zero: such an id is invalid.
    ids[:, 0] |= 1
    drawn = pl.DataFrame(
        {
            "trace_id": [octets.tobytes().hex() for octets in ids],
            "cohort": np.full(count, COHORTS[row]),
            "user_id": [f"u-{row}-{number}" for number in who],
            "is_candidate": candidate,
            "is_hard": hard,
            "is_drifted": drifted,
            "prompt_version": np.where(drifted & (scenario.drifts == "prompt"), "8", "7"),
            "evaluator_version": np.where(stricter, "2", "1"),
            "start_ns": midnight + rng.integers(0, 86_400 * 10**9, count),
            "latency_ms": _latency(rng, pace, np.where(changed, scenario.slow_factor, 1.0)),
            "input_tokens": np.maximum(1, _INPUT_TOKENS * np.exp(_INPUT_SPREAD * rng.standard_normal(count))).astype(
                np.int64
            ),
            "output_tokens": _written(length, np.where(changed, scenario.token_factor, 1.0)),
            **failed,
            "score_lost": candidate & failed["task_completion"] & (rng.random(count) < scenario.lost_scores),
            **{f"{name}_delay_s": _delays(scenario, rng, count, MATURITY[name]) for name in OUTCOMES},
            **steps,
        },
        schema_overrides={"cohort": pl.String, "prompt_version": pl.String, "evaluator_version": pl.String},
    )
    if scenario.kept < 1:
        drawn = _sampled(drawn, rng, scenario.kept)
    if scenario.split == "mirrored":
        request = _Request(liabilities["error"], pace, length)
        return _mirrored(drawn, scenario, rng, request, base_rate("error", row), touched=touched)
    return drawn


def _arms(scenario: Scenario, rng: np.random.Generator, places: Floats, day: int) -> npt.NDArray[np.bool_]:
    """Which traces of a day the candidate answers."""
    promoted = day >= 0
    if scenario.split == "user":
        return (places < scenario.share_on(day)) & promoted
    if scenario.split == "request":
        return (rng.random(len(places)) < scenario.share_on(day)) & promoted
    return np.full(len(places), promoted and scenario.split == "before_after")


def _latency(rng: np.random.Generator, pace: Floats, slow_factor: Floats) -> Floats:
    """Milliseconds, given each trace's place among the usual ones as a standard normal."""
    slow = rng.random(len(pace)) < slow_factor * SLOW_PATH
    tail = _SLOW_MS * (1 + rng.pareto(SLOW_TAIL, len(pace)))
    return np.where(slow, tail, _USUAL_MS * np.exp(_LATENCY_SPREAD * pace))


def _written(length: Floats, factor: Floats | float) -> npt.NDArray[np.int64]:
    """Output tokens, given each trace's place among all as a standard normal."""
    return np.maximum(1, _OUTPUT_TOKENS * np.exp(_OUTPUT_SPREAD * length) * factor).astype(np.int64)


def _steps(scenario: Scenario, rng: np.random.Generator, changed: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[Any]]:
    """What the steps before the answer came to: documents found, and whether the tool failed."""
    count = len(changed)
    empty = rng.random(count) < _EMPTY_SEARCHES + np.where(changed, scenario.empty_searches, 0.0)
    return {
        "documents": np.where(empty, 0, rng.integers(1, MOST_DOCUMENTS + 1, count)),
        "tool_failed": rng.random(count) < _FAILED_TOOLS,
    }


def _sampled(drawn: pl.DataFrame, rng: np.random.Generator, kept: float) -> pl.DataFrame:
    """What a tail sampler in the candidate's way keeps: errors, failing scores, and a share of the rest."""
    interesting = pl.any_horizontal("error", *EVALUATORS)
    probability = pl.when(pl.col("is_candidate") & ~interesting).then(kept).otherwise(1.0)
    return drawn.with_columns(keep_probability=probability).with_columns(
        is_kept=pl.Series(rng.random(drawn.height)) < pl.col("keep_probability")
    )


def _mirrored(
    drawn: pl.DataFrame, scenario: Scenario, rng: np.random.Generator, request: _Request, usual: float, *, touched: bool
) -> pl.DataFrame:
    """The traces of the base with what the candidate made of the same requests.

    Args:
        drawn: the traces.
        scenario: what is drawn.
        rng: the cohort's generator of the day.
        request: what the requests were to the base.
        usual: the base's rate of errors.
        touched: whether the candidate differs in this cohort.
    """
    own = np.sqrt(1 - _SHARED_BY_MODELS**2)

    def again(by_base: Floats) -> Floats:
        """What another model makes of it: as spread out as the base's, and alike."""
        return np.asarray(_SHARED_BY_MODELS * by_base + own * rng.standard_normal(len(by_base)))

    rate = usual + (scenario.added.get("error", 0.0) if touched else 0.0)
    failed = again(request.error) > _NORMAL.inv_cdf(1 - rate)
    took = _latency(rng, again(request.pace), np.full(drawn.height, scenario.slow_factor if touched else 1.0))
    return drawn.with_columns(
        mirrored_error=failed,
        mirrored_latency_ms=np.where(failed, _TIMED_OUT, took),
        mirrored_output_tokens=_written(again(request.length), scenario.token_factor if touched else 1.0),
    )


def _kinds(scenario: Scenario, metric: str, empty: float) -> Kinds:
    """The kinds of the base arm's requests that matter for a metric."""
    if metric != "task_completion":
        return ((1.0, 0.0),)
    hard = scenario.hard_share[0]
    return tuple(
        (a * b, difficulty + nothing)
        for a, difficulty in ((1 - hard, 0.0), (hard, HARD_LIABILITY))
        for b, nothing in ((1 - empty, 0.0), (empty, _EMPTY_LIABILITY))
        if a * b
    )


def _thresholds(rates: Floats, kinds: Kinds) -> Floats:
    """The liability beyond which a trace fails: with the base arm's kinds of requests it has the stated rate."""
    distinct, places = np.unique(rates, return_inverse=True)
    found = np.array([threshold(float(rate), kinds) for rate in distinct])
    return found[places]


def _delays(scenario: Scenario, rng: np.random.Generator, count: int, within: timedelta) -> Floats:
    """Seconds until feedback comes: most of it early, or most of it late, none after ``within``."""
    whole = within.total_seconds()
    if scenario.late_labels:
        return 0.99 * whole * rng.beta(4, 2, count)
    return np.minimum(rng.exponential(whole / 5, count), 0.99 * whole)
