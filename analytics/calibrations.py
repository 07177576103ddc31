"""Calibrations in the store: which one speaks of a promotion under the present configuration."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from analytics.report.as_json import calibration_to_dict
from analytics.report.calibration import Calibration, CalibrationCell, CalibrationRow
from sql import statements

if TYPE_CHECKING:
    from analytics.promotions import Promotion
    from sql.access import Access

_SCHEMA = pa.schema(
    {
        "calibration_id": pa.string(),
        "promotion": pa.string(),
        "as_of": pa.timestamp("us"),
        "generated_at": pa.timestamp("us"),
        "fingerprint": pa.string(),
        "body": pa.string(),
    }
)


def calibration_fingerprint(promotion: Promotion, options: object) -> str:
    """A hash of what a calibration rests on beside the traffic: promotion, configuration, release.

    That a promotion has ended changes nothing in how it is judged.
    """
    given = (replace(promotion, ended_at=None), options, version("spanverdict"))
    return hashlib.sha256(repr(given).encode()).hexdigest()


def store_calibration(
    store: Access, promotion: Promotion, options: object, found: Calibration, *, now: datetime
) -> None:
    """Keep a calibration in the store; the same one is kept once.

    Args:
        store: where to.
        promotion: whose it is.
        options: the configuration under which it was made.
        found: what it found.
        now: what to write as the time of making (UTC, naive).
    """
    body = json.dumps(calibration_to_dict(found, by_cohort=True), allow_nan=False)
    fingerprint = calibration_fingerprint(promotion, options)
    row = {
        "calibration_id": hashlib.sha256(f"{promotion.name}\n{fingerprint}\n{body}".encode()).hexdigest()[:32],
        "promotion": promotion.name,
        "as_of": found.as_of,
        "generated_at": now,
        "fingerprint": fingerprint,
        "body": body,
    }
    store.write({"calibrations": pa.Table.from_pylist([row], _SCHEMA)})


def find_calibration(store: Access, promotion: Promotion, options: object, *, as_of: datetime) -> Calibration | None:
    """The newest calibration of a promotion under a configuration, as of a moment; None where there is none."""
    parameters = {
        "promotion": promotion.name,
        "fingerprint": calibration_fingerprint(promotion, options),
        "as_of": as_of,
    }
    rows = store.read(statements.read("calibrations"), parameters).to_pylist()
    return _from_dict(json.loads(rows[0]["body"])) if rows else None


def _from_dict(body: dict[str, Any]) -> Calibration:
    """The inverse of :func:`analytics.report.as_json.calibration_to_dict`."""
    moment = datetime.fromisoformat(body["as_of"]).astimezone(UTC).replace(tzinfo=None)
    rows = [row | {"cohorts": tuple(CalibrationCell(**cell) for cell in row["cohorts"])} for row in body["metrics"]]
    return Calibration(**(body | {"as_of": moment, "metrics": tuple(CalibrationRow(**row) for row in rows)}))
