"""All canonical columns of the table `spans`, and the attributes that they are read from."""

from __future__ import annotations

from functools import cache

import pyarrow as pa

from collector.conventions.calls import (
    CALL_COLUMNS,
    FIRST_TOKEN_EVENTS,
    KEYS_OF_CARRIERS,
    KEYS_THAT_TELL_THE_KIND,
)
from collector.conventions.context import CONTEXT_COLUMNS
from collector.conventions.gateways import GATEWAY_COLUMNS, REPEAT_COLUMNS
from collector.conventions.settings import COST_PARTS, SETTING_COLUMNS
from collector.conventions.sources import Column, Columns, keys_of
from collector.conventions.usage import USAGE_SETS, Count

READ_COLUMNS: dict[str, Column] = {**CALL_COLUMNS, **SETTING_COLUMNS, **CONTEXT_COLUMNS, **GATEWAY_COLUMNS}
"""Columns that are read from attributes as they are."""

TOKEN_COLUMNS: Columns = {
    "input_tokens": Column(pa.int64(), "all input tokens, cached ones included, whatever the emitter meant", "tokens"),
    "output_tokens": Column(pa.int64(), "all output tokens, reasoning included, whatever the emitter meant", "tokens"),
    "reported_total_tokens": Column(pa.int64(), "the total as sent", "tokens"),
    "cache_read_tokens": Column(pa.int64(), "the part of the input that was read from a cache", "tokens"),
    "cache_write_tokens": Column(pa.int64(), "the part of the input that was written to a cache", "tokens"),
    "cache_write_1h_tokens": Column(pa.int64(), "the part of those that is kept for an hour", "tokens"),
    "reasoning_tokens": Column(pa.int64(), "the part of the output that was reasoning", "tokens"),
    "input_audio_tokens": Column(pa.int64(), "the part of the input that was audio", "tokens"),
    "output_audio_tokens": Column(pa.int64(), "the part of the output that was audio", "tokens"),
    "cache_audio_read_tokens": Column(pa.int64(), "the part read from a cache that was audio", "tokens"),
    "token_rule": Column(pa.string(), "which rule decided what the counts include"),
    "token_conflict": Column(pa.string(), "what contradicts what in the counts, joined by `; `; `NULL` for nothing"),
}
"""Columns that come of the token arithmetic."""

COUNT_OF_COLUMN = {
    "input_tokens": (Count.INPUT,),
    "output_tokens": (Count.OUTPUT,),
    "reported_total_tokens": (Count.TOTAL,),
    "cache_read_tokens": (Count.CACHE_READ,),
    "cache_write_tokens": (Count.CACHE_WRITE, Count.CACHE_WRITE_5M),
    "cache_write_1h_tokens": (Count.CACHE_WRITE_1H,),
    "reasoning_tokens": (Count.REASONING,),
    "input_audio_tokens": (Count.INPUT_AUDIO,),
    "output_audio_tokens": (Count.OUTPUT_AUDIO,),
    "cache_audio_read_tokens": (Count.CACHE_AUDIO_READ,),
}
"""The counts that a token column comes from."""

VERSION_COLUMN = Column(pa.uint16(), "version of the normaliser that wrote these columns")

CANONICAL_COLUMNS: Columns = {**READ_COLUMNS, **TOKEN_COLUMNS, "normalizer_version": VERSION_COLUMN}
"""Every column that normalising fills."""

EVENT_KEYS = frozenset({"exception.type"})
"""Attributes of span events that normalising reads."""

EVENT_NAMES = frozenset({"exception", *FIRST_TOKEN_EVENTS})
"""Span events that normalising looks at."""


@cache
def read_keys() -> frozenset[str]:
    """Names of the span attributes that normalising reads; what else a span has does not matter to it."""
    read = (*READ_COLUMNS.values(), *COST_PARTS.values(), *REPEAT_COLUMNS.values())
    columns = (source for column in read for source in column.sources)
    counts = (source for usage in USAGE_SETS for sources in usage.counts.values() for source in sources)
    told = {key for key, _ in KEYS_THAT_TELL_THE_KIND} | set(KEYS_OF_CARRIERS)
    return keys_of(columns) | keys_of(counts) | told
