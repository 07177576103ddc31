"""Tables of several arrivals become one batch."""

from __future__ import annotations

import pyarrow as pa

from sql.batches import combined


def spans(span_id: str, **columns: str | None) -> dict[str, pa.Table]:
    """One row for the table of spans."""
    row = {"span_id": span_id, "trace_id": "t", **columns}
    return {"spans": pa.table({name: pa.array([value], pa.string()) for name, value in row.items()})}


def test_a_column_of_spans_without_any_value_is_not_carried() -> None:
    """What no span of a part tells is left out, and is null again where another part tells it."""
    first, second = combined([spans("a", seed=None, tier=None)]), combined([spans("b", seed="7", tier=None)])
    assert first["spans"].column_names == ["span_id", "trace_id"]
    assert combined([first, second])["spans"].to_pylist() == [
        {"span_id": "a", "trace_id": "t", "seed": None},
        {"span_id": "b", "trace_id": "t", "seed": "7"},
    ]


def test_other_tables_keep_their_columns() -> None:
    """The writes of the other tables name their columns."""
    table = pa.table({"service_name": pa.nulls(2, pa.string())})
    assert combined([{"ingest_loads": table}])["ingest_loads"].column_names == ["service_name"]
