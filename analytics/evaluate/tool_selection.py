"""ToolSelectionAccuracy: did the model choose the tools that were expected?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from analytics.evaluate.subject import Answer, Judgement, Level, NotApplicable, Subject

NAME = "ToolSelectionAccuracy"

Order = Literal["any", "exact"]
"""Whether the same tools are enough, in whatever order and however often, or the same sequence is asked for."""

_RULES = "1"
"""Goes up when the same choice would be judged differently."""

_EXPECTED_KEYS = ("expected_tools", "tools", "tool", "expected_tool_calls", "tool_calls", "tools_called")
_NAME_KEYS = ("name", "tool", "tool_name", "function")


@dataclass(frozen=True)
class ToolRule:
    """Which tools are expected of the traces that an attribute marks.

    Attributes:
        attribute: an attribute of any span of the trace.
        tools: the names of the expected tools; empty: no tool is to be called.
        equals: the attribute's value, as text; None: any value.
        matches: a regular expression that is found in it; None: any value.
        order: how the tools are compared.
    """

    attribute: str
    tools: tuple[str, ...]
    equals: str | None = None
    matches: str | None = None
    order: Order = "any"

    def holds(self, subject: Subject) -> bool:
        """Whether a trace is marked so."""
        value = subject.attributes.get(self.attribute)
        if value is None:
            return False
        text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
        return (self.equals is None or text == self.equals) and (
            self.matches is None or re.search(self.matches, text[:_LONGEST_VALUE]) is not None
        )


_LONGEST_VALUE = 1_000
"""Characters of an attribute that a regular expression searches: the expression is the user's, the value is not."""


class ToolSelection:
    """Compares the tools that a trace's model calls asked for with those expected.

    Args:
        rules: which tools are expected where no data set item says it; the first that holds decides.
        order: how the tools of a data set item are compared.
        threshold: the score that just passes.
        version: what tells these rules from others.
        name: the evaluator's name.
    """

    annotator: Literal["CODE"] = "CODE"
    level: Level = "trace"
    higher_is: Literal["better"] = "better"

    def __init__(
        self,
        rules: Sequence[ToolRule] = (),
        *,
        order: Order = "any",
        threshold: float = 1.0,
        version: str | None = None,
        name: str = NAME,
    ) -> None:
        self._rules = rules
        self._order: Order = order
        self.threshold = threshold
        self.name = name
        self.version = version or _RULES

    def evaluate(self, subjects: Sequence[Subject]) -> Iterator[Answer]:
        """Judge traces: how far the tools that were chosen are those expected, from 0 to 1."""
        for subject in subjects:
            yield self._judged(subject)

    def _judged(self, subject: Subject) -> Answer:
        expected, order = self._expected(subject)
        if expected is None:
            return NotApplicable("no expected tool is known")
        chosen = chosen_tools(subject)
        if chosen is None:
            return NotApplicable("which tools were chosen was not recorded")
        score = _overlap(chosen, expected) if order == "any" else _in_order(chosen, expected)
        told = f"expected {_listed(expected)}, chosen {_listed(chosen)}."
        return Judgement(score, explanation=told[:1].upper() + told[1:])

    def _expected(self, subject: Subject) -> tuple[tuple[str, ...] | None, Order]:
        tools = expected_tools(subject.expected)
        if tools is not None:
            return tools, self._order
        rule = next((rule for rule in self._rules if rule.holds(subject)), None)
        return (rule.tools, rule.order) if rule else (None, self._order)


def chosen_tools(subject: Subject) -> tuple[str, ...] | None:
    """The tools that a trace's answers ask for, else those that ran; None where neither is known.

    An answer that is recorded and asks for no tool says that none was chosen, unless tools ran.
    """
    asked = subject.tool_calls
    if asked and all(call.name for call in asked) and not subject.withheld:
        return tuple(call.name for call in asked if call.name)
    if subject.tools_run:
        return subject.tools_run
    recorded = bool(subject.calls) and all(call.answers for call in subject.calls)
    return () if recorded and not asked and not subject.withheld else None


def expected_tools(expected: Any) -> tuple[str, ...] | None:  # noqa: ANN401 (JSON)
    """The tools that a data set item expects.

    Args:
        expected: an object with ``expected_tools``, ``tools``, ``tool`` or ``tool_calls``, which is a name, a list of
            names, or a list of objects with a ``name``; or such a list itself. A text alone is an expected answer, not
            a tool.

    Returns:
        The names in order; None where the item says nothing of tools.
    """
    if isinstance(expected, dict):
        found = next((expected[key] for key in _EXPECTED_KEYS if key in expected), None)
        return (found,) if isinstance(found, str) else _names(found)
    return _names(expected) if isinstance(expected, list) and expected else None


def _names(listed: Any) -> tuple[str, ...] | None:  # noqa: ANN401 (JSON)
    if isinstance(listed, dict):
        listed = [listed]
    if not isinstance(listed, list):
        return None
    names = [_name(item) for item in listed]
    known = [name for name in names if name]
    return tuple(known) if len(known) == len(names) else None


def _name(item: Any) -> str | None:  # noqa: ANN401 (JSON)
    if isinstance(item, str):
        return item
    if not isinstance(item, dict):
        return None
    found = next((item[key] for key in _NAME_KEYS if item.get(key)), None)
    return found if isinstance(found, str) else _name(found) if isinstance(found, dict) else None


def _overlap(chosen: Sequence[str], expected: Sequence[str]) -> float:
    """Jaccard's index: tools in both over tools in either; 1 where neither has any."""
    both, either = set(chosen) & set(expected), set(chosen) | set(expected)
    return len(both) / len(either) if either else 1.0


def _in_order(chosen: Sequence[str], expected: Sequence[str]) -> float:
    """The longest common prefix over the longer sequence; 1 where they are equal."""
    if not chosen and not expected:
        return 1.0
    alike = 0
    for one, other in zip(chosen, expected, strict=False):
        if one != other:
            break
        alike += 1
    return alike / max(len(chosen), len(expected))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return (shown + (", …" if len(names) > len(names[:10]) else "")) or "no tool"
