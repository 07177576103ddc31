"""The traces of a report's window, read part by part: in memory at once are the spans of some thousand traces.

Of each trace there is a row in the end; its spans are read again where a report asks for the steps of some.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import pyarrow as pa

from analytics.compact import lean
from analytics.conditions import read_conditions, with_conditions
from analytics.job_options import chain_paths, json_pointer
from analytics.outcome_names import folded, folded_names
from analytics.steps import Steps, StepSource
from analytics.trace_parts import TracePart, trace_parts, whole_window
from analytics.trace_rows import TraceRows, trace_rows
from analytics.trace_slices import by_slices
from analytics.traces import step_source
from sql import statements

if TYPE_CHECKING:
    from analytics.job_options import JobOptions
    from analytics.part_files import PartFiles
    from analytics.promotions import Promotion
    from sql.access import Access

SPANS_AT_ONCE = 60_000
"""Spans whose traces are looked at together: what bounds the job's memory."""

NAMED_BY = {"conversation_ids": "conversation_id", "keys": "key_value"}
"""What outcomes may name a trace by, beside ids: the column of rows that lists them → the column of its spans."""


class WindowRows(NamedTuple):
    """The rows of a window's traces, by the day on which they began and by trace id.

    They have :data:`analytics.trace_rows.ROW_COLUMNS` and :data:`analytics.conditions.CONDITION_COLUMNS`, as
    :func:`analytics.compact.lean` leaves them, and the lists of :data:`NAMED_BY`.

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
    """

    store: Access
    promotion: Promotion
    options: JobOptions
    resources: pl.DataFrame
    judged: pl.DataFrame
    since: datetime
    until: datetime
    files: PartFiles | None = None

    def read(self) -> WindowRows:
        """The rows of all traces."""
        parts = trace_parts(self.store, self._failures, self._asked, since=self.since, until=self.until)
        if sum(part.spans for part in parts) <= SPANS_AT_ONCE:
            # A question for each of many small days would take longer than all of them together, kept or not.
            rows = [lean(self._made(whole_window(self.since, self.until)))]
        else:
            rows = [lean(self._rows_of(part)) for part in parts]
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
                StepSource.joined([step_source(rows, every, self.judged)], self._standing)
                for rows in self._trace_rows({**window, **chosen, **slice_})
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

    def _rows_of(self, part: TracePart) -> pl.DataFrame:
        """The rows of one part: as they were kept, else made anew, and kept where its day is over."""
        if self.files is not None and (kept := self.files.read(part.digest)) is not None:
            return kept
        made = self._made(part.parameters)
        if self.files is not None and part.is_over:
            self.files.write(part.digest, made)
        return made

    def _made(self, part: Mapping[str, Any]) -> pl.DataFrame:
        """The rows of the traces of a part."""

        def read(slice_: Mapping[str, int]) -> list[pl.DataFrame]:
            rows = self._trace_rows({**part, "chosen": None, **slice_})
            return [_alone(_with_names(each)) for each in rows]

        made = pl.concat([rows for slice_ in by_slices(read) for rows in slice_])
        return with_conditions(made, read_conditions(self.store, self.promotion, self.options.conditions, part))

    def _trace_rows(self, parameters: Mapping[str, Any]) -> Iterator[TraceRows]:
        """Traces with their spans and calls, a few thousand at a time, at least once."""
        given = {**parameters, **span_parameters(self.promotion, self.options)}
        with self.store.reader(statements.read("report_spans"), given) as batches:
            for spans in _whole_traces(batches):
                yield trace_rows(
                    spans,
                    self.resources,
                    self._failures,
                    promotion=self.promotion,
                    prices=self.options.prices,
                    feedback_key=self.options.feedback_key,
                    validation_evaluators=self.options.validation_evaluators,
                    chain_rules=self.options.chain_rules,
                )


def span_parameters(promotion: Promotion, options: JobOptions) -> dict[str, Any]:
    """What the read ``report_spans`` has to know of promotion and configuration."""
    return {
        "simulated": options.simulated,
        "cohort_path": None if promotion.cohort_by is None else json_pointer(promotion.cohort_by),
        "key_path": None if options.feedback_key is None else json_pointer(options.feedback_key),
        "chain_paths": chain_paths(options),
        "strata_paths": [json_pointer(name) for name in promotion.stratify_by],
    }


def _whole_traces(batches: pa.RecordBatchReader) -> Iterator[pl.DataFrame]:
    """Spans that come trace by trace, :data:`SPANS_AT_ONCE` or more at a time, no trace torn apart; once at least."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows < SPANS_AT_ONCE:
            continue
        table = pa.Table.from_batches(waiting)
        spans = pl.DataFrame(pl.from_arrow(table))
        unfinished = int((spans["trace_id"] == spans["trace_id"][-1]).sum())
        if unfinished < spans.height:
            yield spans.head(spans.height - unfinished)
        waiting = table.slice(table.num_rows - unfinished).to_batches()
        rows = unfinished
    yield pl.DataFrame(pl.from_arrow(pa.Table.from_batches(waiting, batches.schema)))


def _alone(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows in memory of their own: polars' texts are views that keep the buffers of all spans alive."""
    return pl.DataFrame(pl.from_arrow(rows.to_arrow(compat_level=pl.CompatLevel.oldest())))


def _with_names(rows: TraceRows) -> pl.DataFrame:
    """The rows with what outcomes may name each trace by."""
    traces = rows.traces
    for listed, column in NAMED_BY.items():
        named = rows.spans.filter(pl.col(column).is_not_null())
        names = named.group_by("trace_id").agg(pl.col(column).unique().sort().alias(listed))
        traces = traces.join(names, on="trace_id", how="left", maintain_order="left")
    return traces
