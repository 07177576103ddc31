"""A comment in Markdown fits where comments go, whatever the report's size, and says what it leaves out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from markdown_it import MarkdownIt

from analytics.report import render
from analytics.report.as_markdown import COMMENT_LIMIT
from analytics.report.evidence import Attempts, Evidence, Usage
from analytics.report.markdown_text import limited
from analytics.report.model import Attribution, Check, CheckStatus, Decision, Report, StepDifference, Verdict, WatchItem

LONG = "日本語|`*_" * 100


def large(build: Any, cohorts: int, metrics: int, name: str = "") -> Report:
    """A report with so many cells, of every verdict, with everything that can be said of each."""
    verdicts = list(Verdict)
    step = StepDifference(f"planner{name}", "planner", f"errors{name}", 0.1, 0.2, "rate", 99.0, share=0.5)
    where = Attribution(step, (step,) * 30, (), {"candidate": ["c0ffee"]}, f"It begins there. {name}")
    decisions = (Decision.PROMOTE, Decision.HOLD, Decision.ROLL_BACK)
    results = [
        build.cohort(
            f"cohort-{row:03}{name}",
            decisions[row % 3],
            *(
                build.metric(
                    f"metric_{column:03}{name}",
                    verdicts[(row + column) % len(verdicts)],
                    reason=f"As it is in {row} and {column}. {name}",
                    attribution=where,
                )
                for column in range(metrics)
            ),
            reason=f"So it follows. {name}",
        )
        for row in range(cohorts)
    ]
    names = [cohort.cohort for cohort in results]
    return replace(
        build.report(
            *results,
            overall=Verdict.REGRESSED,
            checks=tuple(Check(f"check{n}{name}", each, CheckStatus.FAIL, "No. " * 90) for n, each in enumerate(names)),
        ),
        watch_list=tuple(WatchItem(each, "metric_000", 12.0) for each in names),
        evidence=Evidence(
            usage=tuple(Usage(each, "base", 3, 0.1, 1, 100.0, 9.0, 20.0, 3.0, 1.5) for each in names),
            attempts=tuple(Attempts(each, "base", 3, 1.3, 1, 1, 0, 1, 0, 0.1) for each in names),
        ),
    )


@pytest.mark.parametrize(("cohorts", "metrics", "name"), [(100, 20, ""), (400, 5, ""), (2, 600, ""), (60, 20, LONG)])
def test_a_comment_fits_whatever_the_report(build: Any, cohorts: int, metrics: int, name: str) -> None:
    """Fewer bytes than GitHub takes characters; the sentence and a grid stand in it, nothing is broken."""
    report = large(build, cohorts, metrics, name)
    rendered = render(report, "md")
    assert len(rendered.encode()) < COMMENT_LIMIT
    assert rendered.startswith("**Hold refunds-v2")
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(rendered)
    opened = [token.content for token in tokens if token.type == "html_block"]
    assert sum("<details>" in html for html in opened) == sum("</details>" in html for html in opened)
    assert sum(token.type == "table_open" for token in tokens) >= 1
    assert "Shown are " in rendered
    assert "more\n" in rendered


def test_what_is_left_out_is_named(build: Any) -> None:
    """Blocks that do not fit are listed, and the footer stands in any case."""
    rendered = render(large(build, 60, 20, LONG), "md")
    assert "Left out here, as a comment has an end: " in rendered
    assert "The HTML report has everything." in rendered
    assert rendered.endswith("Fingerprint `f00d`</sub>\n")


def test_many_cohorts_go_downwards(build: Any) -> None:
    """With more cohorts than metrics a row is a cohort, its decision first."""
    cohorts = [build.cohort(f"c{n}", Decision.HOLD, build.metric("error_rate", Verdict.INVALID)) for n in range(3)]
    rendered = render(build.report(*cohorts), "md")
    assert "| cohort | **decision** | `error_rate` |\n| --- | --- | --- |\n| `c0` | **hold** | invalid |" in rendered


def test_the_gravest_are_kept(build: Any) -> None:
    """Where cohorts are left out of the grid and the list, those to be rolled back are in."""
    cohorts = [
        build.cohort(f"c{n:03}", Decision.HOLD, *(build.metric(f"m{k}", Verdict.INCONCLUSIVE) for k in range(20)))
        for n in range(120)
    ]
    worst = build.cohort("zz-last", Decision.ROLL_BACK, build.metric("m0", Verdict.REGRESSED))
    rendered = render(build.report(*cohorts, worst, overall=Verdict.REGRESSED), "md")
    assert "| `zz-last` | **roll back** | **REGRESSED** |" in rendered
    assert "- `zz-last`: **roll back**" in rendered
    assert "Shown are 30 of 121 cohorts." in rendered


def test_limited() -> None:
    """Whole lines within the limit, the first in any case, and how many more there are."""
    assert limited(["ab", "cd"], 6) == "ab\ncd"
    assert limited(["ab", "cd", "ef"], 6) == "ab\ncd\n- … and 1 more"
    assert limited(["abcdefgh", "cd"], 3) == "abcdefgh\n- … and 1 more"
