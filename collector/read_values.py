"""Readers: how the value of one attribute becomes a column's value, robust against what instrumentations really send.

Numbers arrive as strings, doubles stand for integers, texts are JSON-quoted, an empty text means unset. A value
that cannot be read is null, so that the next name in the order of precedence is tried; a zero is a value.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from collector.any_value import AnyValues, double_texts
from collector.conventions import DOTTED_PROVIDERS, FINISH_REASONS, PROVIDERS, SPAN_KINDS, Reader
from collector.literals import NO_INTEGER, NO_NUMBER, ZERO, integer, unless_empty

_INTEGER_LIMIT = 2**53
"""Counts beyond this are not counts; below it doubles hold integers exactly and sums do not overflow."""


def map_distinct(texts: pa.Array, function: Callable[[str], str | None]) -> pa.Array:
    """Apply a Python function once to each distinct text; null stays null."""
    encoded = texts.dictionary_encode()
    mapped = [None if text is None else _sound(function(text)) for text in encoded.dictionary.to_pylist()]
    return pa.array(mapped, pa.string()).take(encoded.indices)


def _sound(text: str | None) -> str | None:
    """The text without what UTF-8 cannot hold (JSON may escape half of a surrogate pair)."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


def texts(values: AnyValues) -> pa.Array:
    """Values as text; numbers and booleans as they print, an empty text as null."""
    result = _strings(values)
    if result.null_count:
        for column in (values.ints, values.bools):
            if column.null_count < len(column):
                result = pc.coalesce(result, pc.cast(column, pa.string()))
        if values.doubles.null_count < len(values.doubles):
            result = pc.coalesce(result, double_texts(values.doubles))
    return unless_empty(result)


def _strings(values: AnyValues) -> pa.Array:
    """The texts, and octets as base64: the store keeps them as such."""
    octets = values.columns["bytes_value"]
    if octets.null_count == len(octets):
        return values.strings
    as_text = [None if raw is None else base64.b64encode(raw).decode("ascii") for raw in octets.to_pylist()]
    return pc.coalesce(values.strings, pa.array(as_text, pa.string()))


def numbers(values: AnyValues) -> pa.Array:
    """Values as doubles: integers, doubles, and texts that hold a number, quoted or not."""
    result = pc.coalesce(pc.cast(values.ints, pa.float64(), safe=False), values.doubles)
    strings = _strings(values)
    if strings.null_count < len(strings):
        parsed = [_number(text) for text in strings.to_pylist()]
        result = pc.coalesce(result, pa.array(parsed, pa.float64()))
    return pc.if_else(pc.is_finite(result), result, NO_NUMBER)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text.strip().strip('"'))
    except ValueError:
        return None


def integers(values: AnyValues) -> pa.Array:
    """Values as non-negative 64-bit integers; exact for integers, truncated for doubles and numeric texts."""
    result = values.ints
    if result.null_count:
        found = numbers(values)
        bounded = pc.if_else(_within_limit(found), found, NO_NUMBER)
        result = pc.coalesce(result, pc.cast(pc.trunc(bounded), pa.int64()))
    return pc.if_else(_within_limit(result), result, NO_INTEGER)


def _within_limit(values: pa.Array) -> pa.Array:
    return pc.and_(pc.greater_equal(values, ZERO), pc.less(values, integer(_INTEGER_LIMIT)))


def _model_in_json(text: str) -> str | None:
    try:
        model = json.loads(text).get("model")
    except (ValueError, AttributeError, RecursionError):
        return None
    return model if isinstance(model, str) and model else None


def _class_name(text: str) -> str:
    return text.rsplit(".", 1)[-1] if not text.replace(".", "").isdigit() else text


def _provider(text: str) -> str:
    name = text.strip().lower()
    name = PROVIDERS.get(name, name)
    if name in DOTTED_PROVIDERS or "." not in name:
        return name
    first = name.split(".", 1)[0]
    return PROVIDERS.get(first, first)


def _span_kind(text: str) -> str | None:
    return SPAN_KINDS.get(text.strip().strip('"').lower())


def _positive(values: AnyValues) -> pa.Array:
    found = numbers(values)
    return pc.if_else(pc.greater(found, ZERO), found, NO_NUMBER)


def finish_reasons(values: AnyValues) -> pa.Array:
    """Values as lists of canonical finish reasons: from an array, a JSON array in a text, or a single text."""
    as_json = values.json_texts()
    encoded = as_json.dictionary_encode()
    parsed = [_finish_reasons(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(parsed, pa.list_(pa.string())).take(encoded.indices)


def _finish_reasons(text: str) -> list[str] | None:
    value = json.loads(text)
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except (ValueError, RecursionError):
            inner = None
        value = inner if isinstance(inner, list) else [value]
    if not isinstance(value, list):
        return None
    reasons = [item.lower() for item in value if isinstance(item, str) and item]
    return [FINISH_REASONS.get(reason, "other") for reason in reasons] or None


READERS: Mapping[Reader, Callable[[AnyValues], pa.Array]] = {
    Reader.TEXT: texts,
    Reader.INTEGER: integers,
    Reader.NUMBER: numbers,
    Reader.POSITIVE: _positive,
    Reader.SECONDS: lambda values: pc.multiply(numbers(values), 1000.0),
    Reader.MILLISECONDS: numbers,
    Reader.FINISH_REASONS: finish_reasons,
    Reader.MODEL_IN_JSON: lambda values: map_distinct(values.strings, _model_in_json),
    Reader.CLASS_NAME: lambda values: map_distinct(texts(values), _class_name),
    Reader.PROVIDER: lambda values: map_distinct(texts(values), _provider),
    Reader.SPAN_KIND: lambda values: map_distinct(texts(values), _span_kind),
}
