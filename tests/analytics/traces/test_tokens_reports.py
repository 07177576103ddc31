"""Several reports of one call count once; two calls count twice; what does not count says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from analytics.calls import (
    FROM_CACHE,
    JUDGEMENT,
    OTHER_REPORT,
    PART_OF_CALL,
    PART_OF_SUM,
    REPEATS_CALL,
    SUMS_CALLS,
    Account,
)

Row = dict[str, Any]
Make = Callable[..., Row]
Found = Callable[[list[Row]], Account]

USED = {"input_tokens": 100, "output_tokens": 10}
OTHER = {"scope_name": "instrumentation.other"}


def _counted(account: Account) -> list[str]:
    return sorted(account.calls.filter("is_counted")["span_id"])


def _left_out(account: Account) -> dict[str, tuple[str, str | None]]:
    return {
        row["span_id"]: (row["not_counted_because"], row["call_span_id"])
        for row in account.not_counted.iter_rows(named=True)
    }


def test_twins_of_two_scopes_are_one_call(span: Make, found: Found) -> None:
    """Siblings of different scopes with one model, equal tokens and almost one interval are one call."""
    account = found(
        [
            span("r", None, "CHAIN", 0, 9),
            span("a", "r", "LLM", 1, 2, **USED),
            span("b", "r", "LLM", 1.01, 1.98, **USED, **OTHER),
        ]
    )
    assert _counted(account) == ["a"]
    assert _left_out(account) == {"b": (OTHER_REPORT, "a")}


@pytest.mark.parametrize(
    ("start", "end", "more"),
    [
        pytest.param(1.01, 1.98, USED, id="one scope"),
        pytest.param(1.01, 1.98, USED | OTHER | {"output_tokens": 11}, id="other tokens"),
        pytest.param(1.01, 1.98, USED | OTHER | {"request_model": "candidate-model"}, id="other model"),
        pytest.param(1.01, 1.98, USED | OTHER | {"parent_span_id": "q"}, id="other parent"),
        pytest.param(1.01, 1.98, USED | OTHER | {"gen_ai_span_kind": "EMBEDDING"}, id="other kind"),
        pytest.param(1.01, 1.98, USED | OTHER | {"response_id": "y"}, id="other response id"),
        pytest.param(2, 3, USED | OTHER, id="after it"),
        pytest.param(1, 2.5, USED | OTHER, id="ends much later"),
    ],
)
def test_what_differs_is_two_calls(span: Make, found: Found, start: float, end: float, more: Row) -> None:
    """Siblings of one scope, or that differ in tokens, model, parent, kind, response id or time, are two calls."""
    account = found(
        [
            span("r", None, "CHAIN", 0, 9),
            span("p", "r", "CHAIN", 0, 9),
            span("q", "r", "CHAIN", 0, 9),
            span("a", "p", "LLM", 1, 2, **USED, response_id="x" if "response_id" in more else None),
            span("b", "p", "LLM", start, end) | more,
        ]
    )
    assert _counted(account) == ["a", "b"]
    assert _left_out(account) == {}


def test_twins_where_one_hangs_above_are_one_call(span: Make, found: Found) -> None:
    """A framework's call in a chain and the client's span beside that chain, with equal tokens, are one call."""
    account = found(
        [
            span("r", None, "CHAIN", 0, 9),
            span("q", "r", "CHAIN", 0, 4),
            span("a", "q", "LLM", 1, 2, **USED),
            span("b", "r", "LLM", 1.01, 1.98, **USED, **OTHER),
            span("s", "r", "CHAIN", 4, 9),
            span("c", "s", "LLM", 5, 6, **USED),
            span("d", "r", "LLM", 5.01, 5.98, **USED, **OTHER),
        ]
    )
    assert _counted(account) == ["a", "c"]
    assert _left_out(account) == {"b": (OTHER_REPORT, "a"), "d": (OTHER_REPORT, "c")}


def test_parallel_twins_pair_up(span: Make, found: Found) -> None:
    """Three calls at once, each seen by two scopes, are three calls, whatever their ids."""
    rows = [span("r", None, "CHAIN", 0, 9)]
    for number, name in enumerate(("c", "a", "b")):
        rows.append(span(f"{name}1", "r", "LLM", 1 + number / 1000, 2, **USED))
        rows.append(span(f"{name}2", "r", "LLM", 1 + number / 1000, 2, **USED, **OTHER))
    assert len(_counted(found(rows))) == 3


def test_twin_without_usage_adds_no_unknown(span: Make, found: Found) -> None:
    """Of two scopes one tells no usage (an older streaming instrumentation): the other one's is the call's."""
    account = found(
        [
            span("r", None, "CHAIN", 0, 9),
            span("a", "r", "LLM", 1, 2),
            span("b", "r", "LLM", 1.01, 1.98, **USED, **OTHER),
        ]
    )
    assert account.calls.filter("is_counted").select("span_id", "input_tokens").rows() == [("a", 100)]


def test_rejected_call_seen_twice_is_one(span: Make, found: Found) -> None:
    """Two scopes that report one rejected call are one failed call."""
    failed = {"status_code": "ERROR", "error_type": "RateLimitError"}
    account = found(
        [
            span("r", None, "CHAIN", 0, 9),
            span("a", "r", "LLM", 1, 1.2, **failed),
            span("b", "r", "LLM", 1.01, 1.19, **failed, **OTHER),
        ]
    )
    assert account.calls.select("span_id", "is_call", "is_counted", "is_error").rows() == [("a", True, False, True)]


def test_twins_of_two_services_are_one_call(span: Make, found: Found) -> None:
    """A client and a gateway with one instrumentation, side by side, are different emitters."""
    account = found(
        [
            span("r", None, "CHAIN", 0, 9),
            span("a", "r", "LLM", 1, 2, **USED),
            span("b", "r", "LLM", 1.02, 1.97, **USED, service_name="gateway"),
        ]
    )
    assert _counted(account) == ["a"]


def test_response_id_joins_reports_anywhere_in_the_trace(span: Make, found: Found) -> None:
    """A client's call and the gateway's, which hangs beside it below the request, are one by their response id."""
    account = found(
        [
            span("r", None, "CHAIN", 0, 9),
            span("c", "r", "LLM", 1, 2, **USED, response_id="x"),
            span("h", "r", "OTHER", 1, 2, request_model=None),
            span("g", "h", "LLM", 1.2, 1.8, **USED, response_id="x", service_name="gateway"),
        ]
    )
    assert _counted(account) == ["c"]
    assert _left_out(account) == {"g": (OTHER_REPORT, "c")}


def test_providers_call_below_a_joined_report_tells_both(span: Make, found: Found) -> None:
    """What hangs below the gateway's report hangs below the client's too: the provider's call alone counts."""
    account = found(
        [
            span("r", None, "CHAIN", 0, 9),
            span("c", "r", "LLM", 1, 2, **USED, response_id="x"),
            span("h", "r", "OTHER", 1, 2, request_model=None),
            span("g", "h", "LLM", 1.2, 1.8, **USED, response_id="x", service_name="gateway"),
            span("p", "g", "LLM", 1.3, 1.7, **USED, service_name="gateway", **OTHER),
        ]
    )
    assert _counted(account) == ["p"]
    assert _left_out(account) == {"c": (REPEATS_CALL, "p"), "g": (OTHER_REPORT, "c")}


def test_wrapper_of_a_joined_report_is_told_too(span: Make, found: Found) -> None:
    """What stands above any report of a call repeats the call, wherever the call itself is put."""
    account = found(
        [
            span("r", None, "CHAIN", 0, 9),
            span("c", "r", "LLM", 1, 2, **USED, response_id="x"),
            span("w", "r", "LLM", 1.1, 1.9, **USED, **OTHER),
            span("g", "w", "LLM", 1.2, 1.8, **USED, response_id="x", service_name="gateway"),
        ]
    )
    assert _counted(account) == ["c"]
    assert account.calls.filter("is_call")["span_id"].to_list() == ["c"]


def test_response_id_used_again_is_another_call(span: Make, found: Found) -> None:
    """A server that gives an id twice made two calls, one after the other."""
    account = found(
        [
            span("r", None, "CHAIN", 0, 9),
            span("a", "r", "LLM", 1, 2, **USED, response_id="chatcmpl-7"),
            span("b", "r", "LLM", 3, 4, **USED, response_id="chatcmpl-7"),
        ]
    )
    assert _counted(account) == ["a", "b"]


def test_gateway_below_its_client_counts_once(span: Make, found: Found) -> None:
    """Client, gateway and provider call, nested through requests: only the innermost counts."""
    account = found(
        [
            span("c", None, "LLM", 1, 2, **USED, request_model="alias"),
            span("h", "c", "OTHER", 1.1, 1.9, request_model=None),
            span("g", "h", "LLM", 1.2, 1.8, **USED, service_name="gateway"),
            span("p", "g", "LLM", 1.3, 1.7, **USED, service_name="gateway", **OTHER),
        ]
    )
    assert _counted(account) == ["p"]
    assert _left_out(account) == {"c": (REPEATS_CALL, "p"), "g": (REPEATS_CALL, "p")}
    assert account.calls.select("span_id", "wrapper_id", "step_id").rows() == [("p", "c", None)]


def test_embedding_below_a_call_does_not_hide_it(span: Make, found: Found) -> None:
    """A gateway's semantic cache embeds the prompt below the call: both were made, both count."""
    account = found(
        [
            span("a", None, "LLM", 0, 2, **USED),
            span("e", "a", "EMBEDDING", 0.1, 0.2, input_tokens=7),
        ]
    )
    assert _counted(account) == ["a", "e"]
    assert account.calls.select("span_id", "step_id", "wrapper_id").rows() == [("a", None, None), ("e", "a", None)]


def test_embedding_parent_repeats_its_call(span: Make, found: Found) -> None:
    """A parent with the input of the embedding below it, of whatever kind, does not count again."""
    for kind in ("CHAIN", "EMBEDDING", "LLM"):
        account = found(
            [
                span("a", None, kind, 0, 2, input_tokens=7),
                span("e", "a", "EMBEDDING", 0.1, 1.9, input_tokens=7),
            ]
        )
        assert _counted(account) == ["e"]
        assert [because for because, _ in _left_out(account).values()] == [
            SUMS_CALLS if kind == "CHAIN" else REPEATS_CALL
        ]


def test_agents_sum_of_calls_stands_beside_an_embedding(span: Make, found: Found) -> None:
    """Where only embeddings have spans, the agent's sum of LLM usage counts beside them."""
    account = found(
        [
            span("a", None, "AGENT", 0, 2, input_tokens=300, output_tokens=30),
            span("e", "a", "EMBEDDING", 0.1, 0.2, input_tokens=7),
        ]
    )
    assert _counted(account) == ["a", "e"]


def test_sum_beyond_the_calls_below_is_shown_not_added(span: Make, found: Found) -> None:
    """An agent that sums up more than its instrumented calls: the calls count, and the difference is told."""
    account = found(
        [
            span("a", None, "AGENT", 0, 9, input_tokens=300, output_tokens=30),
            span("b", "a", "LLM", 1, 2, **USED),
            span("t", "a", "TOOL", 3, 4),
            span("c", "t", "LLM", 3, 4, input_tokens=50, output_tokens=10),
        ]
    )
    assert _counted(account) == ["b", "c"]
    assert account.not_counted.select(
        "span_id", "not_counted_because", "unseen_input_tokens", "unseen_output_tokens"
    ).rows() == [("a", SUMS_CALLS, 150, 10)]


def test_difference_to_unknown_calls_is_unknown(span: Make, found: Found) -> None:
    """Where a call below tells only its output, what else the sum tells of input is not known."""
    account = found(
        [
            span("a", None, "AGENT", 0, 9, input_tokens=300, output_tokens=30),
            span("b", "a", "LLM", 1, 2, output_tokens=10),
        ]
    )
    assert account.not_counted.select("unseen_input_tokens", "unseen_output_tokens").rows() == [(None, 20)]


def test_each_reason_is_told(span: Make, found: Found) -> None:
    """Parts of a call, parts of a sum and judgements say so, and name what stands for them."""
    account = found(
        [
            span("r", None, "CHAIN", 0, 9),
            span("a", "r", "LLM", 1, 2, **USED),
            span("b", "a", "CHAIN", 1, 2, **USED),
            span("s", "r", "AGENT", 3, 4, input_tokens=300, output_tokens=30),
            span("t", "s", "AGENT", 3, 4, input_tokens=200, output_tokens=20),
            span("e", "r", "EVALUATOR", 5, 6),
            span("f", "e", "LLM", 5, 6, **USED),
        ]
    )
    assert _counted(account) == ["a", "s"]
    assert _left_out(account) == {
        "b": (PART_OF_CALL, "a"),
        "t": (PART_OF_SUM, "s"),
        "f": (JUDGEMENT, None),
    }


def test_answer_from_a_cache_costs_nothing(span: Make, found: Found) -> None:
    """What a gateway answers from its cache counts at no level, the client's repetition included."""
    account = found(
        [
            span("c", None, "LLM", 1, 2, **USED),
            span("g", "c", "LLM", 1.1, 1.9, **USED, service_name="gateway", gateway_cache_hit=True),
        ]
    )
    assert _counted(account) == []
    assert {because for because, _ in _left_out(account).values()} == {FROM_CACHE}
    told_by_client = found(
        [
            span("c", None, "LLM", 1, 2, **USED, gateway_cache_hit=True),
            span("g", "c", "LLM", 1.1, 1.9, **USED, service_name="gateway"),
        ]
    )
    assert _counted(told_by_client) == []


def test_call_made_after_a_hit_counts(span: Make, found: Found) -> None:
    """A hit says nothing of the next call."""
    account = found(
        [
            span("r", None, "CHAIN", 0, 9),
            span("a", "r", "LLM", 1, 2, **USED, gateway_cache_hit=True),
            span("b", "r", "LLM", 3, 4, **USED, gateway_cache_hit=False),
        ]
    )
    assert _counted(account) == ["b"]
