"""Readers: how the value of one attribute becomes a column's value, robust against what instrumentations really send.

Numbers arrive as strings, doubles stand for integers, texts are JSON-quoted, an empty text means unset. A value
that cannot be read is null, so that the next name in the order of precedence is tried; a zero is a value.

A value that came from the store as JSON reads like the one that was stored, so octets read as their base64.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from collector.any_value import AnyValues, double_texts
from collector.conventions.sources import Reader
from collector.conventions.vocabularies import (
    ANNOTATORS,
    DIRECTIONS,
    FINISH_REASONS,
    NO_FINISH_REASONS,
    NO_PROVIDERS,
    OPERATION_KINDS,
    PROVIDERS,
    SPAN_KINDS,
)
from collector.literals import LONGEST_NAME, NO_FLAG, NO_INTEGER, NO_NUMBER, NO_TEXT, TRUE, ZERO, integer

_INTEGER_LIMIT = 2**53
"""Counts beyond this are not counts; below it doubles hold integers exactly and sums do not overflow."""

_UNSET = pa.array(["", "None", "null"])
"""Texts that say that there is no value: what is left of a Python or a JSON null."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

_QUOTINGS = 2
"""How often JSON is looked for in a text: an attribute's text is an object, which some SDKs quote once more."""

_decode = json.JSONDecoder().decode

_PASS, _FAIL = pa.scalar("pass"), pa.scalar("fail")

_FLAGS = {"true": True, "false": False, "1": True, "0": False}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2262, 1, 1, tzinfo=UTC)


def map_distinct(texts: pa.Array, function: Callable[[str], Any], kind: pa.DataType | None = None) -> pa.Array:
    """Apply a Python function once to each distinct text; null stays null.

    Args:
        texts: the texts.
        function: gives a value of ``kind``, or None.
        kind: type of the result; text if None.
    """
    encoded = texts.dictionary_encode()
    mapped = [None if value is None else _sound(function(value)) for value in encoded.dictionary.to_pylist()]
    return pa.array(mapped, kind or pa.string()).take(encoded.indices)


def _sound(value: Any) -> Any:  # noqa: ANN401 (texts, numbers, booleans)
    """The value; of a text, without what UTF-8 cannot hold (JSON may escape half of a surrogate pair)."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def texts(values: AnyValues) -> pa.Array:
    """Values as text: numbers and booleans as they print, JSON strings without their quotes, null for unset ones."""
    result = _strings(values)
    if result.null_count:
        for column in (values.ints, values.bools):
            if column.null_count < len(column):
                result = pc.coalesce(result, pc.cast(column, pa.string()))
        if values.doubles.null_count < len(values.doubles):
            result = pc.coalesce(result, double_texts(values.doubles))
    if pc.any(pc.starts_with(result, '"')).as_py():
        result = map_distinct(result, _unquoted)
    return pc.if_else(pc.is_in(result, _UNSET), NO_TEXT, result)


def _unquoted(text: str) -> str:
    if text.startswith('"') and text.endswith('"'):
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return inner if isinstance(inner, str) else text
    return text


def _strings(values: AnyValues) -> pa.Array:
    """The texts, and octets as base64: the store keeps them as such."""
    octets = values.columns["bytes_value"]
    if octets.null_count == len(octets):
        return values.strings
    as_text = [None if raw is None else base64.b64encode(raw).decode("ascii") for raw in octets.to_pylist()]
    return pc.coalesce(values.strings, pa.array(as_text, pa.string()))


def numbers(values: AnyValues) -> pa.Array:
    """Values as doubles: integers, doubles, and texts that hold a number, quoted or not."""
    result = values.doubles
    if values.ints.null_count < len(values.ints):
        result = pc.coalesce(pc.cast(values.ints, pa.float64(), safe=False), result)
    strings = _strings(values)
    if strings.null_count < len(strings):
        parsed = [_number(text) for text in strings.to_pylist()]
        result = pc.coalesce(result, pa.array(parsed, pa.float64()))
    return pc.if_else(pc.is_finite(result), result, NO_NUMBER)


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    bare = text.strip().strip('"').strip()
    return float(bare) if _NUMBER.fullmatch(bare) else None


def integers(values: AnyValues) -> pa.Array:
    """Values as non-negative 64-bit integers; exact for integers, truncated for doubles and numeric texts."""
    found = signed(values)
    return pc.if_else(_between(found, 0, _INTEGER_LIMIT), found, NO_INTEGER)


def signed(values: AnyValues) -> pa.Array:
    """Values as 64-bit integers; exact for integers, truncated for doubles and numeric texts of up to 53 bits."""
    result = values.ints
    if result.null_count:
        found = numbers(values)
        bounded = pc.if_else(_between(found, -_INTEGER_LIMIT, _INTEGER_LIMIT), found, NO_NUMBER)
        result = pc.coalesce(result, pc.cast(pc.trunc(bounded), pa.int64()))
    return result


def _between(values: pa.Array, lowest: int, end: int) -> pa.Array:
    return pc.and_(pc.greater_equal(values, integer(lowest)), pc.less(values, integer(end)))


def booleans(values: AnyValues) -> pa.Array:
    """Values as booleans: also 0 and 1, and their texts."""
    result = values.bools
    if result.null_count:
        result = pc.coalesce(result, map_distinct(texts(values), lambda text: _FLAGS.get(text.lower()), pa.bool_()))
    return result


def _positive(values: AnyValues) -> pa.Array:
    found = numbers(values)
    return pc.if_else(pc.greater(found, ZERO), found, NO_NUMBER)


def documents(values: AnyValues) -> pa.Array:
    """Values as JSON documents: a text as it is, everything else as JSON; null for nothing."""
    bare = values.bare_texts()
    return values.strings if bare is None else pc.coalesce(values.strings, bare)


def parse_json(text: str) -> Any:  # noqa: ANN401 (JSON has many types)
    """A parsed JSON text; a text in it that is JSON itself is parsed too, and one that is none stays a text."""
    value: Any = text
    for _ in range(_QUOTINGS):
        if not isinstance(value, str):
            break
        try:
            value = _decode(value)
        except (ValueError, RecursionError):
            break
    return value


def _from_json(function: Callable[[Any], Any], kind: pa.DataType) -> Callable[[AnyValues], pa.Array]:
    """A reader of parsed JSON, each distinct value parsed once."""
    return lambda values: map_distinct(documents(values), lambda text: function(parse_json(text)), kind)


def _sum(value: Any) -> float | None:  # noqa: ANN401 (JSON)
    if not isinstance(value, dict):
        return None
    costs = [_as_number(member) for member in value.values()]
    total = sum(cost for cost in costs if cost is not None and 0 < cost < float("inf"))
    return total if 0 < total < float("inf") else None


def _as_number(value: Any) -> float | None:  # noqa: ANN401 (JSON)
    if isinstance(value, str):
        return _number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _INTEGER_LIMIT else None


def _finish_reason(text: str) -> str | None:
    reason = text.rsplit(".", 1)[-1].strip().lower().replace("-", "_").replace(" ", "_")
    return None if reason in NO_FINISH_REASONS else FINISH_REASONS.get(reason, "other")


def _finish_reasons(value: Any) -> list[str] | None:  # noqa: ANN401 (JSON)
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list):
        return None
    reasons = (_finish_reason(item) for item in given if isinstance(item, str))
    return [reason for reason in reasons if reason] or None


def _class_name(text: str) -> str:
    return text.rsplit(".", 1)[-1] if not text.replace(".", "").isdigit() else text


def _provider(text: str) -> str | None:
    name = text.strip().lower()
    spelled = name.replace("-", "_").replace(" ", "_")
    if spelled in NO_PROVIDERS:
        return None
    while spelled:
        if spelled in PROVIDERS:
            return PROVIDERS[spelled]
        spelled = spelled.rpartition(".")[0]
    return name.split(".", 1)[0] or None


def _span_kind(text: str) -> str | None:
    return SPAN_KINDS.get(text.strip().lower())


def _operation_id(text: str) -> str | None:
    words = text.split(None, 1)
    return words[0] if words and words[0].startswith("ai.") else None


def _operation_kind(text: str) -> str | None:
    return OPERATION_KINDS.get((_operation_id(text) or "").lower())


def _streams(text: str) -> bool | None:
    operation = (_operation_id(text) or "").lower()
    return True if "stream" in operation else False if "generate" in operation else None


def _service_tier(text: str) -> str | None:
    tier = text.strip().lower()
    return None if tier == "auto" else tier


def _cache_hit(text: str) -> bool | None:
    status = text.strip().lower().replace("-", "_").replace(" ", "_")
    if status.startswith("hit") or status.endswith("_hit"):
        return True
    return False if "miss" in status or status in {"refresh", "disabled"} else None


def _guardrail(text: str) -> str:
    return {"true": "triggered", "false": "passed"}.get(text.lower(), text)


def _moment(text: str) -> int | None:
    """Nanoseconds since 1970 of an ISO 8601 time; UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(text.strip().strip('"'))
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000 if _EPOCH <= moment < _LATEST else None


def _url_host(text: str) -> str | None:
    try:
        return urlsplit(text if "//" in text else f"//{text}").hostname
    except ValueError:
        return None


def _url_port(text: str) -> int | None:
    try:
        return urlsplit(text if "//" in text else f"//{text}").port
    except ValueError:
        return None


def _scores(values: AnyValues) -> pa.Array:
    found = numbers(values)
    if values.bools.null_count < len(values.bools):
        found = pc.coalesce(found, pc.cast(values.bools, pa.float64()))
    return found


def _spelled(text: str) -> str:
    return text.strip().lower().replace("-", "_").replace(" ", "_")


def _known_annotator(text: str) -> str | None:
    return ANNOTATORS.get(_spelled(text))


def _hex_id(text: str) -> str | None:
    """An id in lower case; what is no id stays as it is, so that it can be seen that it matches nothing."""
    return text.strip().lower().removeprefix("0x")[:LONGEST_NAME] or None


def _of_texts(function: Callable[[str], Any], kind: pa.DataType | None = None) -> Callable[[AnyValues], pa.Array]:
    return lambda values: map_distinct(texts(values), function, kind)


READERS: Mapping[Reader, Callable[[AnyValues], pa.Array]] = {
    Reader.TEXT: texts,
    Reader.LOWER_TEXT: lambda values: pc.utf8_lower(texts(values)),
    Reader.INTEGER: integers,
    Reader.SIGNED: signed,
    Reader.ONE_MORE: lambda values: pc.add(integers(values), integer(1)),
    Reader.NUMBER: numbers,
    Reader.POSITIVE: _positive,
    Reader.SUM: _from_json(_sum, pa.float64()),
    Reader.BOOLEAN: booleans,
    Reader.ANY_AT_ALL: lambda values: pc.greater(integers(values), ZERO),
    Reader.PRESENT: lambda values: pc.if_else(texts(values).is_valid(), TRUE, NO_FLAG),
    Reader.SECONDS: lambda values: pc.multiply(numbers(values), 1000.0),
    Reader.MILLISECONDS: numbers,
    Reader.MOMENT: _of_texts(_moment, pa.int64()),
    Reader.FINISH_REASONS: _from_json(_finish_reasons, pa.list_(pa.string())),
    Reader.CLASS_NAME: _of_texts(_class_name),
    Reader.PROVIDER: _of_texts(_provider),
    Reader.SPAN_KIND: _of_texts(_span_kind),
    Reader.OPERATION_ID: _of_texts(_operation_id),
    Reader.OPERATION_KIND: _of_texts(_operation_kind),
    Reader.STREAMING_OPERATION: _of_texts(_streams, pa.bool_()),
    Reader.SERVICE_TIER: _of_texts(_service_tier),
    Reader.CACHE_STATUS: _of_texts(_cache_hit, pa.bool_()),
    Reader.GUARDRAIL: _of_texts(_guardrail),
    Reader.URL_HOST: _of_texts(_url_host),
    Reader.URL_PORT: _of_texts(_url_port, pa.int64()),
    Reader.SCORE: _scores,
    Reader.PASSED: lambda values: pc.if_else(booleans(values), _PASS, _FAIL),
    Reader.ANNOTATOR: _of_texts(lambda text: _known_annotator(text) or text.strip().upper() or None),
    Reader.KNOWN_ANNOTATOR: _of_texts(_known_annotator),
    Reader.DIRECTION: _of_texts(lambda text: DIRECTIONS.get(_spelled(text))),
    Reader.HEX_ID: _of_texts(_hex_id),
}
"""How each reader reads a column of values; null for what it cannot use."""

LIST_READERS: Mapping[Reader, Callable[[AnyValues], pa.Array]] = {Reader.FINISH_REASONS: _of_texts(_finish_reason)}
"""How a reader of lists reads one member."""
