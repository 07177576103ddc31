"""What a row of feedback must say, whichever way it comes in: fields as text → rows, or the first that is wrong.

Fields: ``time`` (ISO 8601 or epoch), ``name``, one of ``value`` and ``label``, at least one key among ``trace_id``,
``span_id``, ``response_id``, ``conversation_id`` and ``key``; optionally ``source``, ``comment`` and ``id``. Whatever
else a row says is kept as attributes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import polars as pl

KEYS = ("trace_id", "span_id", "response_id", "conversation_id", "key")
"""What names the target; `key` is an application's own id, such as a ticket's."""

FIELDS = ("time", "name", "value", "label", *KEYS, "source", "comment", "id")

LONGEST = 1024
"""Characters of a field; only a comment may be longer."""

_TRUTHS = {"true": "1", "yes": "1", "false": "0", "no": "0"}
_EPOCH_UNITS = ((1e11, 1e9), (1e14, 1e6), (1e17, 1e3), (float("inf"), 1.0))
"""Upper bound of an epoch number → nanoseconds per unit: seconds, milliseconds, microseconds, nanoseconds."""
_EPOCH_SECONDS = (1e8, 9.2e9)
"""Epoch numbers from 1973 to 2261 are times: a smaller one is more likely a date without dashes (20261101)."""
_YEARS = (1970, 2261)
"""Years that timestamps in nanoseconds hold whole, from the epoch on."""
_SHOWN = 60
"""How much of a wrong value an error message repeats."""


class FeedbackRowError(ValueError):
    """A row cannot be used.

    Args:
        row: its number, counted from one.
        field: the field that is wrong; several with blanks between where one of them is missing.
        complaint: what is wrong with it, to follow the field's name.
    """

    def __init__(self, row: int, field: str, complaint: str) -> None:
        super().__init__(f"row {row}: {field} {complaint}")
        self.row = row
        self.field = field
        self.complaint = complaint


def feedback_rows(
    given: pl.DataFrame, others: pl.DataFrame | pl.Series, *, first: int = 1, may_lack_time: bool = False
) -> pl.DataFrame:
    """Check rows and bring them into the columns of the named write ``feedback``, but for ``received_at``.

    Args:
        given: any of FIELDS, as text.
        others: what else each row says, as columns of text (null or empty: nothing), or as `attributes_text` has it.
        first: the number of the first row, for errors.
        may_lack_time: a row without a time is one of now: its ``event_time`` is null.

    Raises:
        FeedbackRowError: a row is not usable: the first of them.
    """
    rows = given.with_columns(pl.lit(None, pl.String).alias(name) for name in FIELDS if name not in given.columns)
    rows = rows.with_columns(
        pl.when(pl.col(name).str.strip_chars() != "").then(pl.col(name).str.strip_chars()) for name in FIELDS
    )
    rows = rows.with_columns(
        _event_time().alias("event_time"),
        pl.col("value").str.to_lowercase().replace(_TRUTHS).cast(pl.Float64, strict=False).alias("number"),
        pl.col("trace_id", "span_id").str.to_lowercase().str.replace_all("-", ""),
    )
    _refuse_first(rows, first, may_lack_time=may_lack_time)
    return rows.select(
        "event_time", "name", pl.col("number").alias("value"), "label", *KEYS, "source", "comment", "id",
        _attributes(others, rows.height).alias("attributes"),
    )  # fmt: skip


def attributes_text(members: Mapping[str, str | None]) -> str:
    """What else one row says as the JSON object that is stored.

    Rows from JSON have names of their own: a column for each would take every row times every name.
    """
    said = {name: text for name, text in sorted(members.items()) if text}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def _attributes(others: pl.DataFrame | pl.Series, height: int) -> pl.Series:
    """What else each row says as a JSON object, in the order of names: the same for a row, whatever comes with it."""
    if isinstance(others, pl.Series):
        return others
    members = [
        pl.when(pl.col(name) != "").then(
            pl.struct(pl.col(name)).struct.json_encode().str.strip_prefix("{").str.strip_suffix("}")
        )
        for name in sorted(others.columns)
    ]
    if not members:
        return pl.repeat("{}", height, dtype=pl.String, eager=True)
    joined = pl.concat_str(members, separator=",", ignore_nulls=True)
    return others.select(pl.concat_str(pl.lit("{"), joined, pl.lit("}"))).to_series()


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


def _refuse_first(rows: pl.DataFrame, first: int, *, may_lack_time: bool) -> None:
    """Name the first row that cannot be used, if any.

    Raises:
        FeedbackRowError: there is one.
    """
    timeless = pl.col("event_time").is_null()
    problems = [
        ("time", timeless & pl.col("time").is_not_null() if may_lack_time else timeless,
         "is not an ISO 8601 time or an epoch number, between 1970 and 2262"),
        ("name", pl.col("name").is_null(), "is missing"),
        ("value", pl.col("value").is_not_null() & ~pl.col("number").is_finite().fill_null(value=False),
         "is not 0/1, true/false or a number"),
        ("value or label", pl.col("value").is_null() & pl.col("label").is_null(), "is missing"),
        (f"key ({', '.join(KEYS)})", pl.all_horizontal(pl.col(key).is_null() for key in KEYS), "is missing"),
        ("trace_id", _no_id("trace_id", 32), "is not 32 hex digits, or all of them zero"),
        ("span_id", _no_id("span_id", 16), "is not 16 hex digits, or all of them zero"),
        *((name, pl.col(name).str.len_chars() > LONGEST, f"has more than {LONGEST} characters")
          for name in FIELDS if name != "comment"),
        *((name, pl.col(name).str.contains("\0", literal=True), "holds a NUL character") for name in FIELDS),
    ]  # fmt: skip
    wrong = rows.select(
        condition.fill_null(value=False).arg_true().min().alias(str(number))
        for number, (_, condition, _) in enumerate(problems)
    )
    found = [(row, number) for number, row in enumerate(wrong.row(0)) if row is not None]
    if found:
        row, number = min(found)
        what, _, complaint = problems[number]
        text = rows[row, what] if what in rows.columns else None
        given = "" if text is None else f"{text[:_SHOWN]!r} "
        raise FeedbackRowError(first + row, what, given + complaint)


def _no_id(name: str, digits: int) -> pl.Expr:
    """Whether a column names a target that no span can have (W3C Trace Context: ids of zeros are invalid)."""
    return ~pl.col(name).str.contains(f"^[0-9a-f]{{{digits}}}$") | pl.col(name).str.contains("^0+$")
