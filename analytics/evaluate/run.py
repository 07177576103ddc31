"""A run of one evaluator: batch by batch, each stored before the next, until all is judged or the budget is spent."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from analytics.evaluate.budget import UnmeasuredError
from analytics.evaluate.errors import EvaluatorUnusableError
from analytics.evaluate.prompt import LONGEST_EXPLANATION, LONGEST_LABEL
from analytics.evaluate.selection import Target
from analytics.evaluate.subject import Answer, Evaluator, Judgement, NotApplicable, OutOfBudget, Subject

Deliver = Callable[[Sequence[tuple[Target, Judgement]]], None]
"""Stores results; when it returns they are safe."""

MOST_FAILURES = 20
"""Subjects in a row that an evaluator breaks on, after which it is given up."""

NO_ANSWER = "no_answer"
UNUSABLE_ANSWER = "unusable_answer"


@dataclass
class Tally:
    """What a run came to.

    Attributes:
        stored: results that were stored, errors included.
        failed_to_run: of these, by error type, those that say that the evaluator could not judge.
        not_applicable: subjects that the evaluator had nothing to say of, by reason.
        by_arm: of a promotion's traces, how many were judged.
        left: what is still to be judged, because the budget or the limit ended the run.
        ended: why the run ended before its end; None if it did not.
        within_bounds: the budget or the limit ended it, as was asked.
    """

    stored: int = 0
    failed_to_run: Counter[str] = field(default_factory=Counter)
    not_applicable: Counter[str] = field(default_factory=Counter)
    by_arm: Counter[str | None] = field(default_factory=Counter)
    left: int = 0
    ended: str | None = None
    within_bounds: bool = False


def run(
    evaluator: Evaluator,
    wanted: Sequence[Target],
    read: Callable[[Sequence[Target]], list[Subject]],
    deliver: Deliver,
    *,
    batch: int,
    limit: int | None = None,
    advance: Callable[[int], object] = lambda _count: None,
) -> Tally:
    """Judge targets in their order.

    A batch that is interrupted is stored as far as it has come.

    Args:
        evaluator: who judges.
        wanted: what is to be judged.
        read: reads what was recorded of a batch.
        deliver: stores results.
        batch: targets of one batch.
        limit: how many results to store at most. Subjects that the evaluator has nothing to say of do not count: the
            next run meets them again, and would come no further.
        advance: is told how many targets were passed.

    Raises:
        StoreError: results cannot be stored now; those of earlier batches are.
    """
    tally = Tally(left=len(wanted))
    for start in range(0, len(wanted), batch):
        part = wanted[start : start + batch]
        open_still = list(zip(part, read(part), strict=False))
        while open_still and not tally.ended:
            room = len(open_still) if limit is None else limit - tally.stored
            if room <= 0:
                tally.ended, tally.within_bounds = "The limit is reached.", True
                break
            _judge(tally, evaluator, open_still[:room], deliver, advance)
            open_still = open_still[room:]
        if tally.ended:
            break
    return tally


def _judge(
    tally: Tally,
    evaluator: Evaluator,
    part: Sequence[tuple[Target, Subject]],
    deliver: Deliver,
    advance: Callable[[int], object],
) -> None:
    """Judge some, store what came of it, and count it."""
    answers: list[tuple[Target, Answer]] = []
    try:
        for (target, _), answer in zip(part, _answers(evaluator, [subject for _, subject in part]), strict=False):
            answers.append((target, answer))
    except (EvaluatorUnusableError, UnmeasuredError) as error:
        tally.ended = str(error)
    finally:
        # Also when Ctrl-C ends it: what was answered may have been paid for.
        results = [(target, answer) for target, answer in answers if isinstance(answer, Judgement)]
        if results:
            deliver(results)
        _count(tally, answers)
        advance(len(answers))
    if any(isinstance(answer, OutOfBudget) for _, answer in answers):
        tally.within_bounds = tally.ended is None
        tally.ended = tally.ended or "The budget is spent."


def _count(tally: Tally, answers: Sequence[tuple[Target, Answer]]) -> None:
    for target, answer in answers:
        if isinstance(answer, OutOfBudget):
            continue
        tally.left -= 1
        if isinstance(answer, NotApplicable):
            tally.not_applicable[answer.reason] += 1
            continue
        tally.stored += 1
        if answer.error_type:
            tally.failed_to_run[answer.error_type] += 1
        else:
            tally.by_arm[target.arm] += 1


def _answers(evaluator: Evaluator, subjects: Sequence[Subject]) -> Iterator[Answer]:
    """One answer for each subject: where an evaluator breaks, those that are left are handed to it one by one."""
    answered = 0
    try:
        for answer in itertools.islice(evaluator.evaluate(subjects), len(subjects)):
            yield _usable(answer)
            answered += 1
        if answered == len(subjects):
            return
    except (EvaluatorUnusableError, UnmeasuredError):
        raise
    except Exception as error:  # noqa: BLE001 (an evaluator of somebody else may raise anything)
        if len(subjects) == 1:
            yield Judgement(error_type=type(error).__name__)
            return
    if len(subjects) == 1:
        yield Judgement(error_type=NO_ANSWER)
        return
    broken = 0
    for subject in subjects[answered:]:
        answer = next(_answers(evaluator, [subject]))
        yield answer
        broken = broken + 1 if isinstance(answer, Judgement) and answer.error_type else 0
        if broken >= MOST_FAILURES:
            raise EvaluatorUnusableError(
                f"{evaluator.name} broke on {broken} in a row, last with {answer.error_type}."
                if isinstance(answer, Judgement)
                else f"{evaluator.name} broke on {broken} in a row."
            )


def _usable(answer: object) -> Answer:
    """An answer that can be stored; one of an evaluator of somebody else may be anything."""
    if isinstance(answer, NotApplicable | OutOfBudget):
        return answer
    if not isinstance(answer, Judgement):
        return Judgement(error_type=UNUSABLE_ANSWER)
    score, label = answer.score, answer.label
    number = score is None or (isinstance(score, int | float) and math.isfinite(score))
    texts = all(text is None or isinstance(text, str) for text in (label, answer.explanation, answer.error_type))
    says = score is not None or bool(label) or bool(answer.error_type)
    if not (number and texts and says):
        return Judgement(error_type=UNUSABLE_ANSWER)
    return Judgement(
        None if score is None else float(score),
        (label or None) and str(label)[:LONGEST_LABEL],
        (answer.explanation or None) and str(answer.explanation)[:LONGEST_EXPLANATION],
        answer.error_type or None,
    )
