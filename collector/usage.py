"""The token counts of each span: those of one convention, completed from the others, never added up.

Which convention a span's counts are taken from, and where two of them disagree, is decided here; what the counts mean
is decided in collector/tokens.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.conventions.usage import USAGE_SETS, WORTH, Count, Meaning, UsageSet
from collector.literals import ZERO
from collector.read_attributes import AttributeReader

Marks = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


@dataclass
class Counted:
    """One count of each span: its number, zero where unknown, and where it is known."""

    number: Numbers
    known: Marks

    @classmethod
    def of(cls, column: pa.Array) -> Counted:
        """Take a column of integers."""
        known: Marks = column.is_valid().to_numpy(zero_copy_only=False)
        return cls(pc.fill_null(column, ZERO).to_numpy(zero_copy_only=False).copy(), known)

    @classmethod
    def unknown(cls, length: int) -> Counted:
        """No span tells it."""
        return cls(np.zeros(length, dtype=np.int64), np.zeros(length, dtype=bool))

    def column(self) -> pa.Array:
        """The count as a column, null where unknown."""
        return pa.array(self.number, pa.int64(), mask=~self.known)


@dataclass
class Usage:
    """The token counts of spans as they were sent.

    Attributes:
        counts: each count.
        input: by what each span's convention itself says of its input: marks for INCLUDES and for EXCLUDES.
        output: the same of its output.
        additive: spans whose counts are parts that add up.
        disagreements: what conventions of one span disagree on → the spans.
    """

    counts: dict[Count, Counted]
    input: dict[Meaning, Marks]
    output: dict[Meaning, Marks]
    additive: Marks
    disagreements: dict[str, Marks] = field(default_factory=dict)

    def __getitem__(self, count: Count) -> Counted:
        return self.counts[count]


def read_usage(reader: AttributeReader) -> Usage:
    """The counts of all spans."""
    read = [
        (usage, {count: Counted.of(reader.first(sources, pa.int64())) for count, sources in present.items()})
        for usage in USAGE_SETS
        if (present := {count: sources for count, sources in usage.counts.items() if reader.has(sources)})
    ]
    chosen = _choose(read, reader.owners)
    sets = [usage for usage, _ in read]
    return Usage(
        {count: _taken(count, read, chosen) for count in Count},
        {meaning: _any([usage.input is meaning for usage in sets], chosen) for meaning in Meaning},
        {meaning: _any([usage.output is meaning for usage in sets], chosen) for meaning in Meaning},
        _any([usage.additive for usage in sets], chosen),
        _disagreements(read, chosen) if len(read) > 1 else {},
    )


_Read = Sequence[tuple[UsageSet, dict[Count, Counted]]]


def _choose(read: _Read, spans: int) -> Numbers:
    """For each span, which of the sets its counts come from: the first of those that have most; -1 for none."""
    best = np.zeros(spans, dtype=np.int64)
    chosen = np.full(spans, -1, dtype=np.int64)
    for place, (usage, counts) in enumerate(read):
        worth = _worth(counts, spans)
        # Sums over other spans are a call's counts only where nothing else is.
        better = (worth > best) & ((chosen < 0) | (not usage.aggregated))
        chosen[better] = place
        best[better] = worth[better]
    return chosen


def _worth(counts: dict[Count, Counted], spans: int) -> Numbers:
    worth = np.zeros(spans, dtype=np.int64)
    for count, value in WORTH.items():
        if count in counts:
            worth |= np.where(counts[count].known, value, 0)
    return worth


def _any(flags: Sequence[bool], chosen: Numbers) -> Marks:
    marks: Marks = np.array([*flags, False], dtype=bool)[chosen]
    return marks


def _taken(count: Count, read: _Read, chosen: Numbers) -> Counted:
    """A count from the chosen set, else from the first other one that has it; a rest from the chosen one alone."""
    having = [(place, usage, counts[count]) for place, (usage, counts) in enumerate(read) if count in counts]
    result = Counted.unknown(len(chosen))
    for place, _, counted in having:
        _fill(result, counted, chosen == place)
    if count in _RESTS:
        return result
    for place, usage, counted in having:
        if len(read) > 1 or usage.aggregated:
            _fill(result, counted, ~result.known & (chosen != place) & (not usage.aggregated))
    return result


def _fill(result: Counted, counted: Counted, rows: Marks) -> None:
    rows = rows & counted.known
    result.number[rows] = counted.number[rows]
    result.known |= rows


_RESTS = (Count.UNCACHED, Count.UNREASONED)
"""What proves something only of the whole that it was sent with."""

_COMPARED = (Count.INPUT, Count.OUTPUT, Count.TOTAL, Count.CACHE_READ, Count.CACHE_WRITE, Count.REASONING)

_PARTS = {
    Count.INPUT: (Count.CACHE_READ, Count.CACHE_WRITE),
    Count.OUTPUT: (Count.REASONING,),
    Count.TOTAL: (Count.CACHE_READ, Count.CACHE_WRITE),
}
"""What a count of another convention may include or leave out without contradicting."""


def _disagreements(read: _Read, chosen: Numbers) -> dict[str, Marks]:
    found: dict[str, Marks] = {}
    taken = {count: _taken(count, read, chosen) for count in _COMPARED}
    for count in _COMPARED:
        parts = sum((taken[part].number for part in _PARTS.get(count, ())), np.zeros(len(chosen), dtype=np.int64))
        for place, (usage, counts) in enumerate(read):
            if count not in counts or usage.aggregated:
                continue
            difference = np.abs(counts[count].number - taken[count].number)
            apart = (difference != 0) & (difference != parts)
            apart &= counts[count].known & taken[count].known & (chosen != place) & (chosen >= 0)
            if apart.any():
                code = f"{usage.name} has another {count}"
                found[code] = found.get(code, np.zeros(len(chosen), dtype=bool)) | apart
    return found
