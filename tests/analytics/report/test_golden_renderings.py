"""Every rendering of the incident is, to the letter, the one that was last looked at and found good.

After a wanted change, write the files anew and read the difference:
``SPANVERDICT_WRITE_GOLDEN=1 python -m pytest tests/analytics/report/test_golden_renderings.py``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from analytics.report import FORMATS, render
from analytics.report.model import Report

GOLDEN = Path(__file__).parent / "golden"
ENDINGS = {"table": "txt", "html": "html", "md": "md", "json": "json", "junit": "xml"}


def check(rendered: str, name: str) -> None:
    """Compare with the stored file, or store it."""
    path = GOLDEN / name
    if os.environ.get("SPANVERDICT_WRITE_GOLDEN"):
        path.write_text(rendered, "utf-8", newline="\n")
    assert rendered == path.read_text("utf-8")


def without_drawings(page: str) -> str:
    """A page whose charts are their words alone: another version of the library may draw the same otherwise."""
    return re.sub(r"(<svg [^>]*><title>[^<]*</title><desc>[^<]*</desc>).*?</svg>", r"\1</svg>", page)


@pytest.mark.parametrize("form", FORMATS)
def test_renders_as_stored(report: Report, form: str) -> None:
    """The rendering equals the stored file exactly."""
    check(without_drawings(render(report, form, width=100)), f"incident.{ENDINGS[form]}")


def test_renders_in_colour_as_stored(report: Report) -> None:
    """A coloured table equals the stored file, escape sequences included."""
    check(render(report, "table", width=100, color=True), "incident.colour.txt")


@pytest.mark.parametrize("form", FORMATS)
def test_renders_the_same_twice(report: Report, form: str) -> None:
    """The same report gives the same bytes and ends in one newline."""
    first = render(report, form, width=100)
    assert first == render(report, form, width=100)
    assert first.endswith("\n")
    assert not first.endswith("\n\n")


def test_refuses_an_unknown_format(report: Report) -> None:
    """An unknown format is named, with the known ones."""
    with pytest.raises(ValueError, match="'pdf' is not known: choose one of table, html, md, json, junit"):
        render(report, "pdf")
