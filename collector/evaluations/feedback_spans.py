"""Feedback that comes as a child span of what it is about.

Source: Logfire, `logfire.experimental.annotations.record_feedback`: the attribute `logfire.feedback.name` names the
attribute that has the value, a number (a score), a text (a label) or a flag (an assertion).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.any_value import AttributeLists, Indices
from collector.conventions.sources import Convention, Reader, attributes
from collector.evaluations.results import of_owners, says_something
from collector.literals import FALSE, NO_NUMBER, NO_TEXT, cut, text
from collector.read_attributes import AttributeReader
from collector.read_values import READERS

NAME = "logfire.feedback.name"
COMMENT = "logfire.feedback.comment"
ID = "logfire.feedback.id"
DELETED = "logfire.feedback.deleted"

_NAMES = attributes(Convention.PYDANTIC, Reader.TEXT, NAME)
_COMMENTS = attributes(Convention.PYDANTIC, Reader.TEXT, COMMENT)
_IDENTIFIERS = (
    *attributes(Convention.PYDANTIC, Reader.TEXT, ID),
    *attributes(Convention.GENERAL, Reader.TEXT, "user.id", "enduser.id"),
)
_DELETED = attributes(Convention.PYDANTIC, Reader.BOOLEAN, DELETED)

_NO_ROWS: Indices = np.zeros(0, dtype=np.int64)


def feedback_of(lists: AttributeLists) -> tuple[Indices, dict[str, pa.Array]]:
    """Read the feedback among the attributes of many spans.

    Feedback that was deleted says nothing any more, which replaces what it said.

    Returns:
        The rows of the spans that are feedback, and their columns.
    """
    owners = np.unique(lists.owners[lists.rows_by_key.get(NAME, _NO_ROWS)])
    if len(owners) == 0:
        return owners, {}
    chosen = of_owners(lists, owners)
    reader = AttributeReader(chosen)
    names = reader.first(_NAMES, pa.string())
    score, label = _values(chosen, names)
    deleted = pc.fill_null(reader.first(_DELETED, pa.bool_()), FALSE)
    columns = {
        "name": cut(names),
        "score": pc.if_else(deleted, NO_NUMBER, score),
        "label": pc.if_else(deleted, NO_TEXT, label),
        "explanation": reader.first(_COMMENTS, pa.string()),
        "annotator": pa.repeat(text("HUMAN"), len(owners)),
        "identifier": reader.first(_IDENTIFIERS, pa.string()),
        "attributes": chosen.json_objects(),
    }
    marks = pc.and_(names.is_valid(), pc.or_(deleted, says_something(columns))).to_numpy(zero_copy_only=False)
    index = pa.array(np.flatnonzero(marks))
    return owners[marks], {name: column.take(index) for name, column in columns.items()}


def _values(lists: AttributeLists, names: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Score and label of each span: what the attribute holds that its feedback's name names."""
    encoded = names.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    position = np.full(len(names), -1, dtype=np.int64)
    for code, name in enumerate(encoded.dictionary.to_pylist()):
        rows = lists.rows_by_key.get(name, _NO_ROWS)
        rows = rows[codes[lists.owners[rows]] == code]
        position[lists.owners[rows]] = rows
    values = lists.values.take(np.where(position < 0, 0, position))
    known = pa.array(position >= 0)
    flags = pc.cast(values.bools, pa.string())
    label = pc.coalesce(flags, pc.if_else(values.strings.is_valid(), READERS[Reader.TEXT](values), NO_TEXT))
    # A text is a label, also one of digits.
    number = pc.if_else(values.strings.is_valid(), NO_NUMBER, READERS[Reader.SCORE](values))
    return pc.if_else(known, number, NO_NUMBER), pc.if_else(known, label, NO_TEXT)
