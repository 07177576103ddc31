"""Mirror results of a gateway: what one request got from the model that answered it and from the one beside it.

Read is what the Agent Command Center hands out: the list of its API (``{"results": [...]}``, in pages), the body of
its webhook, a JSON array, or one result or one such body a line. It counts a request's tokens as one sum, and says 0
where it does not know them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from math import isfinite
from typing import IO, Any

import pyarrow as pa

from analytics.errors import InputError
from sql import strict_json

MOST_BYTES = 512 * 1024**2
"""What is read at once; a gateway's buffer of 10,000 results has about 50 MB."""

_ENVELOPES = ("results", "result", "data")
_DEEPEST_ENVELOPE = 3
_LONGEST = 1_024
_RESPONSES = ("source_response", "shadow_response")
_LATEST_YEAR = 2261
_NUMBERS = {
    "source_latency_ms": pa.float64(),
    "shadow_latency_ms": pa.float64(),
    "source_status_code": pa.int32(),
    "shadow_status_code": pa.int32(),
    "source_input_tokens": pa.int64(),
    "source_output_tokens": pa.int64(),
    "source_total_tokens": pa.int64(),
    "shadow_input_tokens": pa.int64(),
    "shadow_output_tokens": pa.int64(),
    "shadow_total_tokens": pa.int64(),
}
_LARGEST = 2**31 - 1
_OTHER_NAMES = {
    "experiment_id": ("experiment",),
    "source_status_code": ("source_status",),
    "shadow_status_code": ("shadow_status",),
    "source_total_tokens": ("source_tokens",),
    "shadow_total_tokens": ("shadow_tokens",),
}
"""A column's names in the API and in the webhook's body, where they are not its own."""

_SCHEMA = pa.schema(
    {
        "request_id": pa.string(),
        "experiment_id": pa.string(),
        "created_at": pa.timestamp("ns"),
        "source_model": pa.string(),
        "shadow_model": pa.string(),
        **_NUMBERS,
        "shadow_error": pa.string(),
        "prompt_hash": pa.string(),
        "attributes": pa.string(),
        "received_at": pa.timestamp("us"),
    }
)


class MirrorError(InputError):
    """The results cannot be imported; nothing of them was stored."""


def read_pairs(source: IO[bytes], name: str, received_at: datetime, *, keep_responses: bool) -> pa.Table:
    """Read and check mirror results whole.

    Args:
        source: where to read from.
        name: what messages call it.
        received_at: the time to store (UTC, naive).
        keep_responses: whether what the models answered is kept, among the attributes.

    Returns:
        Rows for the named write ``mirror_pairs``, the latest of each pair.

    Raises:
        MirrorError: something is not usable; the message names the source and the result.
    """
    body = source.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise MirrorError(f"{name} has more than {MOST_BYTES // 2**20} MiB; nothing was imported.")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MirrorError(f"{name} is not UTF-8 text; nothing was imported.") from error
    found: dict[tuple[str, str | None, str], dict[str, Any]] = {}
    for where, result in _results(text, name):
        pair = _pair(where, result, keep_responses=keep_responses)
        key = pair["request_id"], pair["experiment_id"], pair["shadow_model"]
        if key not in found or found[key]["created_at"] <= pair["created_at"]:
            found[key] = pair
    return pa.Table.from_pylist([{**pair, "received_at": received_at} for pair in found.values()], _SCHEMA)


def _results(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each result with the words that say where it stands."""
    try:
        whole = strict_json.parse_storable(text)
    except strict_json.JsonError as error:
        # Texts in JSON may hold what `splitlines` takes for the end of a line.
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        if len(lines) <= 1:
            raise MirrorError(f"{name}: {error}; nothing was imported.") from error
        for number, line in lines:
            where = f"{name}, line {number}"
            try:
                value = strict_json.parse_storable(line)
            except strict_json.JsonError as reason:
                raise MirrorError(f"{where}: {reason}; nothing was imported.") from reason
            yield from _unpacked(value, where)
        return
    yield from _unpacked(whole, name)


def _unpacked(value: object, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for _ in range(_DEEPEST_ENVELOPE):
        if not isinstance(value, dict) or "request_id" in value:
            break
        key = next((key for key in _ENVELOPES if isinstance(value.get(key), dict | list)), None)
        if key is None:
            break
        value = value[key]
    many = value if isinstance(value, list) else [value]
    for number, result in enumerate(many, 1):
        place = f"{where}, result {number}" if isinstance(value, list) else where
        if not isinstance(result, dict):
            raise MirrorError(f"{place}: not a JSON object; nothing was imported.")
        yield place, result


def _pair(where: str, result: dict[str, Any], *, keep_responses: bool) -> dict[str, Any]:
    """One result as a row.

    Raises:
        MirrorError: it lacks what a pair has, or holds what it cannot.
    """
    rest = dict(result)

    def take(column: str) -> object:
        values = [rest.pop(name) for name in (column, *_OTHER_NAMES.get(column, ())) if name in rest]
        return next((value for value in values if value not in (None, "")), None)

    pair: dict[str, Any] = {}
    for column in ("request_id", "experiment_id", "source_model", "shadow_model", "prompt_hash"):
        pair[column] = _text(where, column, take(column))
    for column in ("request_id", "source_model", "shadow_model"):
        if pair[column] is None:
            raise MirrorError(f"{where}: {column} is missing; nothing was imported.")
    pair["created_at"] = _moment(where, take("created_at"))
    for column, kind in _NUMBERS.items():
        number = _number(where, column, take(column), whole=kind != pa.float64())
        # The gateway writes 0 tokens where it knows of none.
        pair[column] = None if column.endswith("_tokens") and number == 0 else number
    error = take("shadow_error")
    pair["shadow_error"] = None if error is None else str(error)
    if not keep_responses:
        rest = {name: value for name, value in rest.items() if name not in _RESPONSES}
    pair["attributes"] = json.dumps(rest, ensure_ascii=False, sort_keys=True)
    return pair


def _text(where: str, column: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise MirrorError(
            f"{where}: {column} is {str(value)[:60]!r}, not a text of at most {_LONGEST:,} characters;"
            " nothing was imported."
        )
    return value


def _number(where: str, column: str, value: object, *, whole: bool) -> float | int | None:
    if value is None:
        return None
    right = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not right or not 0 <= value <= _LARGEST or (whole and value != int(value)):  # type: ignore[operator, call-overload]
        kind = "a whole number" if whole else "a number"
        raise MirrorError(f"{where}: {column} is {str(value)[:60]!r}, not {kind} of 0 or more; nothing was imported.")
    return int(value) if whole else float(value)  # type: ignore[call-overload, arg-type]


def _moment(where: str, value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        moment = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or not datetime.fromtimestamp(0, UTC).year <= moment.year <= _LATEST_YEAR:
        raise MirrorError(f"{where}: created_at is {str(value)[:60]!r}, not an ISO 8601 time; nothing was imported.")
    return moment
