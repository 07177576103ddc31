"""A process that checks JSON against JSON Schemas; :mod:`analytics.evaluate.schema_check` starts it, and ends it.

Schemas and answers come from the network: a regular expression may backtrack, a schema may refer to itself without end.
None of this can be interrupted from within, so it happens in a process of its own, with bounded memory.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import NoReturn

import jsonschema_specifications
from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.protocols import Validator
from referencing.exceptions import Unresolvable

MEMORY_BYTES = 1 << 30
"""Address space of the process."""

MOST_ERRORS = 50
"""Errors of one answer that are looked at to find the one to tell."""

LONGEST_REASON = 200

_NO_FORMATS = FormatChecker(formats=())


@lru_cache(maxsize=256)
def _validator(schema_text: str) -> Validator:
    """The validator of a schema, of the draft that it names; the schema itself is checked first."""
    schema = json.loads(schema_text)
    kind = validators.validator_for(schema, default=Draft202012Validator)
    kind.check_schema(schema, format_checker=_NO_FORMATS)  # type: ignore[call-arg]  # the protocol lacks it
    # A registry of our own: what a schema refers to elsewhere is never fetched.
    validator: Validator = kind(schema, registry=jsonschema_specifications.REGISTRY)
    return validator


def check(text: str, schema_text: str) -> dict[str, str]:
    """Check a text against a schema.

    Args:
        text: what should be JSON.
        schema_text: a JSON Schema as JSON.

    Returns:
        ``valid``: ``yes`` or ``no``, with the ``reason`` for no; or ``unusable``: what is wrong with the schema.
    """
    try:
        instance = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        return {"valid": "no", "reason": "it is nested too deeply"}
    except ValueError as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        return {"valid": "no", "reason": f"it is not JSON{where}"}
    try:
        worst = best_match(_first(_validator(schema_text).iter_errors(instance)))
    except SchemaError as error:
        return {"unusable": f"the schema is not one: {_place(error)} {error.validator}"}
    except Unresolvable:
        return {"unusable": "the schema refers to something outside of it"}
    except RecursionError:
        return {"unusable": "the schema refers to itself without end"}
    except (MemoryError, OverflowError):
        return {"unusable": "checking it takes too much memory"}
    except Exception as error:  # noqa: BLE001 (a hostile schema must not end the process)
        return {"unusable": f"the schema cannot be applied: {type(error).__name__}"}
    if worst is None:
        return {"valid": "yes"}
    return {"valid": "no", "reason": f"at {_place(worst)} {_rule(worst)}"[:LONGEST_REASON]}


def _first(errors: Iterator[ValidationError]) -> Iterator[ValidationError]:
    return islice(errors, MOST_ERRORS)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _place(error: ValidationError | SchemaError) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return f"${path}"


def _rule(error: ValidationError) -> str:
    """The rule that does not hold, without the value: that is content."""
    if error.validator is None:
        return "nothing is allowed"
    if error.validator == "required" and isinstance(error.instance, dict) and isinstance(error.validator_value, list):
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"required: {', '.join(map(str, missing))} missing"
    if isinstance(error.validator_value, str | int | float | bool):
        return f"{error.validator}: {error.validator_value}"
    return f"{error.validator} does not hold"


def main() -> None:
    """Answer one request a line until standard input ends: ``[text, schema as a text]`` → what :func:`check` says."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for line in sys.stdin:
        try:
            text, schema_text = json.loads(line)
            answer = check(text, schema_text)
        except (ValueError, RecursionError, MemoryError):
            answer = {"unusable": "the schema is nested too deeply"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
