"""The terminal table can be read at any width and without colour."""

from __future__ import annotations

from typing import Any

import pytest

from analytics.report import render
from analytics.report.model import Attribution, Check, CheckStatus, Decision, Report, Verdict


def test_without_colour_there_is_no_escape_sequence(report: Report) -> None:
    """Plain output is plain; colour adds sequences and changes no character."""
    plain, coloured = (render(report, "table", width=100, color=color) for color in (False, True))
    assert "\x1b" not in plain
    assert "\x1b[1;31mREGRESSED" in coloured


def test_many_cohorts_are_split_over_grids(build: Any) -> None:
    """Twenty cohorts at a hundred columns: every one is a column head once, and no verdict is cut."""
    result = build.metric("groundedness_fail_rate", Verdict.NO_REGRESSION)
    cohorts = [build.cohort(f"cohort-{number:02}", Decision.PROMOTE, result) for number in range(20)]
    rendered = render(build.report(*cohorts, overall=Verdict.NO_REGRESSION), "table", width=100)
    grids = rendered.split("Decisions\n")[0]
    assert all(grids.count(f"cohort-{number:02}") == 1 for number in range(20))
    assert grids.count("no regression") == 20
    assert max(map(len, rendered.splitlines())) <= 100


@pytest.mark.parametrize("width", range(60, 130))
def test_no_verdict_is_cut_at_any_width(report: Report, width: int) -> None:
    """Every cohort and every verdict of the grid is whole at every width."""
    grids = render(report, "table", width=width).split("Decisions\n")[0]
    assert "\u2026" not in grids.split("\n\n", 1)[1]
    assert all(f" {cohort.cohort}" in grids for cohort in report.cohorts)


@pytest.mark.parametrize("columns", ["80", "140"])
def test_takes_the_width_of_the_terminal(report: Report, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    """Without a width the terminal's own is used."""
    monkeypatch.setenv("COLUMNS", columns)
    assert render(report, "table") == render(report, "table", width=int(columns))


def test_the_environment_cannot_add_colour(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """FORCE_COLOR does not colour what is asked for plain."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in render(report, "table", width=100)


def test_an_empty_report_is_short(build: Any) -> None:
    """Without cohorts there is the headline and no empty section."""
    rendered = render(build.report(overall=Verdict.INVALID), "table", width=100)
    assert rendered.startswith("No verdict on refunds-v2")
    assert "Regressed" not in rendered


def test_what_one_check_forbids_is_said_once(build: Any) -> None:
    """Metrics and cohorts that one check makes incomparable stand in one item; another reason in its own."""
    check = Check("sample_ratio", None, CheckStatus.FAIL, "users are lost")
    why = "the check sample_ratio failed: users are lost"
    errors = build.metric("error_rate", Verdict.INVALID, reason=f"error rate: {why}")
    tokens = build.metric("input_tokens", Verdict.INVALID, reason=f"input tokens per trace: {why}")
    cost = build.metric("cost_per_trace", Verdict.INVALID, reason="cost per trace: no values")
    fine = build.metric("latency_p50", Verdict.NO_REGRESSION)
    held = (Decision.HOLD,)
    report = build.report(
        build.cohort("eu", *held, errors, tokens), build.cohort("uk", *held, errors, tokens),
        build.cohort("us", *held, errors, tokens, cost, fine), checks=(check,),
    )  # fmt: skip
    told = render(report, "table", width=100).split("Not compared\n")[1].split("\n\n")[0]
    assert [line.strip() for line in told.splitlines()] == [
        "invalid  all metrics on eu, uk", "The check sample_ratio failed: see below.",
        "invalid  error_rate, input_tokens on us", "The check sample_ratio failed: see below.",
        "invalid  cost_per_trace on us", "No values",
    ]  # fmt: skip
    assert "- all metrics on `eu`, `uk`: The check" in render(report, "md")


def test_of_pairs_without_steps_only_the_traces_are_named(build: Any) -> None:
    """Nothing is said of where it begins, and a pair's one trace does not stand beside itself."""
    pair = Attribution(None, (), (), {"candidate": ["c0ffee"], "base": ["c0ffee"]}, "")
    worse = build.metric("error_rate", Verdict.REGRESSED, attribution=pair)
    for form in ("table", "md", "html"):
        rendered = render(build.report(build.cohort("eu", Decision.ROLL_BACK, worse)), form)
        assert "c0ffee" in rendered
        assert "went well" not in rendered
        assert not {'""', "&#34;&#34;"} & set(rendered.replace("<p>", " ").replace("</p>", " ").split())
