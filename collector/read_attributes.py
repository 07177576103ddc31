"""For each owner of attributes, the value of the first source that has a usable one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.any_value import AnyValues, AttributeLists, Indices
from collector.conventions.sources import EVERY, INDEX, INDEX_LIMIT, SPAN_NAME, Source
from collector.literals import FALSE, integer, text
from collector.read_values import LIST_READERS, READERS, documents, parse_json, texts
from collector.stored_attributes import any_values

Marks = npt.NDArray[np.bool_]

_NO_ROWS: Indices = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class _Documents:
    """The JSON in one attribute: each distinct text parsed once.

    Attributes:
        codes: for each row of the attribute, which of the documents it holds.
        parsed: the documents; what is no JSON is left a text.
        names: what their members are called.
        columns: path → what stands there in each document, or None where it is nowhere; kept once looked up.
    """

    codes: Indices
    parsed: list[Any]
    names: frozenset[str]
    columns: dict[tuple[str | int, ...], AnyValues | None]

    @classmethod
    def of(cls, values: AnyValues) -> _Documents:
        """Parse the values of one attribute."""
        encoded = documents(values).dictionary_encode()
        codes = pc.fill_null(encoded.indices, integer(len(encoded.dictionary), pa.int32()))
        parsed = [*map(parse_json, encoded.dictionary.to_pylist()), None]
        names = frozenset(name for document in parsed if isinstance(document, dict) for name in document)
        return cls(codes.to_numpy(zero_copy_only=False).astype(np.int64), parsed, names, {})

    def at(self, path: tuple[str | int, ...]) -> AnyValues | None:
        """What stands at a path in each document; None if it is nowhere."""
        if path not in self.columns:
            first = path[0]
            nowhere = isinstance(first, str) and first != EVERY and first not in self.names
            if nowhere:
                found: list[Any] = []
            elif len(path) == 1 and isinstance(first, str) and first != EVERY:
                found = [document.get(first) if isinstance(document, dict) else None for document in self.parsed]
            else:
                found = [_at(document, path) for document in self.parsed]
            self.columns[path] = any_values(found) if any(value is not None for value in found) else None
        return self.columns[path]


class AttributeReader:
    """Reads columns from attribute lists; what several columns need is prepared once.

    Args:
        lists: the attributes.
        names: the names of their owners, where these are spans.
    """

    def __init__(self, lists: AttributeLists, names: pa.Array | None = None) -> None:
        self.lists = lists
        self.names = names
        self.owners = len(lists.offsets) - 1
        self._documents: dict[str, _Documents] = {}
        self._conditions: dict[tuple[str, str], Marks] = {}

    def has(self, sources: Sequence[Source]) -> bool:
        """Whether any owner has an attribute of one of the sources."""
        return any(key in self._rows for source in sources for key in source.keys)

    def having(self, key: str) -> Marks:
        """Which owners have an attribute."""
        marks = np.zeros(self.owners, dtype=bool)
        if (rows := self._rows.get(key)) is not None:
            marks[self.lists.owners[rows]] = True
        return marks

    def first(self, sources: Sequence[Source], kind: pa.DataType) -> pa.Array:
        """The value of the first source with a usable one, for each owner; null where none has.

        Where an owner has one attribute several times, its last usable value counts.

        Args:
            sources: where to look, in order of precedence.
            kind: the type of the values.
        """
        position = np.full(self.owners, -1, dtype=np.int64)
        pieces: list[pa.Array] = []
        length = 0
        for source in sources:
            owners, piece = self._read(source, position)
            if len(owners) == 0:
                continue
            usable = piece.is_valid().to_numpy(zero_copy_only=False)
            position[owners[usable]] = length + np.flatnonzero(usable)
            pieces.append(piece)
            length += len(piece)
        if not pieces:
            return pa.nulls(self.owners, kind)
        values = pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces)
        return values.take(pa.array(position, mask=position < 0))

    @cached_property
    def _rows(self) -> Mapping[str, Indices]:
        return self.lists.rows_by_key

    def _read(self, source: Source, position: Indices) -> tuple[Indices, pa.Array]:
        """A source's values for the owners that have no value yet, and who these are."""
        if source.key == SPAN_NAME:
            owners = np.flatnonzero((position < 0) & self._condition(source))
            return owners, None if self.names is None else texts(_as_texts(self.names.take(pa.array(owners))))
        if INDEX in source.key:
            return self._read_indexed(source, position)
        rows = self._rows.get(source.key, _NO_ROWS)
        if len(rows) == 0:
            return rows, None
        owners = self.lists.owners[rows]
        open_to = position[owners] < 0
        if source.when is not None:
            open_to &= self._condition(source)[owners]
        chosen = np.flatnonzero(open_to)
        if len(chosen) == 0:
            return _NO_ROWS, None
        if source.path:
            values = self._members(source, chosen)
            return (_NO_ROWS, None) if values is None else (owners[chosen], READERS[source.reader](values))
        return owners[chosen], READERS[source.reader](self.lists.values.take(rows[chosen]))

    def _read_indexed(self, source: Source, position: Indices) -> tuple[Indices, pa.Array]:
        """The values of numbered attributes as one list for each owner, in the order of their numbers."""
        found = [self._rows[key] for key in source.keys if key in self._rows]
        rows = np.concatenate([rows[position[self.lists.owners[rows]] < 0] for rows in found] or [_NO_ROWS])
        if len(rows) == 0:
            return _NO_ROWS, None
        rows = rows[np.argsort(self.lists.owners[rows], kind="stable")]
        values = LIST_READERS[source.reader](self.lists.values.take(rows))
        usable = values.is_valid().to_numpy(zero_copy_only=False)
        owners, counts = np.unique(self.lists.owners[rows[usable]], return_counts=True)
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
        return owners, pa.ListArray.from_arrays(pa.array(offsets), values.drop_null())

    def _condition(self, source: Source) -> Marks:
        """Which owners have what a source asks for."""
        if source.when is None:
            return np.ones(self.owners, dtype=bool)
        if source.when not in self._conditions:
            key, wanted = source.when
            marks = np.zeros(self.owners, dtype=bool)
            if key == SPAN_NAME:
                if self.names is not None:
                    marks = _equal(self.names, wanted)
            elif (rows := self._rows.get(key)) is not None:
                marks[self.lists.owners[rows[_equal(texts(self.lists.values.take(rows)), wanted)]]] = True
            self._conditions[source.when] = marks
        return self._conditions[source.when]

    def _members(self, source: Source, chosen: Indices) -> AnyValues | None:
        """What stands at a source's path in the chosen rows of its attribute; None if it is nowhere."""
        if source.key not in self._documents:
            self._documents[source.key] = _Documents.of(self.lists.values.take(self._rows[source.key]))
        of_key = self._documents[source.key]
        values = of_key.at(source.path)
        return None if values is None else values.take(of_key.codes[chosen])


def first_usable(attributes: AttributeLists, sources: Sequence[Source], kind: pa.DataType) -> pa.Array:
    """For each owner, the value of the first source that has a usable one; null where none has."""
    return AttributeReader(attributes).first(sources, kind)


def _as_texts(names: pa.Array) -> AnyValues:
    return AnyValues(
        {
            kind: names if kind == "string_value" else pa.nulls(len(names), column.type)
            for kind, column in any_values([]).columns.items()
        }
    )


def _equal(values: pa.Array, wanted: str) -> Marks:
    same = pc.fill_null(pc.equal(pc.utf8_lower(values), text(wanted)), FALSE)
    marks: Marks = same.to_numpy(zero_copy_only=False)
    return marks


def _at(value: Any, path: tuple[str | int, ...]) -> Any:  # noqa: ANN401 (JSON has many types)
    """What stands at a path, or None; a list's members at EVERY, as a list."""
    for number, step in enumerate(path):
        if step == EVERY:
            if not isinstance(value, list):
                return None
            found = [_at(member, path[number + 1 :]) for member in value[:INDEX_LIMIT]]
            return [member for member in found if member is not None] or None
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            return None
    return value
