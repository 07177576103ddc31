"""Results that OpenTelemetry's names tell: in log records, in span events, and in the attributes of spans."""

from __future__ import annotations

from functools import reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.any_value import AttributeLists, Indices
from collector.conventions.sources import Source
from collector.evaluations.columns import COLUMNS, EVENT_NAME, NAME, SAYS_SOMETHING, TARGETS, USER_IDS
from collector.literals import FALSE, cut, text
from collector.read_attributes import AttributeReader

Columns = dict[str, pa.Array]

_OWN_PREFIX = "gen_ai.evaluation."


def is_result(names: pa.Array) -> npt.NDArray[np.bool_]:
    """Which event names are the evaluation result's; null is not."""
    matches = pc.fill_null(pc.equal(names, text(EVENT_NAME)), FALSE)
    result: npt.NDArray[np.bool_] = matches.to_numpy(zero_copy_only=False)
    return result


def results_of_events(attributes: AttributeLists, rows: Indices) -> tuple[Indices, Columns, Columns]:
    """Read the results in some events or log records.

    Args:
        attributes: the attributes of all events (or records).
        rows: which of them are evaluation results by their event name.

    Returns:
        The rows that have a name (the convention requires one), the columns of COLUMNS and ``attributes``, and
        the columns of TARGETS.
    """
    chosen = of_owners(attributes, rows)
    reader = AttributeReader(chosen)
    columns = {name: reader.first(column.sources, column.kind) for name, column in COLUMNS.items()}
    columns["attributes"] = chosen.json_objects()
    return _kept(rows, columns, _targets(reader), columns["name"].is_valid())


def spans_with_results(attributes: AttributeLists) -> Indices:
    """Spans that have the name of an evaluation among their attributes."""
    return np.unique(attributes.owners[attributes.rows_by_key.get(NAME, np.zeros(0, np.int64))])


def results_of_spans(attributes: AttributeLists, rows: Indices) -> tuple[Indices, Columns, Columns]:
    """Read the results that some spans have among their attributes, one each; returns as for events.

    What only names an evaluation says nothing: an evaluator's span does that and tells its result in an event.
    """
    chosen = of_owners(attributes, rows)
    reader = AttributeReader(chosen)
    columns = {name: reader.first(_of_span(column.sources), column.kind) for name, column in COLUMNS.items()}
    columns["attributes"] = _own(chosen).json_objects()
    return _kept(rows, columns, _targets(reader), pc.and_(columns["name"].is_valid(), says_something(columns)))


def says_something(columns: Columns) -> pa.Array:
    """Which rows have a score, a label, an explanation or an error."""
    return reduce(pc.or_, (columns[name].is_valid() for name in SAYS_SOMETHING if name in columns))


def of_owners(lists: AttributeLists, owners: Indices) -> AttributeLists:
    """The attributes of some owners alone."""
    starts = lists.offsets[owners].astype(np.int64)
    counts = lists.offsets[owners + 1] - starts
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    rows = np.repeat(starts - offsets[:-1], counts) + np.arange(offsets[-1])
    return AttributeLists(offsets, lists.keys.take(pa.array(rows)), lists.values.take(rows))


def _own(lists: AttributeLists) -> AttributeLists:
    """Only what is said of the evaluation: a judged span may have megabytes beside it."""
    names = lists.keys.dictionary.to_pylist()
    own = np.array([name.startswith(_OWN_PREFIX) for name in names], bool)
    marks = own[lists.keys.indices.to_numpy(zero_copy_only=False)]
    rows = np.flatnonzero(marks)
    offsets = np.concatenate(([0], np.cumsum(marks)))[lists.offsets].astype(np.int32)
    return AttributeLists(offsets, lists.keys.take(pa.array(rows)), lists.values.take(rows))


def _of_span(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    return tuple(source for source in sources if source.key not in USER_IDS)


def _targets(reader: AttributeReader) -> Columns:
    return {name: reader.first(column.sources, column.kind) for name, column in TARGETS.items()}


def _kept(rows: Indices, columns: Columns, targets: Columns, keep: pa.Array) -> tuple[Indices, Columns, Columns]:
    marks = keep.to_numpy(zero_copy_only=False)
    index = pa.array(np.flatnonzero(marks))
    kept = {name: column.take(index) for name, column in columns.items()}
    kept["name"] = cut(kept["name"])
    return rows[marks], kept, {name: column.take(index) for name, column in targets.items()}
