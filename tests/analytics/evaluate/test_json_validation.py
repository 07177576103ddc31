"""JSONValidation: answers and arguments against their schemas, hostile schemas included."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from analytics.evaluate.json_validation import JsonValidation
from analytics.evaluate.schema_check import SchemaChecker
from analytics.evaluate.subject import Answer, Call, Judgement, Message, NotApplicable, Subject, ToolCall

REFUND = {
    "type": "object",
    "required": ["amount"],
    "properties": {"amount": {"type": "number"}, "items": {"type": "array", "items": {"type": "string"}}},
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def checker() -> Iterator[SchemaChecker]:
    """A checker for all tests: its process starts once."""
    with SchemaChecker(0.3) as made:
        yield made


def judged(checker: SchemaChecker, *answers: str | Message, schemas: Any = None, **fields: Any) -> Answer:
    """What is said of a call with these answers."""
    messages = tuple(Message("assistant", one) if isinstance(one, str) else one for one in answers)
    call = Call("a" * 32, "b" * 16, datetime(2026, 11, 2), answers=messages, **fields)
    (answer,) = JsonValidation(schemas, checker=checker).evaluate([Subject(call.trace_id, call.span_id, (call,))])
    return answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"amount": 3.5, "items": ["a"]}', None),
        ('{"amount": "3.5"}', "answer: at $.amount type: number."),
        ('{"amount": 1, "items": ["a", 2]}', "answer: at $.items[1] type: string."),
        ("{}", "answer: at $ required: amount missing."),
        ('{"amount": 1, "secret": "4111"}', "answer: at $ additionalProperties: False."),
        ("It costs 3.5.", "answer: it is not JSON (line 1, column 1)."),
        ('```json\n{"amount": 1}\n```', "answer: it is not JSON (line 1, column 1)."),
        ('{"amount": NaN}', "answer: it is not JSON."),
        ("[" * 100_000, "answer: it is nested too deeply."),
    ],
)
def test_an_answer_against_its_schema(checker: SchemaChecker, answer: str, reason: str | None) -> None:
    """The reason names the place and the rule, never the value, which is content."""
    found = judged(checker, answer, output_schema=REFUND)
    assert isinstance(found, Judgement)
    assert (found.score, found.label) == ((1.0, "pass") if reason is None else (0.0, "fail"))
    assert reason is None or found.explanation == reason


def test_each_choice_has_to_follow(checker: SchemaChecker) -> None:
    """The second of two choices fails the call."""
    found = judged(checker, '{"amount": 1}', "no", output_schema=REFUND)
    assert isinstance(found, Judgement)
    assert found.explanation == "answer 2: it is not JSON (line 1, column 1)."


def test_arguments_against_the_schema_of_their_tool(checker: SchemaChecker) -> None:
    """As a text or parsed; an answer that calls tools owes no JSON; a tool without a schema is not checked."""

    def called(arguments: Any, tools: dict[str, Any]) -> Answer:
        message = Message("assistant", "", (ToolCall("refund", arguments),))
        return judged(checker, message, tools=tools, output_schema=None)

    for arguments in ({"amount": 1}, '{"amount": 1}'):
        assert called(arguments, {"refund": REFUND}) == Judgement(1.0, "pass", "1 checked.")
    bad = called('{"amount": "all"}', {"refund": REFUND})
    assert bad == Judgement(0.0, "fail", "arguments of refund: at $.amount type: number.")
    assert called({"amount": 1}, {"refund": None}) == NotApplicable("no schema applies")


def test_schemas_of_the_configuration_go_first(checker: SchemaChecker) -> None:
    """By the prompt's name, else the one for all others, else the span's own."""
    own = {"quote": True, "*": REFUND}
    assert judged(checker, "[1]", schemas=own, prompt_name="quote") == Judgement(1.0, "pass", "1 checked.")
    failed = judged(checker, "[1]", schemas=own, prompt_name="other", output_schema=True)
    assert isinstance(failed, Judgement)
    assert failed.label == "fail"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"answers": ()}, "no answer was recorded"),
        ({"answers": (Message("assistant", "Hello."),)}, "no schema applies"),
        ({"answers": (Message("assistant", "{}"),), "output_schema": True, "withheld": True},
         "content was cut, hashed or is too large"),
        ({"answers": (Message("assistant", '{"a": "[redacted:email]"}'),), "output_schema": True},
         "content was masked"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_no_failure(checker: SchemaChecker, call: dict[str, Any], reason: str) -> None:
    """What was not recorded, asks for no JSON, or is not what was said is left out, with the reason."""
    made = Call("a" * 32, "b" * 16, datetime(2026, 11, 2), **call)
    (found,) = JsonValidation(checker=checker).evaluate([Subject(made.trace_id, made.span_id, (made,))])
    assert found == NotApplicable(reason)


@pytest.mark.parametrize(
    ("schema", "answer", "told"),
    [
        ({"pattern": "^(a+)+$"}, json.dumps("a" * 40 + "!"), "longer than"),
        ({"patternProperties": {"^(a+)+$": {}}}, json.dumps({"a" * 40 + "!": 1}), "longer than"),
        ({"$ref": "#"}, "1", "itself without end"),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "1", "outside of it"),
        ({"$ref": "file:///etc/passwd"}, "1", "outside of it"),
        ({"type": 5}, "1", "not one"),
        ({"pattern": "("}, '"x"', "cannot be applied"),
        ({"$defs": {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(40)} | {"40": {}},
          "$ref": "#/$defs/0"}, "1", "longer than"),
    ],
)  # fmt: skip
def test_a_hostile_schema_is_an_error_within_its_time(
    checker: SchemaChecker, schema: Any, answer: str, told: str
) -> None:
    """The fault is the schema's, so it is neither a pass nor a failure; nothing is fetched, and the next is checked."""
    started = time.monotonic()
    found = judged(checker, answer, output_schema=schema)
    assert isinstance(found, Judgement)
    assert (found.score, found.error_type) == (None, "unusable_schema")
    assert told in str(found.explanation)
    assert time.monotonic() - started < 10
    assert judged(checker, '{"amount": 1}', output_schema=REFUND) == Judgement(1.0, "pass", "1 checked.")


def test_a_schema_that_keeps_taking_too_long_is_left_alone() -> None:
    """After three times it is not tried again, so that it cannot hold up a run."""
    schema, text = {"pattern": "^(a+)+$"}, json.dumps("a" * 40 + "!")
    with SchemaChecker(0.05) as made:
        for _ in range(3):
            assert made.check(text, schema).valid is None
        started = time.monotonic()
        assert made.check(text, schema).valid is None
        assert time.monotonic() - started < 0.05
