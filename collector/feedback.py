"""Feedback that is posted as JSON: a body → checked rows as bytes that can be queued → rows of the store.

A body is one row as an object, an array of rows, or ``{"feedback": [...]}``; what a row says: sql/feedback_rows.py.
A row without a time is of the moment at which it arrives.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from collector.redact import ContentPolicy
from collector.rows import Rows
from collector.wire import MalformedRequestError
from sql import strict_json
from sql.feedback_rows import FIELDS, FeedbackRowError, attributes_text, feedback_rows

MOST_ROWS = 100_000
"""Rows of one request; more come in a file."""

_MOST_VALUES = 1_000_000
"""Arrays and objects of one request: each takes many times the two bytes that it is written with."""

_KEY = re.compile(r'"?([!#-\[\]-~]{1,255})"?', re.ASCII)
"""An Idempotency-Key: a string of RFC 8941, whose quotes many leave out."""

_SCHEMA = pa.schema(
    {
        "event_time": pa.timestamp("ns"),
        "name": pa.string(),
        "value": pa.float64(),
        **dict.fromkeys(
            ("label", "trace_id", "span_id", "response_id", "conversation_id", "key", "source", "comment", "id"),
            pa.string(),
        ),
        "attributes": pa.string(),
        "idempotency_key": pa.string(),
    }
)


class FeedbackError(MalformedRequestError):
    """A body cannot be taken; nothing of it is stored.

    Args:
        complaint: one clause that says why.
        row: the number of the row at fault, counted from one; None where it is the whole.
        field: its field at fault, if it is one.
    """

    def __init__(self, complaint: str, row: int | None = None, field: str | None = None) -> None:
        super().__init__(complaint)
        self.row = row
        self.field = field


@dataclass(frozen=True)
class FeedbackColumns:
    """The rows of some requests, and how many each of these held."""

    table: pa.Table
    counts: npt.NDArray[np.int64]


def checked_key(given: Sequence[str]) -> str | None:
    """The value of the header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07), without its quotes.

    Raises:
        FeedbackError: it is none, or there are several.
    """
    if not given:
        return None
    found = _KEY.fullmatch(given[0].strip())
    if len(given) > 1 or not found:
        raise FeedbackError("the header Idempotency-Key is one text of 1 to 255 printable characters of ASCII")
    return found[1]


def encode_feedback(body: bytes, idempotency_key: str | None = None) -> bytes:
    """Check the rows of a JSON body and pack them.

    Args:
        body: the JSON text.
        idempotency_key: what its sender calls this request, whenever it is sent again.

    Raises:
        FeedbackError: the body or one of its rows is not usable.
    """
    if body.count(b"{") + body.count(b"[") > _MOST_VALUES:
        raise FeedbackError(f"it holds more than {_MOST_VALUES:,} arrays and objects; send fewer at once")
    try:
        rows = _listed(strict_json.parse(body))
    except strict_json.JsonError as error:
        raise FeedbackError(str(error)) from error
    if len(rows) > MOST_ROWS:
        raise FeedbackError(f"it holds {len(rows):,} rows; send at most {MOST_ROWS:,} at once, or import a file")
    texts = [_texts(number, row) for number, row in enumerate(rows, 1)]
    given = pl.DataFrame([pl.Series(name, [row.get(name) for row in texts], pl.String) for name in FIELDS])
    others = pl.Series(
        [attributes_text({name: text for name, text in row.items() if name not in FIELDS}) for row in texts],
        dtype=pl.String,
    )
    try:
        frame = feedback_rows(given, others, may_lack_time=True)
    except FeedbackRowError as error:
        raise FeedbackError(str(error), error.row, error.field) from error
    table = frame.with_columns(idempotency_key=pl.lit(idempotency_key, pl.String)).to_arrow(
        compat_level=pl.CompatLevel.oldest()
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _SCHEMA) as stream:
        stream.write_table(table.select(_SCHEMA.names).cast(_SCHEMA))
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def decode_feedback(payloads: Sequence[bytes]) -> FeedbackColumns:
    """The rows that `encode_feedback` packed.

    Raises:
        MalformedRequestError: one of the payloads is nothing that it packed.
    """
    try:
        tables = [pa.ipc.open_stream(payload).read_all().select(_SCHEMA.names).cast(_SCHEMA) for payload in payloads]
    except (pa.ArrowException, KeyError, OSError) as error:
        raise MalformedRequestError("it is not a batch of checked feedback") from error
    return FeedbackColumns(pa.concat_tables(tables), np.array([table.num_rows for table in tables], np.int64))


def feedback_rows_of(
    columns: FeedbackColumns, received_at: datetime, content: ContentPolicy | None = None
) -> tuple[Rows, Counter[str]]:
    """Rows of a group of requests; what has no time of its own is of ``received_at`` (UTC, naive).

    Returns:
        The rows, as they may be stored by ``content``, and how many of their values that changed.
    """
    table, redacted = content.apply_to_feedback(columns.table) if content else (columns.table, Counter())
    times = pc.fill_null(table["event_time"], pa.scalar(received_at, pa.timestamp("ns")))
    table = table.set_column(0, "event_time", times).append_column(
        "received_at", pa.repeat(pa.scalar(received_at, pa.timestamp("us")), table.num_rows)
    )
    # Who gives feedback is no service: the ledger counts it all as one.
    arrived: dict[str | None, tuple[int, int]] = {None: (table.num_rows, 0)}
    return Rows({"feedback": table}, columns.counts, np.zeros_like(columns.counts), "", {}, arrived), redacted


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 (JSON)
    if isinstance(value, dict) and isinstance(value.get("feedback"), list):
        if len(value) > 1:
            beside = next(name for name in value if name != "feedback")
            raise FeedbackError(f"beside the array 'feedback' stands {ascii(beside)[:60]}, which would be lost")
        value = value["feedback"]
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise FeedbackError(
            "it is neither a row (an object), an array of rows, nor an object with the array 'feedback'"
        )
    return value


def _texts(number: int, row: Any) -> dict[str, str | None]:  # noqa: ANN401 (JSON)
    if not isinstance(row, dict):
        raise FeedbackError(f"row {number}: it is not an object", number)
    try:
        return strict_json.texts(row, FIELDS)
    except strict_json.JsonError as error:
        raise FeedbackError(f"row {number}: {error}", number, error.name) from error
