"""Evaluators of the ``ai-evaluation`` package (FutureAGI's ``fi.evals``), an optional extra."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from analytics.evaluate.budget import Budget
from analytics.evaluate.errors import EvaluatorUnusableError
from analytics.evaluate.prompt import LONGEST_EXPLANATION, material_of
from analytics.evaluate.subject import Answer, Judgement, Level, NotApplicable, OutOfBudget, Subject

PACKAGE = "ai-evaluation"

FAILED = "evaluation_failed"
"""The error type where the package says that it could not judge."""

LOCAL = "local"
"""The engine that calls no model."""


@dataclass(frozen=True)
class Template:
    """Which of the package's evaluators to run, and what it is given.

    Attributes:
        name: the evaluator's name here.
        template: its name in the package, such as ``groundedness`` or ``is_json``.
        model: the model that the package is to use; None for metrics that need none.
        engine: ``local``, ``turing`` or ``llm``; None: the package decides by the model.
        inputs: the package's argument → what it is given: one of ours (``input``, ``output``, ``conversation``,
            ``context``, ``tools``, ``expected``) in braces, or a fixed text.
        threshold: the score that just passes; None: the package's own ``passed`` decides.
        higher_is: whether higher scores are better or worse; None where only the evaluator's name tells it.
        level: what one result speaks of.
        version: what tells it from an earlier one; None: the package's version.
    """

    name: str
    template: str
    model: str | None = None
    engine: str | None = None
    inputs: Mapping[str, str] = field(default_factory=lambda: {"input": "{input}", "output": "{output}"})
    threshold: float | None = None
    higher_is: Literal["better", "worse"] | None = None
    level: Level = "call"
    version: str | None = None


class AiEvaluation:
    """Runs one of the package's evaluators, several subjects at a time.

    Args:
        template: which.
        budget: what may be spent; a metric that calls no model spends nothing.
        concurrency: calls under way at once.

    Raises:
        EvaluatorUnusableError: the package is not installed.
    """

    def __init__(self, template: Template, budget: Budget, *, concurrency: int = 4) -> None:
        try:
            installed = version(PACKAGE)
            self._run: Callable[..., Any] = import_module("fi.evals").evaluate
        except (PackageNotFoundError, ImportError) as error:
            raise EvaluatorUnusableError(
                f"{template.name} needs the package {PACKAGE}: install spanverdict[ai-evaluation]."
            ) from error
        self._template = template
        self._budget = budget
        self._concurrency = concurrency
        self.name = template.name
        self.version = template.version or f"{template.template}@{installed}"
        self.judge_model = template.model
        self.annotator: Literal["CODE", "LLM"] = "LLM" if calls_a_model(template) else "CODE"
        self.threshold = template.threshold
        self.higher_is = template.higher_is
        self.level = template.level

    def evaluate(self, subjects: Sequence[Subject]) -> Iterator[Answer]:
        """Judge subjects; answers come in their order."""
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="ai-evaluation")
        try:
            yield from pool.map(self._judged, subjects)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _judged(self, subject: Subject) -> Answer:
        if subject.withheld:
            return NotApplicable("content was cut, hashed or is too large")
        material = material_of(subject)
        given = {}
        for argument, source in self._template.inputs.items():
            name = source[1:-1]
            given[argument] = material[name] if source == f"{{{name}}}" and name in material else source
            if not given[argument]:
                return NotApplicable(f"no {name} was recorded")
        if calls_a_model(self._template) and not self._budget.allows(0, None):
            return OutOfBudget()
        found = self._run(self._template.template, model=self._template.model, engine=self._template.engine, **given)
        return self._read(found)

    def _read(self, found: Any) -> Judgement:  # noqa: ANN401 (the package's own type)
        score = found.score
        explanation = (found.reason or None) and str(found.reason)[:LONGEST_EXPLANATION]
        usable = isinstance(score, int | float) and math.isfinite(score)
        if found.status != "completed" or not usable:
            return Judgement(explanation=explanation, error_type=FAILED)
        label = None
        if self._template.threshold is None and isinstance(found.passed, bool):
            label = "pass" if found.passed else "fail"
        return Judgement(float(score), label, explanation)


def calls_a_model(template: Template) -> bool:
    """Whether a template spends calls of a model."""
    return template.engine != LOCAL and (template.engine is not None or template.model is not None)
