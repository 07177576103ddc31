"""Every outcome finds its traces, by every key, whichever comes first, and the table says what a report would."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import analytics.outcome_matching
from analytics.outcome_matching import match_outcomes
from analytics.targets import match_targets
from collector.decode import decode_traces
from collector.rows import span_rows
from sql.opened_store import OpenedStore
from tests.stores import lakes, store_at

pytestmark = pytest.mark.any_store(slow=True)

ARRIVAL = datetime(2026, 11, 1)
SECOND = 1_000_000_000
START = 1_793_000_000 * SECOND
BEGAN = datetime(2026, 10, 26, 7, 33, 20)
KEY = "ticket.id"
TARGETS = ("trace_id", "span_id", "response_id", "conversation_id", "key")

Receive = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OpenedStore]:
    """An empty store."""
    with store_at(tmp_path / "s.duckdb") as opened:
        yield opened


@pytest.fixture
def receive(store: OpenedStore, otlp: Any) -> Receive:
    """Store spans, each arrival a minute after the one before."""
    minutes = itertools.count()

    def arrive(*spans: dict[str, Any], **given: Any) -> None:
        columns = decode_traces([otlp.request(*spans, **given).SerializeToString()])
        store.write(span_rows(columns, [None], ARRIVAL + timedelta(minutes=next(minutes))).tables)

    return arrive


def span(
    number: int,
    trace: int = 1,
    conversation: str | None = None,
    ticket: str | None = None,
    second: int = 0,
    **more: Any,
) -> dict[str, Any]:
    """A span that answers as `r<number>`."""
    told = {"gen_ai.response.id": f"r{number}", "gen_ai.conversation.id": conversation, KEY: ticket}
    return {
        "trace_id": trace.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "start_time_unix_nano": START + second * SECOND,
        "end_time_unix_nano": START + (second + 1) * SECOND,
        "attributes": {name: value for name, value in told.items() if value is not None},
        **more,
    }


def trace_id(number: int) -> str:
    """A trace's id as the store has it."""
    return f"{number:032x}"


def span_id(number: int) -> str:
    """A span's id as the store has it."""
    return f"{number:016x}"


def feedback(store: OpenedStore, *rows: dict[str, Any]) -> None:
    """Store feedback, by default an hour after the spans began."""
    kinds = {"event_time": pa.timestamp("ns"), "received_at": pa.timestamp("us"), "value": pa.float64()}
    names = (*kinds, "name", "label", *TARGETS, "source", "comment", "attributes", "id")
    given = {"event_time": BEGAN + timedelta(hours=1), "received_at": ARRIVAL, "name": "thumbs_down", "value": 1.0}
    whole = [{name: (given | row).get(name) for name in names} for row in rows]
    store.write({"feedback": pa.Table.from_pylist(whole, pa.schema({n: kinds.get(n, pa.string()) for n in names}))})


def evaluation(store: OpenedStore, **row: Any) -> None:
    """Store one evaluation."""
    kinds = {"event_time": pa.timestamp("ns"), "received_at": pa.timestamp("us"), "score": pa.float64()}
    given = {"event_time": BEGAN + timedelta(hours=1), "received_at": ARRIVAL, "name": "Groundedness", "score": 0.4,
             "carrier": "log", **dict.fromkeys(("identifier", "label", *TARGETS[:-1])), **row}  # fmt: skip
    fields = pa.schema({name: kinds.get(name, pa.string()) for name in given})
    store.write({"evaluations": pa.Table.from_pylist([given], fields)})


def rows(store: OpenedStore, query: str) -> list[dict[str, Any]]:
    """The answer of a query."""
    found: list[dict[str, Any]] = store.read(query).to_pylist()
    return found


def matches(store: OpenedStore) -> list[tuple[str, int]]:
    """What was matched: level and trace number."""
    found = rows(store, "SELECT level, trace_id FROM outcome_matches ORDER BY level, trace_id")
    return [(row["level"], int(row["trace_id"], 16)) for row in found]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"span_id": span_id(1)}, [("span", 1)]),
        ({"span_id": span_id(1), "trace_id": trace_id(1)}, [("span", 1)]),
        ({"span_id": span_id(1), "trace_id": trace_id(2)}, [("trace", 2)]),
        ({"span_id": span_id(9), "response_id": "r3"}, [("response", 2)]),
        ({"trace_id": trace_id(2)}, [("trace", 2)]),
        ({"response_id": "r1"}, [("response", 1)]),
        ({"conversation_id": "c"}, [("conversation", 1), ("conversation", 2)]),
        ({"key": "T-1"}, [("key", 1)]),
        ({"response_id": "r1", "conversation_id": "c", "key": "T-1"}, [("response", 1)]),
        ({"span_id": span_id(9)}, []),
    ],
)
def test_the_most_exact_known_target_decides(
    store: OpenedStore, receive: Receive, target: dict[str, Any], expected: list[tuple[str, int]]
) -> None:
    """Whichever comes first, an outcome speaks of each of its traces once, never of spans; else it is shown as lost."""
    spans = (span(1, conversation="c", ticket="T-1"), span(2, conversation="c"), span(3, trace=2, conversation="c"))
    feedback(store, {"id": "before"} | target)
    match_outcomes(store, KEY)
    assert matches(store) == []
    receive(*spans)
    match_outcomes(store, KEY)
    assert matches(store) == expected
    feedback(store, {"id": "after"} | target)
    match_outcomes(store, KEY)
    assert matches(store) == sorted(expected * 2)
    assert len(rows(store, "FROM unmatched_outcomes")) == 2 * (not expected)
    assert match_outcomes(store, KEY).outcomes == 0


def test_before_its_trace_after_a_restart_twice_and_corrected(tmp_path: Path, otlp: Any) -> None:
    """One row with the right value, the history kept, and the match stays through the correction."""
    given = {"id": "7", "conversation_id": "c"}
    with store_at(tmp_path / "s.duckdb") as store:
        feedback(store, given)
        match_outcomes(store, None)
        feedback(store, given)
    with store_at(tmp_path / "s.duckdb") as store:
        columns = decode_traces([otlp.request(span(1, conversation="c")).SerializeToString()])
        store.write(span_rows(columns, [None], ARRIVAL).tables)
        match_outcomes(store, None)
        later = {"event_time": BEGAN + timedelta(days=9), "value": 0.0}
        feedback(store, given | later)
        assert rows(store, "SELECT trace_id, value, matched_by FROM feedback_by_trace") == [
            {"trace_id": trace_id(1), "value": 0.0, "matched_by": "conversation"}
        ]
        assert rows(store, "SELECT value FROM superseded_feedback") == [{"value": 1.0}]
        columns = decode_traces([otlp.request(span(2, trace=2, conversation="c")).SerializeToString()])
        store.write(span_rows(columns, [None], ARRIVAL + timedelta(days=1)).tables)
        match_outcomes(store, None)
        assert matches(store) == [("conversation", 1), ("conversation", 2)]


def test_a_correction_that_names_another_target_moves_the_outcome(store: OpenedStore, receive: Receive) -> None:
    """The old match goes, at once; the new one is found. The value may be the same."""
    receive(span(1), span(2, trace=2))
    feedback(store, {"id": "7", "trace_id": trace_id(1)})
    match_outcomes(store, None)
    feedback(store, {"id": "7", "trace_id": trace_id(2), "event_time": BEGAN + timedelta(hours=2)})
    assert matches(store) == []
    match_outcomes(store, None)
    assert matches(store) == [("trace", 2)]
    assert rows(store, "SELECT trace_id FROM superseded_feedback") == [{"trace_id": trace_id(1)}]


def test_a_corrected_evaluation_keeps_its_traces(store: OpenedStore, receive: Receive) -> None:
    """Another score of the same target and evaluator, days later, changes no match."""
    receive(span(1))
    evaluation(store, span_id=span_id(1))
    match_outcomes(store, None)
    evaluation(store, span_id=span_id(1), score=0.9, event_time=BEGAN + timedelta(days=3))
    assert rows(store, "SELECT trace_id, matched_by, score FROM evaluations_by_trace") == [
        {"trace_id": trace_id(1), "matched_by": "span", "score": 0.9}
    ]
    assert match_outcomes(store, None).outcomes == 0


def test_a_correction_before_the_first_look(store: OpenedStore, receive: Receive) -> None:
    """What was corrected while it still waited is looked for once."""
    receive(span(1))
    evaluation(store, span_id=span_id(1))
    evaluation(store, span_id=span_id(1), score=0.9, event_time=BEGAN + timedelta(hours=3))
    assert match_outcomes(store, None).outcomes == 1
    assert matches(store) == [("span", 1)]


def test_what_is_more_exact_and_comes_later_replaces(store: OpenedStore, receive: Receive) -> None:
    """An answer's id that arrives after its conversation narrows the outcome to that one trace."""
    feedback(store, {"response_id": "r3", "conversation_id": "c"})
    receive(span(1, conversation="c"), span(2, trace=2, conversation="c"))
    match_outcomes(store, None)
    assert matches(store) == [("conversation", 1), ("conversation", 2)]
    receive(span(3, trace=3))
    match_outcomes(store, None)
    assert matches(store) == [("response", 3)]
    receive(span(4, trace=4, conversation="c"))
    match_outcomes(store, None)
    assert matches(store) == [("response", 3)]


def test_an_application_id_may_stand_on_the_resource_or_on_an_evaluation(store: OpenedStore, receive: Receive) -> None:
    """A key is matched with the span's attribute, else its resource's; an evaluation may carry the attribute itself."""
    receive(span(1), resource={KEY: "T-1"})
    receive(span(2, trace=2, ticket="T-2"), resource={KEY: "T-1"})
    feedback(store, {"key": "T-1"})
    evaluation(store, attributes='{"ticket.id": "T-2"}')
    match_outcomes(store, KEY)
    assert matches(store) == [("key", 1), ("key", 2)]


def test_another_key_attribute_tries_again(store: OpenedStore, receive: Receive) -> None:
    """What the old attribute found goes, and what waits is matched by the new one, evaluations too."""
    receive(span(1, ticket="T-1"), {**span(2, trace=2), "attributes": {"order": "T-1"}})
    feedback(store, {"key": "T-1"})
    evaluation(store, attributes='{"order": "T-1"}')
    match_outcomes(store, None)
    assert matches(store) == []
    match_outcomes(store, KEY)
    assert matches(store) == [("key", 1)]
    match_outcomes(store, "order")
    assert matches(store) == [("key", 2), ("key", 2)]
    match_outcomes(store, None)
    assert matches(store) == []


def test_a_late_outcome_gets_one_look_over_all_of_history(store: OpenedStore, receive: Receive) -> None:
    """Who follows finds what is near in time; the look over everything finds the rest, and is not repeated."""
    receive(span(1))
    match_outcomes(store, None)
    feedback(store, {"trace_id": trace_id(1), "event_time": BEGAN + timedelta(days=30)}, {"trace_id": trace_id(8)})
    match_outcomes(store, None, look_back=False)
    assert matches(store) == []
    assert rows(store, "SELECT outcomes_left, look_backs_left FROM matching_progress") == [
        {"outcomes_left": 0, "look_backs_left": 2}
    ]
    assert match_outcomes(store, None).matched == 1
    assert matches(store) == [("trace", 1)]
    assert match_outcomes(store, None).outcomes == 0


def test_a_late_outcome_that_comes_before_its_trace(store: OpenedStore, receive: Receive) -> None:
    """A trace that is imported after an outcome of weeks later is found by it."""
    feedback(store, {"conversation_id": "c", "event_time": BEGAN + timedelta(days=60)})
    match_outcomes(store, None)
    receive(span(1, conversation="c"))
    match_outcomes(store, None, look_back=False)
    assert matches(store) == [("conversation", 1)]


def test_many_are_matched_in_parts(store: OpenedStore, receive: Receive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of a part every match is written; a conversation of too many traces is cut off."""
    monkeypatch.setattr(analytics.outcome_matching, "MATCHES_AT_ONCE", 3)
    monkeypatch.setattr(analytics.outcome_matching, "OUTCOMES_AT_ONCE", 4)
    monkeypatch.setattr(analytics.outcome_matching, "FAR_OUTCOMES_AT_ONCE", 2)
    monkeypatch.setattr(analytics.outcome_matching, "SPANS_AT_ONCE", 2)
    monkeypatch.setattr(analytics.outcome_matching, "MOST_TRACES", 4)
    of_each = [{"id": str(n), "conversation_id": f"c{n % 3}"} for n in range(9)]
    feedback(store, *of_each[:5])
    match_outcomes(store, None)
    receive(*(span(n, trace=n, conversation=f"c{n % 3}") for n in range(1, 10)))
    feedback(store, *of_each[5:])
    match_outcomes(store, None)
    assert len(matches(store)) == 9 * 3
    receive(*(span(n, trace=n, conversation="c9") for n in range(10, 16)))
    feedback(store, {"conversation_id": "c9"})
    match_outcomes(store, None)
    assert len(matches(store)) == 9 * 3 + 4


def test_times_at_the_ends_of_what_can_be_held(store: OpenedStore, receive: Receive) -> None:
    """No moment of a span or an outcome holds up the others."""
    latest = datetime(2262, 4, 11, 23, 47)
    receive(span(1, trace=1, start_time_unix_nano=2**63 - 2, end_time_unix_nano=2**63 - 2))
    receive(span(2, trace=2, start_time_unix_nano=0), span(3, trace=3))
    targets = [(datetime(1970, 1, 1), 1), (latest, 2), (latest, 1), (BEGAN, 3)]
    feedback(store, *({"id": str(n), "event_time": at, "trace_id": trace_id(t)} for n, (at, t) in enumerate(targets)))
    match_outcomes(store, None)
    assert ("trace", 3) in matches(store)
    assert ("trace", 2) in matches(store)
    progress = rows(store, "SELECT outcomes_left, look_backs_left, spans_left FROM matching_progress")
    assert progress == [{"outcomes_left": 0, "look_backs_left": 0, "spans_left": 0}]


class Overtaken:
    """A store where something happens between what is read and the first write."""

    def __init__(self, store: OpenedStore, meanwhile: Callable[[], object]) -> None:
        self._store = store
        self._meanwhile: Callable[[], object] | None = meanwhile

    def read(self, query: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """As the store."""
        return self._store.read(query, parameters)

    def write(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """As the store, after what happens meanwhile."""
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile:
            meanwhile()
        return self._store.write(tables)


def test_who_is_overtaken_starts_anew(store: OpenedStore, receive: Receive) -> None:
    """Of two that match at once the slower writes nothing twice; nor does one whose outcome was corrected meanwhile."""
    receive(span(1), span(2, trace=2))
    feedback(store, {"id": "7", "trace_id": trace_id(1)})
    match_outcomes(Overtaken(store, lambda: match_outcomes(store, None)), None)
    assert matches(store) == [("trace", 1)]
    moved = {"id": "8", "trace_id": trace_id(2), "event_time": BEGAN + timedelta(hours=2)}
    feedback(store, {"id": "8", "trace_id": trace_id(1)})
    match_outcomes(Overtaken(store, lambda: feedback(store, moved)), None)
    assert matches(store) == [("trace", 1), ("trace", 2)]


def test_two_that_match_by_different_attributes_both_end(store: OpenedStore, receive: Receive) -> None:
    """Who finds that another attribute holds now leaves the rest to the one that set it."""
    receive(span(1, ticket="T-1"))
    feedback(store, {"key": "T-1"})
    match_outcomes(Overtaken(store, lambda: None), "order")
    feedback(store, {"id": "2", "key": "T-1"})
    match_outcomes(Overtaken(store, lambda: match_outcomes(store, KEY)), "order")
    assert matches(store) == [("key", 1), ("key", 1)]


def test_the_table_says_what_a_report_would(store: OpenedStore, receive: Receive) -> None:
    """In whatever order spans and outcomes arrive, the table ends as one join over all of them."""
    draw = random.Random(5)  # noqa: S311 (repeatable scenes)
    for scene in range(4):
        spans = [
            span(
                100 * scene + n + 1,
                trace=100 * scene + draw.randrange(8) + 1,
                conversation=draw.choice([None, f"c{scene}-1", f"c{scene}-2"]),
                ticket=draw.choice([None, f"T{scene}-1", f"T{scene}-2"]),
                second=n,
            )
            for n in range(20)
        ]
        targets = {
            "span_id": [span_id(100 * scene + n + 1) for n in range(22)],
            "trace_id": [trace_id(100 * scene + n + 1) for n in range(10)],
            "response_id": [f"r{100 * scene + n + 1}" for n in range(22)],
            "conversation_id": [f"c{scene}-{n}" for n in range(4)],
            "key": [f"T{scene}-{n}" for n in range(4)],
        }
        said: list[dict[str, Any]] = []
        for n in range(30):
            named = draw.sample(TARGETS, draw.randint(1, 3))
            said.append({"id": f"{scene}-{n}"} | {name: draw.choice(targets[name]) for name in named})
        while spans or said:
            if spans:
                receive(*spans[:7])
                spans = spans[7:]
            if said:
                feedback(store, *said[: (size := draw.randint(1, 12))])
                said = said[size:]
            match_outcomes(store, KEY, look_back=draw.random() < 0.5)
    match_outcomes(store, KEY)
    spans_query = f"SELECT *, attributes->>'{KEY}' AS key_value FROM spans"
    all_spans = pl.DataFrame(pl.from_arrow(store.read(spans_query)))
    outcomes = pl.DataFrame(pl.from_arrow(store.read("SELECT * FROM feedback")))
    wanted = match_targets(outcomes, all_spans).select("feedback_id", "matched_level", "matched_trace_id")
    table = store.read("SELECT outcome_id, level, trace_id FROM outcome_matches")
    assert sorted(pl.DataFrame(pl.from_arrow(table)).rows()) == sorted(wanted.rows())
    assert wanted.height > 100


def test_what_matches_nothing_is_shown_by_age_and_source(store: OpenedStore) -> None:
    """The view names what was looked for, since when it waits, and from whom it came."""
    feedback(store, {"key": "T-1", "source": "zendesk"}, {"conversation_id": "c", "source": "zendesk"})
    evaluation(store, service_name="judge")
    assert rows(store, "FROM unmatched_outcomes") == []
    match_outcomes(store, None)
    found = rows(store, "SELECT kind, source, level, outcomes, example FROM unmatched_outcomes_by_age ORDER BY ALL")
    assert found == [
        {"kind": "evaluation", "source": "judge", "level": None, "outcomes": 1, "example": None},
        {"kind": "feedback", "source": "zendesk", "level": "conversation", "outcomes": 1, "example": "c"},
        {"kind": "feedback", "source": "zendesk", "level": "key", "outcomes": 1, "example": "T-1"},
    ]
    (age,) = {row["age"] for row in rows(store, "SELECT age FROM unmatched_outcomes_by_age")}
    # A lake's outcomes are received when they are written.
    assert age[0] in ("1" if lakes() else "45")
