"""Text from traces stays text in every rendering, whatever it says."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from rich.cells import cell_len

from analytics.report import FORMATS, render
from analytics.report.model import Check, CheckStatus, Decision, Report, Verdict
from analytics.report.text import visible
from analytics.report.values import ArmValue

HOSTILE = {
    "markup": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "attribute": "\" onmouseover=\"alert(1)' x='",
    "template": "{{ 7 * 7 }}{% raw %}",
    "escape sequence": "\x1b[31mred\x1b]8;;http://evil.example\x1b\\link\x9b2J",
    "lines": "one\ntwo\r\n# three\u2028four",
    "table": "a | b || c \\| d",
    "markdown": "**b** _i_ `c` ``d`` [l](http://evil.example) ![i](http://evil.example/i.png) ~~s~~",
    "link": "http://evil.example www.evil.example <http://evil.example>",
    "rich": "[bold red]x[/] [link=http://evil.example]y[/link] :tada:",
    "controls": "nul\x00bell\x07back\x08del\x7f",
    "not xml": "\ufffe\uffff\ud800",
    "bidirectional": "safe\u202eevil\u202c\u2066x\u2069\u200b",
    "entities": "&lt;b&gt; &#60; &amp;",
    "cdata": "]]><x/><![CDATA[",
    "comment": "--><b>x</b><!--",
    "wide": "一二三四五六七八九十" * 20,
    "huge": "x" * 1_000_000,
    "empty": "",
}


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE.keys())
def hostile(request: pytest.FixtureRequest, build: Any) -> tuple[str, Report]:
    """A hostile text and a report which has it wherever a text from outside can stand."""
    text = request.param
    regressed = build.metric(
        text, Verdict.REGRESSED, reason=text, exemplars={"candidate": [text], text: [text]}, unit="rate"
    )
    undecided = build.metric(f"{text}2", Verdict.INCONCLUSIVE, reason=text, base=ArmValue(3, None))
    invalid = build.metric(f"{text}3", Verdict.INVALID, reason=text, unit=text, interval=None)
    report = build.report(
        build.cohort(text, Decision.ROLL_BACK, regressed, undecided, invalid, reason=text),
        build.cohort("calm", Decision.HOLD, build.metric("error_rate", Verdict.IMPROVED, reason=text)),
        overall=Verdict.REGRESSED,
        checks=(
            Check(text, text, CheckStatus.FAIL, text, (text,)),
            Check("both_arms", None, CheckStatus.PASS, text),
        ),
    )
    promotion = replace(report.promotion, name=text, base=text, candidate=text, design=text, cohort_by=text)
    return text, replace(report, promotion=promotion, fingerprint=text)


class Elements(HTMLParser):
    """Collects a page's elements, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


@pytest.mark.parametrize("form", FORMATS)
def test_no_acting_character_gets_through(hostile: tuple[str, Report], form: str) -> None:
    """No rendering holds a control, a bidirectional override or half a surrogate pair, and each is UTF-8."""
    rendered = render(hostile[1], form, width=100)
    assert not re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]", rendered)
    rendered.encode("utf-8")


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "json"])
def test_people_are_not_sent_a_megabyte(hostile: tuple[str, Report], form: str) -> None:
    """What is made for people stays readable however long the names are."""
    assert len(render(hostile[1], form, width=100)) < 60_000


def test_html_gains_no_element_and_no_attribute(hostile: tuple[str, Report], report: Report) -> None:
    """A hostile report has only the elements and attributes of an honest one, and shows the text."""
    text, hostile_report = hostile
    page, honest = Elements(render(hostile_report, "html")), Elements(render(report, "html"))
    assert page.tags <= honest.tags
    assert {name for name, _ in page.attributes} <= {name for name, _ in honest.attributes}
    assert visible(text) in page.text


def test_markdown_gains_no_construct(hostile: tuple[str, Report]) -> None:
    """CommonMark with GitHub's tables sees no link, image or markup, and as many cells in each row."""
    parser = MarkdownIt("gfm-like", {"linkify": False})
    rendered = render(hostile[1], "md")
    tokens = parser.parse(rendered)
    inline = [child.type for token in tokens for child in token.children or []]
    assert not {"link_open", "image", "em_open", "s_open"} & {*inline, *(token.type for token in tokens)}
    blocks = [token.content.strip() for token in tokens if token.type == "html_block"]
    folded = "<details>\n<summary>Too small to see: 1 inconclusive metric</summary>"
    assert blocks == [folded, "</details>"]
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h4"] * 3
    rows = "".join({"tr_open": "/", "th_open": ".", "td_open": "."}.get(token.type, "") for token in tokens)
    assert rows == "/..." * 6 + "/....." * 2
    assert not re.search(r"(?<![:`\w])https?://(?![^`\n]*`)", rendered)


def test_markdown_calls_nobody(build: Any) -> None:
    """Mentions, issue numbers, emoji and bare links in a reason are broken up."""
    reason = "@octo/team #12 :tada: http://evil.example www.evil.example 12:30:45"
    regressed = build.metric("error_rate", Verdict.REGRESSED, reason=reason)
    rendered = render(build.report(build.cohort("eu", Decision.HOLD, regressed)), "md")
    assert "@\u200bocto/team" in rendered
    assert "#\u200b12" in rendered
    assert ":\u200btada:" in rendered
    assert "http:\\//evil.example" in rendered
    assert "www\\.evil.example" in rendered
    assert "12:30:45" in rendered


def test_junit_is_well_formed_and_counts_its_cases(hostile: tuple[str, Report]) -> None:
    """XML parsers read it, and no case is gained or lost."""
    root = ET.fromstring(render(hostile[1], "junit"))  # noqa: S314 (our own output)
    assert len(root.findall(".//testcase")) == 4
    assert root.findall(".//testcase")[0].get("name") == visible(hostile[0])


@pytest.mark.parametrize("width", [60, 100, 160])
def test_table_keeps_its_width(hostile: tuple[str, Report], width: int) -> None:
    """No line is longer than the terminal, and no markup of the terminal library is obeyed."""
    rendered = render(hostile[1], "table", width=width)
    assert max(map(cell_len, rendered.splitlines())) <= width
    if hostile[0].startswith("[bold"):
        assert "[bold red]x[/]" in rendered


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("é 日本", "é 日本"),
        ("a\nb\x1b", "a\\nb\\x1b"),
        ("\u202e", "\\u202e"),
        ("\ud800", "\\ud800"),
        ("", '""'),
        ("x" * 20, "xxxxxx\u2026xxx"),
        ("\x00" * 20, "\\x00\\x\u2026x00"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    """Acting characters become their escapes, and long texts lose their middle."""
    assert visible(text, 10) == shown
