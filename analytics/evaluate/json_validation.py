"""JSONValidation: does the answer, or what a tool is handed, follow its JSON Schema?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from analytics.evaluate.recorded import masked
from analytics.evaluate.schema_check import Checked, SchemaChecker
from analytics.evaluate.subject import Answer, Call, Judgement, Level, Message, NotApplicable, Subject

NAME = "JSONValidation"

UNUSABLE_SCHEMA = "unusable_schema"
"""The error type where the schema, not the answer, is at fault."""

_RULES = "1"
"""Goes up when the same answer would be judged differently."""


class JsonValidation:
    """Checks answers against the schema that the call asked for, and arguments against the schema of their tool.

    Args:
        schemas: schemas of your own by the prompt's name, ``*`` for all other calls: they go before the span's.
        tool_arguments: whether arguments of tool calls are checked.
        version: what tells these schemas from others.
        checker: what checks.
        name: the evaluator's name.
    """

    annotator: Literal["CODE"] = "CODE"
    level: Level = "call"

    def __init__(
        self,
        schemas: Mapping[str, Any] | None = None,
        *,
        tool_arguments: bool = True,
        version: str | None = None,
        checker: SchemaChecker | None = None,
        name: str = NAME,
    ) -> None:
        self._schemas = schemas or {}
        self._tool_arguments = tool_arguments
        self._checker = checker or SchemaChecker()
        self.name = name
        self.version = version or _RULES

    def close(self) -> None:
        """End what checks."""
        self._checker.close()

    def evaluate(self, subjects: Sequence[Subject]) -> Iterator[Answer]:
        """Judge calls: 1 and ``pass`` where all that has a schema follows it, else 0 and ``fail``."""
        for subject in subjects:
            yield self._judged(subject.calls[0])

    def _judged(self, call: Call) -> Answer:
        if call.withheld:
            return NotApplicable("content was cut, hashed or is too large")
        if not call.answers:
            return NotApplicable("no answer was recorded")
        checks = list(self._checks(call))
        if not checks:
            return NotApplicable("no schema applies")
        if any(masked(text) for _, text, _ in checks):
            return NotApplicable("content was masked")
        unusable = None
        for what, text, schema in checks:
            found: Checked = self._checker.check(text, schema)
            if found.valid is False:
                return Judgement(0.0, "fail", f"{what}: {found.reason}.")
            if found.valid is None:
                unusable = Judgement(explanation=f"{what}: {found.reason}.", error_type=UNUSABLE_SCHEMA)
        return unusable or Judgement(1.0, "pass", f"{len(checks)} checked.")

    def _checks(self, call: Call) -> Iterator[tuple[str, str, Any]]:
        """What is checked: what it is, the text, its schema."""
        schema = self._schemas.get(call.prompt_name or "", self._schemas.get("*", call.output_schema))
        if schema is not None:
            for number, answer in enumerate(_in_words(call.answers)):
                yield f"answer {number + 1}" if number else "answer", answer.text, schema
        for tool in call.tool_calls if self._tool_arguments else ():
            parameters = call.tools.get(tool.name or "")
            if parameters is not None and tool.arguments is not None:
                arguments = tool.arguments
                text = arguments if isinstance(arguments, str) else json.dumps(arguments)
                yield f"arguments of {tool.name}", text or "{}", parameters


def _in_words(answers: Sequence[Message]) -> list[Message]:
    """The answers that say something; one that only calls tools owes no JSON."""
    return [answer for answer in answers if answer.text and not answer.tool_calls]
