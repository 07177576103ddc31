"""Spans of some traces → a row for each: what is made part by part, in this process or in another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from analytics.conditions import read_conditions, with_conditions
from analytics.job_options import chain_paths, json_pointer
from analytics.trace_rows import TraceRows, trace_rows
from analytics.trace_slices import by_slices
from sql import statements
from sql.access import open_store

if TYPE_CHECKING:
    from analytics.job_options import JobOptions
    from analytics.promotions import Promotion
    from sql.access import Access
    from sql.lake_address import LakeAddress

SPANS_AT_ONCE = 60_000
"""Spans whose traces are looked at together: what bounds the job's memory."""

NAMED_BY = {"conversation_ids": "conversation_id", "keys": "key_value"}
"""What outcomes may name a trace by, beside ids: the column of rows that lists them → the column of its spans."""


@dataclass(frozen=True)
class PartRows:
    """Makes the rows of parts of one window. It can be sent to another process.

    Attributes:
        promotion: what is compared.
        options: prices, rules and names of attributes.
        resources: all resources.
        failures: evaluations of validation evaluators that failed, as
            :func:`analytics.traces.judged_by` makes them.
    """

    promotion: Promotion
    options: JobOptions
    resources: pl.DataFrame
    failures: pl.DataFrame

    def of_spans(self, spans: pl.DataFrame) -> TraceRows:
        """The rows of whole traces, with their spans and calls.

        Args:
            spans: what the read ``report_spans`` gave.
        """
        return trace_rows(
            spans,
            self.resources,
            self.failures,
            promotion=self.promotion,
            prices=self.options.prices,
            feedback_key=self.options.feedback_key,
            validation_evaluators=self.options.validation_evaluators,
            chain_rules=self.options.chain_rules,
        )

    def alone(self, spans: pa.Table) -> pl.DataFrame:
        """The rows of whole traces, without their spans, with the lists of :data:`NAMED_BY`.

        Args:
            spans: what the read ``report_spans`` gave.
        """
        return _alone(_with_names(self.of_spans(pl.DataFrame(pl.from_arrow(spans)))))

    def spans(self, store: Access, parameters: Mapping[str, Any]) -> Iterator[pa.Table]:
        """The spans of a part, some whole traces at a time, at least once.

        Args:
            store: where they are.
            parameters: the part's, with those of the traces that are chosen.

        Raises:
            QueryMemoryError: the store's memory does not suffice, also after some were given.
            QueryError: the store could not answer.
        """
        given = {**parameters, **span_parameters(self.promotion, self.options)}
        with store.reader(statements.read("report_spans"), given) as batches:
            yield from _whole_traces(batches)

    def conditions(self, store: Access, part: Mapping[str, Any]) -> pl.DataFrame:
        """What the read ``report_conditions`` gives of a part."""
        return read_conditions(store, self.promotion, self.options.conditions, part)

    def of_lake(self, given: tuple[LakeAddress, Mapping[str, Any]]) -> pl.DataFrame:
        """All rows of a part, read from a store that every process may open.

        Args:
            given: where the store is, and the part's parameters.
        """
        address, part = given
        with open_store(address) as store:

            def read(slice_: Mapping[str, int]) -> list[pl.DataFrame]:
                return [self.alone(spans) for spans in self.spans(store, {**part, "chosen": None, **slice_})]

            made = pl.concat([rows for slice_ in by_slices(read) for rows in slice_])
            return with_conditions(made, self.conditions(store, part))


def span_parameters(promotion: Promotion, options: JobOptions) -> dict[str, Any]:
    """What the read ``report_spans`` has to know of promotion and configuration."""
    return {
        "simulated": options.simulated,
        "cohort_path": None if promotion.cohort_by is None else json_pointer(promotion.cohort_by),
        "key_path": None if options.feedback_key is None else json_pointer(options.feedback_key),
        "chain_paths": chain_paths(options),
        "strata_paths": [json_pointer(name) for name in promotion.stratify_by],
    }


def _whole_traces(batches: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Spans that come trace by trace, :data:`SPANS_AT_ONCE` or more at a time, no trace torn apart; once at least."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows < SPANS_AT_ONCE:
            continue
        table = pa.Table.from_batches(waiting)
        traces = pl.Series(table.column("trace_id"))
        unfinished = int((traces == traces[-1]).sum())
        if unfinished < table.num_rows:
            yield table.slice(0, table.num_rows - unfinished)
        waiting = table.slice(table.num_rows - unfinished).to_batches()
        rows = unfinished
    yield pa.Table.from_batches(waiting, batches.schema)


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
