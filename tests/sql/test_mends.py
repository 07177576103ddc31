"""What the refusal of a question says to write instead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sql.errors import QueryError
from sql.mends import near, with_mend
from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenedStore]:
    """A store that nobody writes to."""
    with store_at(tmp_path_factory.mktemp("mends") / "s.duckdb") as opened:
        yield opened


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT * FROM llm_call", "name llm_call does not exist; did you mean llm_calls"),
        ("SELECT * FROM costs", "did you mean call_costs or trace_costs? SHOW TABLES lists them all."),
        ("SELECT model FROM llm_calls", "did you mean request_model or response_model? DESCRIBE llm_calls lists"),
        ("SELECT cost_usd FROM llm_calls", "it is a column of attempt_chains, call_costs and calls; "),
        ("SELECT duration FROM spans", 'column "duration" not found in FROM clause; did you mean duration_ns'),
        ("SELECT s.status FROM spans AS s", "did you mean status_code or status_message? DESCRIBE spans"),
        ('SELECT 1 FROM llm_calls WHERE request_model = "gpt-4o"', "a text stands in single quotes, 'gpt-4o'"),
        ("SELECT 1 FROM spans WHERE start_time > now() - INTERVAL 1 HOUR", "write now() AT TIME ZONE 'UTC' for now"),
    ],
)
def test_a_refusal_says_what_to_write_instead(store: OpenedStore, query: str, said: str) -> None:
    """The mistakes of somebody who asks for the first time."""
    with pytest.raises(QueryError) as refused:
        store.read(query)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_proposed_for_now_is_answered(store: OpenedStore) -> None:
    """The mend of the commonest question about time runs as it is told."""
    query = "SELECT count(*) AS n FROM spans WHERE start_time > now() AT TIME ZONE 'UTC' - INTERVAL 1 HOUR"
    assert store.read(query)["n"].to_pylist() == [0]


def test_other_refusals_stay_as_they_are() -> None:
    """Where nothing is known the database's words are left alone."""
    assert with_mend("Parser Error: syntax error", "SELEC 1", {"spans": ["name"]}) == "Parser Error: syntax error"
    assert near("zzz", ["spans", "traces"]) == []


def test_a_text_that_is_no_time_is_told_how_times_are_written() -> None:
    """DuckDB converts it once there are rows, and calls what it wants an INT64."""
    said = with_mend("Conversion Error: Could not convert string '1h' to INT64", "SELECT 1", {})
    assert said.endswith("to INT64. A time is written '2026-11-02 14:30' (UTC), or $since with --param since=7d.")
