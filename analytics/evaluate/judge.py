"""A judge: a model behind an OpenAI-compatible endpoint that scores by a prompt."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from analytics.evaluate import prompt as asked
from analytics.evaluate.budget import Budget, Price, UnmeasuredError
from analytics.evaluate.endpoint import Endpoint, Reply, ask
from analytics.evaluate.errors import TRANSIENT, EvaluatorUnusableError
from analytics.evaluate.subject import Answer, Judgement, Level, NotApplicable, OutOfBudget, Subject

if TYPE_CHECKING:
    import aiohttp

MOST_FAILURES = 10
"""Subjects in a row for which the endpoint gave no answer, after which it is left alone."""

_CHARACTERS_PER_TOKEN = 3
"""What a token is taken to have, at least, when its cost is set aside."""

_RULES = "1"
"""Goes up when the same answer would be read differently, or the rules around a prompt change."""


@dataclass(frozen=True)
class Question:
    """What a judge decides.

    Attributes:
        name: the evaluator's name.
        prompt: what to judge and by what; see :data:`analytics.evaluate.prompt.PLACEHOLDERS`.
        lowest: the lowest score there is.
        highest: the highest.
        threshold: the score that just passes; None: the judge's own label decides.
        higher_is: whether higher scores are better or worse; None where only the evaluator's name tells it.
        level: what one result speaks of.
        version: what tells this question from an earlier one; None: a hash of what it is made of.
    """

    name: str
    prompt: str
    lowest: float = 0.0
    highest: float = 1.0
    threshold: float | None = None
    higher_is: Literal["better", "worse"] | None = None
    level: Level = "call"
    version: str | None = None


class Judge:
    """Asks a model about each subject, several at a time.

    Args:
        question: what it decides.
        endpoint: where it is asked.
        budget: what may be spent.
        price: what its tokens cost.
        concurrency: requests under way at once.
    """

    annotator: Literal["LLM"] = "LLM"

    def __init__(
        self, question: Question, endpoint: Endpoint, budget: Budget, price: Price, *, concurrency: int = 4
    ) -> None:
        self._question = question
        self._endpoint = endpoint
        self._budget = budget
        self._price = price
        self._concurrency = concurrency
        self._failures = 0
        self._ended: Exception | None = None
        self.name = question.name
        self.judge_model = endpoint.model
        self.threshold = question.threshold
        self.higher_is = question.higher_is
        self.level = question.level
        self.version = question.version or _version(question, endpoint)

    def evaluate(self, subjects: Sequence[Subject]) -> Iterator[Answer]:
        """Judge subjects: what is answered is yielded in their order as it comes.

        Raises:
            EvaluatorUnusableError: the endpoint refuses whatever is asked, or does not answer any more.
            UnmeasuredError: a budget cannot be kept.
        """
        if self._ended:
            raise self._ended
        with asyncio.Runner() as runner:
            session, slots = runner.run(self._opened())
            tasks: list[asyncio.Task[Answer]] = []
            try:
                tasks = runner.run(self._begun(subjects, session, slots))
                for number, task in enumerate(tasks):
                    try:
                        answer = runner.run(_done(task))
                    except KeyboardInterrupt:
                        # What has been answered meanwhile was paid for.
                        yield from (done.result() for done in itertools.takewhile(_is_answered, tasks[number:]))
                        raise
                    yield answer
            finally:
                runner.run(_closed(session, tasks))

    async def _opened(self) -> tuple[aiohttp.ClientSession, asyncio.Semaphore]:
        return self._endpoint.session(), asyncio.Semaphore(self._concurrency)

    async def _begun(
        self, subjects: Sequence[Subject], session: aiohttp.ClientSession, slots: asyncio.Semaphore
    ) -> list[asyncio.Task[Answer]]:
        return [asyncio.create_task(self._judged(subject, session, slots)) for subject in subjects]

    async def _judged(self, subject: Subject, session: aiohttp.ClientSession, slots: asyncio.Semaphore) -> Answer:
        question = self._question
        unfit = self._unfit(subject)
        if unfit:
            return NotApplicable(unfit)
        messages = asked.messages(question.prompt, subject, question.lowest, question.highest)
        async with slots:
            if self._ended:
                raise self._ended
            reply = await self._asked(session, messages)
        if reply is None:
            return OutOfBudget()
        self._failures = self._failures + 1 if reply.error_type in TRANSIENT else 0
        if self._failures >= MOST_FAILURES and self._ended is None:
            self._ended = EvaluatorUnusableError(
                f"The judge at {self._endpoint.host} did not answer {self._failures} times in a row "
                f"({reply.error_type}); run the command again when it does."
            )
        if reply.text is None:
            return Judgement(error_type=reply.error_type)
        found = asked.judgement(reply.text, question.lowest, question.highest, by_score=question.threshold is not None)
        # An answer that was cut and can be read all the same is an answer.
        return replace(found, error_type=reply.error_type) if found.error_type and reply.error_type else found

    def _unfit(self, subject: Subject) -> str | None:
        """Why a subject cannot be judged; None if it can."""
        if subject.withheld:
            return "content was cut, hashed or is too large"
        material = asked.material_of(subject)
        for name in sorted(asked.placeholders(self._question.prompt)):
            # A conversation may well go without tools; an answer without words is none.
            if not material[name] and name != "tools":
                return f"no {name} was recorded"
        return None

    async def _asked(self, session: aiohttp.ClientSession, messages: list[dict[str, str]]) -> Reply | None:
        """The reply to a question, after as many attempts as it takes; None where the budget does not allow one."""
        tokens, usd = self._expected(messages)
        reply: Reply | None = None
        for attempt in range(self._endpoint.retries + 1):
            if not self._budget.allows(tokens, usd):
                return reply
            try:
                reply = await ask(self._endpoint, session, messages, attempt)
            except EvaluatorUnusableError as error:
                self._ended = error
                self._budget.release(tokens, usd)
                raise
            except BaseException:
                self._budget.release(tokens, usd)
                raise
            if reply.error_type in TRANSIENT:
                self._budget.release(tokens, usd)
            else:
                try:
                    self._budget.settle(tokens, usd, reply.used, self._price)
                except UnmeasuredError as error:
                    # This answer was paid for; the next is not asked for.
                    self._ended = error
            if reply.wait_seconds is None or attempt == self._endpoint.retries:
                return reply
            await asyncio.sleep(reply.wait_seconds)
        return reply

    def _expected(self, messages: list[dict[str, str]]) -> tuple[int, Decimal | None]:
        """What a question will probably use: tokens, and their cost."""
        read = (
            sum(len(message["content"].encode("utf-8", "surrogatepass")) for message in messages)
            // _CHARACTERS_PER_TOKEN
        )
        written = self._endpoint.max_output_tokens
        return read + written, self._price(read, written) if self._budget.usd is not None else None


def _is_answered(task: asyncio.Task[Answer]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


async def _closed(session: aiohttp.ClientSession, tasks: Sequence[asyncio.Task[Answer]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await session.close()


async def _done(task: asyncio.Task[Answer]) -> Answer:
    # Interrupted, this wait ends and the question goes on until it is called off: meanwhile no other is asked.
    await asyncio.wait([task])
    return task.result()


def _version(question: Question, endpoint: Endpoint) -> str:
    """A hash of everything but the model that a judgement hangs on, so that a changed prompt is another version."""
    parts = (
        _RULES, question.prompt, question.lowest, question.highest, question.level, endpoint.response_format,
        endpoint.max_output_tokens, dict(endpoint.parameters),
    )  # fmt: skip
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
