"""Evaluators of the real `ai-evaluation` package, where it is installed; else the sentence that asks for it."""

from __future__ import annotations

import warnings
from datetime import datetime

import pytest

from analytics.evaluate.ai_evaluation import AiEvaluation, Template, calls_a_model
from analytics.evaluate.budget import Budget
from analytics.evaluate.errors import EvaluatorUnusableError
from analytics.evaluate.subject import Answer, Call, Judgement, Message, NotApplicable, Subject


@pytest.fixture
def package() -> None:
    """The package; it warns while it is imported, and of what it imports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("fi.evals")


def subject(answer: str) -> Subject:
    """A call with this answer."""
    call = Call(
        "a" * 32, "b" * 16, datetime(2026, 11, 2),
        messages=(Message("user", "Which city is it?"),),
        answers=(Message("assistant", answer),) if answer else (),
    )  # fmt: skip
    return Subject(call.trace_id, call.span_id, (call,))


def judged(template: Template, *answers: str) -> list[Answer]:
    """What a template says of answers."""
    return list(AiEvaluation(template, Budget()).evaluate([subject(answer) for answer in answers]))


@pytest.mark.usefixtures("package")
def test_a_local_metric_judges() -> None:
    """Its score and its verdict become a judgement, in the order of the subjects; no model is called."""
    template = Template("is_json", "is_json", engine="local", inputs={"output": "{output}"})
    good, bad, silent = judged(template, '{"city": "Bern"}', "Bern", "")
    assert isinstance(good, Judgement)
    assert isinstance(bad, Judgement)
    assert (good.score, good.label, good.error_type) == (1.0, "pass", None)
    assert (bad.score, bad.label) == (0.0, "fail")
    assert silent == NotApplicable("no output was recorded")


@pytest.mark.usefixtures("package")
def test_fixed_inputs_and_a_threshold() -> None:
    """A text that names none of ours is handed over as it is; with a threshold the score speaks alone."""
    template = Template(
        "mentions", "contains", engine="local", inputs={"output": "{output}", "keyword": "Bern"}, threshold=0.5
    )
    (found,) = judged(template, "It is Bern.")
    assert found == Judgement(1.0, None, found.explanation if isinstance(found, Judgement) else None)


@pytest.mark.usefixtures("package")
def test_what_the_package_does_not_know_is_an_error() -> None:
    """A template of an unknown name is neither a pass nor a failure."""
    (found,) = judged(Template("x", "no_such_metric", engine="local"), "It is Bern.")
    assert isinstance(found, Judgement)
    assert (found.score, found.error_type) == (None, "evaluation_failed")


def test_without_the_package_a_sentence_says_what_to_install() -> None:
    """The extra is named."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import fi.evals  # type: ignore[import-not-found]  # noqa: F401, PLC0415
        except ImportError:
            pass
        else:
            pytest.skip("the package is installed")
    with pytest.raises(EvaluatorUnusableError, match=r"install spanverdict\[ai-evaluation\]"):
        AiEvaluation(Template("Tone", "tone"), Budget())


def test_only_a_local_engine_is_free() -> None:
    """A model or an engine that calls one spends; neither is the package's own arithmetic."""
    assert calls_a_model(Template("a", "tone", model="turing_flash"))
    assert calls_a_model(Template("a", "tone", engine="llm"))
    assert not calls_a_model(Template("a", "is_json"))
    assert not calls_a_model(Template("a", "is_json", model="m", engine="local"))
