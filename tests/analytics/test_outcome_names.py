"""What a name is, decides where its row belongs, whatever carried it."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.outcome_names import (
    KNOWN_EVALUATORS,
    NameConflictError,
    OutcomeNames,
    by_kind,
    evaluator_key,
    folded,
    folded_names,
)

NOON = datetime(2026, 11, 1, 12)


def evaluations(*names: str) -> pl.DataFrame:
    """An evaluation per name, with a score of 1 on a trace."""
    return pl.DataFrame(
        {"evaluation_id": list(names), "name": list(names), "score": [1.0] * len(names), "label": [None] * len(names),
         "trace_id": ["t"] * len(names), "source": ["judge"] * len(names), "threshold": [0.7] * len(names)},
        schema_overrides={"label": pl.String, "evaluation_id": pl.String, "name": pl.String, "score": pl.Float64,
                          "trace_id": pl.String, "source": pl.String, "threshold": pl.Float64},
    )  # fmt: skip


def feedback(*names: str) -> pl.DataFrame:
    """A row of feedback per name, with a value of 0 on a ticket."""
    return pl.DataFrame(
        {"feedback_id": list(names), "name": list(names), "value": [0.0] * len(names), "label": [None] * len(names),
         "trace_id": [None] * len(names), "key": ["T-1"] * len(names), "source": ["crm"] * len(names)},
        schema_overrides={"label": pl.String, "feedback_id": pl.String, "name": pl.String, "value": pl.Float64,
                          "trace_id": pl.String, "key": pl.String, "source": pl.String},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("task_completion", "TaskCompletion"),
        ("Task Completion", "TaskCompletion"),
        ("HALLUCINATION-SCORE", "HallucinationScore"),
        ("hallucination", "HallucinationScore"),
        ("Json Validation", "JSONValidation"),
        ("tool_selection_accuracy", "ToolSelectionAccuracy"),
        ("groundedness", "Groundedness"),
        ("Tone", "Tone"),
    ],
)
def test_the_fields_evaluators_are_known_in_any_spelling(written: str, name: str) -> None:
    """Case, spaces, hyphens and underscores do not make another evaluator; other names stay as they are."""
    judged, _ = by_kind(evaluations(written), feedback(), OutcomeNames.of())
    assert judged["name"].to_list() == [name]


def test_an_evaluators_escalation_is_an_outcome() -> None:
    """What an evaluator says under an outcome's name counts with the outcomes, by its value, target and source."""
    judged, happened = by_kind(evaluations("Thumbs-Down", "Tone"), feedback("escalated"), OutcomeNames.of())
    assert judged["name"].to_list() == ["Tone"]
    assert happened["name"].to_list() == ["escalated", "thumbs_down"]
    assert happened.row(1, named=True) == {
        "feedback_id": "Thumbs-Down", "name": "thumbs_down", "value": 1.0, "label": None, "trace_id": "t", "key": None,
        "source": "judge",
    }  # fmt: skip


def test_a_business_systems_groundedness_is_an_evaluation() -> None:
    """What a ticket system says under an evaluator's name is read as a score, and keeps the key of its target."""
    judged, happened = by_kind(evaluations("Tone"), feedback("groundedness", "csat"), OutcomeNames.of())
    assert happened["name"].to_list() == ["csat"]
    row = judged.row(1, named=True)
    assert (row["name"], row["score"], row["key"], row["threshold"]) == ("Groundedness", 0.0, "T-1", None)


def test_the_configuration_says_what_a_name_is() -> None:
    """Names of one's own are sorted in as configured, also against what is known out of the box."""
    names = OutcomeNames.of(["csat_judge"], ["Task Completion", "refunded"])
    judged, happened = by_kind(evaluations("taskcompletion", "refunded", "other"), feedback("CSAT judge"), names)
    assert judged["name"].to_list() == ["other", "csat_judge"]
    assert happened["name"].to_list() == ["Task Completion", "refunded"]


def test_one_name_cannot_be_both() -> None:
    """The same name as evaluator and as outcome is refused, and the sentence names both."""
    with pytest.raises(NameConflictError, match="'CSAT' is configured as an evaluator and 'csat' as an outcome"):
        OutcomeNames.of(["CSAT"], ["csat"])


@pytest.mark.parametrize(("one", "other"), [("A_b", "a-B"), ("hallucination", "HallucinationScore")])
def test_one_evaluator_is_configured_once(one: str, other: str) -> None:
    """Two sections of one evaluator are refused; else one of them would not be heeded."""
    with pytest.raises(NameConflictError, match=f"'{one}' and '{other}' are one evaluator, configured twice"):
        OutcomeNames.of([one, other])


def test_a_configured_spelling_is_the_known_evaluator() -> None:
    """A section for another spelling of a known evaluator speaks of that evaluator."""
    assert OutcomeNames.of(["groundedness"]).evaluator("GROUNDEDNESS") == "Groundedness"
    assert evaluator_key("Hallucination") == evaluator_key("hallucination score")
    assert {evaluator_key(name) for name in KNOWN_EVALUATORS} == {name.lower() for name in KNOWN_EVALUATORS}


@given(st.lists(st.text(alphabet=st.characters(codec="ascii"), min_size=1), max_size=5))
def test_folding_is_the_same_in_columns(names: list[str]) -> None:
    """A column is folded as each of its names is."""
    column = pl.DataFrame({"name": names}, schema={"name": pl.String}).select(folded_names(pl.col("name")))
    assert column["name"].to_list() == [folded(name) for name in names]
