"""Evaluations: what passes, what fails, and which traces it concerns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from analytics.evaluators import EvaluatorRule, with_passed
from analytics.targets import unmatched_outcomes

Row = dict[str, Any]
Make = Callable[..., Row]
Frame = Callable[..., pl.DataFrame]


def _passed(name: str, label: str | None, score: float | None, **rules: EvaluatorRule) -> bool | None:
    rows = pl.DataFrame(
        {"name": [name], "label": [label], "score": [score]},
        schema={"name": pl.String, "label": pl.String, "score": pl.Float64},
    )
    value: bool | None = with_passed(rows, rules)["passed"].item()
    return value


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("pass", True),
        ("PASSED", True),
        (" Grounded ", True),
        ("yes", True),
        ("Not grounded", False),
        ("hallucinated", False),
        ("FAIL", False),
        ("false", False),
        ("invalid", False),
        ("lukewarm", None),
        (None, None),
    ],
)
def test_label_decides(label: str | None, expected: bool | None) -> None:
    """Known labels decide in any case; others say nothing."""
    assert _passed("Quality", label, None) is expected


@pytest.mark.parametrize(("label", "score"), [(None, 0.0), ("fail", None), ("pass", 1.0)])
def test_an_evaluator_that_failed_says_nothing(label: str | None, score: float | None) -> None:
    """Whatever stands beside an error is what the evaluator fills in, and no judgement."""
    said = {"name": "Quality", "label": label, "score": score, "error_type": "timeout"}
    schema = {"name": pl.String, "label": pl.String, "score": pl.Float64, "error_type": pl.String}
    assert with_passed(pl.DataFrame([said], schema=schema))["passed"].to_list() == [None]


def test_label_beats_score() -> None:
    """A label that says fail is not overruled by a high score."""
    assert _passed("Quality", "fail", 1.0, Quality=EvaluatorRule(0.5)) is False


@pytest.mark.parametrize(
    ("higher_is", "score", "expected"),
    [("better", 0.7, True), ("better", 0.69, False), ("worse", 0.7, True), ("worse", 0.71, False)],
)
def test_rule_reads_the_score(higher_is: Any, score: float, expected: bool) -> None:
    """The threshold itself passes, and the direction is the rule's."""
    assert _passed("Quality", None, score, Quality=EvaluatorRule(0.7, higher_is)) is expected


def test_bare_scores_are_read_only_where_exact() -> None:
    """Without a rule 1 passes, 0 fails, and what lies between, or is not a number, says nothing."""
    assert [_passed("Quality", None, score) for score in (1.0, 0.0, 0.5, float("nan"), None)] == [
        True,
        False,
        None,
        None,
        None,
    ]


def test_adverse_evaluators_need_a_rule() -> None:
    """Of an evaluator of something bad neither 1 nor "true" is a pass; a rule says what they mean."""
    assert [_passed("Toxicity", label, score) for label, score in ((None, 1.0), (None, 0.0), ("true", None))] == [
        None
    ] * 3
    rule = EvaluatorRule(0.5, "worse")
    assert _passed("Toxicity", "true", None, Toxicity=rule) is False
    assert _passed("Toxicity", "false", None, Toxicity=rule) is True
    assert _passed("Toxicity", None, 1.0, Toxicity=rule) is False
    assert _passed("Toxicity", "toxic", None) is False


def test_unknown_direction_is_refused() -> None:
    """A rule with another direction is refused, saying what to write."""
    with pytest.raises(ValueError, match="make it 'better' or 'worse'"):
        EvaluatorRule(0.5, "lower")  # type: ignore[arg-type]


def test_trace_fails_if_any_target_failed(span: Make, evaluation: Make, frame: Frame) -> None:
    """One failed target among several fails the trace; without a score the trace has none."""
    spans = [span("a", None, "CHAIN"), span("b", "a", "LLM"), span("z", None, "CHAIN", trace_id="t2")]
    evaluations = [
        evaluation("Groundedness", span_id="a", label="pass"),
        evaluation("Groundedness", span_id="b", label="fail"),
        evaluation("Safety", span_id="b", label="pass"),
        evaluation("Safety", span_id="z"),
    ]
    made = frame(spans, evaluations)
    assert made["evaluation:Groundedness"].to_list() == [1.0, None]
    assert made["evaluation:Safety"].to_list() == [0.0, None]


def test_evaluator_that_failed_to_run_is_no_pass(span: Make, evaluation: Make, frame: Frame) -> None:
    """A row without score and label leaves the trace without a verdict of that evaluator."""
    made = frame([span("a", None, "CHAIN")], [evaluation("Groundedness", span_id="a", error_type="timeout")])
    assert made["evaluation:Groundedness"].to_list() == [None]


def test_repeated_evaluation_counts_once_and_the_later_holds(span: Make, evaluation: Make, frame: Frame) -> None:
    """Of two rows with one id the one with the later time holds."""
    first = evaluation("Groundedness", span_id="a", label="fail") | {"evaluation_id": "e"}
    second = evaluation("Groundedness", span_id="a", label="pass") | {"evaluation_id": "e"}
    second["event_time"] = second["event_time"].replace(minute=2)
    assert frame([span("a", None, "CHAIN")], [second, first])["evaluation:Groundedness"].to_list() == [0.0]


@pytest.mark.parametrize(
    ("target", "failed"),
    [
        ({"span_id": "b"}, ["t1"]),
        ({"span_id": "b", "trace_id": "t1"}, ["t1"]),
        ({"span_id": "unseen", "trace_id": "t2"}, ["t2"]),
        ({"span_id": "b", "trace_id": "t2"}, ["t2"]),
        ({"trace_id": "t1", "conversation_id": "c"}, ["t1"]),
        ({"response_id": "x"}, ["t1"]),
        ({"trace_id": "unseen", "response_id": "x"}, ["t1"]),
        ({"conversation_id": "c"}, ["t1", "t2"]),
        ({"span_id": "unseen"}, []),
        ({}, []),
    ],
)
def test_target_is_the_first_known_id(
    span: Make,
    evaluation: Make,
    frame: Frame,
    span_rows: Frame,
    evaluation_rows: Frame,
    target: dict[str, str],
    failed: list[str],
) -> None:
    """Span, trace, response, conversation: the first known decides; a conversation is all its traces."""
    spans = [
        span("a", None, "CHAIN", conversation_id="c"),
        span("b", "a", "LLM", response_id="x"),
        span("a2", None, "CHAIN", trace_id="t2", conversation_id="c"),
        span("a3", None, "CHAIN", trace_id="t3", conversation_id="d"),
    ]
    rows = [evaluation("Groundedness", label="fail", **target)]
    made = frame(spans, rows)
    assert made.filter(pl.col("evaluation:Groundedness") == 1.0)["trace_id"].to_list() == failed
    assert unmatched_outcomes(evaluation_rows(rows), span_rows(spans)) == (0 if failed else 1)


def test_evaluations_after_as_of_are_unknown(span: Make, evaluation: Make, frame: Frame) -> None:
    """What was evaluated later than the moment looked at does not show, not even as a column."""
    spans = [span("a", None, "CHAIN")]
    as_of = datetime(2026, 11, 1, 12, 0, 30)
    made = frame(spans, [evaluation("Groundedness", span_id="a", label="fail")], as_of=as_of)
    assert [name for name in made.columns if name.startswith("evaluation:")] == []


def _read(**row: Any) -> dict[str, Any]:
    numbers, texts = ("score", "threshold"), ("name", "label", "higher_is")
    columns = dict.fromkeys(numbers, pl.Float64) | dict.fromkeys(texts, pl.String)
    rules = row.pop("rules", None)
    frame = pl.DataFrame([{**dict.fromkeys(columns), **row}], schema=columns)
    return with_passed(frame, rules).row(0, named=True)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"name": "TaskCompletion", "score": 0.5}, True),
        ({"name": "TaskCompletion", "score": 0.49}, False),
        ({"name": "Groundedness", "score": 0.6}, True),
        ({"name": "HallucinationScore", "score": 0.6}, False),
        ({"name": "HallucinationScore", "score": 0.0}, True),
        ({"name": "JSONValidation", "score": 0.99}, False),
        ({"name": "ToolSelectionAccuracy", "score": 1.0}, True),
        # A threshold that was sent beats the one that is known, a configured one beats both, a label all.
        ({"name": "Groundedness", "score": 0.6, "threshold": 0.7}, False),
        ({"name": "Groundedness", "score": 0.6, "threshold": 0.7, "rules": {"groundedness": EvaluatorRule(0.6)}}, True),
        ({"name": "Groundedness", "score": 0.1, "threshold": 0.7, "label": "pass"}, True),
        # Each of threshold and direction comes from where it is said.
        ({"name": "HallucinationScore", "score": 0.6, "threshold": 0.7}, True),
        ({"name": "Hallucination Score", "score": 0.6, "rules": {"hallucination": EvaluatorRule(0.7)}}, True),
        ({"name": "Latency risk", "score": 0.2, "threshold": 0.3, "higher_is": "Worse"}, True),
        ({"name": "Toxicity", "score": 0.2, "threshold": 0.3, "higher_is": "worse"}, True),
        ({"name": "Toxicity", "score": 0.2, "threshold": 0.3}, None),
        ({"name": "Toxicity", "score": 0.0, "higher_is": "worse"}, True),
        ({"name": "Tone", "score": 0.2, "threshold": 0.3, "higher_is": "sideways"}, False),
        ({"name": "Groundedness", "score": 0.6, "threshold": float("inf")}, True),
        ({"name": "Groundedness", "score": 0.6, "threshold": float("nan")}, True),
    ],
)
def test_what_decides_a_score(row: Row, expected: bool | None) -> None:
    """Label, configuration, what was sent, what is known, in this order."""
    assert _read(**row)["passed"] is expected


def test_another_scale_needs_a_threshold() -> None:
    """Scores from 1 to 5 are not held against a threshold for 0 to 1, and 1 of 5 is no pass; a stated one is used."""
    rows = pl.DataFrame({"name": ["Groundedness"] * 3, "label": [None] * 3, "score": [1.0, 3.0, 5.0]},
                        schema_overrides={"label": pl.String})  # fmt: skip
    assert with_passed(rows)["passed"].to_list() == [None, None, None]
    assert with_passed(rows, {"Groundedness": EvaluatorRule(3)})["passed"].to_list() == [False, True, True]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"label": "pass", "score": 0.6, "threshold": 0.7}, True),
        ({"label": "fail", "score": 0.6, "threshold": 0.7}, False),
        ({"label": "pass", "score": 0.0}, True),
        ({"label": "pass", "score": 0.3}, False),
        ({"label": "lukewarm", "score": 0.3, "threshold": 0.7}, False),
        ({"score": 0.3, "threshold": 0.7}, False),
    ],
)
def test_a_label_against_its_score_is_told(row: Row, expected: bool) -> None:
    """Only a stated threshold, or the end of the scale, can contradict a label."""
    assert _read(name="Groundedness", **row)["contradicted"] is expected


def test_what_was_replaced_does_not_count(span: Make, evaluation: Make, frame: Frame) -> None:
    """A word that another one took the place of is history."""
    first = evaluation("Groundedness", span_id="a", label="fail")
    first["replaced_at"] = first["event_time"].replace(minute=2)
    other = evaluation("Groundedness", span_id="a", label="pass") | {"evaluation_id": "another"}
    assert frame([span("a", None, "CHAIN")], [first, other])["evaluation:Groundedness"].to_list() == [0.0]
