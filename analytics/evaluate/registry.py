"""Evaluators by their names: what each says of itself, and those that other packages bring along."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal

from analytics.evaluate.errors import EvaluatorUnusableError
from analytics.evaluate.subject import Evaluator, Level

GROUP = "spanverdict.evaluators"
"""The group of entry points in which packages offer evaluators."""

SOURCE = "spanverdict"
"""What results of a run here name as their source, so that they never replace those of others."""

_ANNOTATORS = ("CODE", "LLM")
_DIRECTIONS = ("better", "worse")
_LEVELS = ("call", "trace")


@dataclass(frozen=True)
class Description:
    """What an evaluator says of itself; goes with every result.

    Attributes:
        name: its name.
        version: its version.
        annotator: ``CODE`` for a rule, ``LLM`` for a model.
        judge_model: the model that judges; None for none.
        threshold: the score that just passes; None where labels decide.
        higher_is: whether higher scores are better or worse; None where not told.
        level: what one result speaks of.
    """

    name: str
    version: str
    annotator: Literal["CODE", "LLM"] = "CODE"
    judge_model: str | None = None
    threshold: float | None = None
    higher_is: Literal["better", "worse"] | None = None
    level: Level = "call"


def described(evaluator: Evaluator) -> Description:
    """What an evaluator says of itself.

    Args:
        evaluator: ``name`` and ``version`` are texts; ``annotator`` (CODE or LLM), ``judge_model`` (a text),
            ``threshold`` (a number), ``higher_is`` (better or worse) and ``level`` (call or trace) may be there.

    Raises:
        EvaluatorUnusableError: one of them is not what it should be.
    """

    def told(attribute: str, default: Any = None) -> Any:  # noqa: ANN401 (checked below)
        return getattr(evaluator, attribute, default)

    name, version, threshold = told("name"), told("version"), told("threshold")
    for attribute, value in (("name", name), ("version", version)):
        if not isinstance(value, str) or not value.strip():
            raise EvaluatorUnusableError(f"{type(evaluator).__name__}: its {attribute} is no text.")
    for attribute, value, allowed in (
        ("annotator", told("annotator", "CODE"), _ANNOTATORS),
        ("higher_is", told("higher_is") or "better", _DIRECTIONS),
        ("level", told("level", "call"), _LEVELS),
    ):
        if value not in allowed:
            raise EvaluatorUnusableError(f"{name}: its {attribute} is {value!r}, not {' or '.join(allowed)}.")
    number = isinstance(threshold, int | float) and not isinstance(threshold, bool) and math.isfinite(threshold)
    if threshold is not None and not number:
        raise EvaluatorUnusableError(f"{name}: its threshold is {threshold!r}, not a finite number.")
    model = told("judge_model")
    if model is not None and not isinstance(model, str):
        raise EvaluatorUnusableError(f"{name}: its judge_model is no text.")
    return Description(
        name, version, told("annotator", "CODE"), model, threshold, told("higher_is"), told("level", "call")
    )


def installed() -> list[str]:
    """The names of the evaluators that installed packages offer, sorted."""
    return sorted(entry_points(group=GROUP).names)


def load_installed(entry: str, name: str, settings: Mapping[str, Any]) -> Evaluator:
    """Make an evaluator that an installed package offers.

    Args:
        entry: the name of its entry point: a class or a function that is called with the settings by their names.
        name: the evaluator's name here, for messages.
        settings: what the configuration gives it.

    Raises:
        EvaluatorUnusableError: there is none of that name, or it cannot be made.
    """
    found = entry_points(group=GROUP, name=entry)
    if not found:
        known = f"installed are {', '.join(installed())}" if installed() else "no package offers any"
        raise EvaluatorUnusableError(f"{name}: there is no installed evaluator {entry!r}; {known}.")
    try:
        evaluator = next(iter(found)).load()(**settings)
    except Exception as error:
        raise EvaluatorUnusableError(
            f"{name}: the installed evaluator {entry!r} cannot be made: {type(error).__name__}: {error}."
        ) from error
    if not callable(getattr(evaluator, "evaluate", None)):
        raise EvaluatorUnusableError(f"{name}: the installed evaluator {entry!r} has no method evaluate.")
    made: Evaluator = evaluator
    return made
