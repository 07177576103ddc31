"""What an evaluator is shown and what it answers: the contract for evaluators of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

Level = Literal["call", "trace"]
"""What one result speaks of: a single model call, or a trace as a whole."""


@dataclass(frozen=True)
class ToolCall:
    """A tool that a model asked for.

    Attributes:
        name: the tool's name; None where only the call itself is known.
        arguments: what the model handed to it: the text as sent, or a parsed JSON value; None where it is not known.
    """

    name: str | None
    arguments: Any = None


@dataclass(frozen=True)
class Message:
    """One message of a conversation.

    Attributes:
        role: system, user, assistant, tool, or as sent.
        text: its texts, joined by line breaks; empty where it has none.
        tool_calls: the tools that it asks for.
    """

    role: str
    text: str
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Call:
    """One model call, as far as its content was recorded.

    Attributes:
        trace_id: the trace, lowercase hex.
        span_id: its span, lowercase hex.
        start_time: when it began (UTC, naive).
        request_model: the model asked for; None if not told.
        prompt_name: the prompt's name in its registry; None if not told.
        messages: what was handed to the model; empty where it was not recorded.
        answers: what the model answered, one message for each choice; empty where it was not recorded.
        tools: the tools that it was offered: name → JSON Schema of the arguments, None where that is not recorded.
        output_schema: the JSON Schema that the answer was asked to follow (True: any JSON); None for no such wish.
        withheld: something of this was cut, hashed, masked or too large to read, so it is not what was said.
        attributes: the span's attributes as stored.
    """

    trace_id: str
    span_id: str
    start_time: datetime
    request_model: str | None = None
    prompt_name: str | None = None
    messages: tuple[Message, ...] = ()
    answers: tuple[Message, ...] = ()
    tools: Mapping[str, Any] = field(default_factory=dict)
    output_schema: Any = None
    withheld: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools that its answers ask for."""
        return tuple(call for answer in self.answers for call in answer.tool_calls)


@dataclass(frozen=True)
class Subject:
    """What one result will speak of.

    Attributes:
        trace_id: the trace, lowercase hex.
        span_id: the span of the call that is judged, lowercase hex; None for the trace as a whole.
        calls: the call, or all calls of the trace in the order of their start.
        tools_run: names of the tools that ran in the trace (of the TOOL spans), in the order of their start.
        documents: texts that retrievals in the trace found.
        attributes: the attributes of all spans of the trace that were read, root first; of one name the first stays.
        expected: what the data set item that the trace names expects, parsed; None for no such item.
    """

    trace_id: str
    span_id: str | None
    calls: tuple[Call, ...]
    tools_run: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    expected: Any = None

    @property
    def input(self) -> str:
        """What the user said: the last message of a user that the first call was handed; else its whole input."""
        messages = self.calls[0].messages if self.calls else ()
        said = [message.text for message in messages if message.role == "user" and message.text]
        return said[-1] if said else "\n".join(message.text for message in messages if message.text)

    @property
    def output(self) -> str:
        """What the model answered in the end: the texts of the last call that answered in words."""
        for call in reversed(self.calls):
            texts = [answer.text for answer in call.answers if answer.text]
            if texts:
                return "\n".join(texts)
        return ""

    @property
    def conversation(self) -> str:
        """All messages that the last call was handed, each after its role."""
        messages = self.calls[-1].messages if self.calls else ()
        return "\n".join(f"{message.role}: {message.text}" for message in messages if message.text)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools that the answers ask for, in order."""
        return tuple(call for one in self.calls for call in one.tool_calls)

    @property
    def withheld(self) -> bool:
        """Whether content of a call is not there as it was said."""
        return any(call.withheld for call in self.calls)


@dataclass(frozen=True)
class Judgement:
    """What an evaluator found; one of score, label and error type at least.

    Attributes:
        score: a finite number.
        label: a word, such as pass or fail.
        explanation: why, for people.
        error_type: the class of what kept the evaluator from judging; then it is neither pass nor failure.
    """

    score: float | None = None
    label: str | None = None
    explanation: str | None = None
    error_type: str | None = None


@dataclass(frozen=True)
class NotApplicable:
    """The evaluator has nothing to say of a subject, and nothing is stored.

    Attributes:
        reason: why, as a few words that are alike for alike subjects: they are counted.
    """

    reason: str


@dataclass(frozen=True)
class OutOfBudget:
    """The budget does not allow to judge this subject; the run ends."""


Answer = Judgement | NotApplicable | OutOfBudget


class Evaluator(Protocol):
    """An evaluator.

    Further attributes are read if there: ``annotator``, ``judge_model``, ``threshold``, ``higher_is``, ``level``; see
    :func:`analytics.evaluate.registry.described`.
    """

    @property
    def name(self) -> str:
        """The name that its results have."""
        ...

    @property
    def version(self) -> str:
        """What changes whenever it would judge differently; subjects are judged once by each version."""
        ...

    def evaluate(self, subjects: Sequence[Subject]) -> Iterable[Answer]:
        """Judge a batch: one answer for each subject, in order; of a generator what it has yielded is kept."""
        ...
