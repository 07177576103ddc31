"""Stored spans and log records without what was said to models and by them.

What counts as content is what a content policy would drop (collector/content.py); of objects of request settings remain
the members that columns are read from (collector/redact.py). Everything else stays as it is, to the character.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import pyarrow as pa

from collector.content import REDUCED, kinds_of_attribute, kinds_of_body, kinds_of_event, tells_of_the_call
from collector.redact import members_read

_VALUE = json.JSONDecoder().raw_decode
_BLANK = " \t\n\r"

_Part = TypeVar("_Part")


def without_content(table: str, rows: pa.Table, extra: tuple[str, ...] = ()) -> pa.Table:
    """Rows of a table as they are when content goes.

    Args:
        table: ``spans``, with ``attributes`` (JSON objects) and ``events`` (JSON arrays), or ``log_records``, with
            ``event_name``, ``body`` and ``attributes``.
        rows: with those columns, and whatever else.
        extra: further attributes and events that hold content, as for :func:`collector.content.kinds_of_attribute`.

    Raises:
        ValueError: a text is no such JSON.
    """
    columns = _of_spans(rows, extra) if table == "spans" else _of_logs(rows, extra)
    for name, texts in columns.items():
        field = rows.schema.field(name)
        rows = rows.set_column(rows.column_names.index(name), field, pa.array(texts, field.type))
    return rows


def changed_without_content(table: str, rows: pa.Table, extra: tuple[str, ...] = ()) -> pa.Table:
    """Those rows that change when content goes, as they are then; arguments and errors as above."""
    after = without_content(table, rows, extra)
    changed = [False] * rows.num_rows
    for name in ("attributes", "events" if table == "spans" else "body"):
        for row, (old, new) in enumerate(zip(rows[name].to_pylist(), after[name].to_pylist(), strict=True)):
            changed[row] |= old != new
    return after.filter(pa.array(changed, pa.bool_()))


def _of_spans(rows: pa.Table, extra: tuple[str, ...]) -> dict[str, list[str | None]]:
    return {
        "attributes": [_attributes(text, extra) for text in rows["attributes"].to_pylist()],
        "events": [_events(text, extra) for text in rows["events"].to_pylist()],
    }


def _of_logs(rows: pa.Table, extra: tuple[str, ...]) -> dict[str, list[str | None]]:
    names = [name or "" for name in rows["event_name"].to_pylist()]
    bodies = zip(names, rows["body"].to_pylist(), strict=True)
    attributes = zip(names, rows["attributes"].to_pylist(), strict=True)
    return {
        "body": [None if kinds_of_body(name, extra) else text for name, text in bodies],
        "attributes": [_attributes(text, extra, own=bool(kinds_of_event(name, extra))) for name, text in attributes],
    }


def _attributes(text: str | None, extra: tuple[str, ...], *, own: bool = False) -> str | None:
    """An object of attributes without content; ``own``: of an event whose own attributes are content."""
    if text is None or text == "{}":
        return text
    kept = []
    is_whole = True
    for member in _members(text):
        if not (kinds_of_attribute(member.name, extra) or (own and not tells_of_the_call(member.name))):
            kept.append(member.text)
            continue
        is_whole = False
        if member.name in REDUCED and member.value.startswith('"'):
            reduced = members_read(member.name, json.loads(member.value))
            kept.append(f'"{member.name}":{json.dumps(reduced, ensure_ascii=False)}')
    return text if is_whole else f"{{{','.join(kept)}}}"


def _events(text: str | None, extra: tuple[str, ...]) -> str | None:
    if text is None or text == "[]":
        return text
    kept = []
    is_whole = True
    for event in _elements(text):
        members = {member.name: member for member in _members(event)}
        name = json.loads(members["name"].value) if "name" in members else ""
        before = members["attributes"].value if "attributes" in members else None
        after = _attributes(before, extra, own=bool(kinds_of_event(name, extra)))
        if before is after:
            kept.append(event)
            continue
        is_whole = False
        texts = [f'"attributes":{after}' if key == "attributes" else member.text for key, member in members.items()]
        kept.append(f"{{{','.join(texts)}}}")
    return text if is_whole else f"[{','.join(kept)}]"


class _Member(NamedTuple):
    """A member of a JSON object: its name, its value as it stands, and both as they stand."""

    name: str
    value: str
    text: str


def _members(text: str) -> Iterator[_Member]:
    """The members of a JSON object.

    Raises:
        ValueError: the text is no JSON object.
    """

    def member(at: int) -> tuple[_Member, int]:
        name, end = _VALUE(text, at)
        end = _skipped(text, end)
        if not isinstance(name, str) or text[end] != ":":
            raise ValueError(f"A stored object has no member at character {at}.")
        begin = _skipped(text, end + 1)
        _, end = _VALUE(text, begin)
        return _Member(name, text[begin:end], text[at:end]), end

    return _parts(text, "{}", member)


def _elements(text: str) -> Iterator[str]:
    """The elements of a JSON array as they stand.

    Raises:
        ValueError: the text is no JSON array.
    """

    def element(at: int) -> tuple[str, int]:
        _, end = _VALUE(text, at)
        return text[at:end], end

    return _parts(text, "[]", element)


def _parts(text: str, brackets: str, part: Callable[[int], tuple[_Part, int]]) -> Iterator[_Part]:
    try:
        at = _skipped(text, 0)
        if text[at] != brackets[0]:
            raise ValueError(f"The stored text does not begin with {brackets[0]}.")
        at = _skipped(text, at + 1)
        while text[at] != brackets[1]:
            found, at = part(at)
            yield found
            at = _skipped(text, at)
            if text[at] == ",":
                at = _skipped(text, at + 1)
    except IndexError as error:
        raise ValueError("The stored text ends too early.") from error


def _skipped(text: str, at: int) -> int:
    while text[at] in _BLANK:
        at += 1
    return at
