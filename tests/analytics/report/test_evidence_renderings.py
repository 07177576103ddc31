"""What the arms used and how their attempts went stands in every rendering for people, as far as there is room."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analytics.report import render
from analytics.report.evidence import Attempts, Evidence, Usage
from analytics.report.model import Report
from analytics.report.usage_rows import attempt_rows, usage_rows


@pytest.fixture
def used(report: Report) -> Report:
    """The incident with what two of its cohorts used."""
    usage = (
        Usage("chargeback", "base", 1204, 0.0012346, 0, 812.4, 401.2, 212.4, None, 1.02),
        Usage("chargeback", "candidate", 1187, 0.0012401, 0, 815.0, 398.7, 214.1, None, 1.31),
        Usage("policy_exception", "base", 1102, 0.0011, 11, 790.0, 0.0, 205.5, None, 1.0),
        Usage("policy_exception", "candidate", 1096, None, 1096, 795.5, 0.0, 231.9, None, 1.25),
    )
    attempts = (
        Attempts("chargeback", "base", 1204, 1.004, 5, 0, 0, 4, 1, 0.0),
        Attempts("chargeback", "candidate", 1187, 1.031, 10, 21, 0, 30, 2, 0.00004),
        Attempts("policy_exception", "candidate", 1096, 1.0, 0, 0, 0, 0, 0, 0.001, 3, retry_rate=0.25),
    )
    return replace(report, evidence=Evidence((), (), usage, attempts))


def test_usage_is_told_by_cohort(used: Report) -> None:
    """Base → candidate with the unit once; what is not known is unknown, and a column of nothing is left out."""
    shown = usage_rows(used)
    assert shown.titles == (
        "cost per trace", "cost unknown", "input tokens", "from a cache", "output tokens", "model calls",
    )  # fmt: skip
    assert shown.rows == (
        ("chargeback", ("0.001235 → 0.001240 USD", "0 → 0 %", "812 → 815 tokens", "401 → 399 tokens",
                        "212 → 214 tokens", "1.02 → 1.31")),
        ("policy_exception", ("0.001100 USD → unknown", "1.00 → 100 %", "790 → 796 tokens", "0 → 0 tokens",
                              "206 → 232 tokens", "1.00 → 1.25")),
    )  # fmt: skip


def test_attempts_are_told_by_cohort(used: Report) -> None:
    """Shares of chains; an arm without chains has no traces."""
    shown = attempt_rows(used)
    assert shown.titles == ("attempts", "retried", "repaired", "rescued", "failed", "extra cost")
    assert shown.rows[0] == (
        "chargeback",
        ("1.00 → 1.03", "0.42 → 0.84 %", "0 → 1.8 %", "0.33 → 2.5 %", "0.083 → 0.17 %", "0 → 0.00004000 USD"),
    )
    assert shown.rows[1][1] == (
        "no traces → 1.00", "no traces → 25.0 %", *["no traces → 0 %"] * 3, "no traces → at least 0.001000 USD",
    )  # fmt: skip


def test_nothing_is_shown_of_nothing(report: Report) -> None:
    """A report without such evidence has no such table."""
    bare = replace(report, evidence=Evidence())
    assert (usage_rows(bare).rows, attempt_rows(bare).rows) == ((), ())
    for form in ("table", "md"):
        assert "Attempt chains" not in render(bare, form)


def test_markdown_folds_it_away(used: Report) -> None:
    """Both tables stand folded in the comment."""
    rendered = render(used, "md")
    assert "<summary>Cost and tokens of a trace: base → candidate</summary>" in rendered
    assert "| `chargeback` | 0.001235 → 0.001240 USD | 0 → 0 % | 812 → 815 tokens |" in rendered
    assert "<summary>Attempt chains: base → candidate</summary>" in rendered


@pytest.mark.parametrize("width", range(60, 160, 7))
def test_a_terminal_shows_what_fits(used: Report, width: int) -> None:
    """The cost always, other columns as far as there is room, none of them cut."""
    rendered = render(used, "table", width=width)
    assert "0.001235 → 0.001240 USD" in rendered
    assert "\u2026" not in rendered.split("Cost and tokens")[1].split("\n\n")[0]
    assert max(map(len, rendered.splitlines())) <= width
    assert ("output tokens" in rendered) is (width >= 116)


def test_next_looks_are_commands(report: Report) -> None:
    """The trace that proves it, the page, the next verdict; of hostile names and ids no command is made."""
    rendered = " ".join(render(report, "table", width=200).split("--config)\n")[1].split())
    assert rendered == (
        'The calls of a trace that shows it: spanverdict sql "FROM llm_calls WHERE trace_id = '
        "'4bf92f3577b34da6a3ce929d0e0e4736'\" "
        "The same with plots and every number: "
        "spanverdict report refunds-v2 --as-of 2026-11-16T00:00:00Z --out report.html "
        "The next verdict can be expected: 2026-11-19 07:00 UTC"
    )
    named = replace(report, promotion=replace(report.promotion, name="a'b; rm -rf \u202e"))
    assert "spanverdict report" not in render(named, "table", width=200)
    quoted = replace(report, promotion=replace(report.promotion, name="$(id) & co"))
    assert "spanverdict report '$(id) & co' --as-of" in render(quoted, "table", width=200)
