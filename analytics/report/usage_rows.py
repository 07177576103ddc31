"""What the arms used and how their attempt chains went, as rows of text for tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from analytics.report import formatting
from analytics.report.evidence import Attempts, Usage
from analytics.report.model import Report

_NOTHING = frozenset({None, 0})
_Side = TypeVar("_Side", Usage, Attempts)


@dataclass(frozen=True)
class CohortRows:
    """A table with one row a cohort, each cell "base → candidate".

    Attributes:
        titles: of the columns after the cohort's.
        rows: the cohort's name and its cells.
    """

    titles: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class _Column:
    """A column: its title, the number that it shows, and the number's unit; shown where any arm has it."""

    title: str
    number: Callable[[Usage | Attempts], float | None]
    unit: str


def usage_rows(report: Report) -> CohortRows:
    """Cost, tokens and calls of a trace, by cohort; columns that nothing is known of are left out."""
    return _rows(report.evidence.usage, _USAGE)


def attempt_rows(report: Report) -> CohortRows:
    """How attempt chains went, by cohort: shares of chains; columns in which nothing happened are left out."""
    return _rows(report.evidence.attempts, _ATTEMPTS)


def _rows(sides: Iterable[_Side], columns: Iterable[_Column]) -> CohortRows:
    by_cohort: dict[str, dict[str, _Side]] = {}
    for side in sides:
        by_cohort.setdefault(side.cohort, {})[side.arm] = side
    shown = [
        column
        for column in columns
        if any(column.number(side) not in _NOTHING for arms in by_cohort.values() for side in arms.values())
    ]
    rows = tuple((cohort, tuple(_both(arms, column) for column in shown)) for cohort, arms in sorted(by_cohort.items()))
    return CohortRows(tuple(column.title for column in shown), rows if shown else ())


def _both(arms: dict[str, _Side], column: _Column) -> str:
    base, candidate = (_value(arms[arm], column) if arm in arms else "no traces" for arm in ("base", "candidate"))
    unit = base.partition(" ")[2]
    # The unit once, where both have it.
    return f"{base.removesuffix(f' {unit}') if unit and candidate.endswith(f' {unit}') else base} → {candidate}"


def _value(side: Usage | Attempts, column: _Column) -> str:
    number = column.number(side)
    # Attempts without a price are missing in the sum.
    least = isinstance(side, Attempts) and column.unit == "usd" and side.unpriced and number is not None
    return f"{'at least ' if least else ''}{formatting.value(number, column.unit)}"


def _of_usage(read: Callable[[Usage], float | None]) -> Callable[[Usage | Attempts], float | None]:
    return lambda side: read(side) if isinstance(side, Usage) else None


def _of_chains(
    share: Callable[[Attempts], float | None], number: Callable[[Attempts], int]
) -> Callable[[Usage | Attempts], float | None]:
    """The share of an arm's chains of which something is true, from their number where it is not told."""

    def read(side: Usage | Attempts) -> float | None:
        if not isinstance(side, Attempts) or not side.chains:
            return None
        told = share(side)
        return number(side) / side.chains if told is None else told

    return read


_USAGE = (
    _Column("cost per trace", _of_usage(lambda side: side.cost), "usd"),
    _Column("cost unknown", _of_usage(lambda side: side.unpriced / side.traces if side.traces else None), "rate"),
    _Column("input tokens", _of_usage(lambda side: side.input_tokens), "tokens"),
    _Column("from a cache", _of_usage(lambda side: side.cache_read_tokens), "tokens"),
    _Column("output tokens", _of_usage(lambda side: side.output_tokens), "tokens"),
    _Column("for reasoning", _of_usage(lambda side: side.reasoning_tokens), "tokens"),
    _Column("model calls", _of_usage(lambda side: side.calls), "count"),
)
_ATTEMPTS = (
    _Column("attempts", lambda side: side.attempts if isinstance(side, Attempts) else None, "count"),
    _Column("retried", _of_chains(lambda side: side.retry_rate, lambda side: side.retried), "rate"),
    _Column("repaired", _of_chains(lambda side: side.repair_rate, lambda side: side.repaired), "rate"),
    _Column("fell back", _of_chains(lambda side: side.fallback_rate, lambda side: side.fell_back), "rate"),
    _Column("rescued", _of_chains(lambda side: side.rescue_rate, lambda side: side.rescued), "rate"),
    _Column("failed", _of_chains(lambda side: side.failure_rate, lambda side: side.failed), "rate"),
    _Column("extra cost", lambda side: side.extra_cost if isinstance(side, Attempts) else None, "usd"),
)
