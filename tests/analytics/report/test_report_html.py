"""The HTML report stands alone and can be read without colour, without sight and on a phone."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from analytics.report import render
from analytics.report.model import Report, Verdict

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
    """There is no script and no reference outside the page, and the page forbids both."""
    assert not re.search(r"\bsrc\s*=|\bhref\s*=|url\(|@import|https?:|<script|javascript:", page, re.IGNORECASE)
    assert not {"script", "link", "img", "iframe", "object", "a"} & {e["tag"] for e in outline.elements}
    policies = [e["attributes"].get("content") for e in outline.all("meta") if "http-equiv" in e["attributes"]]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_is_well_nested(outline: Outline) -> None:
    """Every element that is opened is closed, in order."""
    assert outline.open == []


def test_every_plot_says_what_it_shows(outline: Outline) -> None:
    """Each interval has a drawing with a title in words, once among all numbers and once if something changed."""
    titles = [e["text"] for e in outline.all("title") if "svg" in e["inside"]]
    assert len(titles) == len(outline.all("svg")) == 12
    assert all(e["attributes"]["role"] == "img" for e in outline.all("svg"))
    assert "Effect +3.7 points, interval +2.4 to +5.1 points; margin 1.5 points" in titles


def test_tables_are_tables(outline: Outline) -> None:
    """Every table has a caption, and every header says what it heads."""
    assert len(outline.all("caption")) == len(outline.all("table")) == 10
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
    assert "@media (max-width: 48rem)" in page
    assert "@media (prefers-color-scheme: dark)" in page


def test_labels_every_cell_of_a_stacked_table(outline: Outline) -> None:
    """On a phone, where rows become blocks, each cell names its column."""
    cells = [e for e in outline.all("td") if e["attributes"].get("role") == "cell"]
    assert cells
    assert all(e["attributes"].get("data-label") for e in cells)


def test_shows_the_traces_to_look_at(page: str) -> None:
    """Exemplars of a regression are listed whole, for both arms."""
    assert "<code>4bf92f3577b34da6a3ce929d0e0e4736</code>" in page
    assert "<code>00f067aa0ba902b7d8448eb211c80319</code>" in page


def test_without_cohorts_it_still_says_why(build: Any) -> None:
    """A report without any trace has a headline and no empty table."""
    outline = Outline(render(build.report(overall=Verdict.INVALID), "html"))
    assert outline.all("h1")[0]["text"].startswith("No verdict on refunds-v2")
    assert not outline.all("table")
