"""A figure that becomes part of a page: matplotlib draws it, the page gives it colours and a font.

Colours are drawn as stand-ins and become CSS variables, so that a chart follows dark mode and print. Texts are drawn as
stand-ins too: what came from traces is neither measured nor read as mathematics by matplotlib, and is escaped here.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import TracebackType
from typing import Any, Literal, Self
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from analytics.report.charts.page_svg import page_svg

# Points and pixels are the same at this resolution.
_DPI = 72
TEXT = 11.0
"""The size of text in a chart, in pixels of its own."""

# Between the axes and their labels, in pixels.
_GAP = 6

_GROUPS = ("axes", "figure", "font", "grid", "lines", "patch", "path", "savefig", "svg", "text", "xtick", "ytick")
# The library's own defaults, whatever a user's configuration of it says: the same report gives the same bytes anywhere.
_STYLE: dict[Any, Any] = {key: value for key, value in mpl.rcParamsDefault.items() if key.split(".")[0] in _GROUPS} | {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "path.simplify": False,
    "font.size": TEXT,
}


class Colour(StrEnum):
    """What a colour means; the value stands in for it in the drawing. The page has a CSS variable of each name."""

    INK = "#010101"
    QUIET = "#010102"
    LINE = "#010103"
    BASE = "#010104"
    CANDIDATE = "#010105"
    BAD = "#010106"
    GOOD = "#010107"
    FINE = "#010108"
    OPEN = "#010109"
    PAPER = "#01010a"


@dataclass(frozen=True)
class Chart:
    """A chart of a page.

    Attributes:
        title: what it is of, in a few words.
        description: what is to be seen in it, with its values, in words.
        width: of its view box, in pixels.
        height: of its view box, in pixels.
        drawing: the SVG elements inside, safe to stand in a page.
    """

    title: str
    description: str
    width: int
    height: int
    drawing: str


class Canvas(AbstractContextManager["Canvas"]):
    """One pair of axes on a transparent ground, without frame and ticks.

    Args:
        width: of the figure, in pixels.
        height: of the figure, in pixels.
        left: from the figure's left edge to the axes', in pixels; so are ``right``, ``top`` and ``bottom``.
    """

    def __init__(self, width: int, height: int, *, left: int, right: int, top: int, bottom: int) -> None:
        self.width = width
        self.height = height
        self._style = mpl.rc_context(_STYLE)
        self._texts: dict[str, str] = {}
        self._room = (width - left - right, height - top - bottom)
        self._place = (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)

    def __enter__(self) -> Self:
        self._style.__enter__()
        self._figure, self.axes = _empty(self.width, self.height, self._place)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for artist in (*self.axes.lines, *self.axes.patches, *self.axes.collections, *self.axes.texts):
            artist.remove()
        self._style.__exit__(kind, error, trace)

    def text(self, x: float, y: float, said: str, colour: Colour = Colour.QUIET, **placed: Any) -> None:  # noqa: ANN401 (as matplotlib)
        """Write a text at a place in the axes' data; ``placed`` as matplotlib's ``Axes.text`` takes it."""
        self.axes.text(x, y, self._stand_in(said), color=colour, **({"fontsize": TEXT} | placed))

    def ticks(
        self, axis: Literal["x", "y"], marks: Sequence[tuple[float, str]], *, grid: bool = True,
        colour: Colour = Colour.QUIET,
    ) -> None:  # fmt: skip
        """Label places of the "x" or "y" axis, with a line across the axes at each unless told otherwise."""
        places = [place for place, _ in marks]
        axes = self.axes
        if axis == "x":
            across = axes.get_xaxis_transform()
            for place, label in marks:
                self.text(place, -_GAP / self._room[1], label, colour, ha="center", va="top", transform=across)
        else:
            across = axes.get_yaxis_transform()
            for place, label in marks:
                self.text(-_GAP / self._room[0], place, label, colour, ha="right", va="center", transform=across)
        if grid:
            lines: Callable[..., object] = axes.vlines if axis == "x" else axes.hlines
            lines(places, 0, 1, transform=across, color=Colour.LINE, linewidth=1, zorder=0)

    @staticmethod
    def ground() -> dict[str, Any]:
        """The box behind a text that stands on lines."""
        return {"facecolor": Colour.PAPER, "edgecolor": "none", "pad": 1.5}

    def below(self, said: str) -> None:
        """Write what the x axis shows under its labels."""
        down = -(2 * _GAP + TEXT) / self._room[1]
        self.text(0.5, down, said, ha="center", va="top", transform=self.axes.transAxes)

    def _stand_in(self, said: str) -> str:
        # As long as the text: the ground behind it is measured.
        stand_in = f"~{len(self._texts)}~".ljust(len(said), "0")
        self._texts[stand_in] = said
        return stand_in

    def drawing(self) -> str:
        """Draw it: elements to stand inside an ``svg`` element of the page whose view box is the figure."""
        written = io.BytesIO()
        self._figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
        colours = {colour.value: f"var(--{colour.name.lower()})" for colour in Colour}
        return page_svg(ET.fromstring(written.getvalue()), colours, self._texts)  # noqa: S314 (matplotlib's own output)


@cache
def _empty(width: int, height: int, place: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """Empty axes in their figure, used again by every chart of their kind: making them would cost more than drawing."""
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    FigureCanvasSVG(figure)
    figure.patch.set_visible(False)
    axes = figure.add_axes(place)
    axes.patch.set_visible(False)
    # Labels and lines are drawn one by one: the library's ticks cost half of a small chart.
    axes.set_axis_off()
    return figure, axes


def spread(places: Sequence[float], least: float) -> Iterator[float]:
    """Move places of labels apart, in order, so that each is at least ``least`` above the one before."""
    before = float("-inf")
    for place in places:
        before = max(place, before + least)
        yield before
