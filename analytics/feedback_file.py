"""Outcome files: CSV, JSON Lines or Parquet → feedback rows, or one sentence that says which row is wrong.

Columns: ``time`` (ISO 8601 or epoch), ``name``, one of ``value`` and ``label``, at least one key among ``trace_id``,
``span_id``, ``response_id``, ``conversation_id`` and ``key``; optionally ``source``, ``comment`` and ``id``. Other
columns are kept as attributes.
"""

from __future__ import annotations

import csv
import json
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa

KEYS = ("trace_id", "span_id", "response_id", "conversation_id", "key")
_COLUMNS = ("time", "name", "value", "label", *KEYS, "source", "comment", "id")
_TRUTHS = {"true": "1", "yes": "1", "false": "0", "no": "0"}
_EPOCH_UNITS = ((1e11, 1e9), (1e14, 1e6), (1e17, 1e3), (float("inf"), 1.0))
"""Upper bound of an epoch number → nanoseconds per unit: seconds, milliseconds, microseconds, nanoseconds."""
_EPOCH_SECONDS = (1e8, 9.2e9)
"""Epoch numbers from 1973 to 2261 are times: a smaller one is more likely a date without dashes (20261101)."""
_YEARS = (1970, 2261)
"""Years that timestamps in nanoseconds hold whole, from the epoch on."""
_SHOWN = 60
"""How much of a wrong value an error message repeats."""


class FeedbackFileError(Exception):
    """The file cannot be imported; nothing of it was stored."""


def read_feedback(path: Path, received_at: datetime) -> pa.Table:
    """Read and check an outcome file whole.

    Args:
        path: a ``.csv``, ``.jsonl``, ``.ndjson`` or ``.parquet`` file.
        received_at: the arrival time to store (UTC, naive).

    Returns:
        Rows for the named write ``feedback``.

    Raises:
        FeedbackFileError: the file cannot be read, or a row is not usable; the message names file and row.
    """
    frame = _read(path)
    missing = [name for name in ("time", "name") if name not in frame.columns]
    if missing:
        raise FeedbackFileError(
            f"{path}: the column {missing[0]!r} is missing; found {', '.join(frame.columns) or 'none'}."
        )
    if not {"value", "label"} & set(frame.columns):
        raise FeedbackFileError(
            f"{path}: a column 'value' or 'label' is missing; found {', '.join(frame.columns) or 'none'}."
        )
    if not set(KEYS) & set(frame.columns):
        raise FeedbackFileError(f"{path}: at least one key column is needed: {', '.join(KEYS)}.")
    extra = [name for name in frame.columns if name not in _COLUMNS]
    attributes = frame.select(pl.struct(extra).struct.json_encode()).to_series() if extra else pl.lit("{}")
    frame = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in _COLUMNS if name not in frame.columns)
    frame = frame.with_columns(
        pl.when(pl.col(name).str.strip_chars() != "").then(pl.col(name).str.strip_chars()) for name in _COLUMNS
    )
    frame = frame.with_columns(
        _event_time().alias("event_time"),
        pl.col("value").str.to_lowercase().replace(_TRUTHS).cast(pl.Float64, strict=False).alias("number"),
        pl.col("trace_id", "span_id").str.to_lowercase().str.replace_all("-", ""),
    )
    _refuse_first(path, frame)
    table: pa.Table = frame.select(
        "event_time", "name", pl.col("number").alias("value"), "label", *KEYS, "source", "comment", "id",
        attributes=attributes,
    ).to_arrow(compat_level=pl.CompatLevel.oldest())  # fmt: skip
    received = pa.repeat(pa.scalar(received_at, pa.timestamp("us")), table.num_rows)
    return table.append_column("received_at", received)


def _read(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise FeedbackFileError(f"{path} cannot be read: there is no such file.")
    suffix = path.suffix.lower()
    try:
        if suffix == ".csv":
            frame = pl.read_csv(path, infer_schema=False, encoding="utf8", glob=False)
        elif suffix in {".jsonl", ".ndjson"}:
            frame = _read_json_lines(path)
        elif suffix == ".parquet":
            frame = pl.read_parquet(path, glob=False)
        else:
            raise FeedbackFileError(f"{path}: name a .csv, .jsonl or .parquet file.")
        return frame.with_columns(_as_text(name, kind).alias(name) for name, kind in frame.schema.items())
    except OSError as error:
        raise FeedbackFileError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise FeedbackFileError(f"{path} cannot be read: it is not UTF-8 text.") from error
    except pl.exceptions.PolarsError as error:
        reason = (_ragged_row(path) if suffix == ".csv" else None) or str(error).splitlines()[0].rstrip(".")
        raise FeedbackFileError(f"{path} cannot be read: {reason}.") from error


def _ragged_row(path: Path) -> str | None:
    """The first row with more fields than the header, which polars refuses without saying where."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.reader(lines)
            header = next(rows, [])
            for number, row in enumerate(rows, 1):
                if len(row) > len(header):
                    return f"row {number} has {len(row)} fields, the header {len(header)}"
    except (UnicodeDecodeError, csv.Error):
        return None
    return None


def _read_json_lines(path: Path) -> pl.DataFrame:
    rows: list[dict[str, str | None]] = []
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise FeedbackFileError(f"{path}, line {number}: not a JSON object.")
                rows.append({_whole(name): _json_text(value) for name, value in row.items()})
            except (ValueError, RecursionError) as error:
                raise FeedbackFileError(f"{path}, line {number}: not a JSON object ({error}).") from error
    names = sorted({name for row in rows for name in row})
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String))


def _json_text(value: object) -> str | None:
    if value is None:
        return None
    return _whole(value) if isinstance(value, str) else json.dumps(value)


def _whole(text: str) -> str:
    """The text, if it has no half of a surrogate pair: such an escape is JSON, but no text of any encoding.

    Raises:
        UnicodeEncodeError: it has.
    """
    text.encode()
    return text


def _as_text(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.Datetime):
        # A column with a zone shows its local time; the instant is what counts.
        instant = column if kind.time_zone is None else column.dt.convert_time_zone("UTC")
        return instant.dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ")
    if isinstance(kind, pl.Date):
        return column.dt.to_string("iso")
    if isinstance(kind, pl.Struct):
        return column.struct.json_encode()
    if isinstance(kind, pl.List | pl.Array):
        whole = pl.struct(column.alias("v")).struct.json_encode()
        return pl.when(column.is_not_null()).then(whole.str.strip_prefix('{"v":').str.strip_suffix("}"))
    return column.cast(pl.String)


def _event_time() -> pl.Expr:
    """ISO 8601 (UTC unless it names an offset) or an epoch number whose size tells its unit."""
    text = pl.col("time")
    number = text.cast(pl.Float64, strict=False)
    scale = pl.lit(_EPOCH_UNITS[-1][1])
    for bound, factor in reversed(_EPOCH_UNITS[:-1]):
        scale = pl.when(number.abs() < bound).then(pl.lit(factor)).otherwise(scale)
    whole = text.cast(pl.Int64, strict=False)
    nanoseconds = number * scale
    exact = (
        pl.when(whole.is_not_null())
        .then(whole * scale.cast(pl.Int64))
        # A float holds microseconds of these centuries, not nanoseconds.
        .otherwise((nanoseconds / 1e3).round().cast(pl.Int64, strict=False) * 1000)
    )
    is_time = nanoseconds.is_between(_EPOCH_SECONDS[0] * 1e9, _EPOCH_SECONDS[1] * 1e9)
    iso = text.str.to_uppercase().str.replace(" ", "T", literal=True)
    iso = iso.str.replace(r"(T.*[+-]\d\d)$", "${1}:00")
    has_offset = iso.str.contains(r"(Z|[+-]\d\d:?\d\d)$")
    with_zone = pl.when(has_offset).then(iso).otherwise(iso + "Z")
    full = pl.when(with_zone.str.contains("T")).then(with_zone).otherwise(with_zone.str.replace("Z$", "T00:00:00Z"))
    micros, nanos = (
        full.str.to_datetime(time_unit=unit, time_zone="UTC", strict=False, format=None).dt.replace_time_zone(None)
        for unit in ("us", "ns")
    )
    # Past 2262 nanoseconds wrap around silently; microseconds tell the year.
    return (
        pl.when(number.is_not_null() & is_time)
        .then(exact.cast(pl.Datetime("ns")))
        .when(number.is_null() & micros.dt.year().is_between(*_YEARS))
        .then(nanos)
    )


def _refuse_first(path: Path, frame: pl.DataFrame) -> None:
    """Name the first row that cannot be used, if any."""
    problems = {
        "time": (pl.col("event_time").is_null(), "is not an ISO 8601 time or an epoch number, between 1970 and 2262"),
        "name": (pl.col("name").is_null(), "is missing"),
        "value": (pl.col("value").is_not_null() & ~pl.col("number").is_finite().fill_null(value=False),
                  "is not 0/1, true/false or a number"),
        "value or label": (pl.col("value").is_null() & pl.col("label").is_null(), "is missing"),
        f"key ({', '.join(KEYS)})": (pl.all_horizontal(pl.col(key).is_null() for key in KEYS), "is missing"),
    }  # fmt: skip
    found: list[tuple[int, str]] = []
    for what, (condition, wrong) in problems.items():
        rows = frame.select(pl.arg_where(condition)).to_series()
        if len(rows):
            row = int(rows[0])
            text = frame[row, what] if what in frame.columns else None
            given = "" if text is None else f" {text[:_SHOWN]!r}"
            found.append((row, f"{what}{given} {wrong}"))
    if found:
        row, sentence = min(found)
        raise FeedbackFileError(f"{path}, row {row + 1}: {sentence}; nothing was imported.")
