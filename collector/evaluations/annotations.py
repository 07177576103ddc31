"""Annotations and evaluations that stand on a span as flattened attributes, several on one span.

Source: OpenInference, spec/annotations.md. ``annotations.<index>.annotation.<field>`` and
``evaluations.<index>.evaluation.<field>`` are about the span; with ``trace.`` or ``session.`` before them about its
trace or its session.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, reduce
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.any_value import AttributeLists, Indices
from collector.conventions.sources import Convention, Reader, Source
from collector.literals import cut
from collector.read_attributes import AttributeReader

FIELDS = ("name", "score", "label", "explanation", "annotator_kind", "identifier", "metadata")

_BEGINNINGS = ("annotations.", "evaluations.", "trace.annotations.", "trace.evaluations.", "session.annotations.",
               "session.evaluations.")  # fmt: skip

_KEY = re.compile(
    rf"(?:(?P<scope>trace|session)\.)?(?P<form>annotation|evaluation)s\.(?P<index>\d{{1,9}})\.(?P=form)\."
    rf"(?P<field>{'|'.join(FIELDS)})",
    re.ASCII,
)


class Scope(StrEnum):
    """What an annotation speaks of."""

    SPAN = "span"
    TRACE = "trace"
    SESSION = "session"


class Key(NamedTuple):
    """The parts of such an attribute's name; the index tells annotations of one span apart and nothing else."""

    scope: Scope
    form: str
    number: int
    field: str


def _told(reader: Reader, *fields: str) -> tuple[Source, ...]:
    return tuple(Source(field, Convention.OPENINFERENCE, reader) for field in fields)


def _in_metadata(reader: Reader, *names: str) -> tuple[Source, ...]:
    return tuple(Source("metadata", Convention.OPENINFERENCE, reader, (name,)) for name in names)


COLUMNS: dict[str, tuple[tuple[Source, ...], pa.DataType]] = {
    "name": (_told(Reader.TEXT, "name"), pa.string()),
    "score": (_told(Reader.SCORE, "score"), pa.float64()),
    "label": (_told(Reader.TEXT, "label"), pa.string()),
    "explanation": (_told(Reader.TEXT, "explanation"), pa.string()),
    "annotator": (_told(Reader.ANNOTATOR, "annotator_kind"), pa.string()),
    "identifier": (_told(Reader.TEXT, "identifier"), pa.string()),
    "judge_model": (_in_metadata(Reader.TEXT, "judge_model", "model"), pa.string()),
    "evaluator_version": (
        _in_metadata(Reader.TEXT, "evaluator_version", "version", "rubric_version"),
        pa.string(),
    ),
    "threshold": (_in_metadata(Reader.NUMBER, "threshold"), pa.float64()),
    "higher_is": (_in_metadata(Reader.DIRECTION, "higher_is", "direction"), pa.string()),
}
"""Columns of the table `evaluations` and the fields that tell them."""


@dataclass(frozen=True)
class Annotations:
    """Annotations, one row each.

    Attributes:
        spans: the row of the span that each stands on.
        scopes: what each speaks of.
        columns: those of COLUMNS, and ``attributes``: what it said, under the fields' names.
    """

    spans: Indices
    scopes: list[Scope]
    columns: dict[str, pa.Array]


@lru_cache(maxsize=8192)
def parsed(name: str) -> Key | None:
    """The parts of an attribute's name; None if it is no annotation's."""
    found = _KEY.fullmatch(name)
    if found is None:
        return None
    return Key(Scope(found["scope"] or "span"), found["form"], int(found["index"]), found["field"])


def annotations_of(attributes: AttributeLists) -> Annotations | None:
    """Read the annotations among the attributes of many spans; None if there are none.

    An annotation has a name and one of score, label and explanation; what lacks them is left out.
    """
    names = [name for name in attributes.rows_by_key if name.startswith(_BEGINNINGS)]
    keys = {name: key for name in names if (key := parsed(name)) is not None}
    if not keys:
        return None
    places = sorted({(key.scope, key.form, key.number) for key in keys.values()})
    numbers = {place: number for number, place in enumerate(places)}
    rows, groups, fields = _grouped(attributes, keys, numbers)
    found, first = np.unique(groups, return_index=True)
    lists = AttributeLists(
        np.append(first, len(rows)).astype(np.int32),
        pa.DictionaryArray.from_arrays(pa.array(fields, pa.int32()), pa.array(FIELDS)),
        attributes.values.take(rows),
    )
    reader = AttributeReader(lists)
    columns = {name: reader.first(sources, kind) for name, (sources, kind) in COLUMNS.items()}
    columns["name"] = cut(columns["name"])
    columns["attributes"] = lists.json_objects()
    said = reduce(pc.or_, (columns[name].is_valid() for name in ("score", "label", "explanation")))
    marks = pc.and_(columns["name"].is_valid(), said).to_numpy(zero_copy_only=False)
    index = pa.array(np.flatnonzero(marks))
    kept = found[marks]
    return Annotations(
        kept // len(places),
        [places[number][0] for number in (kept % len(places)).tolist()],
        {name: column.take(index) for name, column in columns.items()},
    )


def _grouped(
    attributes: AttributeLists, keys: dict[str, Key], numbers: dict[tuple[Scope, str, int], int]
) -> tuple[Indices, Indices, Indices]:
    """The attributes' rows, which annotation each belongs to, and which field it is; sorted by annotation."""
    parts = []
    for name, key in keys.items():
        rows = attributes.rows_by_key[name]
        groups = attributes.owners[rows] * len(numbers) + numbers[key.scope, key.form, key.number]
        parts.append((rows, groups, np.full(len(rows), FIELDS.index(key.field), np.int64)))
    rows, groups, fields = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((rows, groups))
    return rows[order], groups[order], fields[order]
