"""Stored spans that an older version of the normaliser wrote, brought to the present one.

Canonical columns are read from the attributes as they were stored, so a mend of the normaliser reaches history too. The
work goes in slices, each one transaction; the version in each row says what is left, so a process that dies leaves
nothing half done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import pyarrow as pa

from collector.normalize import NORMALIZER_VERSION, NormalizerInput, canonical_columns
from sql import statements
from sql.access import Access
from sql.errors import StoreError, StoreUnavailableError

_LOG = logging.getLogger("spanverdict.derive")

SPANS_AT_ONCE = 2_000
"""Spans of one slice: a slice holds the store's write lock for some tens of milliseconds."""

BYTES_AT_ONCE = 64 * 2**20
"""Bytes of attributes and events of one slice."""

_IDENTITY = ["start_time", "span_id", "trace_id"]


def renormalize(store: Access, progress: Callable[[int, int], object] = lambda _done, _left: None) -> int:
    """Normalise anew what an older version wrote.

    Args:
        store: where the spans are.
        progress: told after each slice how many spans it held, and how many were left before it.

    Returns:
        How many spans were looked at.

    Raises:
        StoreError: the store could not answer or could not be written; what was done before stays.
    """
    # Nanoseconds since 1970: where to look for the next slice. The version in each row tells what is done.
    first = total = 0
    given = {"version": NORMALIZER_VERSION, "most_spans": SPANS_AT_ONCE}
    while True:
        window = store.read(statements.read("renormalize_window"), {"first": first, **given}).to_pylist()[0]
        if window["through"] is None:
            if not _thaw(store):
                return total
            first = 0
            continue
        first = window["first"]
        rows = store.read(
            statements.read("renormalize_spans"),
            {"first": first, "through": window["through"], "most_bytes": BYTES_AT_ONCE, **given},
        )
        _write(store, rows)
        total += rows.num_rows
        progress(rows.num_rows, window["spans_left"])


def _thaw(store: Access) -> bool:
    """Bring the oldest archived day that an older version wrote back among the live ones; False if none can be.

    The next run that archives moves it out again.
    """
    for file in store.read(statements.read("renormalize_files"), {"version": NORMALIZER_VERSION})["file"].to_pylist():
        try:
            store.write({"thawed_files": pa.table({"file": [file]})})
        except StoreUnavailableError:
            raise
        except StoreError as error:
            _LOG.warning("An archived day cannot be normalised anew: %s", error)
        else:
            return True
    return False


def _write(store: Access, rows: pa.Table) -> None:
    """Write the canonical columns of a slice; a row that cannot be read keeps those that it has."""
    try:
        again = canonical_columns(NormalizerInput.of_stored(rows))
    except Exception:  # noqa: BLE001 (whatever one row holds, it does not hold up the others)
        if rows.num_rows == 1:
            row = rows.slice(0, 1).select(_IDENTITY)
            _LOG.warning(
                "The span %s of trace %s cannot be read from the store.", row["span_id"][0], row["trace_id"][0]
            )
            version = pa.array([NORMALIZER_VERSION], pa.uint16())
            store.write({"normalizer_versions": row.append_column("normalizer_version", version)})
            return
        middle = rows.num_rows // 2
        _write(store, rows.slice(0, middle))
        _write(store, rows.slice(middle))
        return
    store.write({"renormalized_spans": pa.table({**{name: rows[name] for name in _IDENTITY}, **again})})
