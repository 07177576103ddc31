"""The traces of a report's window, read part by part: in memory at once are the spans of some thousand traces.

Of each trace there is a row in the end; its spans are read again where a report asks for the steps of some.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from importlib.metadata import version
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import pyarrow as pa

from analytics import part_rows
from analytics.compact import lean
from analytics.conditions import with_conditions
from analytics.engine import Engine, Here
from analytics.outcome_names import folded, folded_names
from analytics.part_rows import PartRows
from analytics.steps import Steps, StepSource
from analytics.trace_parts import TracePart, trace_parts, whole_window
from analytics.trace_slices import SLICES, by_slices
from analytics.traces import step_source
from sql.errors import QueryMemoryError

if TYPE_CHECKING:
    from analytics.job_options import JobOptions
    from analytics.part_files import PartFiles
    from analytics.promotions import Promotion
    from sql.access import Access


class WindowRows(NamedTuple):
    """The rows of a window's traces, by the day on which they began and by trace id.

    They have :data:`analytics.trace_rows.ROW_COLUMNS` and :data:`analytics.conditions.CONDITION_COLUMNS`, as
    :func:`analytics.compact.lean` leaves them, and the lists of :data:`analytics.part_rows.NAMED_BY`.

    Attributes:
        ended: of those that had ended by the end of the window.
        under_way: of the others.
    """

    ended: pl.DataFrame
    under_way: pl.DataFrame


@dataclass(frozen=True)
class WindowTraces:
    """Reads the traces of one window.

    Attributes:
        store: where they are.
        promotion: what is compared.
        options: prices, rules and names of attributes.
        resources: all resources.
        judged: evaluations, as :func:`analytics.traces.judged_by` makes them.
        since: when the window begins (UTC, naive).
        until: when it ends (UTC, naive).
        files: where rows are kept; None: nowhere.
        engine: where rows are made.
    """

    store: Access
    promotion: Promotion
    options: JobOptions
    resources: pl.DataFrame
    judged: pl.DataFrame
    since: datetime
    until: datetime
    files: PartFiles | None = None
    engine: Engine = field(default_factory=Here)

    def read(self) -> WindowRows:
        """The rows of all traces."""
        parts = trace_parts(self.store, self._failures, self._asked, since=self.since, until=self.until)
        if sum(part.spans for part in parts) <= part_rows.SPANS_AT_ONCE:
            # A question for each of many small days would take longer than all of them together, kept or not.
            rows = [lean(made) for made in self._made([whole_window(self.since, self.until)], Here())]
        else:
            rows = self._kept_or_made(parts)
        if self.files is not None:
            self.files.drop_unused()
        # A filter of the whole would need the room of all of it once more.
        ended = pl.col("end_time") <= self.until
        halves = ([part.filter(which) for part in rows] for which in (ended, ~ended))
        return WindowRows(*(pl.concat(half, how="vertical_relaxed") for half in halves))

    def of(self, trace_ids: pl.Series) -> Steps:
        """The steps of some traces, whose spans are read again."""
        chosen = {"chosen": trace_ids.sort().to_list()}
        every = pl.lit(value=True)

        def read(slice_: Mapping[str, int]) -> list[StepSource]:
            window = whole_window(self.since, self.until)
            # Rows are narrowed as they come: a cohort's spans with all their columns are much.
            return [
                StepSource.joined(
                    [step_source(self._maker.of_spans(pl.DataFrame(pl.from_arrow(spans))), every, self.judged)],
                    self._standing,
                )
                for spans in self._maker.spans(self.store, {**window, **chosen, **slice_})
            ]

        sources = [source for slice_ in by_slices(read) for source in slice_]
        return StepSource.joined(sources, self._standing).of(trace_ids)

    @cached_property
    def _standing(self) -> pl.DataFrame:
        return self.judged.filter(pl.col("replaced_at").is_null())

    @cached_property
    def _failures(self) -> pl.DataFrame:
        """What the validation evaluators found to have failed."""
        validators = [folded(name) for name in self.options.validation_evaluators]
        return self._standing.filter(folded_names(pl.col("name")).is_in(validators) & ~pl.col("passed"))

    @property
    def _asked(self) -> tuple[object, ...]:
        """What the rows rest on beside spans, resources and failures; a resource never changes."""
        promotion, options = self.promotion, self.options
        return (
            *(promotion.base, promotion.candidate, promotion.design, promotion.at),
            *(promotion.cohort_by, promotion.stratify_by),
            *(options.prices, version("genai-prices"), options.feedback_key, options.validation_evaluators),
            *(options.chain_rules, options.simulated, options.conditions),
        )

    @cached_property
    def _maker(self) -> PartRows:
        return PartRows(self.promotion, self.options, self.resources, self._failures)

    def _kept_or_made(self, parts: Sequence[TracePart]) -> list[pl.DataFrame]:
        """The rows of each part, lean: as they were kept, else made anew, and kept where its day is over."""
        rows: dict[date, pl.DataFrame] = {}
        for part in parts:
            if self.files is not None and (kept := self.files.read(part.digest)) is not None:
                rows[part.day] = lean(kept)
        missing = [part for part in parts if part.day not in rows]
        made_of_each = self._made([part.parameters for part in missing], self.engine)
        for part, made in zip(missing, made_of_each, strict=True):
            if self.files is not None and part.is_over:
                self.files.write(part.digest, made)
            rows[part.day] = lean(made)
        return [rows[part.day] for part in parts]

    def _made(self, parts: Sequence[Mapping[str, Any]], engine: Engine) -> Iterator[pl.DataFrame]:
        """The rows of the traces of each part, given by its parameters."""
        if engine.reads is not None:
            of_lake = ((None, (engine.reads, part)) for part in parts)
            for _, made in engine.map(self._maker.of_lake, of_lake):
                yield made
            return
        conditions: dict[int, pl.DataFrame] = {}
        pieces = engine.map(self._maker.alone, self._pieces(parts, conditions))
        for number, of_part in groupby(pieces, key=lambda piece: piece[0].part):
            rows: list[pl.DataFrame] = []
            slices = 0
            for key, made in of_part:
                if key.slices != slices:
                    # Memory did not suffice for the part in fewer slices.
                    rows, slices = [], key.slices
                rows.append(made)
            yield with_conditions(pl.concat(rows), conditions.pop(number))

    def _pieces(
        self, parts: Sequence[Mapping[str, Any]], conditions: dict[int, pl.DataFrame]
    ) -> Iterator[tuple[_Piece, pa.Table]]:
        """The spans of the parts, some thousand whole traces at a time; what ``conditions`` gets is said of a part."""
        for number, part in enumerate(parts):
            conditions[number] = self._maker.conditions(self.store, part)
            for slices in SLICES:
                try:
                    for slice_ in range(slices):
                        chosen = {"chosen": None, "slices": slices, "slice": slice_}
                        for spans in self._maker.spans(self.store, {**part, **chosen}):
                            yield _Piece(number, slices), spans
                    break
                except QueryMemoryError:
                    if slices == SLICES[-1]:
                        raise


class _Piece(NamedTuple):
    """Whose spans they are.

    Attributes:
        part: the number of the part.
        slices: into how many slices the part's traces are divided.
    """

    part: int
    slices: int
