"""The HTML report stands alone and can be read without colour, without sight and on a phone."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from analytics.report import render
from analytics.report.model import Decision, Report, Verdict
from analytics.trace_view import Message, SpanView, TraceView

VOID = {"meta", "br", "line", "path", "circle"}


class Outline(HTMLParser):
    """Checks nesting and collects (element, attributes, text) in document order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[dict[str, Any]] = []
        self.elements: list[dict[str, Any]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        element = {"tag": tag, "attributes": dict(attrs), "text": "", "inside": [e["tag"] for e in self.open]}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element, which must be this one."""
        if tag not in VOID:
            assert self.open.pop()["tag"] == tag

    def handle_data(self, data: str) -> None:
        """Add text to every open element."""
        for element in self.open:
            element["text"] += data

    def all(self, tag: str) -> list[dict[str, Any]]:
        """The elements of one kind."""
        return [element for element in self.elements if element["tag"] == tag]


@pytest.fixture
def page(report: Report) -> str:
    """The incident as HTML."""
    return render(report, "html")


@pytest.fixture
def outline(page: str) -> Outline:
    """The page's elements."""
    return Outline(page)


def test_asks_nobody_for_anything(page: str, outline: Outline) -> None:
    """There is no reference outside the page, and the page forbids all but its own styles and its one script."""
    assert not re.search(r"\bsrc\s*=|url\(|@import|https?:|javascript:|\bon\w+\s*=\s*[\"']", page, re.IGNORECASE)
    assert not {"link", "img", "iframe", "object", "form", "use"} & {e["tag"] for e in outline.elements}
    assert all(str(e["attributes"]["href"]).startswith("#") for e in outline.all("a"))
    (script,) = outline.all("script")
    allowed = base64.b64encode(hashlib.sha256(script["text"].encode()).digest()).decode()
    policies = [e["attributes"].get("content") for e in outline.all("meta") if "http-equiv" in e["attributes"]]
    assert policies == [
        (
            f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; "
            "base-uri 'none'; form-action 'none'"
        )
    ]


def test_every_link_leads_somewhere(outline: Outline) -> None:
    """Each link of the page leads to an id in it, and no id is there twice."""
    ids = [e["attributes"]["id"] for e in outline.elements if "id" in e["attributes"]]
    assert len(ids) == len(set(ids))
    assert {str(e["attributes"]["href"])[1:] for e in outline.all("a")} <= set(ids)
    assert {
        e["attributes"]["aria-labelledby"] for e in outline.elements if "aria-labelledby" in e["attributes"]
    } <= set(ids)


def test_every_cell_of_the_grid_leads_to_what_is_known_of_it(report: Report, outline: Outline) -> None:
    """A verdict leads to its finding, else to the row of its numbers."""
    links = [str(e["attributes"]["href"]) for e in outline.all("a") if "table" in e["inside"]]
    results = [result for cohort in report.cohorts for result in cohort.metrics]
    assert len(links) == len(results)
    changed = sum(result.verdict in {Verdict.REGRESSED, Verdict.IMPROVED} for result in results)
    assert sum(link.startswith("#finding-") for link in links) == changed
    assert sum(link.startswith("#row-") for link in links) == len(results) - changed


def test_headings_are_in_order(outline: Outline) -> None:
    """No level of headings is left out on the way down."""
    levels = [int(e["tag"][1]) for e in outline.elements if re.fullmatch(r"h[1-6]", e["tag"])]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_is_well_nested(outline: Outline) -> None:
    """Every element that is opened is closed, in order."""
    assert outline.open == []


def test_every_chart_says_what_it_shows(outline: Outline) -> None:
    """Each chart has a title and its values in words."""
    charts = outline.all("svg")
    titles, descriptions = ([e["text"] for e in outline.all(tag) if "svg" in e["inside"]] for tag in ("title", "desc"))
    # An interval and the days of three changes; a forest and the latency of three cohorts, the cost of two.
    assert len(charts) == len(titles) == len(descriptions) == 3 + 3 + 3 + 3 + 2
    assert all(e["attributes"]["role"] == "img" for e in charts)
    assert all(titles)
    assert all(re.search(r"\d", said) for said in descriptions)
    assert "Effect +3.7 points, interval +2.4 to +5.1 points; margin 1.5 points, higher is worse." in descriptions


def test_tables_are_tables(outline: Outline) -> None:
    """Every table has a caption, and every header says what it heads."""
    assert len(outline.all("caption")) == len(outline.all("table")) > 10
    assert {e["attributes"].get("scope") for e in outline.all("th")} == {"col", "row"}


def test_colour_is_never_alone(outline: Outline) -> None:
    """Every coloured mark has its word."""
    marks = [e for e in outline.all("span") if "verdict" in (e["attributes"].get("class") or "").split()]
    assert {e["text"] for e in marks} == {
        "REGRESSED", "improved", "no regression", "inconclusive", "invalid",
        "promote", "hold", "roll back", "fail", "warn",
    }  # fmt: skip


def test_says_first_what_to_do(outline: Outline) -> None:
    """The one first-level heading is the headline."""
    (heading,) = outline.all("h1")
    assert heading["text"].startswith(
        "Hold refunds-v2, roll back policy_exception: groundedness failures on policy_exception rose"
    )


def test_fits_a_phone_and_the_dark(page: str) -> None:
    """The page scales to a narrow screen and follows the reader's colours."""
    assert 'name="viewport"' in page
    assert "@media screen and (max-width: 48rem)" in page
    assert "@media screen and (prefers-color-scheme: dark)" in page


def test_labels_every_cell_of_a_stacked_table(outline: Outline) -> None:
    """On a phone, where rows become blocks, each cell names its column."""
    cells = [e for e in outline.all("td") if e["attributes"].get("role") == "cell"]
    assert cells
    assert all(e["attributes"].get("data-label") for e in cells)


def test_shows_the_traces_to_look_at(page: str) -> None:
    """Exemplars of a regression are listed whole, for both arms."""
    assert "<code>4bf92f3577b34da6a3ce929d0e0e4736</code>" in page
    assert "<code>00f067aa0ba902b7d8448eb211c80319</code>" in page


def trace(trace_id: str, said: str = "May I have my money back?") -> TraceView:
    """A trace with one call and one message."""
    messages = (Message("user", said, "input"),)
    call = SpanView("00f067aa0ba902b7", 0, "chat", "chat", "gpt", None, 0.0, 812.0, None, 12, 5, 0.0001, messages)
    return TraceView(trace_id, datetime(2026, 11, 3), 812.0, "refunds", (call,), 0, ())


def test_traces_are_shown_where_they_prove_something(report: Report) -> None:
    """A trace stands, folded, at the first finding that names it; the next finding leads there."""
    regressed = report.cohorts[-1].metrics[1:3]
    (shown,) = regressed[0].attribution.exemplars["candidate"] if regressed[0].attribution else ()
    metrics = tuple(
        replace(result, exemplars={"candidate": [shown], "base": []}) if result in regressed else result
        for result in report.cohorts[-1].metrics
    )
    twice = replace(report, cohorts=(*report.cohorts[:-1], replace(report.cohorts[-1], metrics=metrics)))
    page = render(twice, "html", traces=[trace(shown, "May I have <b>my</b> money back?")])
    outline = Outline(page)
    folded = [e for e in outline.all("details") if e["attributes"].get("id") == "trace-1"]
    assert len(folded) == 1
    assert "May I have <b>my</b> money back?" in folded[0]["text"]
    assert [e["text"] for e in outline.all("a") if e["attributes"]["href"] == "#trace-1"] == [shown]


def test_many_findings_do_not_bury_the_page(build: Any) -> None:
    """The gravest thirty are told in full; of the others the page says that they are there."""
    metrics = [build.metric(f"metric_{number}", Verdict.REGRESSED, effect=number / 100) for number in range(33)]
    page = render(build.report(build.cohort("eu", Decision.ROLL_BACK, *metrics), overall=Verdict.REGRESSED), "html")
    outline = Outline(page)
    assert len(outline.all("article")) == 30
    assert "3 lesser changes more" in page
    assert "metric 32" in outline.all("h3")[0]["text"]


def test_a_grid_of_many_cohorts_is_long_and_not_wide(build: Any) -> None:
    """The longer of cohorts and metrics goes downwards, cohorts to roll back first."""
    metric = build.metric("a", Verdict.REGRESSED)
    cohorts = [build.cohort(f"c{number}", Decision.HOLD, metric) for number in range(3)]
    outline = Outline(render(build.report(*cohorts, build.cohort("worst", Decision.ROLL_BACK, metric)), "html"))
    heads = [e["text"] for e in outline.all("th") if e["attributes"].get("role") is None]
    assert heads == ["Cohort", "a", "worstroll back", "c0hold", "c1hold", "c2hold"]


def test_without_cohorts_it_still_says_why(build: Any) -> None:
    """A report without any trace has a headline and no empty table."""
    outline = Outline(render(build.report(overall=Verdict.INVALID), "html"))
    assert outline.all("h1")[0]["text"].startswith("No verdict on refunds-v2")
    assert not outline.all("table")
