"""Feedback: whether it happened to a trace in time, and when that is known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

Row = dict[str, Any]
Make = Callable[..., Row]
Frame = Callable[..., pl.DataFrame]

NOON = datetime(2026, 11, 1, 12)


@pytest.fixture(scope="session")
def down(span: Make, frame: Frame) -> Callable[..., list[float | None]]:
    """Thumbs-down of three traces: two of conversation c, of which the second has a key, and one of d."""

    def make(*rows: Row, **more: Any) -> list[float | None]:
        spans = [
            span("a", None, "CHAIN", conversation_id="c"),
            span("b", "a", "LLM", response_id="x"),
            span("a2", None, "CHAIN", trace_id="t2", conversation_id="c", key_value="ticket-2"),
            span("a3", None, "CHAIN", trace_id="t3", conversation_id="d"),
        ]
        values: list[float | None] = frame(spans, None, list(rows), **more)["outcome:thumbs_down"].to_list()
        return values

    return make


def test_happened_or_not(feedback: Make, down: Callable[..., list[float | None]]) -> None:
    """Mature traces are 1 with feedback and 0 without."""
    assert down(feedback("thumbs_down", 1, value=1.0, trace_id="t1")) == [1.0, 0.0, 0.0]


def test_feedback_may_come_before_its_trace(feedback: Make, down: Callable[..., list[float | None]]) -> None:
    """A row whose time lies before the trace's start counts."""
    assert down(feedback("thumbs_down", -1, value=1.0, span_id="b")) == [1.0, 0.0, 0.0]


def test_late_feedback_does_not_count(feedback: Make, down: Callable[..., list[float | None]]) -> None:
    """After the trace's end plus a day a thumbs-down is too late; to the very instant it is in time."""
    end = NOON + timedelta(seconds=1, days=1)
    for time, expected in ((end, 1.0), (end + timedelta(microseconds=1), 0.0)):
        row = feedback("thumbs_down", 0, value=1.0, trace_id="t1") | {"event_time": time}
        assert down(row) == [expected, 0.0, 0.0]


def test_immature_traces_have_no_outcome(feedback: Make, down: Callable[..., list[float | None]]) -> None:
    """Until the maturity has passed nothing is said, not even of what happened: early rates would be high."""
    row = feedback("thumbs_down", 1, value=1.0, trace_id="t1")
    assert down(row, as_of=NOON + timedelta(hours=23)) == [None, None, None]
    assert down(row, as_of=NOON + timedelta(seconds=1, days=1)) == [1.0, 0.0, 0.0]


def test_maturity_is_by_name(span: Make, feedback: Make, frame: Frame) -> None:
    """A reopened ticket has seven days, an outcome that is not configured one."""
    rows = [
        feedback("reopened", 6 * 24, value=1.0, trace_id="t1"),
        feedback("complained", 6 * 24, value=1.0, trace_id="t1"),
    ]
    made = frame([span("a", None, "CHAIN")], None, rows).row(0, named=True)
    assert (made["outcome:reopened"], made["outcome:complained"]) == (1.0, 0.0)
    early = frame([span("a", None, "CHAIN")], None, rows, as_of=NOON + timedelta(days=6, hours=1)).row(0, named=True)
    assert (early["outcome:reopened"], early["outcome:complained"]) == (None, 0.0)


def test_later_row_retracts(feedback: Make, down: Callable[..., list[float | None]]) -> None:
    """The latest row of one target, name and source holds, whichever way."""
    given = feedback("thumbs_down", 1, value=1.0, trace_id="t1")
    taken = feedback("thumbs_down", 2, value=0.0, trace_id="t1")
    again = feedback("thumbs_down", 3, label="down", trace_id="t1")
    assert down(taken, given) == [0.0, 0.0, 0.0]
    assert down(again, taken, given) == [1.0, 0.0, 0.0]


def test_retraction_must_be_in_time_too(feedback: Make, down: Callable[..., list[float | None]]) -> None:
    """What is taken back after the maturity has become final."""
    rows = [
        feedback("thumbs_down", 1, value=1.0, trace_id="t1"),
        feedback("thumbs_down", 48, value=0.0, trace_id="t1"),
    ]
    assert down(*rows) == [1.0, 0.0, 0.0]


def test_sources_do_not_retract_each_other(feedback: Make, down: Callable[..., list[float | None]]) -> None:
    """A reviewer's no does not undo a user's yes, nor a row about a span one about its trace."""
    given = feedback("thumbs_down", 1, value=1.0, trace_id="t1", source="user")
    assert down(given, feedback("thumbs_down", 2, value=0.0, trace_id="t1", source="reviewer")) == [
        1.0,
        0.0,
        0.0,
    ]
    assert down(given, feedback("thumbs_down", 2, value=0.0, span_id="b", source="user")) == [1.0, 0.0, 0.0]


def test_conversation_and_key_reach_all_their_traces(feedback: Make, down: Callable[..., list[float | None]]) -> None:
    """A conversation's outcome applies to each of its traces, a key's to the traces that carry it."""
    assert down(feedback("thumbs_down", 1, value=1.0, conversation_id="c")) == [1.0, 1.0, 0.0]
    assert down(feedback("thumbs_down", 1, value=1.0, key="ticket-2")) == [0.0, 1.0, 0.0]
    assert down(feedback("thumbs_down", 1, value=1.0, response_id="x")) == [1.0, 0.0, 0.0]


def test_key_may_stand_on_the_resource(span: Make, feedback: Make, frame: Frame) -> None:
    """The configured attribute, if any, is looked up on the resource where the span lacks it."""
    rows = [feedback("thumbs_down", 1, value=1.0, key="7")]
    spans = [span("a", None, "CHAIN")]
    resources = {"r1": '{"app.ticket": 7}'}
    assert frame(spans, None, rows, resources)["outcome:thumbs_down"].to_list() == [1.0]
    assert frame(spans, None, rows, resources, feedback_key=None)["outcome:thumbs_down"].to_list() == [0.0]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"value": 1.0}, 1.0),
        ({"value": 0.5}, 1.0),
        ({"value": 0.0}, 0.0),
        ({"value": -1.0}, 0.0),
        ({"value": 0.0, "label": "down"}, 0.0),
        ({"label": "Thumbs down"}, 1.0),
        ({"label": "TRUE"}, 1.0),
        ({"label": "no"}, 0.0),
        ({"label": "up"}, 0.0),
        ({"label": "unheard of"}, 0.0),
        ({"value": float("nan")}, 0.0),
    ],
)
def test_what_means_happened(
    feedback: Make, down: Callable[..., list[float | None]], row: Row, expected: float
) -> None:
    """A value above zero or a label that says so; what says nothing is no outcome."""
    assert down(feedback("thumbs_down", 1, trace_id="t1", **row))[0] == expected


def test_unreadable_row_does_not_retract(feedback: Make, down: Callable[..., list[float | None]]) -> None:
    """A later row that says nothing leaves the earlier one standing."""
    rows = [
        feedback("thumbs_down", 1, value=1.0, trace_id="t1"),
        feedback("thumbs_down", 2, label="?", trace_id="t1"),
    ]
    assert down(*rows)[0] == 1.0


def test_feedback_after_as_of_is_unknown(span: Make, feedback: Make, frame: Frame) -> None:
    """A kind of feedback that was first given later has no column."""
    made = frame(
        [span("a", None, "CHAIN")],
        None,
        [feedback("thumbs_down", 3, value=1.0, trace_id="t1")],
        as_of=NOON + timedelta(hours=2),
    )
    assert "outcome:thumbs_down" not in made.columns


def test_what_was_replaced_too_late_stays(feedback: Make, down: Callable[..., list[float | None]]) -> None:
    """A word that was corrected after the maturity had become final; corrected in time it no longer counts."""
    given = feedback("thumbs_down", 1, value=1.0, trace_id="t1")
    late, early = ({"replaced_at": NOON + timedelta(hours=hours)} for hours in (48, 2))
    assert down(given | late, feedback("thumbs_down", 48, value=0.0, trace_id="t1"))[0] == 1.0
    assert down(given | early, feedback("thumbs_down", 2, value=0.0, trace_id="t1"))[0] == 0.0


def test_a_correction_may_name_another_trace(feedback: Make, down: Callable[..., list[float | None]]) -> None:
    """A row that moved from one trace to another counts for the second alone."""
    first = feedback("thumbs_down", 1, value=1.0, trace_id="t1") | {"replaced_at": NOON + timedelta(hours=2)}
    assert down(first, feedback("thumbs_down", 2, value=1.0, trace_id="t3")) == [0.0, 0.0, 1.0]
