"""One result that comes by two carriers, of which one tells less of who judged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


NOW = datetime(2026, 11, 22, 12)
TEXTS = ("trace_id", "span_id", "response_id", "conversation_id", "name", "label", "explanation", "error_type",
         "evaluator_version", "source", "annotator", "identifier", "judge_model", "higher_is", "carrier",
         "service_name", "attributes")  # fmt: skip
KINDS = {
    **dict.fromkeys(TEXTS, pa.string()),
    **dict.fromkeys(("score", "threshold"), pa.float64()),
    **dict.fromkeys(("event_time", "received_at"), pa.timestamp("us")),
}
LOG = {"carrier": "log", "identifier": "fb-1"}
EVENT = {"carrier": "span_event", "event_time": NOW - timedelta(milliseconds=3)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OpenedStore]:
    """An empty store."""
    with store_at(tmp_path / "s.duckdb") as store:
        yield store


def rows(*given: dict[str, Any]) -> dict[str, pa.Table]:
    """Evaluations of one span as a write."""
    common = {"event_time": NOW, "received_at": NOW, "trace_id": "t", "span_id": "s", "name": "n", "score": 0.8}
    return {"evaluations": pa.Table.from_pylist([common | row for row in given], pa.schema(KINDS))}


def standing(store: OpenedStore) -> list[dict[str, Any]]:
    """What stands, and what was replaced."""
    found = store.read(
        "SELECT score, identifier, annotator, carrier, FALSE AS old FROM evaluations"
        " UNION ALL SELECT score, identifier, annotator, carrier, TRUE FROM superseded_evaluations ORDER BY ALL"
    )
    return [{name: value for name, value in row.items() if value is not None} for row in found.to_pylist()]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    "copies",
    [
        (EVENT, LOG),
        ({**EVENT, "annotator": "HUMAN"}, {**LOG, "annotator": "HUMAN"}),
        ({"carrier": "span_event"}, {"carrier": "annotation"}, {**LOG, "annotator": "LLM"}),
    ],
)
def test_a_copy_that_tells_less_is_none(
    store: OpenedStore, copies: tuple[dict[str, Any], ...], *, together: bool
) -> None:
    """Whatever the order, and whether they come together, the row stays that says who judged."""
    for number, order in enumerate(permutations(copies)):
        given = [{**row, "span_id": f"s{number}"} for row in order]
        for write in [given] if together else [[row] for row in given] * 2:
            store.write(rows(*write))
    found = standing(store)
    assert len(found) == number + 1
    assert {row["identifier"] for row in found} == {copies[-1]["identifier"]}


@pytest.mark.parametrize(
    "other",
    [
        {"carrier": "log"},
        {"carrier": "span_event", "score": 0.7},
        {"carrier": "span_event", "identifier": "fb-2"},
        {"carrier": "span_event", "annotator": "HUMAN"},
        {"carrier": "span_event", "name": "m"},
        {"carrier": "span_event", "trace_id": "u"},
        {"carrier": "span_event", "event_time": NOW + timedelta(hours=2)},
        {"carrier": "import"},
    ],
)
def test_what_is_no_copy(store: OpenedStore, other: dict[str, Any]) -> None:
    """Another score, target, name, judge or day is another judgement; so is one by the same carrier."""
    store.write(rows(LOG))
    store.write(rows(other))
    assert len(standing(store)) == 2


def test_a_late_copy_of_what_was_corrected(store: OpenedStore) -> None:
    """A copy of what was replaced meanwhile is one too."""
    later = {**LOG, "score": 0.9, "event_time": NOW + timedelta(minutes=5)}
    for row in (LOG, later, EVENT):
        store.write(rows(row))
    corrected = {"identifier": "fb-1", "carrier": "log"}
    assert standing(store) == [{**corrected, "score": 0.8, "old": True}, {**corrected, "score": 0.9, "old": False}]


def test_the_history_of_a_copy_goes_with_it(store: OpenedStore) -> None:
    """What the row had replaced that turns out a copy is the history of the one that stays."""
    earlier = {**EVENT, "score": 0.1, "event_time": NOW - timedelta(minutes=5)}
    for row in (earlier, EVENT, LOG):
        store.write(rows(row))
    assert [(row["score"], row["old"]) for row in standing(store)] == [(0.1, True), (0.8, False)]
    assert store.read("SELECT evaluation_id FROM evaluations UNION FROM (SELECT evaluation_id FROM"
                      " superseded_evaluations)").num_rows == 1  # fmt: skip


def test_a_retry_of_what_was_replaced_at_the_same_time_changes_nothing(store: OpenedStore) -> None:
    """A result, its correction with the same time, and the first again: the correction holds."""
    for seconds, score in enumerate([0.1, 0.9, 0.1, 0.9, 0.1]):
        store.write(rows({"carrier": "log", "score": score, "received_at": NOW + timedelta(seconds=seconds)}))
    assert [(row["score"], row["old"]) for row in standing(store)] == [(0.1, True), (0.9, False)]


def test_of_one_moment_what_is_said_last_holds(store: OpenedStore) -> None:
    """In one batch too."""
    store.write(rows(*({"carrier": "log", "score": score} for score in (0.9, 0.1, 0.5))))
    assert [row["score"] for row in standing(store) if not row["old"]] == [0.5]
