"""The conditions under which the arms ran: tools, instructions, retrieval, sampling, and what was lost of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.conditions import CONDITION_COLUMNS
from analytics.promotions import Promotion
from analytics.report.model import Check, CheckStatus
from analytics.validity import checks
from analytics.validity.arms import sample_ratios

START = datetime(2026, 11, 2)
PASS, WARN, FAIL = CheckStatus.PASS, CheckStatus.WARN, CheckStatus.FAIL
PROMOTION = Promotion("p", "m0", "m1", "concurrent", START, None, "app.cohort", 0.5)
KINDS: dict[str, Any] = {
    "prompt_version": pl.String,
    "instrumentation": pl.String,
    "token_rules": pl.String,
    "unpriced_calls": pl.Int64,
    "unpriced_models": pl.String,
    "missing_root": pl.Boolean,
    "orphaned_spans": pl.Int64,
    "dropped_attributes": pl.Int64,
    "input_tokens": pl.Int64,
    "llm_calls": pl.Int64,
    "stratum": pl.String,
    **CONDITION_COLUMNS,
}
USUAL: dict[str, Any] = {
    "prompt_version": "support@3",
    "instrumentation": "openai@2.0",
    "token_rules": "otel",
    "unpriced_calls": 0,
    "missing_root": False,
    "orphaned_spans": 0,
    "dropped_attributes": 0,
    "input_tokens": 800,
    "llm_calls": 2,
    "tool_schema": "t1",
    "system_prompt": "s1",
}


def traffic(size: int = 400, *, users: int | None = None, both: dict[str, Any] | None = None, **candidate: Any) -> Any:
    """Two arms of one size; ``both`` is what they have in common, the rest the candidate's own.

    A column is a value or a list to repeat.
    """
    frames = []
    for arm, own in (("base", {}), ("candidate", candidate)):
        told = USUAL | (both or {}) | own
        frames.append(
            pl.DataFrame(
                {
                    "trace_id": [f"{arm}-{i}" for i in range(size)],
                    "start_time": [START + timedelta(minutes=i) for i in range(size)],
                    "end_time": [START + timedelta(minutes=i, seconds=3) for i in range(size)],
                    "cohort": "eu",
                    "arm": arm,
                    "unit": [f"{arm}-user-{i % (users or size)}" for i in range(size)],
                    **{
                        name: pl.Series(
                            [value[i % len(value)] for i in range(size)] if isinstance(value, list) else [value] * size,
                            dtype=KINDS[name],
                        )
                        for name, value in (dict.fromkeys(KINDS) | told).items()
                    },
                }
            )
        )
    return pl.concat(frames)


def found(traces: pl.DataFrame, name: str) -> Check:
    """The only check of a name."""
    (check,) = [check for check in checks(traces, promotion=PROMOTION, evaluations=None) if check.check == name]
    return check


def names(traces: pl.DataFrame) -> set[str]:
    """The checks that are there."""
    return {check.check for check in checks(traces, promotion=PROMOTION, evaluations=None)}


@pytest.mark.parametrize(
    ("check", "column", "mend"),
    [
        ("tool_schema", "tool_schema", "offer both arms the same ones"),
        ("system_prompt", "system_prompt", "give both arms the same ones"),
        ("retrieval", "retrieval_version", "search the same index"),
    ],
)
class TestVersions:
    """What a deployment sets."""

    def test_the_same_passes(self, check: str, column: str, mend: str) -> None:
        """One version, or two in the same mix, are the same in both arms."""
        assert found(traffic(both={column: "a"}), check).status is PASS, mend
        assert found(traffic(both={column: ["a", "b"]}), check).status is PASS

    def test_another_in_a_part_of_one_arm_fails(self, check: str, column: str, mend: str) -> None:
        """A tenth of the candidate's traces by another version: no metric is compared, and the mend is named."""
        told = found(traffic(both={column: "a"}, **{column: ["b", *["a"] * 9]}), check)
        assert (told.status, told.metrics) == (FAIL, None)
        assert "differs on 10.0 % of traces" in told.detail
        assert mend in told.detail

    def test_a_hundredth_passes(self, check: str, column: str, mend: str) -> None:
        """What moves no verdict is no drift."""
        assert found(traffic(both={column: "a"}, **{column: ["b", *["a"] * 99]}), check).status is PASS, mend

    def test_missing_in_one_arm_fails(self, check: str, column: str, mend: str) -> None:
        """Recorded in one arm alone, it cannot be told to be the same."""
        assert found(traffic(both={column: "a"}, **{column: None}), check).status is FAIL, mend


def test_what_is_not_recorded_is_not_checked() -> None:
    """Nothing recorded is no pass, and the attribute is named; without retrievals no index is asked for."""
    bare = traffic(both={"tool_schema": None, "system_prompt": None})
    for check in ("tool_schema", "system_prompt"):
        told = found(bare, check)
        assert told.status is WARN
        assert told.detail.startswith("Not checked")
        assert f"report.{check}_attribute" in told.detail
    assert "retrieval" not in names(bare)
    told = found(traffic(both={"retrieved_documents": 4.0}), "retrieval")
    assert (told.status, told.detail[:11]) == (WARN, "Not checked")


@pytest.mark.parametrize("users", [None, 100])
def test_instructions_made_for_each_user_are_no_versions(users: int | None) -> None:
    """A prompt with the user's name in it differs for every user: that is said, and is no drift."""
    own = traffic(users=users).with_columns(system_prompt=pl.col("unit"))
    told = found(own, "system_prompt")
    assert told.status is WARN
    assert "made for each request" in told.detail


def test_a_known_probability_of_being_kept_passes() -> None:
    """With a probability on every trace they are weighed; all kept is said too; no word of a sampler is no check."""
    assert "sampling" not in names(traffic())
    weighed = found(traffic(both={"keep_probability": [0.1, 1.0]}), "sampling")
    assert (weighed.status, "weighed by the inverse" in weighed.detail) == (PASS, True)
    whole = found(traffic(both={"keep_probability": 1.0}), "sampling")
    assert (whole.status, whole.detail) == (PASS, "Every trace was kept.")


@pytest.mark.parametrize("probability", [0.1, [0.1, 1.0]])
def test_probabilities_missing_in_one_arm_fail(probability: Any) -> None:
    """One arm sampled with known probability, the other without: nothing is compared, and what to record is said."""
    told = found(traffic(both={"keep_probability": probability}, keep_probability=None), "sampling")
    assert (told.status, told.metrics) == (FAIL, None)
    assert "unknown for 0.0 % of base and 100.0 % of candidate traces, and down to 10.0 %" in told.detail
    assert "ot=th" in told.detail


def test_probabilities_missing_for_a_part_of_both_fail() -> None:
    """Half of the traces without a word may stand for many."""
    assert found(traffic(both={"keep_probability": [0.1, None]}), "sampling").status is FAIL
    assert found(traffic(both={"keep_probability": [1.0, None]}), "sampling").status is PASS


def test_rules_without_probabilities() -> None:
    """The same rules in both arms deserve a word; other ones in one arm forbid the comparison."""
    alike = found(traffic(both={"sampling_rule": ["errors", "rest", "rest"]}), "sampling")
    assert (alike.status, "by the same rules" in alike.detail) == (WARN, True)
    other = found(traffic(both={"sampling_rule": "rest"}, sampling_rule=["errors", "rest"]), "sampling")
    assert other.status is FAIL
    assert "most for errors" in other.detail
    assert found(traffic(sampling_rule="errors"), "sampling").status is FAIL


@pytest.mark.parametrize(
    ("column", "word"),
    [("orphaned_spans", "whose parent is missing"), ("dropped_attributes", "dropped attributes")],
)
def test_lost_spans_and_attributes(column: str, word: str) -> None:
    """Lost in one arm: a little is told, a lot forbids to compare what spans tell; alike in both it passes."""
    little = found(traffic(**{column: [3, *[0] * 29]}), "incomplete_traces")
    assert (little.status, word in little.detail) == (WARN, True)
    lot = found(traffic(**{column: [3, *[0] * 9]}), "incomplete_traces")
    assert lot.status is FAIL
    assert {"latency_p99", "error_rate", "cost_per_trace"} <= set(lot.metrics or ())
    assert found(traffic(both={column: [3, *[0] * 9]}), "incomplete_traces").status is PASS
    assert found(traffic(**{column: None}), "incomplete_traces").status is PASS


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_no_null_raises(data: st.DataObject) -> None:
    """Whatever is unknown of whichever trace, every check says something."""
    size = data.draw(st.integers(1, 8))
    values: dict[str, Any] = {
        pl.String: st.sampled_from(["a", "b"]),
        pl.Int64: st.integers(0, 3),
        pl.Float64: st.sampled_from([0.1, 0.5, 1.0]),
        pl.Boolean: st.booleans(),
    }
    told = {
        name: data.draw(st.lists(st.none() | values[kind], min_size=1, max_size=4), label=name)
        for name, kind in KINDS.items()
    }
    for check in checks(traffic(size, both=told), promotion=PROMOTION, evaluations=None):
        assert check.detail


@pytest.mark.parametrize(("kept", "status"), [(0.1, WARN), (1.0, FAIL)])
def test_users_seen_through_a_sampler_are_no_measure_of_the_split(kept: float, status: CheckStatus) -> None:
    """Where few of the candidate's traces are kept, few of its users are seen; that is the sampler's doing."""
    frame = pl.DataFrame(
        {
            "cohort": "c",
            "arm": ["base"] * 400 + ["candidate"] * 100,
            "unit": [str(number) for number in range(500)],
            "trace_id": [str(number) for number in range(500)],
            "start_time": [START] * 500,
            "keep_probability": [1.0] * 400 + [kept] * 100,
        }
    )
    (found,) = sample_ratios({"c": frame}, PROMOTION)
    assert found.status is status
