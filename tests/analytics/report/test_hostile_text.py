"""Text from traces stays text in every rendering, whatever it says."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from rich.cells import cell_len

from analytics.report import FORMATS, render
from analytics.report.calibration import Calibration, CalibrationRow
from analytics.report.changes import FORMATS as CHANGES
from analytics.report.changes import render_changes
from analytics.report.evidence import Attempts, DayValues, Distribution, Evidence, OverTime, Usage
from analytics.report.model import (
    Attribution,
    Check,
    CheckStatus,
    Composition,
    Decision,
    MaturityState,
    Report,
    SharedVersions,
    StepDifference,
    StratumDifference,
    Verdict,
    WatchItem,
)
from analytics.report.text import visible
from analytics.report.values import ArmValue
from analytics.report_changes import changes

ACTING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
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
    "formula": '=HYPERLINK("http://evil.example","x")',
    "mathematics": "$\\frac{x$ \\$ $$",
    "entities": "&lt;b&gt; &#60; &amp;",
    "cdata": "]]><x/><![CDATA[",
    "comment": "--><b>x</b><!--",
    "wide": "一二三四五六七八九十" * 20,
    "huge": "x" * 1_000_000,
    "empty": "",
}


def saying(build: Any, text: str) -> Report:
    """A report that says everything that one can say, with a text wherever one from outside can stand."""
    value = ArmValue(3, 0.5)
    step = StepDifference(text, "planner", text, 0.1, 0.2, "rate", 40.0, share=0.5)
    regressed = build.metric(
        text,
        Verdict.REGRESSED,
        reason=text,
        exemplars={"candidate": [text], text: [text]},
        attribution=Attribution(
            step, (step,), (StratumDifference(text, value, value, 0.5),), {"candidate": [text], "base": [text]}, text
        ),
        alert_raised_on=date(2026, 11, 9),
    )
    maturity = MaturityState(26.0, "learned", text, {"base": 0.5, "candidate": None}, datetime(2026, 11, 19))
    undecided = build.metric(
        f"{text}2",
        Verdict.INCONCLUSIVE,
        reason=text,
        base=ArmValue(3, None),
        maturity=maturity,
        alert_raised_on=date(2026, 11, 9),
    )
    invalid = build.metric(f"{text}3", Verdict.INVALID, reason=text, unit=text, interval=None)
    mixed = build.metric(
        "error_rate", Verdict.IMPROVED, reason=text, composition=Composition(0.1, 0.2, -0.1, reversed=True)
    )
    cohort = build.cohort(text, Decision.ROLL_BACK, regressed, undecided, invalid, reason=text)
    report = build.report(
        replace(cohort, pooled=(text, text)),
        build.cohort("calm", Decision.HOLD, mixed),
        overall=Verdict.REGRESSED,
        checks=(
            Check(text, text, CheckStatus.FAIL, text, (text,)),
            Check("both_arms", None, CheckStatus.PASS, text),
        ),
    )
    promotion = replace(
        report.promotion, name=text, base=text, candidate=text, design=text, cohort_by=text, stratify_by=(text,)
    )
    row = CalibrationRow(text, 0.1, 0.02, 0.5, "rate")
    arms = ("base", "candidate")
    return replace(
        report,
        promotion=promotion,
        fingerprint=text,
        watch_list=(WatchItem(text, text, 12.0),),
        shared=SharedVersions((cohort,), (text,), {text: {"base": 0.5, "candidate": 0.5}}),
        calibration=Calibration(datetime(2026, 11, 15), 20, 3, 0.0, 0.0, 0.1, (row,)),
        evidence=Evidence(
            over_time=(
                OverTime(text, text, "rate", tuple(DayValues(date(2026, 11, day), value, value) for day in (3, 4))),
            ),
            distributions=(
                Distribution(text, "latency", "ms", (0.1, 0.9), (1.0, 2.0), (1.0, 3.0), {"base": 9, "candidate": 9}),
            ),
            usage=tuple(Usage(text, arm, 3, 0.1, 1, 100.0, 9.0, 20.0, 3.0, 1.5) for arm in arms),
            attempts=tuple(Attempts(text, arm, 3, 1.3, 1, 1, 1, 1, 1, 0.1) for arm in arms),
        ),
    )


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE.keys())
def hostile(request: pytest.FixtureRequest, build: Any) -> tuple[str, Report]:
    """A hostile text and a report that says it everywhere."""
    return request.param, saying(build, request.param)


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
    assert not ACTING.findall(rendered)
    rendered.encode("utf-8")


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "json"])
def test_people_are_not_sent_a_megabyte(hostile: tuple[str, Report], build: Any, form: str) -> None:
    """What is made for people stays readable however long the names are."""
    assert len(render(hostile[1], form, width=100)) < len(render(saying(build, "plain"), form, width=100)) + 60_000


def test_html_gains_no_element_and_no_attribute(hostile: tuple[str, Report], build: Any) -> None:
    """A hostile report has only the elements and attributes of an honest one, and shows the text."""
    text, hostile_report = hostile
    page, honest = (Elements(render(each, "html")) for each in (hostile_report, saying(build, "plain")))
    assert page.tags <= honest.tags
    assert {name for name, _ in page.attributes} <= {name for name, _ in honest.attributes}
    assert visible(text) in page.text


def shape(rendered: str) -> tuple[list[str], set[str]]:
    """What CommonMark with GitHub's tables sees: its blocks in order, and the kinds of what stands in lines."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(rendered)
    inline = {child.type for token in tokens for child in token.children or []}
    return [token.type for token in tokens], inline


def test_markdown_gains_no_construct(hostile: tuple[str, Report], build: Any) -> None:
    """CommonMark with GitHub's tables sees no link, image or markup, and the same blocks as of an honest report."""
    rendered = render(hostile[1], "md")
    blocks, inline = shape(rendered)
    honest, within = shape(render(saying(build, "plain"), "md"))
    assert blocks == honest
    assert inline <= within | {"text_special"}
    assert not {"link_open", "image", "em_open", "s_open"} & inline
    html = [token.content for token in MarkdownIt("gfm-like", {"linkify": False}).parse(rendered)
            if token.type == "html_block"]  # fmt: skip
    assert all(re.fullmatch(r"(<details>\n<summary>.*</summary>|</details>|<sub>.*</sub>)\n?", each) for each in html)
    assert "<script" not in "".join(html)
    assert not re.search(r"(?<![:`\w])https?://(?![^`\n]*`)", re.sub(r"<code>.*?</code>", "", rendered))


@pytest.mark.parametrize("form", CHANGES)
def test_changes_hold_hostile_text_too(hostile: tuple[str, Report], build: Any, form: str) -> None:
    """What changed between two reports is as inert as the reports are."""
    text, report = hostile
    found = changes(build.report(build.cohort(text, Decision.HOLD)), report)
    rendered = render_changes(found, form, (None, "c0ffee"))
    assert not ACTING.findall(rendered)
    if form == "md":
        plain = changes(build.report(build.cohort("plain", Decision.HOLD)), saying(build, "plain"))
        assert shape(rendered)[0] == shape(render_changes(plain, form, (None, "c0ffee")))[0]
    if form != "json":
        assert len(rendered) < 20_000


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
