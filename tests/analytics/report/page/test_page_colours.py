"""Every text and mark of the page can be told from its ground, in light and in dark."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

STYLE = files("analytics.report").joinpath("templates", "report.css").read_text("utf-8")
GROUNDS = {
    "ink": ("paper", "panel"),
    "quiet": ("paper", "panel"),
    "link": ("paper", "panel"),
    "bad": ("paper", "panel", "bad-paper"),
    "good": ("paper", "good-paper"),
    "fine": ("paper", "fine-paper"),
    "open": ("paper", "open-paper"),
    "void": ("paper", "void-paper"),
    "base": ("paper",),
    "candidate": ("paper",),
}


def colours(scheme: str) -> dict[str, str]:
    """The variables of a scheme; dark takes from light what it does not name."""
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[:2]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light + (dark if scheme == "dark" else "")))


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2, definition of "relative luminance")."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio (WCAG 2.2, definition of "contrast ratio")."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_measured_as_the_standard_says() -> None:
    """Black on white is the largest ratio, 21."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), [(text, ground) for text in GROUNDS for ground in GROUNDS[text]])
def test_text_stands_out(scheme: str, text: str, ground: str) -> None:
    """At least 4.5 to 1 (WCAG 2.2, criterion 1.4.3), of charts' words and marks too."""
    known = colours(scheme)
    assert contrast(known[text], known[ground]) >= 4.5
